// Package diag holds what the mapping compiler says about a mapping: a
// [Diagnostic] is one mistake, at one place, with a hint; a [List] is all of
// them. Every stage of the compiler and the configuration file use this one
// form. The room knows nothing else.
package diag

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Pos is a place in a file. Line and Column are 1-based, Column counts
// characters (not bytes); 0 means unknown.
type Pos struct {
	File   string
	Line   int
	Column int
}

// IsValid says that the place has at least a line.
func (p Pos) IsValid() bool { return p.Line > 0 }

// String is file:line:column, without the parts that are unknown.
func (p Pos) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Compare orders places by file, line and column.
func (p Pos) Compare(q Pos) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// Related is a second place that helps to understand a diagnostic.
type Related struct {
	Pos     Pos
	Message string // "declared at"
}

// Severity tells whether a diagnostic stops the load.
type Severity uint8

// An Error refuses the mapping set; a Warning does not.
const (
	Error Severity = iota
	Warning
)

// String is "error" or "warning".
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// Diagnostic is one mistake in a mapping.
type Diagnostic struct {
	Pos      Pos
	Severity Severity
	// Code is stable kebab-case: unknown-column.
	Code string
	// Message is lower case, without a full stop, and says what was found and
	// what was expected; it never holds a row value.
	Message string
	// Hint follows the message after a semicolon: did you mean "clm_paid_dt"?
	Hint    string
	Related []Related
}

// Error is the one-line form, so that a Diagnostic may travel as a Go error.
func (d *Diagnostic) Error() string { return d.String() }

// String is the one-line form: file:line:column: message; hint [code].
func (d *Diagnostic) String() string {
	var b strings.Builder
	if s := d.Pos.String(); s != "" {
		b.WriteString(s)
		b.WriteString(": ")
	}
	if d.Severity == Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(d.Message)
	if d.Hint != "" {
		b.WriteString("; ")
		b.WriteString(d.Hint)
	}
	fmt.Fprintf(&b, " [%s]", d.Code)
	return b.String()
}

// Max is how many diagnostics a load prints before it stops counting aloud.
const Max = 100

// List collects diagnostics. The zero List is ready for use. It is not safe
// for concurrent use.
type List struct {
	all []*Diagnostic
}

// Add appends d and returns it, so that the caller may attach a hint.
func (l *List) Add(d *Diagnostic) *Diagnostic {
	l.all = append(l.all, d)
	return d
}

// Errorf adds an error and returns it for a hint or a related place.
func (l *List) Errorf(pos Pos, code, format string, args ...any) *Diagnostic {
	return l.Add(&Diagnostic{Pos: pos, Code: code, Message: fmt.Sprintf(format, args...)})
}

// Warnf adds a warning and returns it for a hint or a related place.
func (l *List) Warnf(pos Pos, code, format string, args ...any) *Diagnostic {
	return l.Add(&Diagnostic{Pos: pos, Severity: Warning, Code: code, Message: fmt.Sprintf(format, args...)})
}

// WithHint sets the hint and returns d.
func (d *Diagnostic) WithHint(format string, args ...any) *Diagnostic {
	d.Hint = fmt.Sprintf(format, args...)
	return d
}

// WithRelated adds a second place and returns d.
func (d *Diagnostic) WithRelated(pos Pos, message string) *Diagnostic {
	d.Related = append(d.Related, Related{Pos: pos, Message: message})
	return d
}

// Append adds all of m.
func (l *List) Append(m *List) { l.all = append(l.all, m.all...) }

// Len is the number of diagnostics, warnings included.
func (l *List) Len() int { return len(l.all) }

// HasErrors says that at least one diagnostic refuses the mapping set.
func (l *List) HasErrors() bool {
	return slices.ContainsFunc(l.all, func(d *Diagnostic) bool { return d.Severity == Error })
}

// All returns the diagnostics sorted by place, equal ones once. The caller
// owns the slice.
func (l *List) All() []*Diagnostic {
	out := slices.Clone(l.all)
	slices.SortStableFunc(out, func(a, b *Diagnostic) int {
		return cmp.Or(a.Pos.Compare(b.Pos), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
	})
	return slices.CompactFunc(out, func(a, b *Diagnostic) bool {
		return a.Pos == b.Pos && a.Code == b.Code && a.Message == b.Message
	})
}

// Err is nil where nothing refuses the set, else an error that prints the
// whole list.
func (l *List) Err() error {
	if !l.HasErrors() {
		return nil
	}
	return &ListError{List: l}
}

// ListError carries a list as a Go error.
type ListError struct{ List *List }

func (e *ListError) Error() string {
	var b strings.Builder
	_ = e.List.WriteText(&b)
	return strings.TrimRight(b.String(), "\n")
}

// WriteText writes one line a diagnostic, related places indented below it, at
// most Max of them and then how many more there are.
func (l *List) WriteText(w io.Writer) error {
	var b bytes.Buffer
	all := l.All()
	for i, d := range all {
		if i == Max {
			fmt.Fprintf(&b, "%d more\n", len(all)-Max)
			break
		}
		d.append(&b)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (d *Diagnostic) append(b *bytes.Buffer) {
	b.WriteString(d.String())
	b.WriteByte('\n')
	for _, r := range d.Related {
		fmt.Fprintf(b, "  %s %s\n", r.Message, r.Pos)
	}
}

// WriteSnippets is WriteText with the source line and a caret under each
// diagnostic. source returns a file's bytes, or nil.
func (l *List) WriteSnippets(w io.Writer, source func(file string) []byte) error {
	var b bytes.Buffer
	all := l.All()
	for i, d := range all {
		if i == Max {
			fmt.Fprintf(&b, "%d more\n", len(all)-Max)
			break
		}
		d.append(&b)
		if line, ok := lineOf(source(d.Pos.File), d.Pos.Line); ok {
			fmt.Fprintf(&b, "  %s\n", line)
			if d.Pos.Column > 0 {
				fmt.Fprintf(&b, "  %s^\n", padding(line, d.Pos.Column-1))
			}
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func lineOf(text []byte, n int) (string, bool) {
	if n < 1 || text == nil {
		return "", false
	}
	for ; n > 1; n-- {
		_, rest, ok := bytes.Cut(text, []byte("\n"))
		if !ok {
			return "", false
		}
		text = rest
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return strings.TrimRight(string(line), "\r"), true
}

// padding repeats the tabs of line so that the caret stands under its character.
func padding(line string, n int) string {
	var b strings.Builder
	for i := 0; i < n; i++ {
		r, size := utf8.DecodeRuneInString(line)
		line = line[size:]
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

type jsonDiagnostic struct {
	File     string        `json:"file"`
	Line     int           `json:"line,omitempty"`
	Column   int           `json:"column,omitempty"`
	Severity string        `json:"severity"`
	Code     string        `json:"code"`
	Message  string        `json:"message"`
	Hint     string        `json:"hint,omitempty"`
	Related  []jsonRelated `json:"related,omitempty"`
}

type jsonRelated struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
}

// WriteJSON writes one JSON object a line for each diagnostic.
func (l *List) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, d := range l.All() {
		j := jsonDiagnostic{
			File: d.Pos.File, Line: d.Pos.Line, Column: d.Pos.Column,
			Severity: d.Severity.String(), Code: d.Code, Message: d.Message, Hint: d.Hint,
		}
		for _, r := range d.Related {
			j.Related = append(j.Related, jsonRelated{r.Pos.File, r.Pos.Line, r.Pos.Column, r.Message})
		}
		if err := enc.Encode(j); err != nil {
			return err
		}
	}
	return nil
}
