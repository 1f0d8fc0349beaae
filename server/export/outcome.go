package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"remit/mapping/diag"
	"remit/profiles"
)

// outcomeType is the resource type of error files; the engine knows no other.
const outcomeType = "OperationOutcome"

// maxIssues bounds the issues of one resource's outcome.
const maxIssues = 50

// operationOutcome is a FHIR OperationOutcome (R4, OperationOutcome).
type operationOutcome struct {
	ResourceType string  `json:"resourceType"`
	Issue        []issue `json:"issue"`
}

type issue struct {
	Severity    string   `json:"severity"`
	Code        string   `json:"code"`
	Details     *details `json:"details,omitempty"`
	Diagnostics string   `json:"diagnostics,omitempty"`
	Expression  []string `json:"expression,omitempty"`
}

type details struct {
	Text string `json:"text"`
}

// line is the outcome as one line of NDJSON, without the line feed.
func (o *operationOutcome) line() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // texts name paths and operators
	if err := enc.Encode(o); err != nil {
		return nil, fmt.Errorf("write outcome: %w", err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// reject is one reason why a resource is withheld or flagged.
type reject struct {
	code string // of the report: a finding's code, duplicate-id ...
	kind string // FHIR issue type
	text string
	path string
	pos  diag.Pos
	rule string // profile and element or constraint
}

// subject is the resource that rejects are about.
type subject struct {
	typ, id, key string
	pos          diag.Pos
}

// outcome tells a client why a resource is withheld, or what is wrong with one
// that is exported none the less: which resource (type and business key), where
// in it, which mapping line, which rule (BE-195).
func outcome(s subject, withheld bool, rejects []reject) *operationOutcome {
	o := &operationOutcome{ResourceType: outcomeType}
	severity, verb := "error", "withheld"
	if !withheld {
		severity, verb = "warning", "exported with an error"
	}
	for i, r := range rejects {
		if i == maxIssues {
			o.Issue = append(o.Issue, issue{Severity: "information", Code: "informational",
				Details: &details{fmt.Sprintf("%d further findings are not listed.", len(rejects)-i)}})
			break
		}
		is := issue{Severity: severity, Code: r.kind, Details: &details{fmt.Sprintf("%s %s: %s [%s]", s.typ, verb, r.text, r.code)}}
		parts := []string{s.typ + "/" + s.id}
		if s.key != "" {
			parts = append(parts, "key "+s.key)
		}
		pos := r.pos
		if pos == (diag.Pos{}) {
			pos = s.pos
		}
		if p := pos.String(); p != "" {
			parts = append(parts, "mapping "+p)
		}
		if r.rule != "" {
			parts = append(parts, "rule "+r.rule)
		}
		is.Diagnostics = strings.Join(parts, "; ")
		if r.path != "" {
			is.Expression = []string{r.path}
		}
		o.Issue = append(o.Issue, is)
	}
	return o
}

// rejected turns a finding into a reject.
func rejected(f *profiles.Finding, pos diag.Pos) reject {
	r := reject{code: f.Code, kind: issueType(f.Code), text: f.Message, path: f.Path, pos: pos, rule: f.Profile}
	for _, part := range []string{f.Element, f.Constraint} {
		if part != "" {
			r.rule = strings.TrimSpace(r.rule + " " + part)
		}
	}
	if r.text == "" {
		r.text = "breaks its profile"
	}
	return r
}

// issueType is the FHIR issue type nearest to a finding's code.
func issueType(code string) string {
	switch {
	case code == "cardinality-min" || strings.HasPrefix(code, "required"):
		return "required"
	case strings.HasPrefix(code, "cardinality"), strings.HasPrefix(code, "unknown-element"):
		return "structure"
	case strings.HasPrefix(code, "binding"), strings.HasPrefix(code, "unmapped"), strings.HasPrefix(code, "code"):
		return "code-invalid"
	case strings.HasPrefix(code, "constraint"), strings.HasPrefix(code, "invariant"):
		return "invariant"
	case code == "duplicate-id":
		return "duplicate"
	case code == "line-too-long":
		return "too-long"
	}
	return "value"
}

// notice is an outcome about the export as a whole.
func notice(n Note) *operationOutcome {
	is := issue{Severity: n.Severity, Code: n.Code, Details: &details{n.Text}}
	if is.Severity == "" {
		is.Severity = "information"
	}
	if is.Code == "" {
		is.Code = "informational"
	}
	if n.Expression != "" {
		is.Expression = []string{n.Expression}
	}
	return &operationOutcome{ResourceType: outcomeType, Issue: []issue{is}}
}
