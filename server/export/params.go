package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"remit/mapping/diag"
	"remit/mapping/program"
)

// Context is what the reading of kick-off parameters depends on beside the
// parameters themselves. It is plain and never changed by the parser.
type Context struct {
	// ClientID is the client that asks; "" where the server is open.
	ClientID string
	Level    Level
	// Group is the id in the path, at LevelGroup.
	Group string
	// Types are the resource types that the server exports.
	Types []program.Type
	// Known tells names of FHIR R4 resource types from other words; nil goes
	// by the form of the word alone.
	Known func(resourceType string) bool
	// Granted says whether the client may export a type; nil grants all.
	Granted func(resourceType string) bool
	// Lenient is set by "Prefer: handling=lenient" (BE-053).
	Lenient bool
	// Now is the server's clock, against which a future _since is refused.
	Now time.Time
	// URL is the public kick-off URL as the manifest repeats it (BE-173).
	URL string
	// Base is the public FHIR base without trailing slash, for absolute
	// references (BE-113).
	Base string
	// Ballot reads the request as the 4.0.0 ballot has it: no comma lists
	// (BE-281).
	Ballot bool
}

// Issue is one reason to refuse a kick-off. Codes are FHIR issue types:
// not-supported, value, structure, required, forbidden. Texts name parameters
// and resource types, never patients.
type Issue struct {
	Code       string
	Expression string // the parameter's name; "" for the request as a whole
	Text       string
}

// Codes of issues.
const (
	CodeNotSupported = "not-supported"
	CodeValue        = "value"
	CodeStructure    = "structure"
	CodeForbidden    = "forbidden"
	CodeNotFound     = "not-found"
)

// maxRefusals bounds what one kick-off can make the server write back.
const maxRefusals = 50

// maxPatients bounds the patient list of one kick-off.
const maxPatients = 100_000

// reading is one kick-off being read.
type reading struct {
	c       Context
	byQuery bool
	request Request
	issues  []Issue
	// typed says that _type was given.
	typed    bool
	explicit []string
	limited  bool // patient was given
	// queries are the values of _typeFilter, elements the items of _elements,
	// which the types chosen settle.
	queries  []string
	elements []string
	organize string
}

// ParseQuery reads the parameters of a GET kick-off.
//
// Shape: the query is decoded but otherwise as sent. All faults are reported
// at once; with any issue the Request is zero.
//
// Source: Bulk Data 3.0.0, Kick-off Request, Query Parameters; BE-060..065,
// 070..096, 111.
func ParseQuery(q url.Values, c Context) (Request, []Issue) {
	r := newReading(c, true)
	return r.finish(q)
}

// ParseParameters reads the body of a POST kick-off: a FHIR Parameters
// resource as JSON, or nothing at all, which means no parameters.
//
// Shape: as ParseQuery. The caller bounds the body's size.
//
// Source: Bulk Data 3.0.0, Kick-off Request; BE-034..036, 110..113.
func ParseParameters(body []byte, c Context) (Request, []Issue) {
	r := newReading(c, false)
	return r.finish(r.decode(body))
}

func newReading(c Context, byQuery bool) *reading {
	return &reading{c: c, byQuery: byQuery, request: Request{
		ClientID: c.ClientID, Level: c.Level, Group: c.Group, URL: c.URL,
	}}
}

// finish reads the values by the table and settles what depends on several
// parameters at once.
func (r *reading) finish(values map[string][]string) (Request, []Issue) {
	known := map[string]bool{}
	for _, p := range parameters() {
		known[p.Name] = true
		if given, ok := values[p.Name]; ok {
			r.one(p, given)
		}
	}
	var unknown []string
	for name := range values {
		if !known[name] {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		r.unsupported(shown(name), fmt.Sprintf("parameter %q is not known", shown(name)))
	}
	if !r.request.Since.IsZero() && !r.request.Until.IsZero() && !r.request.Since.Before(r.request.Until) {
		r.refuse(CodeValue, "_until", "_until must be later than _since")
	}
	r.chooseTypes()
	r.associate()
	r.filter()
	r.trim()
	r.organizeBy()
	if len(r.issues) > 0 {
		return Request{}, r.issues
	}
	return r.request, nil
}

func (r *reading) one(p parameter, given []string) {
	switch {
	case p.POSTOnly && r.byQuery:
		// Ignoring it would hand out more than was asked for (BE-111).
		r.refuse(CodeNotSupported, p.Name, fmt.Sprintf("parameter %q is accepted in a POST body only", p.Name))
	case !slices.Contains(p.Levels, r.c.Level):
		r.refuse(CodeNotSupported, p.Name, fmt.Sprintf("parameter %q is not accepted at %s level", p.Name, r.c.Level))
	case p.Single && len(given) > 1:
		r.refuse(CodeStructure, p.Name, fmt.Sprintf("parameter %q may be given once only", p.Name))
	case r.c.Ballot && p.List && slices.ContainsFunc(given, func(v string) bool { return strings.Contains(v, ",") }):
		r.refuse(CodeStructure, p.Name, fmt.Sprintf("parameter %q is repeated, not separated by commas, in this version", p.Name))
	case p.read != nil:
		p.read(r, given)
	case p.neutral != nil && p.neutral(given):
	default:
		r.unsupported(p.Name, fmt.Sprintf("parameter %q is not supported", p.Name))
	}
}

// refuse records a fault that no preference excuses.
func (r *reading) refuse(code, expression, text string) {
	if len(r.issues) < maxRefusals {
		r.issues = append(r.issues, Issue{Code: code, Expression: expression, Text: text})
	}
}

// unsupported records what the server cannot do: a fault, or under lenient
// handling a note for the manifest (BE-053, BE-054).
func (r *reading) unsupported(expression, text string) {
	if !r.c.Lenient {
		r.refuse(CodeNotSupported, expression, text)
		return
	}
	if len(r.request.Notes) < maxRefusals {
		r.request.Notes = append(r.request.Notes, Note{
			Severity: "warning", Code: CodeNotSupported, Expression: expression, Text: text + "; it was ignored",
		})
	}
}

// shown makes a client's word fit to be repeated in an answer.
func shown(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
	if len([]rune(s)) > 64 {
		s = string([]rune(s)[:64]) + "..."
	}
	return s
}

// outputFormat reads _outputFormat (BE-070, BE-071, BE-063).
func (r *reading) outputFormat(values []string) {
	format, _, _ := strings.Cut(values[0], ";")
	format = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(format), " ", "+"))
	switch format {
	case "application/fhir+ndjson", "application/ndjson", "ndjson":
	default:
		r.unsupported("_outputFormat", fmt.Sprintf(
			"output format %q is not supported; supported are application/fhir+ndjson, application/ndjson and ndjson", shown(values[0])))
	}
}

var instantForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-](0\d|1[0-4]):[0-5]\d)$`)

// lostPlus is an offset whose plus sign was decoded to a space (BE-063).
var lostPlus = regexp.MustCompile(`^(.*\d) (\d\d:\d\d)$`)

// parseInstant reads a FHIR instant (BE-081).
func parseInstant(text string) (time.Time, error) {
	text = lostPlus.ReplaceAllString(text, "$1+$2")
	if !instantForm.MatchString(text) {
		return time.Time{}, errors.New("not an instant: a date, a time with seconds, and Z or an offset are needed")
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, errors.New("no such date or time")
	}
	return t.UTC(), nil
}

// clockSkew is how far a client may run ahead of the server before its _since
// counts as lying in the future.
const clockSkew = time.Minute

// since reads _since (BE-075, BE-081).
func (r *reading) since(values []string) {
	t, err := parseInstant(values[0])
	if err != nil {
		r.refuse(CodeValue, "_since", "_since: "+err.Error())
		return
	}
	if t.After(r.c.Now.Add(clockSkew)) {
		if !r.c.Lenient {
			r.refuse(CodeValue, "_since", "_since lies in the future")
			return
		}
		r.request.Notes = append(r.request.Notes, Note{
			Severity: "warning", Code: CodeValue, Expression: "_since", Text: "_since lies in the future; nothing can match it",
		})
	}
	r.request.Since = t
}

// until reads _until (BE-082).
func (r *reading) until(values []string) {
	t, err := parseInstant(values[0])
	if err != nil {
		r.refuse(CodeValue, "_until", "_until: "+err.Error())
		return
	}
	r.request.Until = t
}

var typeForm = regexp.MustCompile(`^[A-Z][A-Za-z]{1,63}$`)

// types reads _type (BE-061, BE-090, BE-096); what may be exported is settled
// by chooseTypes.
func (r *reading) types(values []string) {
	r.typed = true
	r.explicit = items(values)
	if len(r.explicit) == 0 {
		// Taking an empty list for no list would hand out everything.
		r.refuse(CodeValue, "_type", "_type names no resource type")
	}
}

// noType says that a name is none of a resource type, and which served type looks
// like it.
func (r *reading) noType(name string) string {
	text := fmt.Sprintf("%q is not a FHIR R4 resource type", shown(name))
	var served []string
	for _, t := range r.c.Types {
		served = append(served, t.Name)
	}
	if hint := diag.DidYouMean(shown(name), served); hint != "" {
		text += "; " + hint
	}
	return text
}

// chooseTypes settles which types are exported: those asked for, or all that
// the server has, the client may read and the level offers (BE-090..095).
func (r *reading) chooseTypes() {
	served := map[string]program.Type{}
	for _, t := range r.c.Types {
		served[t.Name] = t
	}
	if !r.typed {
		for name, t := range served {
			if r.granted(name) && r.offered(t) {
				r.request.Types = append(r.request.Types, name)
			}
		}
		slices.Sort(r.request.Types)
		if len(r.request.Types) == 0 {
			r.refuse(CodeForbidden, "", "no resource type that this server exports at this level is granted to the client")
		}
		return
	}
	compartment := false
	for _, name := range r.explicit {
		t, ok := served[name]
		switch {
		case !typeForm.MatchString(name) || r.c.Known != nil && !r.c.Known(name):
			r.refuse(CodeValue, "_type", r.noType(name))
		case !r.granted(name):
			r.refuse(CodeForbidden, "_type", fmt.Sprintf("resource type %q is not granted to the client", name))
		case !ok:
			r.unsupported("_type", fmt.Sprintf("resource type %q is not exported by this server", name))
		case !r.offered(t):
			r.unsupported("_type", fmt.Sprintf("resource type %q is not exported %s", name, r.where()))
		default:
			compartment = compartment || t.Reach != program.Shared
			r.request.Types = append(r.request.Types, name)
		}
	}
	slices.Sort(r.request.Types)
	switch {
	case len(r.issues) > 0 || len(r.explicit) == 0:
	case len(r.request.Types) == 0:
		r.refuse(CodeNotSupported, "_type", "none of the resource types asked for is exported")
	case r.c.Level != LevelSystem && !compartment && !r.c.Lenient:
		r.refuse(CodeNotSupported, "_type", "only resource types outside the Patient compartment were asked for")
	}
}

func (r *reading) where() string {
	if r.limited {
		return "for single patients"
	}
	return fmt.Sprintf("at %s level", r.c.Level)
}

func (r *reading) granted(name string) bool { return r.c.Granted == nil || r.c.Granted(name) }

// offered says whether the level has the type: a roster tells of patients
// beyond those asked for, unless it is the very group asked for (BE-110).
func (r *reading) offered(t program.Type) bool {
	return t.Reach != program.Roster || r.c.Level == LevelSystem || r.c.Level == LevelGroup && !r.limited
}

var idForm = regexp.MustCompile(`^[A-Za-z0-9.-]{1,64}$`)

// patients reads the patient parameter (BE-110..113). Texts tell the place in
// the list, never the reference itself.
func (r *reading) patients(values []string) {
	r.limited = true
	if len(values) > maxPatients {
		r.refuse(CodeStructure, "patient", fmt.Sprintf("more than %d patients in one kick-off", maxPatients))
		return
	}
	seen := make(map[string]bool, len(values))
	for i, v := range values {
		ref := v
		if rest, ok := strings.CutPrefix(ref, r.c.Base+"/"); ok && r.c.Base != "" {
			ref = rest
		}
		id, ok := strings.CutPrefix(strings.TrimPrefix(ref, "/"), "Patient/")
		if !ok || !idForm.MatchString(id) {
			r.refuse(CodeValue, "patient", "the "+ordinal(i+1)+" patient is not a reference of the form Patient/[id]")
			continue
		}
		if !seen[id] {
			seen[id] = true
			r.request.Patients = append(r.request.Patients, id)
		}
	}
	slices.Sort(r.request.Patients)
}

func ordinal(n int) string {
	suffix := "th"
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return strconv.Itoa(n) + suffix
}

// decode reads a Parameters resource into values by name. Faults of form are
// never excused by lenient handling.
func (r *reading) decode(body []byte) map[string][]string {
	values := map[string][]string{}
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if len(bytes.TrimSpace(body)) == 0 {
		return values
	}
	var resource map[string]json.RawMessage
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&resource); err != nil || resource == nil {
		r.refuse(CodeStructure, "", "the body is not a JSON object")
		return values
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		r.refuse(CodeStructure, "", "the body goes on after the JSON object")
		return values
	}
	var kind string
	if json.Unmarshal(resource["resourceType"], &kind) != nil || kind != "Parameters" {
		r.refuse(CodeStructure, "", "the body is not a Parameters resource")
		return values
	}
	var list []map[string]json.RawMessage
	if raw, ok := resource["parameter"]; ok && json.Unmarshal(raw, &list) != nil {
		r.refuse(CodeStructure, "Parameters.parameter", "parameter is not an array of objects")
		return values
	}
	forms := map[string][]string{}
	for _, p := range parameters() {
		forms[p.Name] = p.post
	}
	for i, p := range list {
		place := fmt.Sprintf("Parameters.parameter[%d]", i)
		var name string
		if json.Unmarshal(p["name"], &name) != nil || name == "" {
			r.refuse(CodeStructure, place, "a parameter has no name")
			continue
		}
		accepted, known := forms[name]
		if !known {
			values[name] = append(values[name], "")
			continue
		}
		form, raw, ok := valueOf(p)
		if !ok {
			r.refuse(CodeStructure, name, fmt.Sprintf("parameter %q needs exactly one value[x]", name))
			continue
		}
		if !slices.Contains(accepted, form) {
			r.refuse(CodeStructure, name, fmt.Sprintf("parameter %q takes %s, not %s", name, strings.Join(accepted, " or "), shown(form)))
			continue
		}
		text, err := textOf(form, raw)
		if err != nil {
			r.refuse(CodeStructure, name, fmt.Sprintf("parameter %q: %v", name, err))
			continue
		}
		values[name] = append(values[name], text)
	}
	return values
}

// valueOf finds the one value[x] of a parameter; resource and part carry no
// kick-off parameter.
func valueOf(p map[string]json.RawMessage) (form string, raw json.RawMessage, ok bool) {
	n := 0
	for key, v := range p {
		switch {
		case strings.HasPrefix(key, "value"):
			form, raw = key, v
			n++
		case key == "resource" || key == "part":
			n += 2
		}
	}
	return form, raw, n == 1
}

// textOf turns a value[x] into the text a query string would hold.
func textOf(form string, raw json.RawMessage) (string, error) {
	switch form {
	case "valueBoolean":
		var b bool
		if string(raw) == "null" || json.Unmarshal(raw, &b) != nil {
			return "", errors.New("valueBoolean is not true or false")
		}
		return strconv.FormatBool(b), nil
	case "valueInteger", "valuePositiveInt", "valueDecimal":
		var n json.Number
		if json.Unmarshal(raw, &n) != nil || n == "" {
			return "", fmt.Errorf("%s is not a number", form)
		}
		return n.String(), nil
	case "valueReference", "valueCoding":
		member := "reference"
		if form == "valueCoding" {
			member = "code"
		}
		var object map[string]json.RawMessage
		var s string
		if json.Unmarshal(raw, &object) != nil || json.Unmarshal(object[member], &s) != nil || s == "" {
			return "", fmt.Errorf("%s has no %s", form, member)
		}
		return s, nil
	default:
		var s *string
		if json.Unmarshal(raw, &s) != nil || s == nil {
			return "", fmt.Errorf("%s is not a string", form)
		}
		return *s, nil
	}
}
