package syntax

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"remit/mapping/diag"
)

// Limits of a file.
const (
	MaxBytes = 10 << 20
	MaxDepth = 40
)

// walker turns YAML nodes into the trees of this package.
type walker struct {
	doc   *document
	diags *diag.List
}

// open parses data and returns the root mapping, or nil where that is told in
// the list.
func open(name string, data []byte, diags *diag.List) (*walker, *yaml.Node) {
	start := diag.Pos{File: name, Line: 1, Column: 1}
	if len(data) > MaxBytes {
		diags.Errorf(diag.Pos{File: name}, "too-large", "the file has %d bytes; at most %d are read", len(data), MaxBytes)
		return nil, nil
	}
	w := &walker{doc: newDocument(name, data), diags: diags}
	if pos, ok := w.strangeBreak(); ok {
		diags.Errorf(pos, "yaml-line-break", "a line ends here for YAML but for few editors; use plain line ends")
		return nil, nil
	}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		w.yamlError(err)
		return nil, nil
	}
	if root.Kind != yaml.DocumentNode || len(root.Content) == 0 {
		diags.Errorf(start, "empty-file", "the file is empty")
		return nil, nil
	}
	top := root.Content[0]
	if top.Kind != yaml.MappingNode {
		diags.Errorf(w.pos(top), "wrong-kind", "expected a map of keys, found %s", kindName(top))
		return nil, nil
	}
	if !w.clean(top, 0) {
		return nil, nil
	}
	return w, top
}

// strangeBreak finds a line break that is none of LF and CR LF: lines would
// count differently here and in an editor.
func (w *walker) strangeBreak() (diag.Pos, bool) {
	for i, line := range w.doc.lines {
		for j, r := range line {
			if r == '\r' || r == '\u0085' || r == '\u2028' || r == '\u2029' {
				return diag.Pos{File: w.doc.name, Line: i + 1, Column: j + 1}, true
			}
		}
	}
	return diag.Pos{}, false
}

var (
	yamlLine  = regexp.MustCompile(`line (\d+): `)
	flowPath  = regexp.MustCompile(`[{,]\s*([A-Za-z][A-Za-z0-9.]*\[[^\]]*\])`)
	flowSQL   = regexp.MustCompile(`[{\[,]\s*(?:[A-Za-z.]+:\s*)?(=[^"',}\]]*)`)
	plainText = regexp.MustCompile(`:\s+=.*:\s`)
)

// yamlError reports what the YAML parser could not read, in our own words
// where it is one of the traps.
func (w *walker) yamlError(err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n  ")
	line := 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		line = min(max(line, 1), len(w.doc.lines))
		text = strings.Replace(text, m[0], "", 1)
	}
	text, _, _ = strings.Cut(text, "\n")
	if w.brackets() || w.tabs() {
		return
	}
	for _, n := range []int{line, line - 1, line + 1} {
		s := w.doc.line(n)
		if m := flowPath.FindStringSubmatchIndex(s); m != nil {
			w.diags.Errorf(diag.Pos{File: w.doc.name, Line: n, Column: len([]rune(s[:m[2]])) + 1}, "yaml-flow",
				"a path with [slice] inside {} must be quoted: \"%s\"", s[m[2]:m[3]])
			return
		}
	}
	for _, n := range []int{line, line - 1} {
		s := w.doc.line(n)
		if m := flowSQL.FindStringSubmatchIndex(s); m != nil {
			w.diags.Errorf(diag.Pos{File: w.doc.name, Line: n, Column: len([]rune(s[:m[2]])) + 1}, "yaml-flow",
				"not readable as YAML: SQL inside {} or [] that holds a comma, bracket, brace or colon must be quoted")
			return
		}
	}
	at := diag.Pos{File: w.doc.name, Line: line}
	if s := w.doc.line(line); s != "" {
		at.Column = len(s) - len(strings.TrimLeft(s, " ")) + 1
	}
	d := w.diags.Errorf(at, "yaml-syntax", "not readable as YAML: %s", text)
	if plainText.MatchString(w.doc.line(line)) {
		_ = d.WithHint("SQL that holds a colon must be quoted")
	}
}

// tabs reports the first tab that indents a line.
func (w *walker) tabs() bool {
	for i, line := range w.doc.lines {
		for j, r := range line {
			if r == '\t' {
				w.diags.Errorf(diag.Pos{File: w.doc.name, Line: i + 1, Column: j + 1}, "yaml-syntax", "a tab indents the line; YAML takes spaces")
				return true
			}
			if r != ' ' {
				break
			}
		}
	}
	return false
}

func (w *walker) pos(n *yaml.Node) diag.Pos {
	return diag.Pos{File: w.doc.name, Line: n.Line, Column: n.Column}
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	return "a single value"
}

// clean refuses what rule 2 refuses, in the whole tree; false stops the file.
func (w *walker) clean(n *yaml.Node, depth int) bool {
	if depth > MaxDepth {
		w.diags.Errorf(w.pos(n), "too-deep", "more than %d levels", MaxDepth)
		return false
	}
	ok := true
	bad := func(code, format string, args ...any) {
		w.diags.Errorf(w.pos(n), code, format, args...)
		ok = false
	}
	switch {
	case n.Kind == yaml.AliasNode:
		bad("yaml-alias", "aliases are not part of the language; write the value out")
		return false
	case n.Anchor != "":
		bad("yaml-anchor", "anchors are not part of the language")
	case n.Style&yaml.TaggedStyle != 0:
		bad("yaml-tag", "tags are not part of the language")
	}
	if n.Kind == yaml.MappingNode {
		seen := make(map[string]*yaml.Node, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			switch {
			case k.Kind != yaml.ScalarNode:
				if n.Style&yaml.FlowStyle != 0 {
					w.diags.Errorf(w.pos(k), "yaml-flow", "a path with [slice] inside {} must be quoted")
				} else {
					w.diags.Errorf(w.pos(k), "wrong-kind", "a key must be a single value, found %s", kindName(k))
				}
				ok = false
				continue
			case k.Tag == "!!merge" || k.Value == "<<":
				w.diags.Errorf(w.pos(k), "yaml-merge", "merge keys are not part of the language")
				ok = false
				continue
			}
			if first := seen[k.Value]; first != nil {
				w.diags.Errorf(w.pos(k), "duplicate-key", "key %q is written twice", k.Value).WithRelated(w.pos(first), "first written at")
				ok = false
			}
			seen[k.Value] = k
		}
	}
	// One expression torn by a comma yields nonsense in all that follows it in
	// its collection, so that the trap alone is told.
	if at := w.torn(n); at != nil {
		w.diags.Errorf(w.pos(at), "yaml-flow", "SQL with a comma inside {} or [] must be quoted: \"%s, ...\"", at.Value)
		return false
	}
	for _, c := range n.Content {
		if !w.clean(c, depth+1) {
			ok = false
		}
	}
	if n.Kind == yaml.ScalarNode && n.Style == 0 && strings.HasPrefix(n.Value, "=") {
		if w.commented(n) {
			bad("yaml-comment", "what follows \" #\" is a comment to YAML; quote the SQL, or set the comment on a line of its own")
		}
	}
	return ok
}

// torn finds an unquoted = inside a flow collection whose parentheses or
// quotes do not close before the comma.
func (w *walker) torn(n *yaml.Node) *yaml.Node {
	if n.Style&yaml.FlowStyle == 0 {
		return nil
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			continue
		}
		if c.Kind == yaml.ScalarNode && c.Style == 0 && strings.HasPrefix(c.Value, "=") && i+1 < len(n.Content) && unclosed(c.Value) {
			return c
		}
	}
	return nil
}

// unclosed says that a parenthesis or quote stays open.
func unclosed(s string) bool {
	depth, quote := 0, rune(0)
	for _, r := range s {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case r == '(':
			depth++
		case r == ')':
			depth--
		}
	}
	return depth > 0 || quote != 0
}

// commented says that a comment follows a plain scalar on its last line.
func (w *walker) commented(n *yaml.Node) bool {
	t := w.text(n)
	end := t.At(len(t.Value))
	if end.Line > len(w.doc.lines) {
		return false
	}
	line := w.doc.lines[end.Line-1]
	rest := strings.TrimLeft(string(line[min(end.Column-1, len(line)):]), " \t")
	return strings.HasPrefix(rest, "#")
}

func (w *walker) text(n *yaml.Node) *Text {
	t := &Text{Pos: w.pos(n), Value: n.Value, doc: w.doc}
	switch {
	case n.Style&yaml.SingleQuotedStyle != 0:
		t.style = singleQuoted
	case n.Style&yaml.DoubleQuotedStyle != 0:
		t.style = doubleQuoted
	case n.Style&yaml.LiteralStyle != 0:
		t.style = literalBlock
	case n.Style&yaml.FoldedStyle != 0:
		t.style = foldedBlock
	}
	return t
}

// scalar reads a single value, or reports and returns nil.
func (w *walker) scalar(n *yaml.Node, what string) *Text {
	if n.Kind != yaml.ScalarNode {
		w.diags.Errorf(w.pos(n), "wrong-kind", "expected %s, found %s", what, kindName(n))
		return nil
	}
	if n.Value == "" && n.Style == 0 {
		w.emptyValue(n, what)
		return nil
	}
	return w.text(n)
}

func (w *walker) emptyValue(n *yaml.Node, what string) {
	w.diags.Errorf(w.pos(n), "empty-value", "expected %s, found nothing", what)
}

// scalars reads a single value or a list of them.
func (w *walker) scalars(n *yaml.Node, what string) []*Text {
	if n.Kind != yaml.SequenceNode {
		if t := w.scalar(n, what); t != nil {
			return []*Text{t}
		}
		return nil
	}
	var out []*Text
	for _, c := range n.Content {
		if t := w.scalar(c, what); t != nil {
			out = append(out, t)
		}
	}
	if len(n.Content) == 0 {
		w.emptyValue(n, what)
	}
	return out
}

// pairs walks a map; it reports another kind of node and does nothing then.
func (w *walker) pairs(n *yaml.Node, what string, each func(k, v *yaml.Node)) bool {
	if n.Kind != yaml.MappingNode {
		if n.Kind == yaml.ScalarNode && n.Value == "" {
			w.emptyValue(n, what)
		} else {
			w.diags.Errorf(w.pos(n), "wrong-kind", "expected %s, found %s", what, kindName(n))
		}
		return false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		each(n.Content[i], n.Content[i+1])
	}
	return true
}

// unknown reports a key that does not belong here.
func (w *walker) unknown(k *yaml.Node, where string, expected []string) {
	d := w.diags.Errorf(w.pos(k), "unknown-key", "key %q is not known in %s", k.Value, where)
	if n := diag.Nearest(k.Value, expected); n != "" {
		_ = d.WithHint("did you mean %q?", n)
		return
	}
	sorted := slices.Clone(expected)
	slices.Sort(sorted)
	_ = d.WithHint("expected one of %s", strings.Join(sorted, ", "))
}

// path parses a key of set.
func (w *walker) path(t *Text) Path {
	var out Path
	s, i := t.Value, 0
	bad := func(at int, format string, args ...any) Path {
		w.diags.Errorf(t.At(at), "bad-path", "%s", fmt.Sprintf(format, args...))
		return nil
	}
	for {
		start := i
		for i < len(s) && (s[i] >= 'a' && s[i] <= 'z' || s[i] >= 'A' && s[i] <= 'Z' || s[i] >= '0' && s[i] <= '9' || s[i] == '_') {
			i++
		}
		if i == start {
			if i >= len(s) {
				return bad(i, "path %q ends where an element name is expected", s)
			}
			return bad(i, "path %q has %q where an element name is expected", s, s[i:i+1])
		}
		step := Step{Pos: t.At(start), Name: s[start:i]}
		if i < len(s) && s[i] == '[' {
			end := strings.IndexByte(s[i:], ']')
			if end < 2 {
				return bad(i, "path %q has a [ without a slice name and ]", s)
			}
			step.Slice = s[i+1 : i+end]
			i += end + 1
		}
		out = append(out, step)
		if i == len(s) {
			return out
		}
		if s[i] != '.' {
			return bad(i, "path %q has %q where . or the end is expected", s, s[i:i+1])
		}
		i++
	}
}
