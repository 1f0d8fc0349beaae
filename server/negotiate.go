package server

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// preferences are what a Prefer header asks for (RFC 7240; BE-052).
type preferences struct {
	async, lenient, strict, separate bool
}

// parsePrefer reads every Prefer line as one list, whether separated by commas
// or semicolons, in any case. Of two handlings the first counts (RFC 7240, 2).
func parsePrefer(h http.Header) preferences {
	var p preferences
	split := func(c rune) bool { return c == ',' || c == ';' }
	for _, line := range h.Values("Prefer") {
		for word := range strings.FieldsFuncSeq(line, split) {
			name, value, _ := strings.Cut(word, "=")
			name = strings.ToLower(strings.TrimSpace(name))
			value = strings.ToLower(strings.Trim(strings.TrimSpace(value), `"`))
			switch {
			case name == "respond-async":
				p.async = true
			case name == "separate-export-status":
				p.separate = true
			case name == "handling" && !p.lenient && !p.strict:
				p.lenient, p.strict = value == "lenient", value == "strict"
			}
		}
	}
	return p
}

// applied writes the preferences as Preference-Applied (BE-055, BE-056); "" if
// there are none.
func (p preferences) applied() string {
	var words []string
	if p.async {
		words = append(words, "respond-async")
	}
	if p.separate {
		words = append(words, "separate-export-status")
	}
	switch {
	case p.lenient:
		words = append(words, "handling=lenient")
	case p.strict:
		words = append(words, "handling=strict")
	}
	return strings.Join(words, ", ")
}

// weighted is one member of an Accept or Accept-Encoding header.
type weighted struct {
	value string
	q     float64
}

func parseWeighted(lines []string) []weighted {
	var out []weighted
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			value, params, _ := strings.Cut(member, ";")
			w := weighted{value: strings.ToLower(strings.TrimSpace(value)), q: 1}
			if w.value == "" {
				continue
			}
			for param := range strings.SplitSeq(params, ";") {
				name, v, _ := strings.Cut(param, "=")
				if strings.EqualFold(strings.TrimSpace(name), "q") {
					if q, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil && q >= 0 && q <= 1 {
						w.q = q
					}
				}
			}
			out = append(out, w)
		}
	}
	return out
}

// acceptsFHIR says whether the Accept header leaves room for FHIR JSON
// (BE-050). A missing header leaves all room.
func acceptsFHIR(h http.Header) bool {
	members := parseWeighted(h.Values("Accept"))
	return len(members) == 0 || slices.ContainsFunc(members, func(m weighted) bool {
		return m.q > 0 && slices.Contains([]string{"*/*", "application/*", fhirJSON, plain, "application/json+fhir", "text/json"}, m.value)
	})
}

// Content codings that a file may be served in.
const (
	identity = "identity"
	gzipped  = "gzip"
)

// chooseEncoding chooses between identity and gzip (RFC 9110, 12.5.3; BE-203).
// ok is false where the client wants neither.
func chooseEncoding(h http.Header, haveGzip bool) (coding string, ok bool) {
	lines := h.Values("Accept-Encoding")
	if len(lines) == 0 {
		return identity, true
	}
	quality := func(coding string, otherwise float64) float64 {
		star := -1.0
		for _, m := range parseWeighted(lines) {
			switch {
			case m.value == coding || coding == gzipped && m.value == "x-gzip":
				return m.q
			case m.value == "*":
				star = m.q
			}
		}
		if star >= 0 {
			return star
		}
		return otherwise
	}
	gz := 0.0
	if haveGzip {
		gz = quality(gzipped, 0)
	}
	// Identity that is not named is acceptable, but less than what is named.
	id := quality(identity, 0.001)
	switch {
	case gz > 0 && gz >= id:
		return gzipped, true
	case id > 0:
		return identity, true
	}
	return "", false
}

// acceptedBody says whether a POST body of this Content-Type is read (BE-035).
func acceptedBody(h http.Header) bool {
	value := h.Get("Content-Type")
	if value == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(value)
	return err == nil && slices.Contains([]string{fhirJSON, plain, "application/json+fhir"}, media)
}
