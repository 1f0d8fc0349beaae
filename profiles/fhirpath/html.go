package fhirpath

import (
	"encoding/xml"
	"io"
	"strings"
)

// The XHTML that a narrative may hold: chapters 7 to 11 (but 4 of 9) and 15 of
// HTML 4.0, <a> elements, images and internally contained style attributes
// (FHIR R4, Narrative, 2.4.0.1; invariant txt-1).
const narrativeElements = " a abbr acronym b big blockquote br caption cite code col colgroup dd del dfn div dl dt em " +
	"h1 h2 h3 h4 h5 h6 hr i img ins li ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var " +
	"bdo kbd s strike u map area center font "

const narrativeAttributes = " abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char " +
	"charoff charset cite class colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name " +
	"nowrap rel rev rowspan rules scope shape span src start style summary tabindex title type valign value width vspace " +
	"xml:lang xml:space color face size datetime target clear noshade usemap "

// narrative says that text is one well-formed div of allowed elements and
// attributes, with something in it that can be seen.
func narrative(text string) bool {
	const maxNesting = 500
	d := xml.NewDecoder(strings.NewReader(text))
	d.Entity = xml.HTMLEntity
	depth, seen, roots := 0, false, 0
	for {
		t, err := d.Token()
		if err == io.EOF {
			return roots == 1 && depth == 0 && seen
		}
		if err != nil {
			return false
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
				if t.Name.Local != "div" || t.Name.Space != "" && t.Name.Space != "http://www.w3.org/1999/xhtml" {
					return false
				}
			}
			if depth++; depth > maxNesting || !listed(narrativeElements, t.Name.Local) {
				return false
			}
			if t.Name.Local == "img" {
				seen = true
			}
			for _, a := range t.Attr {
				name := a.Name.Local
				switch {
				case a.Name.Space == "xmlns" || name == "xmlns":
					continue
				case a.Name.Space != "":
					name = "xml:" + name
				}
				if !listed(narrativeAttributes, name) || scripted(name, a.Value) {
					return false
				}
			}
		case xml.EndElement:
			depth--
		case xml.CharData:
			content := strings.TrimSpace(string(t)) != ""
			if depth == 0 && content {
				return false
			}
			seen = seen || content
		case xml.Directive, xml.ProcInst:
			return false
		}
	}
}

func listed(list, name string) bool {
	return name != "" && !strings.ContainsRune(name, ' ') && strings.Contains(list, " "+name+" ")
}

// scripted says that an attribute would run something.
func scripted(name, value string) bool {
	return (name == "href" || name == "src") && strings.HasPrefix(strings.ToLower(strings.TrimSpace(value)), "javascript:")
}
