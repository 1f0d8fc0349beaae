package workbook

import (
	"fmt"
	"strings"

	"remit/mapping/diag"
	"remit/profiles"
)

// expectation is what a row must show once the changes are made.
type expectation struct {
	mapping, path string
	cells         Cells
	// nested says that the place holds alternatives now, the first of which
	// shows the cells.
	nested bool
}

// keyExpectation is the same for an entry of a map.
type keyExpectation struct {
	table string
	key   string
	cells []string
}

// take takes one row over. untouched says that the cells are as the workbook
// was written, current that the set is.
func (im *importer) take(sheet string, n int, r *Row, have Cells, from string, untouched, current bool) {
	now := r.Cells.tidy()
	if have == now || untouched {
		return
	}
	if !current && im.done(r, have, now, from) {
		return
	}
	if !current {
		im.refuse(sheet, n, "changed-twice", "%s was changed here and in the mapping", r.place()).WithRelated(r.Pos, "written at")
		return
	}
	t := im.text(r.Mapping.Pos.File)
	switch {
	case !r.editable():
		im.refuse(sheet, n, "not-editable", "%s cannot be filled in here (%s); write it in %s", r.place(), r.Status, r.Mapping.Pos.File)
	case have == (Cells{}):
		im.refuse(sheet, n, "removed-value", "%s was emptied; what is no longer to be written is removed in the YAML", r.place()).WithRelated(r.Pos, "written at")
	case have.Column != "" && have.SQL != "" && have.Column != now.Column && have.SQL != now.SQL:
		im.refuse(sheet, n, "two-values", "%s has a column and SQL; fill in one of them", r.place())
	case have.Map != "" && have.Map != now.Map && im.set.codeMap(have.Map) == nil:
		im.refuse(sheet, n, "unknown-map", "there is no map %q; declare it in sources.yaml", have.Map).
			WithHint("%s", diag.DidYouMean(have.Map, im.mapNames()))
	case len(r.exprs) > 0:
		im.takeExpressions(sheet, n, t, r, have, now)
	case r.bare:
		im.takeBare(sheet, n, t, r, have, now)
	case r.literal != nil:
		im.takeLiteral(sheet, n, t, r, have, now)
	default:
		im.takeNew(sheet, n, t, r, have, from)
	}
}

// done says that the set has taken over before what the cells say.
func (im *importer) done(r *Row, have, now Cells, from string) bool {
	if now == (Cells{}) {
		for _, c := range im.crosswalks {
			for _, x := range c.Rows {
				if c.Mapping == r.Mapping && x.Path == r.Path+"#1" {
					now = x.Cells.tidy() // a source before an assumption
				}
			}
		}
	}
	column := now.Column != "" && (have.Column == now.Column || strings.EqualFold(from+"."+have.Column, now.Column))
	sql := now.SQL != "" && have.SQL == now.SQL
	return (column || sql) && have.Map == now.Map && (now.Literal == "" || have.Literal == now.Literal)
}

func (im *importer) mapNames() []string {
	var out []string
	for _, m := range im.set.Sources.Maps {
		out = append(out, m.Name.Value)
	}
	return out
}

// change notes one edit.
func (im *importer) change(file string, e edit, pos diag.Pos, format string, args ...any) {
	im.edits[file] = append(im.edits[file], e)
	im.changes = append(im.changes, Change{pos, fmt.Sprintf(format, args...)})
}

func (im *importer) expect(r *Row, c Cells, nested bool) {
	im.expected = append(im.expected, expectation{r.Mapping.Pos.File, r.Path, c, nested})
}

// sql is the new SQL of cells: the one of column and SQL that changed, or the
// one that is left. ok is false where neither is filled.
func (c Cells) sql(now Cells) (sql string, ok bool) {
	switch {
	case c.SQL != "" && (c.SQL != now.SQL || c.Column == ""):
		return c.SQL, true
	case c.Column != "":
		return c.Column, true
	}
	return "", false
}

// cellsOf is how a row shows one SQL expression.
func cellsOf(sql string, rest Cells) Cells {
	rest.Column, rest.SQL = "", ""
	if _, _, ok := plainColumn(sql); ok {
		rest.Column = sql
	} else {
		rest.SQL = sql
	}
	return rest
}

// takeExpressions takes over a row that shows SQL.
func (im *importer) takeExpressions(sheet string, n int, t *text, r *Row, have, now Cells) {
	file := r.Mapping.Pos.File
	if have.Literal != now.Literal {
		im.takeConstant(sheet, n, t, r, have, now)
		return
	}
	pieces := []string{}
	sql, ok := have.sql(now)
	if !ok {
		im.refuse(sheet, n, "removed-value", "%s has no column and no SQL left", r.place()).WithRelated(r.Pos, "written at")
		return
	}
	if len(r.exprs) == 1 {
		pieces = append(pieces, sql)
	} else {
		split := ","
		if sql == have.SQL {
			split = "\n"
		}
		for p := range strings.SplitSeq(sql, split) {
			pieces = append(pieces, tidy(p))
		}
		if len(pieces) != len(r.exprs) {
			im.refuse(sheet, n, "wrong-count", "%s takes %d values, found %d", r.place(), len(r.exprs), len(pieces)).WithRelated(r.Pos, "written at")
			return
		}
	}
	want := now
	wrap := false
	switch {
	case have.Map == now.Map:
	case have.Map == "":
		im.refuse(sheet, n, "removed-value", "%s goes through map %s; take the map out in the YAML", r.place(), now.Map).WithRelated(r.Pos, "written at")
		return
	case r.mapName != nil:
		im.change(file, t.replace(r.mapName, have.Map), r.mapName.Pos, "%s: map %s -> %s", r.place(), now.Map, have.Map)
	case r.node == nil || r.node.Text == nil:
		im.refuse(sheet, n, "not-editable", "%s takes no map here; write it in %s", r.place(), file).WithRelated(r.Pos, "written at")
		return
	default:
		wrap = true
	}
	want.Map = have.Map
	if wrap {
		from, to := t.span(r.node.Text)
		e := edit{from: from, to: to, text: "{map: " + have.Map + ", of: " + t.scalar("="+pieces[0], 0, true, 0) + "}"}
		im.change(file, e, r.node.Text.Pos, "%s: %s -> map %s of =%s", r.place(), brief(r.node.Text.Value), have.Map, brief(pieces[0]))
		im.expect(r, cellsOf(pieces[0], want), false)
		return
	}
	for i, x := range r.exprs {
		old, _ := x.SQL()
		if pieces[i] == tidy(old) || len(r.exprs) > 1 && pieces[i] == strings.Join(strings.Fields(old), " ") {
			continue
		}
		if pieces[i] == "" {
			im.refuse(sheet, n, "removed-value", "value %d of %s is empty", i+1, r.place()).WithRelated(x.Pos, "written at")
			return
		}
		im.change(file, t.replace(x, "="+pieces[i]), x.Pos, "%s: =%s -> =%s", r.place(), brief(old), brief(pieces[i]))
	}
	if len(pieces) == 1 {
		want = cellsOf(pieces[0], want)
	} else {
		want.Column, want.SQL = have.Column, have.SQL
		if sql == have.SQL {
			want.Column = ""
		} else {
			want.SQL = ""
		}
	}
	im.expect(r, want, false)
}

// takeConstant puts a literal where SQL was.
func (im *importer) takeConstant(sheet string, n int, t *text, r *Row, have, now Cells) {
	if have.Column != "" || have.SQL != "" || have.Map != "" || r.node == nil || r.node.Text == nil {
		im.refuse(sheet, n, "two-values", "%s has a literal beside its source; empty the one that is not meant", r.place()).WithRelated(r.Pos, "written at")
		return
	}
	im.change(r.Mapping.Pos.File, t.replace(r.node.Text, literal(have.Literal)), r.node.Text.Pos, "%s: %s -> %s", r.place(), brief(r.node.Text.Value), brief(literal(have.Literal)))
	im.expect(r, Cells{Literal: have.Literal}, false)
}

// literal writes a text so that it is not taken for SQL.
func literal(s string) string {
	if strings.HasPrefix(s, "=") {
		return "=" + s
	}
	return s
}

// takeLiteral takes over a row that shows a constant.
func (im *importer) takeLiteral(sheet string, n int, t *text, r *Row, have, now Cells) {
	file := r.Mapping.Pos.File
	sql, ok := have.sql(now)
	if !ok {
		if have.Map != "" {
			im.refuse(sheet, n, "two-values", "%s: a map takes a column or SQL, not a literal", r.place()).WithRelated(r.Pos, "written at")
			return
		}
		im.change(file, t.replace(r.literal, literal(have.Literal)), r.literal.Pos, "%s: %s -> %s", r.place(), brief(r.literal.Value), brief(literal(have.Literal)))
		im.expect(r, Cells{Literal: have.Literal}, false)
		return
	}
	if have.Literal != "" && have.Literal != now.Literal {
		im.refuse(sheet, n, "two-values", "%s has a literal beside its source; empty the one that is not meant", r.place()).WithRelated(r.Pos, "written at")
		return
	}
	want := Cells{Map: have.Map}
	e := t.replace(r.literal, "="+sql)
	if have.Map != "" {
		from, to := t.span(r.literal)
		e = edit{from: from, to: to, text: "{map: " + have.Map + ", of: " + t.scalar("="+sql, 0, true, 0) + "}"}
	}
	im.change(file, e, r.literal.Pos, "%s: %s -> %s", r.place(), brief(r.literal.Value), said(sql, have.Map))
	im.expect(r, cellsOf(sql, want), false)
}

func said(sql, codeMap string) string {
	if codeMap != "" {
		return "map " + codeMap + " of =" + brief(sql)
	}
	return "=" + brief(sql)
}

// takeBare gives a source to an element that was only assumed or absent: the
// assumption stays as what stands where the source has nothing.
func (im *importer) takeBare(sheet string, n int, t *text, r *Row, have, now Cells) {
	file := r.Mapping.Pos.File
	sql, ok := have.sql(now)
	if !ok {
		if have.Literal == now.Literal || have.Map != "" || r.literal == nil {
			im.refuse(sheet, n, "two-values", "%s takes a column or SQL", r.place()).WithRelated(r.Pos, "written at")
			return
		}
		im.change(file, t.replace(r.literal, literal(have.Literal)), r.literal.Pos, "%s: assumed %s -> %s", r.place(), brief(r.literal.Value), brief(literal(have.Literal)))
		im.expect(r, Cells{Literal: have.Literal}, false)
		return
	}
	if have.Literal != now.Literal && have.Literal != "" {
		im.refuse(sheet, n, "two-values", "%s has a new assumption beside its source; take over one at a time", r.place()).WithRelated(r.Pos, "written at")
		return
	}
	from := t.offset(r.node.Pos)
	if from >= len(t.data) || t.data[from] != '{' || r.node.Each != nil || r.node.When != nil || r.node.Key != nil {
		im.refuse(sheet, n, "not-editable", "%s is written over several lines; add its source in %s", r.place(), file).WithRelated(r.Pos, "written at")
		return
	}
	to := t.flowEnd(from) + 1
	value := t.scalar("="+sql, 0, true, 0)
	if have.Map != "" {
		value = "{map: " + have.Map + ", of: " + value + "}"
	}
	e := edit{from: from, to: to, text: "{first: [" + value + ", " + string(t.data[from:to]) + "]}"}
	im.change(file, e, r.node.Pos, "%s: %s -> first %s, then as before", r.place(), r.Status, said(sql, have.Map))
	im.expect(r, cellsOf(sql, Cells{Map: have.Map}), true)
}

// takeNew adds an element that the mapping did not write.
func (im *importer) takeNew(sheet string, n int, t *text, r *Row, have Cells, from string) {
	file := r.Mapping.Pos.File
	sql, ok := have.sql(Cells{})
	var value, shown string
	want := Cells{Map: have.Map}
	switch {
	case ok && have.Literal != "":
		im.refuse(sheet, n, "two-values", "%s has a literal beside its source; empty the one that is not meant", r.place())
		return
	case ok:
		if q, _, plain := plainColumn(sql); plain && q == "" && from != "" {
			if im.set.source(from) == nil {
				im.refuse(sheet, n, "unknown-source", "there is no source %q; declare it in sources.yaml", from)
				return
			}
			if nearest := im.nearest(r); !strings.EqualFold(nearest, from) {
				sql = from + "." + sql
			}
		}
		want = cellsOf(sql, want)
		shown = said(sql, have.Map)
	case have.Map != "":
		im.refuse(sheet, n, "two-values", "%s: a map takes a column or SQL", r.place())
		return
	default:
		value, shown = literal(have.Literal), brief(literal(have.Literal))
		want.Literal = have.Literal
	}
	owner := t.offset(r.owner.Pos)
	flow := owner < len(t.data) && t.data[owner] == '{'
	switch {
	case !ok:
		value = t.scalar(value, 0, flow, r.owner.Pos.Column-1)
	case have.Map != "":
		value = "{map: " + have.Map + ", of: " + t.scalar("="+sql, 0, true, 0) + "}"
	default:
		value = t.scalar("="+sql, 0, flow, r.owner.Pos.Column-1)
	}
	e, done := t.insert(r.owner, r.rel.String(), value)
	if !done {
		im.refuse(sheet, n, "not-editable", "%s cannot be added here; write it in %s", r.place(), file)
		return
	}
	pos := t.pos(min(e.from, len(t.data)))
	pos.File = file
	im.change(file, e, pos, "%s: added %s", r.place(), shown)
	im.expect(r, want, false)
}

// nearest is the source whose rows an element that is added sees: that of the
// nearest row above which is written.
func (im *importer) nearest(r *Row) string {
	for _, c := range im.crosswalks {
		if c.Mapping != r.Mapping {
			continue
		}
		best := c.Rows[0]
		for _, x := range c.Rows {
			if x.Source != "" && x.Path != "" && strings.HasPrefix(r.Path, x.Path+".") && len(x.Path) > len(best.Path) {
				best = x
			}
		}
		return best.Source
	}
	return ""
}

// brief is a value on one line, cut where it is long.
func brief(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 80 {
		return string(r[:77]) + "..."
	}
	return s
}

// readMap takes the keys and targets of a map's sheet over.
func (im *importer) readMap(s sheet) error {
	t := s.table
	h, err := im.header(s.name, "Mark")
	if err != nil {
		return err
	}
	if h == nil {
		im.diags.Errorf(diag.Pos{File: im.name}, "missing-column", "sheet %q has no column %q", s.name, "Mark")
		return nil
	}
	seen := map[string]bool{}
	return im.each(s.name, h, func(n int, cells []string) {
		have := make([]string, len(t.header))
		for i := range have {
			if i < len(cells) {
				have[i] = tidy(cells[i])
			}
		}
		old, _ := h.cell(cells, "Mark")
		key := t.key(have)
		if key == "" {
			for _, v := range have {
				if v != "" {
					im.refuse(s.name, n, "missing-key", "the row has a target but no key")
					return
				}
			}
			return
		}
		if seen[key] {
			if i, known := t.index[key]; !known || t.mark(have) != t.mark(t.rows[i].cells) {
				im.refuse(s.name, n, "duplicate-key", "the key stands on two rows")
			}
			return
		}
		seen[key] = true
		im.takeKey(s, n, key, have, tidy(old))
	})
}

// takeKey takes one entry of a map over.
func (im *importer) takeKey(s sheet, n int, key string, have []string, old string) {
	t := s.table
	name := t.def.Name.Value
	i, known := t.index[key]
	if t.fixed && (!known || t.mark(have) != t.mark(t.rows[i].cells) && t.mark(have) != old) {
		im.refuse(s.name, n, "not-editable", "the map is kept in %s; change it there", t.name)
		return
	}
	if !known {
		for _, v := range t.values {
			if have[v] == "" && t.def.CSV == nil {
				im.refuse(s.name, n, "missing-target", "the new key has no target")
				return
			}
		}
		e, pos, err := t.add(have)
		if err != nil {
			im.refuse(s.name, n, "not-editable", "%v", err)
			return
		}
		im.change(t.name, e, pos, "map %s: added %s -> %s", name, strings.ReplaceAll(key, "\x00", ", "), strings.Join(t.targets(have), ", "))
		im.keys = append(im.keys, keyExpectation{name, key, t.targets(have)})
		return
	}
	row := t.rows[i].cells
	if t.mark(have) == t.mark(row) || t.mark(have) == old {
		return
	}
	if old != "" && t.mark(row) != old {
		im.refuse(s.name, n, "changed-twice", "the key was changed here and in %s", t.name).WithRelated(t.rows[i].pos, "written at")
		return
	}
	for _, v := range t.values {
		if v < len(row) && have[v] == tidy(clip(row[v])) {
			continue
		}
		if have[v] == "" && t.def.CSV == nil {
			im.refuse(s.name, n, "missing-target", "the key has no target").WithRelated(t.rows[i].pos, "written at")
			return
		}
		e, err := t.set(i, v, have[v])
		if err != nil {
			im.refuse(s.name, n, "not-editable", "%v", err)
			return
		}
		pos := t.file.pos(e.from)
		pos.File = t.name
		was := ""
		if v < len(row) {
			was = row[v]
		}
		im.change(t.name, e, pos, "map %s: %s: %s -> %s", name, strings.ReplaceAll(key, "\x00", ", "), brief(was), brief(have[v]))
	}
	im.keys = append(im.keys, keyExpectation{name, key, t.targets(have)})
}

// targets are the value cells of a row.
func (t *codeTable) targets(cells []string) []string {
	out := make([]string, len(t.values))
	for i, v := range t.values {
		if v < len(cells) {
			out[i] = tidy(cells[v])
		}
	}
	return out
}

// prove reads the changed set again and holds it against what was meant: each
// row shows what the workbook says, and all others what they showed.
func (im *importer) prove(out map[string][]byte, defs *profiles.Set) (*Set, error) {
	if len(out) == 0 {
		return im.set, nil
	}
	files := make(map[string][]byte, len(im.set.Files))
	for n, data := range im.set.Files {
		files[n] = data
	}
	for n, data := range out {
		files[n] = data
	}
	var diags diag.List
	after := parse(im.set.Name, files, &diags)
	if err := diags.Err(); err != nil {
		return nil, fmt.Errorf("the changes do not fit the YAML: %w", err)
	}
	want := map[[2]string]expectation{}
	for _, e := range im.expected {
		want[[2]string{e.mapping, e.path}] = e
	}
	now := map[[2]string]*Row{}
	for _, c := range Crosswalks(after, defs) {
		for _, r := range c.Rows {
			now[[2]string{c.Mapping.Pos.File, r.Path}] = r
		}
	}
	for _, c := range im.crosswalks {
		for _, r := range c.Rows {
			at := [2]string{c.Mapping.Pos.File, r.Path}
			cells := r.Cells.tidy()
			words := r.Words.tidy()
			w, ok := im.wanted[at]
			if ok {
				words = w.words
			}
			if got := now[at]; (ok || words != (Words{})) && (got == nil || got.Words.tidy() != words) {
				return nil, fmt.Errorf("%s: each and when of %s would not read back as filled in", at[0], r.place())
			}
			if w.nested {
				at[1] += "#1"
			}
			if e, ok := want[at]; ok {
				cells = e.cells
				if e.nested {
					at[1] += "#1"
				}
			} else if !r.written() {
				continue // what is written beside it may give it another form
			}
			if got := now[at]; got == nil || got.Cells.tidy() != cells {
				return nil, fmt.Errorf("%s: %s would not read back as filled in", c.Mapping.Pos.File, r.place())
			}
		}
	}
	return after, im.proveMaps(after)
}

// written says that a row shows something of the mapping.
func (r *Row) written() bool { return r.Cells != (Cells{}) }

func (im *importer) proveMaps(after *Set) error {
	want := map[[2]string][]string{}
	for _, k := range im.keys {
		want[[2]string{k.table, k.key}] = k.cells
	}
	for _, m := range im.set.Sources.Maps {
		var diags diag.List
		old := im.set.codes(m, &diags)
		now := after.codes(after.codeMap(m.Name.Value), &diags)
		if old == nil || now == nil {
			return fmt.Errorf("map %s would not read back: %w", m.Name.Value, diags.Err())
		}
		for key, i := range old.index {
			if _, changed := want[[2]string{m.Name.Value, key}]; !changed {
				want[[2]string{m.Name.Value, key}] = old.targets(old.rows[i].cells)
			}
		}
		for at, cells := range want {
			if at[0] != m.Name.Value {
				continue
			}
			i, ok := now.index[at[1]]
			if !ok || strings.Join(now.targets(now.rows[i].cells), "\x00") != strings.Join(cells, "\x00") {
				return fmt.Errorf("map %s would not read back as filled in", m.Name.Value)
			}
		}
	}
	return nil
}
