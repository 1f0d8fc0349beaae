package search

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"remit/profiles/r4"
)

// Options of a query.
type Options struct {
	// Base is the public FHIR base without trailing slash; references below it
	// count as relative ones.
	Base string
	// Grant says that the query gives access: what is not known of a resource
	// counts against it. A clause with the modifier not then needs an element, and
	// in each of its repetitions a code that can be compared: one of the system,
	// where the value names one. A missing=true holds for an element that is not
	// there, and not for one that cannot be evaluated (SB-075).
	Grant bool
}

// Filter is a query that was read. It is immutable, and Match may be called by
// any number of goroutines.
type Filter struct {
	// Type is the only resource type that matches.
	Type string
	// Clauses must all hold. The caller must not change them.
	Clauses []Clause

	query string
	base  string
	grant bool
	pool  sync.Pool // of *matcher
}

// String is the query as it was given, without what was passed over. Parse
// reads it to the same filter.
func (f *Filter) String() string { return f.query }

// Clause is one parameter of a query: it holds if any of its Values does.
type Clause struct {
	Parameter *Parameter
	// Modifier is what stood behind the colon: "", "not", "exact", "contains",
	// "below", "identifier", "missing" or a resource type.
	Modifier string
	// Missing is the answer that modifier "missing" asks for.
	Missing bool
	// Values are the alternatives; none with modifier "missing".
	Values []Value
}

// Value is one alternative. Which fields count depends on the parameter's kind.
type Value struct {
	// Prefix compares dates, numbers and quantities.
	Prefix Prefix
	// Range is what a date covers at the precision it was given with.
	Range Range
	// System and Code are a token ("system|code"), or the unit of a quantity.
	// HasSystem is false where no "|" was given, so that any system matches;
	// with it an empty System means "without a system". An empty Code matches
	// any code of the system.
	System, Code string
	HasSystem    bool
	// TargetType and ID are a relative reference, TargetType "" for a bare id;
	// URL is an absolute one.
	TargetType, ID, URL string
	// Text is a string or uri.
	Text string

	number number
}

// Prefix says how a value compares.
type Prefix uint8

// The prefixes (R4, 3.1.1.4.4).
const (
	EQ Prefix = iota
	NE
	GT
	GE
	LT
	LE
	SA // starts after
	EB // ends before
)

// ProblemKind is why a part of a query is refused.
type ProblemKind uint8

// The kinds of problems.
const (
	// Syntax: the query is not Type?name=value&...
	Syntax ProblemKind = iota + 1
	// UnknownType: it is not about an R4 resource type.
	UnknownType
	// Unsupported: the parameter, its modifier or prefix is not known or not
	// supported. It may be passed over where the asker agreed (BE-135).
	Unsupported
	// Result: a parameter that shapes a search result and filters nothing
	// (BE-133).
	Result
	// BadValue: the value cannot be read.
	BadValue
)

// Problem is one reason to refuse a query. It names parameters, never values.
type Problem struct {
	Kind      ProblemKind
	Parameter string // as given, with modifier; "" for the query as a whole
	Text      string // lower case, without full stop
}

// Ignorable says that the part may be passed over under lenient handling; the
// answer is then larger than was asked for.
func (p Problem) Ignorable() bool { return p.Kind == Unsupported }

// maxParts bounds the parts of a query, maxValues the values of one.
const (
	maxParts  = 100
	maxValues = 10_000
)

// resultParameters shape a result and filter nothing (R4, 3.1.1.5).
var resultParameters = []string{"_sort", "_count", "_include", "_revinclude", "_summary", "_total", "_elements",
	"_contained", "_containedType", "_format", "_pretty", "_offset", "_page", "_graph"}

// Parse reads "Type?name=value&...", "Type?" and "Type", which match every
// resource of the type.
//
// Shape: all problems are told at once. Where they are all Ignorable the filter
// holds what was understood; otherwise it is nil. Percent escapes are decoded;
// a plus sign stands for itself, but for a space in a string.
//
// Source: R4, 3.1.1; BE-130..136.
func (p *Parameters) Parse(query string, o Options) (*Filter, []Problem) {
	typ, rest, _ := strings.Cut(query, "?")
	if t := r4.Lookup(typ); t == nil || t.Kind() != r4.KindResource {
		return nil, []Problem{{Kind: UnknownType, Text: fmt.Sprintf("%q is not an R4 resource type", shown(typ))}}
	}
	return p.ParseFor(typ, rest, o)
}

// ParseFor reads "name=value&..." for a resource type; see Parse.
func (p *Parameters) ParseFor(resourceType, query string, o Options) (*Filter, []Problem) {
	f := &Filter{Type: resourceType, base: o.Base, grant: o.Grant}
	f.pool.New = func() any { return newMatcher(o.Base) }
	var problems []Problem
	var kept []string
	fatal := false
	refuse := func(kind ProblemKind, parameter, format string, args ...any) {
		fatal = fatal || kind != Unsupported
		problems = append(problems, Problem{Kind: kind, Parameter: shown(parameter), Text: fmt.Sprintf(format, args...)})
	}
	parts := strings.Split(query, "&")
	if len(parts) > maxParts {
		return nil, []Problem{{Kind: Syntax, Text: fmt.Sprintf("the query has more than %d parts", maxParts)}}
	}
	for _, part := range parts {
		if part == "" {
			continue
		}
		rawName, rawValue, ok := strings.Cut(part, "=")
		name, err1 := url.PathUnescape(rawName)
		value, err2 := url.PathUnescape(rawValue)
		if err1 != nil || err2 != nil {
			refuse(Syntax, rawName, "a percent escape is malformed")
			continue
		}
		if !ok {
			refuse(Syntax, name, "the parameter has no value")
			continue
		}
		c, problem := p.clause(resourceType, name, value, o)
		if problem != nil {
			refuse(problem.Kind, name, "%s", problem.Text)
			continue
		}
		f.Clauses = append(f.Clauses, *c)
		kept = append(kept, part)
	}
	if fatal {
		return nil, problems
	}
	f.query = resourceType
	if len(kept) > 0 {
		f.query += "?" + strings.Join(kept, "&")
	}
	return f, problems
}

func problem(kind ProblemKind, format string, args ...any) *Problem {
	return &Problem{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// clause reads one parameter.
func (p *Parameters) clause(resourceType, name, value string, o Options) (*Clause, *Problem) {
	code, modifier, modified := strings.Cut(name, ":")
	switch {
	case slices.Contains(resultParameters, code):
		return nil, problem(Result, "it shapes a search result and cannot filter")
	case code == "_has" || strings.Contains(name, "."):
		return nil, problem(Unsupported, "chained parameters are not supported")
	}
	param := p.Lookup(resourceType, code)
	if param == nil {
		return nil, problem(Unsupported, "%s has no such search parameter", resourceType)
	}
	if _, err := param.expression(); err != nil {
		return nil, problem(Unsupported, "the search parameter cannot be evaluated")
	}
	c := &Clause{Parameter: param, Modifier: modifier}
	if modified && !c.allowed() {
		return nil, problem(Unsupported, "modifier %q is not supported for a search parameter of type %s", shown(modifier), param.Kind)
	}
	if modifier == "missing" {
		switch value {
		case "true", "false":
			c.Missing = value == "true"
			return c, nil
		}
		return nil, problem(BadValue, "modifier \"missing\" takes true or false")
	}
	texts := split(value, ',')
	if len(texts) > maxValues {
		return nil, problem(BadValue, "it has more than %d values", maxValues)
	}
	for _, text := range texts {
		if text == "" {
			continue
		}
		v, bad := c.value(text, o)
		if bad != nil {
			return nil, bad
		}
		c.Values = append(c.Values, v)
	}
	if len(c.Values) == 0 {
		return nil, problem(BadValue, "it has no value")
	}
	return c, nil
}

// allowed says that the parameter's kind has the modifier.
func (c *Clause) allowed() bool {
	if c.Modifier == "missing" {
		return true
	}
	switch c.Parameter.Kind {
	case Token:
		return c.Modifier == "not"
	case String:
		return c.Modifier == "exact" || c.Modifier == "contains"
	case URI:
		return c.Modifier == "below"
	case Reference:
		if c.Modifier == "identifier" {
			return true
		}
		t := r4.Lookup(c.Modifier)
		return t != nil && t.Kind() == r4.KindResource
	}
	return false
}

// value reads one alternative; text still has its escapes.
func (c *Clause) value(text string, o Options) (Value, *Problem) {
	switch c.Parameter.Kind {
	case Date:
		return dateValue(unescape(text))
	case Number, Quantity:
		return numberValue(text, c.Parameter.Kind == Quantity)
	case String:
		text = strings.ReplaceAll(unescape(text), "+", " ")
		if c.Modifier != "exact" {
			text = fold(text)
		}
		return Value{Text: text}, nil
	case URI:
		return Value{Text: unescape(text)}, nil
	case Reference:
		if c.Modifier != "identifier" {
			return c.reference(unescape(text), o)
		}
	}
	return tokenValue(text)
}

// tokenValue reads code, system|code, system| and |code (R4, 3.1.1.4.10).
func tokenValue(text string) (Value, *Problem) {
	parts := split(text, '|')
	switch len(parts) {
	case 1:
		return Value{Code: unescape(parts[0])}, nil
	case 2:
		if parts[0] == "" && parts[1] == "" {
			return Value{}, problem(BadValue, "a token has neither system nor code")
		}
		return Value{System: unescape(parts[0]), Code: unescape(parts[1]), HasSystem: true}, nil
	}
	return Value{}, problem(BadValue, "a token has more than one |")
}

// reference reads id, Type/id and an absolute URL (R4, 3.1.1.4.12).
func (c *Clause) reference(text string, o Options) (Value, *Problem) {
	if o.Base != "" {
		text = strings.TrimPrefix(text, o.Base+"/")
	}
	if strings.Contains(text, ":") {
		return Value{URL: text}, nil
	}
	v := Value{TargetType: c.Modifier}
	v.ID = text
	if typ, id, ok := strings.Cut(text, "/"); ok {
		id, _, _ = strings.Cut(id, "/_history/")
		if t := r4.Lookup(typ); t == nil || t.Kind() != r4.KindResource || v.TargetType != "" && v.TargetType != typ {
			return v, problem(BadValue, "a reference is not Type/id")
		}
		v.TargetType, v.ID = typ, id
	}
	if v.TargetType == "" && len(c.Parameter.Targets) == 1 {
		v.TargetType = c.Parameter.Targets[0]
	}
	if !validID(v.ID) {
		return v, problem(BadValue, "a reference has an id that is none")
	}
	return v, nil
}

func validID(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// split cuts a value at a separator that no backslash escapes (R4, 3.1.1.4.0.1);
// the escapes stay.
func split(s string, sep byte) []string {
	var out []string
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case sep:
			out = append(out, s[start:i])
			start = i + 1
		}
	}
	return append(out, s[start:])
}

// unescape takes the backslashes away.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte(`\,$|`, s[i+1]) >= 0 {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// shown makes an asker's word fit to be repeated.
func shown(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
	if r := []rune(s); len(r) > 64 {
		s = string(r[:64]) + "..."
	}
	return s
}
