package workbook

import (
	"fmt"
	"strings"

	"remit/mapping/diag"
	"remit/mapping/syntax"
	"remit/profiles"
)

// Words are the words beside an element that say how often and whether it is
// written, as an analyst may fill them in: the source of each, and the SQL of
// when without its equals sign.
type Words struct{ Each, When string }

// tidy cleans both cells; SQL may begin with the sign it has in the YAML.
func (w Words) tidy() Words {
	return Words{tidy(clip(w.Each)), tidy(strings.TrimPrefix(tidy(clip(w.When)), "="))}
}

// mark is the digest of the two cells, blank where both are: a workbook from
// before they had columns keeps the marks it has.
func (w Words) mark() string {
	if w = w.tidy(); w == (Words{}) {
		return ""
	}
	return "-" + mark(w.Each, w.When)
}

// mark is what the hidden column of a row holds: the digest of its value, and
// that of its words.
func (r *Row) mark() string { return r.Cells.mark() + r.Words.mark() }

// marks takes the two digests of a hidden column apart.
func marks(s string) (cells, words string) {
	if i := strings.IndexByte(s, '-'); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// wordsOf is what a node says about its repetitions.
func wordsOf(n *syntax.Node) Words {
	var w Words
	if n.Each != nil {
		w.Each = n.Each.Value
	}
	if n.When != nil {
		w.When, _ = n.When.SQL()
	}
	return w.tidy()
}

// onlyWords says that a node holds words and neither a value nor elements, so
// that what it repeats is still to be written.
func onlyWords(n *syntax.Node) bool {
	return n.IsMap() && len(n.Entries) == 0 && (n.Each != nil || n.When != nil) && n.Absent == nil && n.Assumed == nil && n.First == nil &&
		n.Ref == nil && n.Map == nil && n.Seq == nil && n.Codes == nil
}

// wordable says that a row takes each and when.
func (r *Row) wordable() bool {
	return r.Path != "" && (r.words != nil || r.holder != nil) && r.Status != ByProfile && r.Status != ByRemit
}

// takeWords takes each and when over from all sheets, before any value: what
// is filled in below an added repetition then has its place. It returns the
// files that changed.
func (im *importer) takeWords(defs *profiles.Set) (map[string][]byte, error) {
	for _, s := range im.sheets {
		if s.crosswalk == nil {
			continue
		}
		if err := im.readWords(s); err != nil {
			return nil, fmt.Errorf("read sheet %s: %w", s.name, err)
		}
	}
	if im.diags.HasErrors() || len(im.edits) == 0 {
		return nil, nil
	}
	out, err := im.applied()
	if err != nil {
		return nil, err
	}
	after, err := im.prove(out, defs)
	if err != nil {
		return nil, err
	}
	im.set, im.crosswalks = after, Crosswalks(after, defs)
	for i := range im.sheets {
		for _, c := range im.crosswalks {
			if old := im.sheets[i].crosswalk; old != nil && old.Mapping.Pos.File == c.Mapping.Pos.File {
				im.sheets[i].crosswalk = c
				break
			}
		}
	}
	im.edits, im.texts, im.expected, im.wanted = map[string][]edit{}, map[string]*text{}, nil, nil
	return out, nil
}

// readWords reads the columns Each and When of one sheet; a workbook from
// before they were there has none to take.
func (im *importer) readWords(s sheet) error {
	h, err := im.header(s.name, "FHIR path")
	if err != nil || h == nil {
		return err // the values tell that the column is missing
	}
	_, each := h.columns["Each"]
	_, when := h.columns["When"]
	if !each && !when {
		return nil
	}
	byPath := map[string]*Row{}
	for _, r := range s.crosswalk.Rows {
		byPath[r.Path] = r
	}
	seen := map[string]bool{}
	return im.each(s.name, h, func(n int, cells []string) {
		path, _ := h.cell(cells, "FHIR path")
		path = tidy(path)
		r := byPath[path]
		var have Words
		if r != nil {
			have = r.Words
		}
		if v, ok := h.cell(cells, "Each"); ok {
			have.Each = v
		}
		if v, ok := h.cell(cells, "When"); ok {
			have.When = v
		}
		have = have.tidy()
		whole, _ := h.cell(cells, "Mark")
		_, old := marks(whole)
		if r == nil {
			if have != (Words{}) && have.mark() != old && n > h.row+1 {
				im.refuse(s.name, n, "unknown-row", "the mapping %s has no place %s", s.crosswalk.Mapping.Name, path)
			}
			return
		}
		if seen[path] {
			return // the values tell the second row
		}
		seen[path] = true
		now := r.Words.tidy()
		switch {
		case have == now || have.mark() == old && whole != "":
		case now.mark() != old && whole != "":
			im.refuse(s.name, n, "changed-twice", "each or when of %s was changed here and in the mapping", r.place()).WithRelated(r.Pos, "written at")
		default:
			im.takeRowWords(s.name, n, r, have, now)
		}
	})
}

// takeRowWords takes each and when of one row over.
func (im *importer) takeRowWords(sheet string, n int, r *Row, have, now Words) {
	file := r.Mapping.Pos.File
	switch {
	case !r.wordable():
		im.refuse(sheet, n, "not-editable", "%s takes no each and no when here (%s); write them in %s", r.place(), r.Status, file)
		return
	case have.Each == "" && now.Each != "" || have.When == "" && now.When != "":
		im.refuse(sheet, n, "removed-value", "each or when of %s was emptied; what is no longer meant is removed in the YAML", r.place()).WithRelated(r.Pos, "written at")
		return
	case have.Each != now.Each && im.set.source(have.Each) == nil:
		var names []string
		for _, s := range im.set.Sources.Sources {
			names = append(names, s.Name.Value)
		}
		im.refuse(sheet, n, "unknown-source", "there is no source %q; declare it in sources.yaml", have.Each).WithHint("%s", diag.DidYouMean(have.Each, names))
		return
	case have.Each != now.Each && r.alternative:
		im.refuse(sheet, n, "not-editable", "%s is one of several choices, which takes no each; fill it in on the row above", r.place()).WithRelated(r.Pos, "written at")
		return
	case have.Each != now.Each && r.Element != nil && r.Element.Max == 1:
		im.refuse(sheet, n, "each-at-single", "%s takes one value, each may give several", r.place())
		return
	}
	want := wanted{words: have}
	t := im.text(file)
	added := Words{}
	if have.Each != now.Each {
		if now.Each == "" {
			added.Each = have.Each
		} else {
			im.change(file, t.replace(r.words.Each, have.Each), r.words.Each.Pos, "%s: each %s -> %s", r.place(), now.Each, have.Each)
		}
	}
	if have.When != now.When {
		if now.When == "" {
			added.When = have.When
		} else {
			im.change(file, t.replace(r.words.When, "="+have.When), r.words.When.Pos, "%s: when =%s -> =%s", r.place(), brief(now.When), brief(have.When))
		}
	}
	if added != (Words{}) {
		e, pos, ok := t.addWords(r, added)
		if !ok {
			im.refuse(sheet, n, "not-editable", "%s takes no each and no when here; write them in %s", r.place(), file).WithRelated(r.Pos, "written at")
			return
		}
		pos.File = file
		im.change(file, e, pos, "%s: added %s", r.place(), added)
		want.nested = r.words != nil && r.words.Text != nil && !isPrimitive(r.Element)
		if !r.filled {
			im.opened = append(im.opened, opened{sheet, n, file, r.Path})
		}
	}
	if im.wanted == nil {
		im.wanted = map[[2]string]wanted{}
	}
	im.wanted[[2]string{file, r.Path}] = want
}

// wanted is what a row must show of its words once they are taken over; nested
// says that its value lies in the row of a first choice now.
type wanted struct {
	words  Words
	nested bool
}

// opened is a row that got words and has no content yet.
type opened struct {
	sheet      string
	row        int
	file, path string
}

// String is how a change tells the words.
func (w Words) String() string {
	var parts []string
	if w.Each != "" {
		parts = append(parts, "each "+w.Each)
	}
	if w.When != "" {
		parts = append(parts, "when ="+brief(w.When))
	}
	return strings.Join(parts, ", ")
}

// addWords is the edit that puts words beside what is written at a row, or
// where nothing is, opens a map for it.
func (t *text) addWords(r *Row, w Words) (edit, diag.Pos, bool) {
	switch n := r.words; {
	case n == nil:
		return t.openWords(r, w)
	case n.Text != nil:
		return t.wrapWords(r, w)
	case n.Each != nil || n.Where != nil && w.Each == "":
		// Beside each, a condition follows it and its where.
		last := n.Each
		if last == nil || n.Where != nil && last.Pos.Compare(n.Where.Pos) < 0 {
			last = n.Where
		}
		_, end := t.span(last)
		if start := t.offset(n.Pos); t.data[start] == '{' {
			return edit{from: end, to: end, text: ", " + t.wordsFlow(w)}, t.pos(end), true
		}
		indent := n.Pos.Column - 1
		e := t.after(t.lineOf(max(end-1, 0)), indent, t.wordsBlock(w, indent))
		return e, t.pos(min(e.from, len(t.data))), true
	default:
		at := t.offset(n.Pos)
		if at >= len(t.data) {
			return edit{}, diag.Pos{}, false
		}
		if t.data[at] == '{' {
			for at++; at < len(t.data) && t.data[at] == ' '; at++ {
			}
			return edit{from: at, to: at, text: t.wordsFlow(w) + ", "}, t.pos(at), true
		}
		indent := n.Pos.Column - 1
		return edit{from: at, to: at, text: t.wordsBlock(w, indent) + t.eol + strings.Repeat(" ", indent)}, n.Pos, true
	}
}

// openWords adds a map that holds nothing but the words, for the values that
// are filled in below it.
func (t *text) openWords(r *Row, w Words) (edit, diag.Pos, bool) {
	from := t.offset(r.holder.Pos)
	var e edit
	if from < len(t.data) && t.data[from] == '{' {
		var ok bool
		if e, ok = t.insertFlow(from, r.within.String(), "{"+t.wordsFlow(w)+"}"); !ok {
			return e, diag.Pos{}, false
		}
	} else {
		indent := r.holder.Pos.Column - 1
		inner := t.eol + strings.Repeat(" ", indent+2) + t.wordsBlock(w, indent+2)
		e = t.insertBlock(from, indent, r.within.String(), "")
		e.text = strings.Replace(e.text, ": ", ":"+inner, 1)
	}
	return e, t.pos(min(e.from, len(t.data))), true
}

// wrapWords makes a map of a scalar: {when: =x, value: =y}, and where the
// element is none that takes value, a choice of one.
func (t *text) wrapWords(r *Row, w Words) (edit, diag.Pos, bool) {
	s := r.words.Text
	if r.Element == nil {
		return edit{}, diag.Pos{}, false
	}
	from, to := t.span(s)
	if from >= len(t.data) {
		return edit{}, diag.Pos{}, false
	}
	style := t.data[from]
	if value := tidy(s.Value); isPrimitive(r.Element) && (style == '|' || style == '>') && !t.inFlow(from) {
		indent := indentOf(t.line(t.lineOf(from))) + 2
		text := t.wordsBlock(w, indent) + t.eol + strings.Repeat(" ", indent) + "value: " + t.scalar(value, 0, false, indent)
		at := from
		for at > 0 && t.data[at-1] == ' ' {
			at--
		}
		if at > 0 && t.data[at-1] == ':' {
			return edit{from: at, to: to, text: t.eol + strings.Repeat(" ", indent) + text}, s.Pos, true
		}
		return edit{from: from, to: to, text: text}, s.Pos, true
	}
	value := t.scalar(s.Value, style, true, 0)
	if isPrimitive(r.Element) {
		value = "value: " + value
	} else {
		value = "first: [" + value + "]"
	}
	return edit{from: from, to: to, text: "{" + t.wordsFlow(w) + ", " + value + "}"}, s.Pos, true
}

// wordsFlow writes the words as entries inside {}.
func (t *text) wordsFlow(w Words) string {
	var parts []string
	if w.Each != "" {
		parts = append(parts, "each: "+t.scalar(w.Each, 0, true, 0))
	}
	if w.When != "" {
		parts = append(parts, "when: "+t.scalar("="+w.When, 0, true, 0))
	}
	return strings.Join(parts, ", ")
}

// wordsBlock writes the words as lines of a block map; the first is not
// indented.
func (t *text) wordsBlock(w Words, indent int) string {
	var parts []string
	if w.Each != "" {
		parts = append(parts, "each: "+t.scalar(w.Each, 0, false, indent))
	}
	if w.When != "" {
		parts = append(parts, "when: "+t.scalar("="+w.When, 0, false, indent))
	}
	return strings.Join(parts, t.eol+strings.Repeat(" ", indent))
}

// closed tells the rows that got words and nothing to write: an element that
// repeats or is conditional must hold something.
func (im *importer) closed(after *Set, defs *profiles.Set) {
	filled := map[[2]string]bool{}
	for _, c := range Crosswalks(after, defs) {
		for _, r := range c.Rows {
			filled[[2]string{c.Mapping.Pos.File, r.Path}] = r.filled
		}
	}
	for _, o := range im.opened {
		if !filled[[2]string{o.file, o.path}] {
			im.refuse(o.sheet, o.row, "missing-value", "%s has each or when and nothing to write; fill in a column below it", o.path)
		}
	}
}
