package syntax

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"remit/mapping/diag"
)

// lineWidth is how long a line may be before a {} or [] is laid out over
// several.
const lineWidth = 140

// errChanged says that a layout would not mean the same; it is a guard, for no
// file is known to meet it.
var errChanged = errors.New("the canonical layout would change the file's meaning or lose a comment")

// Format gives the canonical layout of a file of a mapping set: two blanks a
// level, the words of the language in the order of Describe, elements in the
// order of the author, one blank line where there were some. Texts stay as they
// are written and comments stay with what follows them. name decides whether it
// is sources.yaml or a mapping file. Formatting twice changes nothing more.
//
// The result is nil where the file is not readable; diags tells why. The error
// says that the file cannot be laid out without changing what it means.
func Format(name string, data []byte, diags *diag.List) ([]byte, error) {
	w, top := open(name, data, diags)
	if w == nil {
		return nil, nil
	}
	block := "mapping"
	if path.Base(name) == "sources.yaml" {
		block = "sources"
	}
	p := &printer{lines: w.doc.lines, head: map[*yaml.Node]span{}, end: map[*yaml.Node]place{}, verbatim: map[*yaml.Node]bool{}, last: -1}
	p.measure(top)
	p.mapping(top, 0, block, false)
	p.comments(span{p.last + 1, len(p.lines)}, 0, 0)
	out := []byte(p.b.String())
	if !sameMeaning(data, out) {
		return nil, fmt.Errorf("format %s: %w", name, errChanged)
	}
	return out, nil
}

// place is a line and a column, both from 0.
type place struct{ line, column int }

// span is a range of lines [from, to).
type span struct{ from, to int }

// printer lays a tree out again from the source's own texts.
type printer struct {
	lines    [][]rune
	head     map[*yaml.Node]span  // lines between what stands before and a key or item
	end      map[*yaml.Node]place // behind the last character
	verbatim map[*yaml.Node]bool  // flow collections that hold comments
	last     int                  // the last line that is measured
	b        strings.Builder
}

func start(n *yaml.Node) place { return place{n.Line - 1, n.Column - 1} }

func empty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Value == "" && n.Style == 0
}

// measure finds the ends of all nodes, and the lines before each, in the order
// of the source.
func (p *printer) measure(n *yaml.Node) {
	switch {
	case empty(n):
		return
	case n.Kind == yaml.ScalarNode:
		p.end[n] = p.scalarEnd(n)
		p.last = max(p.last, p.end[n].line)
	case n.Style&yaml.FlowStyle != 0:
		p.end[n] = p.flowEnd(n)
		p.last = max(p.last, p.end[n].line)
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			p.begin(n.Content[i])
			p.measure(n.Content[i])
			p.measure(n.Content[i+1])
		}
	default:
		for _, c := range n.Content {
			p.begin(c)
			p.measure(c)
		}
	}
}

// begin takes the lines before n as its head.
func (p *printer) begin(n *yaml.Node) {
	p.head[n] = span{p.last + 1, max(n.Line-1, p.last+1)}
	p.last = max(p.last, n.Line-2)
}

// scalarEnd is the place behind a scalar.
func (p *printer) scalarEnd(n *yaml.Node) place {
	at := start(n)
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		last, inner := at.line, -1
		for i := at.line + 1; i < len(p.lines); i++ {
			text := string(p.lines[i])
			if strings.TrimSpace(text) == "" {
				continue
			}
			indent := len(text) - len(strings.TrimLeft(text, " "))
			if inner < 0 {
				inner = indent
			}
			if indent < inner || inner == 0 {
				break
			}
			last = i
		}
		return place{last, len(p.lines[last])}
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		quote := p.lines[at.line][at.column]
		at.column++
		for at.line < len(p.lines) {
			line := p.lines[at.line]
			for ; at.column < len(line); at.column++ {
				switch {
				case quote == '"' && line[at.column] == '\\':
					at.column++
				case line[at.column] != quote:
				case quote == '\'' && at.column+1 < len(line) && line[at.column+1] == quote:
					at.column++
				default:
					at.column++
					return at
				}
			}
			at = place{at.line + 1, 0}
		}
		return place{len(p.lines) - 1, 0}
	}
	for _, r := range n.Value {
		if r == ' ' || r == '\n' || r == '\t' {
			continue
		}
		at, _ = p.skipBlanks(at)
		at.column++
	}
	return at
}

// skipBlanks moves over blanks, line ends and comments; it tells whether there
// was a comment.
func (p *printer) skipBlanks(at place) (place, bool) {
	comment := false
	for at.line < len(p.lines) {
		line := p.lines[at.line]
		for at.column < len(line) && (line[at.column] == ' ' || line[at.column] == '\t') {
			at.column++
		}
		if at.column < len(line) {
			if line[at.column] != '#' || at.column > 0 && line[at.column-1] != ' ' && line[at.column-1] != '\t' {
				return at, comment
			}
			comment = true
		}
		at = place{at.line + 1, 0}
	}
	return place{len(p.lines) - 1, 0}, comment
}

// flowEnd is the place behind the bracket that closes a flow collection.
func (p *printer) flowEnd(n *yaml.Node) place {
	at := start(n)
	at.column++
	for _, c := range n.Content {
		if empty(c) {
			continue
		}
		p.measure(c)
		if p.verbatim[c] {
			p.verbatim[n] = true
		}
		if p.comment(at, start(c)) {
			p.verbatim[n] = true
		}
		at = p.end[c]
	}
	closing := ']'
	if n.Kind == yaml.MappingNode {
		closing = '}'
	}
	for {
		next, comment := p.skipBlanks(at)
		if comment {
			p.verbatim[n] = true
		}
		at = place{next.line, next.column + 1}
		if next.column >= len(p.lines[next.line]) || p.lines[next.line][next.column] == closing {
			return at
		}
	}
}

// comment says that a comment stands between two places.
func (p *printer) comment(from, to place) bool {
	for from.line < to.line || from.line == to.line && from.column < to.column {
		next, comment := p.skipBlanks(from)
		if comment {
			return true
		}
		from = place{next.line, next.column + 1}
	}
	return false
}

// comments prints head lines: comments at the given indent, deeper where they
// stood deeper than the column they head, and one blank line where there were
// some.
func (p *printer) comments(s span, indent, column int) {
	blank := false
	for i := s.from; i < s.to; i++ {
		text := strings.TrimSpace(string(p.lines[i]))
		if text == "" {
			blank = p.b.Len() > 0
			continue
		}
		if blank {
			p.b.WriteByte('\n')
			blank = false
		}
		deep := len(p.lines[i]) - len(strings.TrimLeft(string(p.lines[i]), " "))
		p.indent(indent)
		if deep > column {
			p.indent(2)
		}
		p.b.WriteString(text + "\n")
	}
	if blank && s.to < len(p.lines) {
		p.b.WriteByte('\n')
	}
}

func (p *printer) indent(n int) { p.b.WriteString(strings.Repeat(" ", n)) }

// tail is the comment behind a place on its line, with two blanks before it.
func (p *printer) tail(at place) string {
	if at.line >= len(p.lines) {
		return ""
	}
	line := p.lines[at.line]
	rest := strings.TrimSpace(string(line[min(at.column, len(line)):]))
	rest = strings.TrimSpace(strings.TrimPrefix(rest, ":"))
	if !strings.HasPrefix(rest, "#") {
		return ""
	}
	return "  " + rest
}

// mapping prints a block map. inline says that the first line stands behind a
// dash.
func (p *printer) mapping(n *yaml.Node, indent int, block string, inline bool) {
	for _, i := range canonical(n, block) {
		k, v := n.Content[i], n.Content[i+1]
		if inline {
			inline = false
		} else {
			p.comments(p.head[k], indent, k.Column-1)
			p.indent(indent)
		}
		p.b.WriteString(p.raw(k, indent) + ":")
		p.value(k, v, indent, below(block, k.Value))
	}
}

// value prints what stands behind a key.
func (p *printer) value(k, v *yaml.Node, indent int, block string) {
	switch {
	case empty(v):
		p.b.WriteString(p.tail(p.end[k]) + "\n")
	case v.Kind == yaml.ScalarNode && v.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		p.block(v, indent+2)
	case v.Kind == yaml.ScalarNode:
		p.b.WriteString(" " + p.raw(v, indent+2) + p.tail(p.end[v]) + "\n")
	case p.verbatim[v]:
		p.b.WriteString(" " + p.source(start(v), p.end[v], indent+2) + p.tail(p.end[v]) + "\n")
	case v.Style&yaml.FlowStyle != 0:
		used := p.b.Len() - strings.LastIndexByte(p.b.String(), '\n')
		if flow := p.flow(v, block); len(v.Content) == 0 || !strings.Contains(flow, "\n") && used+len([]rune(flow)) <= lineWidth {
			p.b.WriteString(" " + flow + p.tail(p.end[v]) + "\n")
			return
		}
		p.b.WriteString(p.tail(p.end[v]) + "\n")
		p.collection(v, indent+2, block)
	default:
		p.b.WriteString(p.tail(p.end[k]) + "\n")
		p.collection(v, indent+2, block)
	}
}

func (p *printer) collection(n *yaml.Node, indent int, block string) {
	if n.Kind == yaml.MappingNode {
		p.mapping(n, indent, block, false)
		return
	}
	for _, c := range n.Content {
		p.comments(p.head[c], indent, c.Column-3)
		if c.Kind == yaml.MappingNode && c.Style&yaml.FlowStyle == 0 {
			// Comments of what comes first by canonical order stand above the dash.
			if order := canonical(c, block); order[0] != 0 {
				k := c.Content[order[0]]
				p.comments(p.head[k], indent, k.Column-1)
			}
			p.indent(indent)
			p.b.WriteString("- ")
			p.mapping(c, indent+2, block, true)
			continue
		}
		p.indent(indent)
		p.b.WriteString("-")
		if c.Kind == yaml.SequenceNode && c.Style&yaml.FlowStyle == 0 {
			p.b.WriteByte('\n')
			p.collection(c, indent+2, block)
			continue
		}
		p.item(c, indent, block)
	}
}

// item prints a scalar or flow collection behind a dash.
func (p *printer) item(c *yaml.Node, indent int, block string) {
	if c.Kind == yaml.MappingNode && c.Style&yaml.FlowStyle != 0 && len(c.Content) > 0 && !p.verbatim[c] {
		if flow := p.flow(c, block); strings.Contains(flow, "\n") || indent+2+len([]rune(flow)) > lineWidth {
			if tail := p.tail(p.end[c]); tail != "" {
				p.b.WriteString(tail + "\n")
				p.indent(indent + 2)
				p.mapping(c, indent+2, block, true)
				return
			}
			p.b.WriteByte(' ')
			p.mapping(c, indent+2, block, true)
			return
		}
	}
	p.value(nil, c, indent, block)
}

// flow prints a collection on one line.
func (p *printer) flow(n *yaml.Node, block string) string {
	switch {
	case empty(n):
		return ""
	case n.Kind == yaml.ScalarNode:
		return p.raw(n, 0)
	case p.verbatim[n]:
		return p.source(start(n), p.end[n], 0)
	}
	var parts []string
	if n.Kind == yaml.SequenceNode {
		for _, c := range n.Content {
			parts = append(parts, p.flow(c, block))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	for _, i := range canonical(n, block) {
		k, v := n.Content[i], n.Content[i+1]
		parts = append(parts, strings.TrimRight(p.raw(k, 0)+": "+p.flow(v, below(block, k.Value)), " "))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// raw is a scalar as it is written; lines that follow get the indent.
func (p *printer) raw(n *yaml.Node, indent int) string {
	return p.source(start(n), p.end[n], indent)
}

// source is the text between two places; lines that follow get the indent.
func (p *printer) source(from, to place, indent int) string {
	if from.line == to.line {
		return string(p.lines[from.line][from.column:to.column])
	}
	var b strings.Builder
	b.WriteString(strings.TrimRight(string(p.lines[from.line][from.column:]), " \t"))
	for i := from.line + 1; i <= to.line; i++ {
		line := p.lines[i]
		if i == to.line {
			line = line[:to.column]
		}
		b.WriteByte('\n')
		if text := strings.TrimSpace(string(line)); text != "" {
			b.WriteString(strings.Repeat(" ", indent) + text)
		}
	}
	return b.String()
}

// block prints a literal or folded block, whose lines keep their relative
// indent.
func (p *printer) block(n *yaml.Node, indent int) {
	from, to := start(n), p.end[n]
	p.b.WriteString(" " + strings.TrimRight(string(p.lines[from.line][from.column:]), " \t") + "\n")
	inner := -1
	for i := from.line + 1; i <= to.line; i++ {
		text := strings.TrimRight(string(p.lines[i]), " \t")
		if text == "" {
			p.b.WriteByte('\n')
			continue
		}
		if inner < 0 {
			inner = len(text) - len(strings.TrimLeft(text, " "))
		}
		p.indent(indent)
		p.b.WriteString(text[min(inner, len(text)):] + "\n")
	}
}

// canonical orders the keys of a map; it gives the indexes of keys in
// n.Content. Keys that are not of the language keep their order.
func canonical(n *yaml.Node, block string) []int {
	b, _ := BlockNamed(block)
	file := false
	for i := 0; i < len(n.Content); i += 2 {
		switch n.Content[i].Value {
		case "csv", "xlsx", "conceptmap":
			file = true
		}
	}
	rank := func(name string) int {
		late := slices.Index(b.Late, name)
		if late >= 0 {
			return len(b.Keys) + 1 + late
		}
		if block == "map" && !file {
			return len(b.Keys) // a code that is named like a key
		}
		at := slices.IndexFunc(b.Keys, func(k Key) bool { return k.Name == name })
		if at < 0 {
			return len(b.Keys)
		}
		return at
	}
	var out []int
	for i := 0; i+1 < len(n.Content); i += 2 {
		out = append(out, i)
	}
	slices.SortStableFunc(out, func(i, j int) int { return rank(n.Content[i].Value) - rank(n.Content[j].Value) })
	return out
}

// below is the block of what stands behind a key.
func below(block, key string) string {
	if inner, ok := strings.CutPrefix(block, "named "); ok {
		return inner
	}
	b, ok := BlockNamed(block)
	if !ok {
		return ""
	}
	for _, k := range b.Keys {
		if k.Name != key {
			continue
		}
		switch k.Form {
		case OneBlock:
			return k.Block
		case Named:
			return "named " + k.Block
		case AValue, Values:
			return "value"
		}
		return ""
	}
	if block == "value" {
		return "value"
	}
	return ""
}

// sameMeaning says that two files hold the same tree, but for the order of
// words, and the same comments.
func sameMeaning(a, b []byte) bool {
	var x, y yaml.Node
	if yaml.Unmarshal(a, &x) != nil || yaml.Unmarshal(b, &y) != nil || len(x.Content) != len(y.Content) {
		return false
	}
	var commentsOf func(n *yaml.Node) []string
	commentsOf = func(n *yaml.Node) []string {
		var out []string
		for _, c := range []string{n.HeadComment, n.LineComment, n.FootComment} {
			for _, line := range strings.Split(c, "\n") {
				if line = strings.TrimSpace(line); line != "" {
					out = append(out, line)
				}
			}
		}
		for _, c := range n.Content {
			out = append(out, commentsOf(c)...)
		}
		return out
	}
	cx, cy := commentsOf(&x), commentsOf(&y)
	slices.Sort(cx)
	slices.Sort(cy)
	if !slices.Equal(cx, cy) {
		return false
	}
	for i := range x.Content {
		if !sameTree(x.Content[i], y.Content[i]) {
			return false
		}
	}
	return true
}

func sameTree(a, b *yaml.Node) bool {
	const quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	if a.Kind != b.Kind || a.Value != b.Value || a.Style&quoted != b.Style&quoted || len(a.Content) != len(b.Content) {
		return false
	}
	if a.Kind != yaml.MappingNode {
		for i := range a.Content {
			if !sameTree(a.Content[i], b.Content[i]) {
				return false
			}
		}
		return true
	}
	// Words may move; what is no word keeps its order.
	var orderA, orderB []string
	at := map[string]int{}
	for i := 0; i+1 < len(b.Content); i += 2 {
		at[b.Content[i].Value] = i
		if name := b.Content[i].Value; !isWord(name) {
			orderB = append(orderB, name)
		}
	}
	for i := 0; i+1 < len(a.Content); i += 2 {
		name := a.Content[i].Value
		if !isWord(name) {
			orderA = append(orderA, name)
		}
		j, ok := at[name]
		if !ok || !sameTree(a.Content[i], b.Content[j]) || !sameTree(a.Content[i+1], b.Content[j+1]) {
			return false
		}
	}
	return slices.Equal(orderA, orderB)
}

// isWord says that some block of the language has a key of this name.
func isWord(name string) bool {
	for _, b := range Describe() {
		if slices.ContainsFunc(b.Keys, func(k Key) bool { return k.Name == name }) {
			return true
		}
	}
	return false
}
