package workbook

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"remit/mapping/syntax"
	"remit/profiles"
)

// cardinality is min..max.
func cardinality(e *profiles.Element) string {
	top := "*"
	if e.Max != profiles.Unbounded {
		top = strconv.Itoa(e.Max)
	}
	return strconv.Itoa(e.Min) + ".." + top
}

// flags are S for must-support and ?! for a modifier.
func flags(e *profiles.Element) string {
	switch {
	case e.MustSupport && e.Modifier:
		return "S ?!"
	case e.MustSupport:
		return "S"
	case e.Modifier:
		return "?!"
	}
	return ""
}

// typeText is the types of an element, the targets of a Reference and the value
// set.
func typeText(e *profiles.Element) string {
	var b strings.Builder
	for i, t := range e.Types {
		if i > 0 {
			b.WriteString(" | ")
		}
		b.WriteString(t.Code)
		if t.Code != "Extension" && len(t.Targets) > 0 {
			b.WriteString("(")
			for j, target := range t.Targets {
				if j > 0 {
					b.WriteString(" | ")
				}
				b.WriteString(tail(target))
			}
			b.WriteString(")")
		}
	}
	if len(e.Types) > 6 {
		b.Reset()
		b.WriteString("any type (" + strconv.Itoa(len(e.Types)) + ")")
	}
	if e.Binding != nil && e.Binding.ValueSet != "" {
		b.WriteString("\n" + tail(e.Binding.ValueSet) + " (" + e.Binding.Strength + ")")
	}
	return b.String()
}

// tail is the last part of a canonical, without its version.
func tail(canonical string) string {
	canonical, _, _ = strings.Cut(canonical, "|")
	return canonical[strings.LastIndexByte(canonical, '/')+1:]
}

// fixedText is what a profile fixes an element to, or "": a code with its
// system, else the value.
func fixedText(e *profiles.Element) string {
	for _, l := range []*profiles.Literal{e.Fixed, e.Pattern} {
		if l == nil {
			continue
		}
		text := strings.TrimSpace(string(l.JSON))
		if unquoted, err := strconv.Unquote(text); err == nil {
			return unquoted
		}
		var concept struct {
			coding
			Coding []coding `json:"coding"`
		}
		if json.Unmarshal(l.JSON, &concept) != nil {
			return text
		}
		var codes []string
		for _, c := range append(concept.Coding, concept.coding) {
			if c.Code != "" {
				codes = append(codes, strings.TrimPrefix(tail(c.System)+"#", "#")+c.Code)
			}
		}
		if len(codes) > 0 {
			return strings.Join(codes, ", ")
		}
		return text
	}
	return ""
}

// fixedPart is what a profile fixes the value of e's child of a name to by fixing
// e, or "".
func fixedPart(e *profiles.Element, name string) string {
	for _, l := range []*profiles.Literal{e.Fixed, e.Pattern} {
		var parts map[string]any
		if l == nil || json.Unmarshal(l.JSON, &parts) != nil {
			continue
		}
		if text, ok := parts[name].(string); ok {
			return text
		}
	}
	return ""
}

// coding is the part of a Coding that a person looks for.
type coding struct {
	System string `json:"system"`
	Code   string `json:"code"`
}

// takesScalar says that one value alone can be written at an element: a
// primitive, a code that finds its system, a number that finds its unit
// (mapping language, rule 14).
func takesScalar(e *profiles.Element) bool {
	if isPrimitive(e) {
		return true
	}
	if e == nil || len(e.Types) != 1 {
		return false
	}
	switch e.Types[0].Code {
	case "CodeableConcept", "Coding", "Money", "Quantity", "SimpleQuantity", "Age", "Count", "Distance", "Duration":
		return true
	}
	return false
}

// parts are the elements of the types that are made of a few values, which an
// analyst fills in one by one: an Identifier's system and value.
var parts = map[string][]string{
	"Identifier": {"system", "value"}, "Period": {"start", "end"}, "HumanName": {"family", "given", "text"},
	"Address": {"line", "city", "state", "postalCode", "country"}, "ContactPoint": {"system", "value", "use"},
}

// composed says that an element is of such a type.
func composed(e *profiles.Element) bool {
	return e != nil && len(e.Types) == 1 && parts[e.Types[0].Code] != nil
}

// partOf says that child is one of these values of e.
func partOf(e, child *profiles.Element) bool {
	return composed(e) && slices.Contains(parts[e.Types[0].Code], child.Base)
}

// isPrimitive says that an element holds a single value.
func isPrimitive(e *profiles.Element) bool {
	if e == nil || len(e.Types) != 1 {
		return false
	}
	c := e.Types[0].Code
	return c != "" && (c[0] >= 'a' && c[0] <= 'z' || strings.HasPrefix(c, "http://hl7.org/fhirpath/"))
}

// isBackbone says that an element's children are stated in place.
func isBackbone(e *profiles.Element) bool {
	if len(e.Types) == 0 {
		return true // a reference to the content of another element
	}
	return len(e.Types) == 1 && (e.Types[0].Code == "BackboneElement" || e.Types[0].Code == "Element")
}

func hasType(e *profiles.Element, code string) bool {
	return e != nil && len(e.Types) == 1 && e.Types[0].Code == code
}

// upper writes the name of a choice's alternative: value, Quantity.
func upper(code string) string {
	if code == "" {
		return ""
	}
	return strings.ToUpper(code[:1]) + code[1:]
}

// expressions are the SQL scalars among values, in order.
func expressions(nodes []*syntax.Node) []*syntax.Text {
	var out []*syntax.Text
	for _, n := range nodes {
		switch {
		case n.Text != nil && n.Text.IsSQL():
			out = append(out, n.Text)
		case n.Map != nil:
			out = append(out, expressions(n.Of)...)
		}
	}
	return out
}

// keyText is a key as a person reads it: ["npi", npi].
func keyText(nodes []*syntax.Node) string {
	parts := make([]string, 0, len(nodes))
	for _, n := range nodes {
		switch {
		case n.Text != nil && n.Text.IsSQL():
			sql, _ := n.Text.SQL()
			parts = append(parts, sql)
		case n.Text != nil:
			parts = append(parts, strconv.Quote(n.Text.Literal()))
		case n.Map != nil:
			parts = append(parts, "map "+n.Map.Value+" of "+keyText(n.Of))
		}
	}
	return strings.Join(parts, ", ")
}

// plainColumn is the column name of SQL that is no more than that, qualified or
// not.
func plainColumn(sql string) (qualifier, column string, ok bool) {
	q, c, dotted := strings.Cut(sql, ".")
	if !dotted {
		q, c = "", sql
	}
	if !isName(c) || dotted && !isName(q) {
		return "", "", false
	}
	switch strings.ToLower(c) {
	case "null", "true", "false":
		if !dotted {
			return "", "", false
		}
	}
	return q, c, true
}

func isName(s string) bool {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		return !strings.Contains(s[1:len(s)-1], `"`)
	}
	for i, r := range s {
		switch {
		case r == '_', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r > 127:
		case r >= '0' && r <= '9' && i > 0:
		default:
			return false
		}
	}
	return s != ""
}
