package profiles

import (
	"encoding/json"
	"strconv"

	"remit/profiles/r4"
)

// Place tells where the resource of a finding was read from. The zero Place
// says nothing.
type Place struct {
	File         string
	Line         int // 1-based; 0 for none
	ResourceType string
	ID           string
}

// AppendText appends the finding as one line without a line break:
//
//	file:12: error: Patient.birthDate: is not in the form of a date [primitive-form; http://...|4.0.1]
func (f *Finding) AppendText(dst []byte, at Place) []byte {
	if at.File != "" {
		dst = append(dst, at.File...)
		dst = append(dst, ':')
		if at.Line > 0 {
			dst = strconv.AppendInt(dst, int64(at.Line), 10)
			dst = append(dst, ':')
		}
		dst = append(dst, ' ')
	}
	dst = append(dst, f.Severity.String()...)
	dst = append(dst, ": "...)
	dst = append(dst, f.Path...)
	dst = append(dst, ": "...)
	dst = append(dst, f.Message...)
	dst = append(dst, " ["...)
	dst = append(dst, f.Code...)
	if f.Constraint != "" {
		dst = append(dst, ' ')
		dst = append(dst, f.Constraint...)
	}
	if f.Profile != "" {
		dst = append(dst, "; "...)
		dst = append(dst, f.Profile...)
	}
	return append(dst, ']')
}

// String is AppendText without a place.
func (f *Finding) String() string { return string(f.AppendText(nil, Place{})) }

// AppendJSON appends the finding as one JSON object with the members file, line,
// resourceType, id, severity, code, path, profile, element, constraint and
// message; those that are empty are left out.
func (f *Finding) AppendJSON(dst []byte, at Place) []byte {
	dst = append(dst, '{')
	dst = member(dst, "file", at.File)
	if at.Line > 0 {
		dst = key(dst, "line")
		dst = strconv.AppendInt(dst, int64(at.Line), 10)
	}
	for _, m := range [...][2]string{
		{"resourceType", at.ResourceType}, {"id", at.ID}, {"severity", f.Severity.String()}, {"code", f.Code},
		{"path", f.Path}, {"profile", f.Profile}, {"element", f.Element}, {"constraint", f.Constraint}, {"message", f.Message},
	} {
		dst = member(dst, m[0], m[1])
	}
	return append(dst, '}')
}

func member(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return quote(key(dst, name), value)
}

func key(dst []byte, name string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return append(quote(dst, name), ':')
}

func quote(dst []byte, s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // strings always marshal
		return append(dst, `""`...)
	}
	return append(dst, b...)
}

// AppendOutcome appends an OperationOutcome that holds an issue for each
// finding; without findings one issue that says so, since an outcome must have
// one.
//
// Source: R4 OperationOutcome; ValueSet issue-severity, issue-type.
func AppendOutcome(dst []byte, findings []Finding) []byte {
	dst = append(dst, `{"resourceType":"OperationOutcome","issue":[`...)
	if len(findings) == 0 {
		dst = append(dst, `{"severity":"information","code":"informational","diagnostics":"no findings"}`...)
	}
	for i := range findings {
		f := &findings[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		dst = member(dst, "severity", issueSeverity(f.Severity))
		dst = member(dst, "code", issueType(f.Code))
		text := f.Code
		if f.Constraint != "" {
			text += " " + f.Constraint
		}
		dst = append(quote(append(key(dst, "details"), `{"text":`...), text), '}')
		diagnostics := f.Message
		if f.Profile != "" {
			diagnostics += " (" + f.Element + " of " + f.Profile + ")"
		}
		dst = member(dst, "diagnostics", diagnostics)
		if f.Path != "" {
			dst = append(quote(append(key(dst, "expression"), '['), f.Path), ']')
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}

func issueSeverity(s Severity) string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	}
	return "information"
}

// issueType gives FHIR's word for a finding's code.
func issueType(code string) string {
	switch code {
	case "cardinality-min", "slice-min", "binding-no-code":
		return "required"
	case "binding", "binding-extensible", "code-form", "display":
		return "code-invalid"
	case "constraint":
		return "invariant"
	case "primitive-form", "fixed-value", "pattern-value", "min-value", "max-value", "max-length", "reference-target", "reference-profile":
		return "value"
	case r4.CodeTooDeep, r4.CodeTooLarge, r4.CodeTooMany, "too-many-findings":
		return "too-costly"
	case "profile-unknown", "binding-undecided", "binding-absent", "slice-undecided", "constraint-undecided", "constraint-fault":
		return "incomplete"
	case "modifier-extension-unknown", "extension-context", "extension-modifier":
		return "extension"
	}
	return "structure"
}
