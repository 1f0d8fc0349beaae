// Package opinion asks google/fhir/go's jsonformat what it thinks of a
// resource's JSON: a second opinion beside our own writer and validator, for
// tests and for `validate --second-opinion` alone. The engine never imports it;
// it is slow (milliseconds for a resource) and knows no profile.
//
// It disagrees with the specification, or sees more or less than our validator
// does, in known places:
//
//   - a resource in Parameters.parameter.resource is refused, whatever it is;
//   - Extension.value[x] cannot be a Meta;
//   - a relative reference must name a type that the element allows; one to a
//     type that R4 does not know passes;
//   - a code must be in its value set where the binding is required and the
//     value set can be listed; other bindings are not looked at;
//   - elements with a minimum of one must be there, but slices, invariants,
//     fixed values and patterns are not looked at;
//   - empty objects, arrays and strings pass, and so does a property that
//     stands twice in an object: the last one counts.
//
// TestDisagreements holds the list.
package opinion

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/google/fhir/go/fhirversion"
	"github.com/google/fhir/go/jsonformat"
	"github.com/google/fhir/go/jsonformat/errorreporter"
)

// Complaint is one thing the second opinion does not like. It never holds a
// value.
type Complaint struct {
	// Path is the place, in the form of the second opinion: JSON names with
	// indexes, "Patient.name[0].given[1]"; empty for the whole.
	Path string
	// Message is the other side's own words, cut down to what cannot hold data.
	Message string
}

func (c Complaint) String() string {
	if c.Path == "" {
		return c.Message
	}
	return c.Path + ": " + c.Message
}

// Rejection is the error for a resource that the second opinion does not
// accept.
type Rejection struct {
	Complaints []Complaint // at least one
}

func (r *Rejection) Error() string {
	all := make([]string, len(r.Complaints))
	for i, c := range r.Complaints {
		all[i] = c.String()
	}
	return strings.Join(all, "\n")
}

// Opinion judges one resource after another. It belongs to one goroutine at a
// time.
type Opinion struct {
	unmarshaller *jsonformat.Unmarshaller
}

// New returns an Opinion for FHIR R4 with zone-less dates read in UTC.
func New() (*Opinion, error) {
	u, err := jsonformat.NewUnmarshaller("UTC", fhirversion.R4)
	if err != nil {
		return nil, fmt.Errorf("prepare second opinion: %w", err)
	}
	return &Opinion{unmarshaller: u}, nil
}

// Judge gives an opinion on the JSON of one resource. For many of them use New
// and Opinion.Judge.
//
// Errors: *Rejection if it does not accept data.
func Judge(data []byte) error {
	o, err := New()
	if err != nil {
		return err
	}
	return o.Judge(data)
}

// Judge gives an opinion on the JSON of one resource; nil is accepted.
//
// Errors: *Rejection if it does not accept data.
func (o *Opinion) Judge(data []byte) error {
	var found reporter
	_, err := o.unmarshaller.UnmarshalWithErrorReporter(data, &found)
	if err != nil {
		found.complaints = append(found.complaints, complaints("", err)...)
	}
	if len(found.complaints) == 0 {
		return nil
	}
	return &Rejection{Complaints: found.complaints}
}

// Lines judges a file of resources, one a line (NDJSON), and hands each line's
// number, from 1, and verdict (nil or *Rejection) to each. Blank lines are
// passed over. It stops when each returns an error, and returns that.
//
// Errors: those of reading r, those of each, and the cause of ctx.
func (o *Opinion) Lines(ctx context.Context, r io.Reader, each func(line int, verdict error) error) error {
	in := bufio.NewReaderSize(r, 1<<16)
	var long []byte
	for line := 1; ; line++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		data, err := readLine(in, &long)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read line %d: %w", line, err)
		}
		if data = bytes.TrimSpace(data); len(data) > 0 {
			if err := each(line, o.Judge(data)); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

// readLine reads up to the next newline, into long where the reader's own
// buffer does not hold it.
func readLine(in *bufio.Reader, long *[]byte) ([]byte, error) {
	data, err := in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return data, err
	}
	*long = append((*long)[:0], data...)
	for errors.Is(err, bufio.ErrBufferFull) {
		data, err = in.ReadSlice('\n')
		*long = append(*long, data...)
	}
	return *long, err
}

// reporter collects what extended validation finds.
type reporter struct{ complaints []Complaint }

var _ errorreporter.ErrorReporter = (*reporter)(nil)

func (r *reporter) ReportValidationError(path string, err error) error {
	r.complaints = append(r.complaints, complaints(path, err)...)
	return nil
}

func (r *reporter) ReportValidationWarning(path string, err error) error {
	return r.ReportValidationError(path, err)
}

// withheld stands for a message that is not on the list.
const withheld = "not accepted (the reason is withheld, it might quote a value)"

// complaints takes an error of jsonformat apart. Its text has one line for
// each fault, `error at "PATH": DETAILS`; what would quote the input comes in a
// separate field that Error leaves out. Even so only known details pass.
func complaints(path string, err error) []Complaint {
	var all []Complaint
	for line := range strings.Lines(err.Error()) {
		c := Complaint{Path: cleanPath(path), Message: strings.TrimSuffix(line, "\n")}
		if rest, ok := strings.CutPrefix(c.Message, "error at "); ok {
			if quoted, err := strconv.QuotedPrefix(rest); err == nil {
				if at, err := strconv.Unquote(quoted); err == nil {
					c.Path = cleanPath(at)
				}
				c.Message = strings.TrimPrefix(rest[len(quoted):], ": ")
			}
		}
		if !speakable(c.Message) {
			c.Message = withheld
		}
		if c.Message == "unknown resource type" {
			// Its path ends with the type, which is the input's own word.
			c.Path = c.Path[:max(0, strings.LastIndexByte(c.Path, '.'))]
		}
		if !slices.Contains(all, c) { // said once for each property of an object
			all = append(all, c)
		}
	}
	return all
}

// cleanPath drops from the first step on what is not made like the name of an
// element: a property of the input that is none is repeated in paths.
func cleanPath(path string) string {
	for i := range len(path) {
		c := path[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && c-'0' > 9 && c != '.' && c != '[' && c != ']' && c != '_' {
			return path[:strings.LastIndexByte(path[:i], '.')+1] + "?"
		}
	}
	return path
}

// spoken are the details of jsonformat v0.7.4 that hold names of the
// specification and numbers of ours, never data.
var spoken = [...]string{
	"invalid JSON",
	"invalid resource type",
	"unknown resource type",
	"unknown field",
	"invalid extension field",
	"invalid field",
	"invalid reference",
	"expected array",
	"expected UTF-8 encoding",
	"expected binary data",
	"expected boolean",
	"expected code",
	"expected date",
	"expected datetime",
	"expected decimal",
	"expected ID",
	"expected instant",
	"expected integer",
	"expected OID",
	"expected positive integer",
	"invalid positive integer",
	"expected string",
	"invalid time",
	"invalid non-negative integer",
	"expected UUID",
	"code type mismatch",
	"unexpected reference",
	"string exceeds maximum size of 1 MB",
}

// begun are beginnings of details that go on with a name of the specification
// or a number.
var begun = [...]string{
	"missing required field ",
	"cannot accept multiple values for ",
	"array length mismatch, expected ",
	"non-negative integer out of range ",
	"string contains invalid characters: U+",
	"invalid reference to a ",
}

// primitives end details that begin with "expected" or "invalid".
var primitives = [...]string{
	"base64binary", "boolean", "canonical", "code", "date", "datetime", "decimal", "id", "instant", "integer",
	"markdown", "oid", "positiveint", "string", "time", "unsignedint", "uri", "url", "uuid", "xhtml",
}

func speakable(details string) bool {
	if slices.Contains(spoken[:], details) {
		return true
	}
	for _, s := range begun {
		if strings.HasPrefix(details, s) {
			return len(details) <= 300
		}
	}
	what, expected := strings.CutPrefix(details, "expected ")
	if !expected {
		what, _ = strings.CutPrefix(details, "invalid ")
		what = strings.TrimSuffix(what, " format")
	}
	return slices.Contains(primitives[:], strings.ToLower(what))
}
