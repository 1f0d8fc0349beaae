package profiles

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"remit/profiles/r4"
)

// TestMutateJSON spoils the JSON of every example in a folder, one place at a time, and looks
// for the problem at that place.
//
// Source: R4, 2.6.2 "JSON Representation of Resources".
func TestMutateJSON(t *testing.T) {
	t.Parallel()
	s := &spoiler{t: t, tried: map[string]int{}, found: map[string]int{}, done: map[string]int{}}
	for i, e := range unpacked(t) {
		if testing.Short() && i%10 != 0 {
			continue
		}
		dec := json.NewDecoder(bytes.NewReader(e.raw))
		dec.UseNumber()
		var v map[string]any
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		s.name = e.name
		s.top = v
		s.object(v, v["resourceType"].(string))
	}
	for _, kind := range []string{
		r4.CodeDuplicateKey, r4.CodeUnknownElement, r4.CodeWrongJSONType, r4.CodeNullUnexpected, r4.CodeEmpty,
		r4.CodeArrayUnexpected, r4.CodeArrayExpected, r4.CodeJSON, r4.CodeInvalidUTF8, r4.CodeLoneSurrogate, r4.CodeNul,
	} {
		if s.tried[kind] < 50 {
			t.Errorf("%s: only %d changes", kind, s.tried[kind])
		}
		t.Logf("%-18s %6d of %6d found", kind, s.found[kind], s.tried[kind])
	}
}

type spoiler struct {
	t            *testing.T
	name         string
	top          map[string]any
	parser       r4.Parser
	resource     r4.Resource
	tried, found map[string]int
	done         map[string]int
	failures     int
}

// raw is text put into JSON as it is.
type raw string

// object spoils every member of an object at path, and what is below.
func (s *spoiler) object(o map[string]any, path string) {
	s.try(r4.CodeUnknownElement, path, o, "remitNone", raw("1"))
	keys := make([]string, 0, len(o))
	for k := range o {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if k == "resourceType" || k == "remitNone" {
			continue
		}
		v := o[k]
		s.try(r4.CodeDuplicateKey, path, o, k, raw(text(v)+","+text(k)+":"+text(v)))
		s.try(r4.CodeNullUnexpected, path, o, k, raw("null"))
		s.try(r4.CodeJSON, "", o, k, raw(text(v)+";"))
		switch v := v.(type) {
		case string:
			s.try(r4.CodeWrongJSONType, path, o, k, raw("1"))
			s.try(r4.CodeEmpty, path, o, k, raw(`""`))
			s.try(r4.CodeArrayUnexpected, path, o, k, raw("["+text(v)+"]"))
			s.try(r4.CodeInvalidUTF8, path, o, k, raw("\"a\xff\""))
			s.try(r4.CodeLoneSurrogate, path, o, k, raw(`"a\ud800"`))
			s.try(r4.CodeNul, path, o, k, raw(`"a\u0000"`))
		case bool, json.Number:
			s.try(r4.CodeWrongJSONType, path, o, k, raw(`"1"`))
			s.try(r4.CodeArrayUnexpected, path, o, k, raw("["+text(v)+"]"))
		case map[string]any:
			s.try(r4.CodeWrongJSONType, path, o, k, raw(`"x"`))
			if v["resourceType"] == nil { // an empty object where a resource belongs is no resource
				s.try(r4.CodeEmpty, path, o, k, raw("{}"))
			}
			s.try(r4.CodeArrayUnexpected, path, o, k, raw("["+text(v)+"]"))
			s.object(v, path+"."+strings.TrimPrefix(k, "_"))
		case []any:
			s.try(r4.CodeEmpty, path, o, k, raw("[]"))
			if len(v) == 1 && v[0] != nil {
				s.try(r4.CodeArrayExpected, path, o, k, raw(text(v[0])))
			}
			for i, item := range v {
				if item, ok := item.(map[string]any); ok {
					s.object(item, fmt.Sprintf("%s.%s[%d]", path, strings.TrimPrefix(k, "_"), i))
				}
			}
		}
	}
}

// try puts text for member k of o and looks for the problem.
func (s *spoiler) try(kind, path string, o map[string]any, k string, put raw) {
	// The same fault of the same member is made in a few places only.
	rule := kind + " " + indexes.ReplaceAllString(path, "") + " " + k + fmt.Sprint(s.top["resourceType"])
	if s.done[rule]++; s.done[rule] > 2 {
		return
	}
	was, there := o[k]
	o[k] = put
	data := text(s.top)
	if there {
		o[k] = was
	} else {
		delete(o, k)
	}
	s.tried[kind]++
	var all []string
	for _, p := range s.parser.Parse([]byte(data), &s.resource) {
		all = append(all, p.Code+" "+p.Path)
		if p.Code == kind && strings.HasPrefix(p.Path, path) {
			s.found[kind]++
			return
		}
	}
	if s.failures++; s.failures < 30 {
		s.t.Errorf("%s: %s at %s.%s was not found, but %v", s.name, kind, path, k, all)
	}
}

var indexes = regexp.MustCompile(`\[\d+\]`)

// text is JSON with members in order and raw texts as they are.
func text(v any) string {
	switch v := v.(type) {
	case raw:
		return string(v)
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		var b strings.Builder
		b.WriteByte('{')
		for i, k := range keys {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(text(k) + ":" + text(v[k]))
		}
		return b.String() + "}"
	case []any:
		var b strings.Builder
		b.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(text(item))
		}
		return b.String() + "]"
	}
	out, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(out)
}
