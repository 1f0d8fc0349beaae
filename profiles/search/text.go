package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// fold brings a text to the form in which strings compare: without case and
// combining characters (R4, 3.1.1.4.8).
func fold(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFD.String(s))
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// beginsFolded says that s, folded, begins with the folded text.
func beginsFolded(s, folded string) bool {
	if !isASCII(s) {
		return strings.HasPrefix(fold(s), folded)
	}
	if len(s) < len(folded) {
		return false
	}
	for i := 0; i < len(folded); i++ {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != folded[i] {
			return false
		}
	}
	return true
}

// holdsFolded says that s, folded, contains the folded text.
func holdsFolded(s, folded string) bool {
	if !isASCII(s) {
		return strings.Contains(fold(s), folded)
	}
	for i := 0; i+len(folded) <= len(s); i++ {
		if beginsFolded(s[i:], folded) {
			return true
		}
	}
	return false
}
