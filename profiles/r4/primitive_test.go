package r4

import (
	"regexp"
	"strings"
	"testing"
)

// expressions are those of the R4 definitions of primitives (2.24.0.1), with
// white space spelled out: Go's \s lacks the vertical tab.
var expressions = map[string]string{
	"base64Binary": `(\s*([0-9a-zA-Z\+/=]){4}\s*)+`,
	"boolean":      `true|false`,
	"canonical":    `[^\s\v]*`,
	"code":         `[^\s\v]+([\s\v][^\s\v]+)*`,
	"date":         `([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)(-(0[1-9]|1[0-2])(-(0[1-9]|[1-2][0-9]|3[0-1]))?)?`,
	"dateTime":     `([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)(-(0[1-9]|1[0-2])(-(0[1-9]|[1-2][0-9]|3[0-1])(T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00)))?)?)?`,
	"decimal":      `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`,
	"id":           `[A-Za-z0-9\-\.]{1,64}`,
	"instant":      `([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)-(0[1-9]|1[0-2])-(0[1-9]|[1-2][0-9]|3[0-1])T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00))`,
	"integer":      `-?([0]|([1-9][0-9]*))`,
	"markdown":     `([ \r\n\t]|[^\s\v])+`,
	"oid":          `urn:oid:[0-2](\.(0|[1-9][0-9]*))+`,
	"positiveInt":  `[1-9][0-9]*`,
	"string":       `([ \r\n\t]|[^\s\v])+`,
	"time":         `([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?`,
	"unsignedInt":  `[0]|([1-9][0-9]*)`,
	"uri":          `[^\s\v]*`,
	"url":          `[^\s\v]*`,
	"uuid":         `urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`,
}

// TestValidPrimitive_2_24 has for each primitive what is a value; what is none
// by its expression; and what only the text of the specification rules out.
func TestValidPrimitive_2_24(t *testing.T) {
	t.Parallel()
	oid64 := "urn:oid:2.16.840.1.113883.19.5"
	const uuid = "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"
	tables := []struct {
		types  string
		good   []string
		bad    []string // not matched by the expression either
		beyond []string // matched by the expression, still no value
	}{
		{"boolean", []string{"true", "false"}, []string{"True", "TRUE", "1", "t", "true ", "yes"}, nil},
		{"integer", []string{"0", "-0", "1", "-1", "2147483647", "-2147483648"},
			[]string{"+1", "01", "-01", "1.0", "1e3", "-", "a", " 1", "1 ", "0x1"},
			[]string{"2147483648", "-2147483649", "99999999999", "12345678901234567890123"}},
		{"unsignedInt", []string{"0", "1", "2147483647"}, []string{"-1", "-0", "+1", "01", "1.0", "00"}, []string{"2147483648"}},
		{"positiveInt", []string{"1", "2147483647"}, []string{"0", "-1", "+1", "01", "1.0"}, []string{"2147483648"}},
		{"decimal", []string{"0", "-0", "1", "-1.50", "0.00", "1e5", "1E-5", "1.2e+3", strings.Repeat("9", 40) + ".001"},
			[]string{"+1", "01", ".5", "1.", "1,5", "1e", "NaN", "Infinity", "1 ", "--1", "$1"}, nil},
		{"date", []string{"2023", "2023-01", "2023-12", "2023-01-31", "2024-02-29", "2000-02-29", "0001", "0100-01-01", "9999-12-31", "1000"},
			[]string{"0000", "203", "20233", "2023-", "2023-1", "2023-00", "2023-13", "2023-01-00", "2023-01-32", "2023-1-01", "2023-01-1", "2023-01-", "2023/01/01", "20230101", "2023-01-01T", "2023-01-01T00:00:00Z", " 2023", "2023-01-01 ", "abcd", "-2023"},
			[]string{"2023-02-29", "2023-02-30", "1900-02-29", "2023-04-31", "2023-11-31"}},
		{"dateTime", []string{"2023", "2023-01", "2023-01-31", "2023-01-31T00:00:00Z", "2023-01-31T23:59:60+14:00", "2023-01-31T12:30:15.123456789-05:30", "2024-02-29T23:59:59.0Z", "2023-01-31T00:00:00-13:59"},
			[]string{"2023-01T00:00:00Z", "2023-01-31T", "2023-01-31T00:00Z", "2023-01-31T00:00:00", "2023-01-31T24:00:00Z", "2023-01-31T23:60:00Z", "2023-01-31T23:59:61Z", "2023-01-31T23:59:59.Z", "2023-01-31T23:59:59z", "2023-01-31t23:59:59Z", "2023-01-31 23:59:59Z", "2023-01-31T23:59:59+14:01", "2023-01-31T23:59:59+15:00", "2023-01-31T23:59:59+0500", "2023-01-31T23:59:59+5:00", "2023-01-31T23:59:59+05:60", "2023-01-31T23:59:59Z ", "2023-13-31T23:59:59Z", "T23:59:59Z"},
			[]string{"2023-02-30T00:00:00Z", "2023-02-29"}},
		{"instant", []string{"2023-01-31T00:00:00Z", "2023-01-31T00:00:00.000+00:00", "2016-12-31T23:59:60Z"},
			[]string{"2023", "2023-01", "2023-01-31", "2023-01-31T00:00:00", "2023-01-31T00:00Z", "2023-01-31T24:00:00Z"},
			[]string{"2023-02-30T00:00:00Z"}},
		{"time", []string{"00:00:00", "23:59:59", "23:59:60", "12:30:15.5", "12:30:15.000000001"},
			[]string{"24:00:00", "23:60:00", "23:59:61", "12:30", "12:30:15.", "1:30:15", "12:30:15Z", "12:30:15+00:00", "12-30-15", "ab:cd:ef"}, nil},
		{"id", []string{"a", "A-1.b", strings.Repeat("x", 64), "-", "..."}, []string{strings.Repeat("x", 65), "a b", "a_b", "a/b", "ä", "a\n"}, nil},
		{"code", []string{"a", "a b", "a b c", "<", "ä"}, []string{" ", " a", "a ", "a  b", "a\t b", "\n"}, []string{"a\x00b", "a\xff", "\x01"}},
		{"string", []string{"a", " ", " a ", "a\tb\r\nc", "世界", "\u00a0", "\x7f", strings.Repeat("x", maxString), strings.Repeat("ä", maxString)},
			[]string{"a\vb", "\f"}, []string{"a\x00b", "\x1b", "\xff", "a\xe4\xb8", strings.Repeat("x", maxString+1)}},
		{"markdown", []string{"*a*", "# b\n\nc"}, []string{"\v"}, []string{"\x00", "\xff"}},
		{"uri", []string{"http://a.example/b?c#d", "urn:x", "a", "#frag", "tel:+1-555", "ä"}, []string{"a b", " a", "a\n", "\t"}, []string{"\x00", "\xff"}},
		{"url", []string{"http://a.example"}, []string{"a b"}, nil},
		{"canonical", []string{"http://a.example/b|1.0#x"}, []string{"a b"}, nil},
		{"oid", []string{"urn:oid:1.2", "urn:oid:0.0", oid64, "urn:oid:2.999.123456789012345678901234567890"},
			[]string{"1.2.3", "urn:oid:", "urn:oid:1", "urn:oid:3.1", "urn:oid:1.", "urn:oid:1.02", "urn:oid:1..2", "urn:oid:1.2.", "urn:oid:10.2", "urn:oid:1.a", "URN:OID:1.2", oid64 + " "}, nil},
		{"uuid", []string{uuid}, []string{strings.ToUpper(uuid), "c757873d-ec9a-4326-a141-556f43239520", uuid + "0", uuid[:len(uuid)-1], "urn:uuid:c757873d-ec9a-4326-a141-556f4323952g", "urn:uuid:c757873dxec9a-4326-a141-556f43239520", "urn:uuid:C757873d-ec9a-4326-a141-556f43239520"}, nil},
		{"base64Binary", []string{"QUJD", "QQ==", "QUI=", "QUJD\nQUJD", " QUJD ", "+/+/"},
			[]string{"QUJ", "QUJDQ", "QUJ!", "QU JD", "QU-_", " "}, []string{"====", "Q===", "=QUJ", "QQ==QUJD", "Q=JD"}},
	}
	seen := map[string]bool{}
	for _, table := range tables {
		name := table.types
		seen[name] = true
		typ := Lookup(name)
		const long = 1 << 16 // beyond that the expressions take seconds
		expression := regexp.MustCompile(`\A(?:` + expressions[name] + `)\z`)
		for _, s := range table.good {
			if !ValidPrimitive(typ, []byte(s)) {
				t.Errorf("%s: %.60q is no value", name, s)
			}
			if len(s) < long && !expression.MatchString(s) {
				t.Errorf("%s: %.60q does not match the expression", name, s)
			}
		}
		for _, s := range table.bad {
			if ValidPrimitive(typ, []byte(s)) {
				t.Errorf("%s: %.60q is a value", name, s)
			}
			if expression.MatchString(s) {
				t.Errorf("%s: %.60q matches the expression", name, s)
			}
		}
		for _, s := range table.beyond {
			if ValidPrimitive(typ, []byte(s)) {
				t.Errorf("%s: %.60q is a value", name, s)
			}
			if len(s) < long && !expression.MatchString(s) {
				t.Errorf("%s: %.60q does not match the expression", name, s)
			}
		}
		if ValidPrimitive(typ, nil) || ValidPrimitive(typ, []byte{}) {
			t.Errorf("%s: nothing is a value", name)
		}
		// Nothing is cut off or read past: each beginning of a value is judged
		// as the expression does, where it does not claim a day that is none.
		for _, s := range table.good {
			for i := range min(len(s), 60) {
				if got, want := ValidPrimitive(typ, []byte(s[:i])), expression.MatchString(s[:i]) && i > 0; got && !want {
					t.Errorf("%s: %q is a value", name, s[:i])
				}
			}
		}
	}
	for name := range expressions {
		if !seen[name] {
			t.Errorf("no table for %s", name)
		}
	}
	if ValidPrimitive(nil, []byte("a")) || ValidPrimitive(Lookup("Patient"), []byte("a")) {
		t.Error("what is no primitive has values")
	}
}

func TestValidXHTML_2_4(t *testing.T) {
	t.Parallel()
	div := func(s string) string { return `<div xmlns="http://www.w3.org/1999/xhtml">` + s + `</div>` }
	for _, good := range []string{
		div(""), div("text"), div("<p>a<br/>b <b>c</b></p>"), div("&amp; &nbsp; &#160; &#xA0;"),
		div(`<a href='x' title="y'z">a</a>`), div("<!-- a - b -->"), div("<p\n class = \"a\"\n></p >"),
		" \n" + div("a") + "\n", `<div/>`, div("a > b ä 世"), div(`<img src="#1" alt="a"/>`),
	} {
		if !ValidPrimitive(Lookup("xhtml"), []byte(good)) {
			t.Errorf("%s is refused", good)
		}
	}
	for _, bad := range []string{
		"", "text", "<p>a</p>", "<divide/>", "<div>", "</div>", "<div></p></div>", div("<p>a</b>"), div("<p>"), div("</p>"),
		div("a & b"), div("&;"), div("&#;"), div("&#x;"), div("&#12"), div("&#1a;"), div("a < b"), div("<p a></p>"), div("<p a=b></p>"), div(`<p a="b"c="d"></p>`),
		div(`<p a="<"></p>`), div(`<p a="b" a="c"></p>`), div(`<p a="b></p>`), div("<!-- a -- b -->"), div("<!-- a"), div("<![CDATA[a]]>"),
		div("<?php ?>"), `<?xml version="1.0"?>` + div("a"), `<!DOCTYPE div>` + div("a"), div("a") + div("b"), div("a") + "b", "a" + div("b"),
		div("\x00"), div("\xff"), div("< p></p>"), div("<1></1>"), "<div", "<", "<div a", `<div a="&`,
	} {
		if ValidPrimitive(Lookup("xhtml"), []byte(bad)) {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// FuzzValidPrimitive: no panic, and nothing passes that the expression of the
// type does not match.
func FuzzValidPrimitive(f *testing.F) {
	for _, s := range []string{"2023-01-31T23:59:59.5+05:00", "urn:oid:1.2", "-12.50e3", "<div>a&amp;<b c='d'/></div>", "QUJD QQ==", "a b"} {
		f.Add(s)
	}
	compiled := map[string]*regexp.Regexp{}
	for name, e := range expressions {
		compiled[name] = regexp.MustCompile(`\A(?:` + e + `)\z`)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for name, e := range compiled {
			if ValidPrimitive(Lookup(name), []byte(s)) && !e.MatchString(s) {
				t.Errorf("%q is a %s", s, name)
			}
		}
		ValidPrimitive(Lookup("xhtml"), []byte(s))
	})
}
