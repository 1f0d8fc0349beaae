package agreement

import (
	"path"
	"strings"
)

// segment is one step of a leaf's path. A label tells entries by their codes
// and is shown; a key tells them by the rules and is folded away.
type segment struct{ name, label, key string }

// identity is the path with everything that tells entries apart: leaves of
// equal identity are compared.
func identity(p []segment) string {
	var b strings.Builder
	for _, s := range p {
		b.WriteString(s.name)
		b.WriteByte(0)
		b.WriteString(s.label)
		b.WriteByte(1)
		b.WriteString(s.key)
		b.WriteByte(2)
	}
	return b.String()
}

// bare is the path without labels.
func bare(p []segment) string {
	names := make([]string, len(p))
	for i, s := range p {
		names[i] = s.name
	}
	return strings.Join(names, ".")
}

// labels are the labels on the way, outermost first.
func labels(p []segment) string {
	var out strings.Builder
	for _, s := range p {
		if s.label != "" {
			out.WriteString("[" + s.label + "]")
		}
	}
	return out.String()
}

// parsePath splits a written path at its dots, but those in brackets.
func parsePath(text string) []segment {
	var out []segment
	for rest := text; rest != ""; {
		end, depth := 0, 0
		for end < len(rest) && (rest[end] != '.' || depth > 0) {
			switch rest[end] {
			case '[':
				depth++
			case ']':
				depth--
			}
			end++
		}
		name, label, _ := strings.Cut(rest[:end], "[")
		out = append(out, segment{name: name, label: strings.TrimSuffix(label, "]")})
		if end == len(rest) {
			break
		}
		rest = rest[end+1:]
	}
	return out
}

// matches says whether a leaf lies at, or under, what the pattern names. `*`
// stands for one step, `**` for any; a step without label fits every label.
func matches(pattern, p []segment) bool {
	if len(pattern) == 0 {
		return true
	}
	head := pattern[0]
	if head.name == "**" {
		if len(pattern) == 1 {
			return true
		}
		for i := range p {
			if matches(pattern[1:], p[i:]) {
				return true
			}
		}
		return false
	}
	if len(p) == 0 || head.name != "*" && !fits(head.name, p[0].name) || head.label != "" && !fits(head.label, p[0].label) {
		return false
	}
	return matches(pattern[1:], p[1:])
}

// fits compares with a star in the pattern; slashes are letters like others.
func fits(pattern, text string) bool {
	if !strings.Contains(pattern, "*") {
		return pattern == text
	}
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(text, "/", "\x00"))
	return err == nil && ok
}

// moved takes a leaf's path to another place: keys stay on the steps that both
// share.
func moved(p []segment, to []segment) []segment {
	out := append([]segment(nil), to...)
	for i := range out {
		if i >= len(p) || p[i].name != out[i].name {
			break
		}
		out[i].key = p[i].key
	}
	return out
}
