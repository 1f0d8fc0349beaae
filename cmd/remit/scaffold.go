package main

import (
	"fmt"
	"slices"
	"strings"

	"remit/profiles"
	"remit/profiles/r4"
	"remit/sql/source"
)

// maxSuggested bounds how many allowed codes a comment lists.
const maxSuggested = 8

// scaffoldSources writes sources.yaml for the tables of a catalogue: each a
// source with a guessed key, whose columns stand above it as a comment.
func scaffoldSources(tables []source.Table) string {
	var b strings.Builder
	b.WriteString("# Keys are guesses by name: see that each tells the rows of its table apart.\n")
	b.WriteString("# currency: USD\n# timezone: America/New_York\n\nsources:\n")
	names := sourceNames(tables)
	for i, t := range tables {
		if i > 0 {
			b.WriteByte('\n')
		}
		if t.Comment != "" {
			fmt.Fprintf(&b, "  # %s\n", oneLine(t.Comment))
		}
		for _, line := range wrapped(columnTexts(t), 110) {
			fmt.Fprintf(&b, "  # %s\n", line)
		}
		fmt.Fprintf(&b, "  %s:\n    table: %s\n", names[i], t.Name)
		if key := guessKey(t); key != nil {
			fmt.Fprintf(&b, "    key: [%s]  # a guess\n", strings.Join(key, ", "))
		} else {
			b.WriteString("    key:  # the columns that tell rows apart\n")
		}
		if c := firstNamed(t, "patient_id", "person_id", "member_id", "bene_id", "bene_sk", "desy_sort_key", "subscriber_id"); c != "" {
			fmt.Fprintf(&b, "    patient: %s  # a guess\n", c)
		}
		if c := firstNamed(t, "updated_at", "last_updated", "updated", "modified_at", "last_modified", "update_timestamp"); c != "" {
			fmt.Fprintf(&b, "    updated: %s  # a guess\n", c)
		}
	}
	return b.String()
}

// scaffoldTables writes tests/tables.yaml: the columns that mapping tests fill.
func scaffoldTables(tables []source.Table) string {
	var b strings.Builder
	b.WriteString("# The columns of the tables that tests fill, with their types.\n")
	for _, t := range tables {
		fmt.Fprintf(&b, "%s:\n", t.Name)
		for _, c := range t.Columns {
			fmt.Fprintf(&b, "  %s: %s\n", quoteKey(c.Name), testType(c.Type))
		}
	}
	return b.String()
}

// testType is a column's type in the words of the embedded engine.
func testType(t source.Type) string {
	switch t.Kind {
	case source.KindInteger:
		return "bigint"
	case source.KindDecimal:
		if t.Precision < 1 || t.Precision > 38 {
			return "decimal(38,10)"
		}
		return fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale)
	case source.KindFloat:
		return "double"
	case source.KindBoolean:
		return "boolean"
	case source.KindDate:
		return "date"
	case source.KindTimestamp:
		return "timestamp"
	case source.KindInstant:
		return "timestamptz"
	case source.KindUUID:
		return "uuid"
	}
	return "text"
}

// quoteKey quotes a name that YAML would read as something else.
func quoteKey(s string) string {
	for _, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') {
			return fmt.Sprintf("%q", s)
		}
	}
	if s == "" || s[0] >= '0' && s[0] <= '9' || slices.Contains([]string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}, strings.ToLower(s)) {
		return fmt.Sprintf("%q", s)
	}
	return s
}

func columnTexts(t source.Table) []string {
	var out []string
	for i, c := range t.Columns {
		text := c.Name + " " + strings.ToLower(c.Type.Name)
		if i+1 < len(t.Columns) {
			text += ","
		}
		out = append(out, text)
	}
	return out
}

// wrapped sets words into lines of at most width characters.
func wrapped(words []string, width int) []string {
	var out []string
	line := ""
	for _, w := range words {
		if line != "" && len(line)+1+len(w) > width {
			out = append(out, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	if line != "" {
		out = append(out, line)
	}
	return out
}

// sourceNames makes names of the language from table names: no two alike, none
// that is a column of a table.
func sourceNames(tables []source.Table) []string {
	taken := map[string]bool{"snapshot": true}
	for _, t := range tables {
		for _, c := range t.Columns {
			taken[strings.ToLower(c.Name)] = true
		}
	}
	for _, word := range []string{"order", "user", "group", "table", "select", "where", "from", "to", "all", "end", "case", "grant", "references", "check", "column", "limit", "offset", "primary", "default"} {
		taken[word] = true
	}
	out := make([]string, len(tables))
	for i, t := range tables {
		var b strings.Builder
		for _, r := range strings.ToLower(t.Name[strings.LastIndexByte(t.Name, '.')+1:]) {
			if r >= 'a' && r <= 'z' || r == '_' || r >= '0' && r <= '9' {
				b.WriteRune(r)
			} else {
				b.WriteByte('_')
			}
		}
		name := b.String()
		if name == "" || name[0] < 'a' || name[0] > 'z' {
			name = "t" + name
		}
		if taken[name] {
			name += "_rows"
		}
		base := name
		for n := 2; taken[name]; n++ {
			name = fmt.Sprintf("%s_%d", base, n)
		}
		taken[name] = true
		out[i] = name
	}
	return out
}

// guessKey guesses the columns that tell the rows of a table apart, by their
// names; nil where nothing speaks for any.
func guessKey(t source.Table) []string {
	var id, line, origin, start string
	base := strings.TrimSuffix(strings.ToLower(t.Name[strings.LastIndexByte(t.Name, '.')+1:]), "s")
	best := 0
	for _, c := range t.Columns {
		name := strings.ToLower(c.Name)
		if c.Type.Kind != source.KindText && c.Type.Kind != source.KindInteger && c.Type.Kind != source.KindUUID && c.Type.Kind != source.KindDate {
			continue
		}
		score := 0
		switch {
		case name == "id", name == base+"_id", name == base+"_key", name == base+"_sk":
			score = 4
		case strings.HasSuffix(name, "_id") && strings.Contains(base, strings.TrimSuffix(name, "_id")):
			score = 3
		case name == "claim_id", name == "clm_id":
			score = 2
		case name == "patient_id", name == "member_id", name == "person_id", name == "bene_id":
			score = 1
		}
		if score > best {
			best, id = score, c.Name
		}
		switch {
		case line == "" && (strings.HasSuffix(name, "line_number") || strings.HasSuffix(name, "line_num") || name == "line_no"):
			line = c.Name
		case name == "data_source", name == "source_system":
			origin = c.Name
		case start == "" && c.Type.Kind == source.KindDate && (strings.HasPrefix(name, "enrollment_start") || strings.HasPrefix(name, "coverage_start") || strings.HasPrefix(name, "effective")):
			start = c.Name
		}
	}
	if id == "" {
		return nil
	}
	key := []string{id}
	if origin != "" {
		key = []string{origin, id}
	}
	if line != "" {
		key = append(key, line)
	} else if best < 4 && start != "" {
		key = append(key, start)
	}
	return key
}

func firstNamed(t source.Table, names ...string) string {
	for _, n := range names {
		for _, c := range t.Columns {
			if strings.EqualFold(c.Name, n) {
				return c.Name
			}
		}
	}
	return ""
}

// skeleton writes a mapping for a profile: what is required stands there
// without a value, so that check names what is left to say; what must be
// supported stands beside as a comment.
type skeleton struct {
	b   strings.Builder
	set *profiles.Set
}

// scaffoldMapping is the skeleton of a mapping for one profile.
func scaffoldMapping(set *profiles.Set, p *profiles.Profile) string {
	s := &skeleton{set: set}
	if p.Title != "" {
		fmt.Fprintf(&s.b, "# %s\n", oneLine(p.Title))
	}
	ref := p.Canonical()
	if p.Name != "" && p.Version != "" {
		ref = p.Name + "|" + p.Version
	}
	fmt.Fprintf(&s.b, "resource: %s\nprofile: %s\nfrom:  # a source: one row for each resource\nset:\n", p.Type, ref)
	t := r4.Lookup(p.Type)
	for _, e := range p.Root().Children() {
		s.element(e, t, 1, true, p.Type)
	}
	s.basis(p)
	return s.b.String()
}

// basis proposes the non-financial view of a profile that has a Basis beside
// it: what is to be dropped are the elements about money that the skeleton
// shows. The proposal is a comment, since a view drops only what is written.
func (s *skeleton) basis(p *profiles.Profile) {
	b, err := s.set.Profile(p.Name + "-Basis|" + p.Version)
	if p.Name == "" || err != nil {
		return
	}
	var drops []string
	for _, d := range moneyIn(p.Root(), b.Root(), "", 1) {
		if strings.Contains(d, "[") {
			d = `"` + d + `"`
		}
		drops = append(drops, d)
	}
	fmt.Fprintf(&s.b, "# The same resource without money, for those who may not see it: drop what of this is written above.\n"+
		"# views:\n#   basis:\n#     profile: %s|%s\n#     drop: [%s]\n", b.Name, b.Version, strings.Join(drops, ", "))
}

// moneyIn lists the paths of required and must-support elements that are about
// money: amounts, what is paid and owed, and slices that need an amount and
// that the Basis profile does without.
func moneyIn(e, basis *profiles.Element, above string, depth int) []string {
	var out []string
	for _, c := range e.Children() {
		if c.Max == 0 || c.Min == 0 && !c.MustSupport && len(c.Slices()) == 0 || c.Choice() {
			continue
		}
		path := above + c.Base
		var plain *profiles.Element
		if basis != nil {
			plain = basis.Child(c.Base)
		}
		switch {
		case depth == 1 && slices.Contains([]string{"payment", "total", "benefitBalance", "costToBeneficiary"}, c.Base), isMoney(c):
			out = append(out, path)
			continue
		}
		for _, sl := range c.Slices() {
			if sl.Max == 0 || sl.Min == 0 && !sl.MustSupport || plain != nil && plain.SliceNamed(sl.Slice) != nil {
				continue
			}
			if slices.ContainsFunc(sl.Children(), func(x *profiles.Element) bool { return isMoney(x) && x.Min > 0 }) {
				out = append(out, path+"["+sl.Slice+"]")
			}
		}
		if depth < 3 && len(c.Types) == 1 && c.Types[0].Code == "BackboneElement" {
			out = append(out, moneyIn(c, plain, path+".", depth+1)...)
		}
	}
	return out
}

func isMoney(e *profiles.Element) bool {
	return slices.ContainsFunc(e.Types, func(t profiles.TypeRef) bool { return t.Code == "Money" })
}

// maxSkeleton bounds how deep a skeleton goes.
const maxSkeleton = 6

// element writes e and what is below it. live says that what stands above is
// no comment.
func (s *skeleton) element(e *profiles.Element, owner *r4.Type, depth int, live bool, above string) {
	switch e.Base {
	case "id", "meta", "implicitRules", "language", "text", "contained", "modifierExtension":
		return
	case "sequence":
		if e.Path != above+".sequence" || strings.Contains(above, ".") {
			return // the language counts by itself
		}
	}
	if e.Max == 0 || owner == nil {
		return
	}
	slices := false
	for _, sl := range e.Slices() {
		if sl.Max != 0 && (sl.Min > 0 || sl.MustSupport) && !e.Choice() {
			slices = true
		}
	}
	if slices {
		for _, sl := range e.Slices() {
			if sl.Max != 0 && (sl.Min > 0 || sl.MustSupport) {
				s.one(sl, e, owner, depth, live)
			}
		}
		return
	}
	if e.Base == "extension" || e.Min == 0 && !e.MustSupport {
		return
	}
	s.one(e, e, owner, depth, live)
}

func (s *skeleton) one(e, whole *profiles.Element, owner *r4.Type, depth int, live bool) {
	if e.Fixed != nil || e.Pattern != nil && e.Min > 0 {
		return // written without being told
	}
	shape := s.shape(e, owner)
	if shape == nil || shape.Type() == nil {
		return
	}
	name := shape.Name()
	if e.Slice != "" && !whole.Choice() {
		name += "[" + e.Slice + "]"
	}
	here := live && e.Min > 0
	s.line(name, e, depth, here)
	if depth >= maxSkeleton || !opened(shape.Type()) {
		return
	}
	for _, c := range e.Children() {
		s.element(c, shape.Type(), depth+1, here, e.Path)
	}
}

// opened says that a skeleton shows the elements of a type, rather than leave
// it to one of the short forms of the language.
func opened(t *r4.Type) bool {
	if t.Kind() == r4.KindBackbone {
		return true
	}
	switch t.Name() {
	case "Identifier", "HumanName", "Address", "ContactPoint", "Period":
		return true
	}
	return false
}

// shape is the element of the R4 tree: of a choice, the first type allowed.
func (s *skeleton) shape(e *profiles.Element, owner *r4.Type) *r4.Element {
	if x := owner.Element(e.Base); x != nil {
		return x
	}
	for _, t := range e.Types {
		for _, alt := range owner.Choice(e.Base) {
			if strings.EqualFold(alt.Name(), e.Base+t.Code) {
				return alt
			}
		}
	}
	return nil
}

// line writes one element with its cardinality, type, binding and description
// behind it.
func (s *skeleton) line(name string, e *profiles.Element, depth int, live bool) {
	limit := "*"
	if e.Max != profiles.Unbounded {
		limit = fmt.Sprint(e.Max)
	}
	note := fmt.Sprintf("%d..%s", e.Min, limit)
	if e.MustSupport {
		note += " must-support"
	}
	var types []string
	for _, t := range e.Types {
		text := t.Code
		if t.Code == "Reference" {
			text = "ref " + strings.Join(targets(t.Targets), ", ")
		}
		if !slices.Contains(types, text) {
			types = append(types, text)
		}
	}
	if len(types) > 4 {
		types = append(types[:4], "...")
	}
	note += " " + strings.Join(types, " | ")
	if e.Binding != nil && e.Binding.Strength != "example" {
		note += "; " + e.Binding.Strength + " " + e.Binding.ValueSet
		if codes, complete := s.set.Codes(e.Binding.ValueSet); complete && len(codes) > 0 && len(codes) <= maxSuggested {
			var all []string
			for _, c := range codes {
				all = append(all, c.Code)
			}
			note += " (" + strings.Join(all, ", ") + ")"
		}
	}
	if e.Short != "" {
		note += "; " + oneLine(e.Short)
	}
	indent := strings.Repeat("  ", depth)
	if live {
		fmt.Fprintf(&s.b, "%s%s:  # %s\n", indent, name, note)
		return
	}
	fmt.Fprintf(&s.b, "  # %s%s:  # %s\n", indent[2:], name, note)
}

func targets(canonicals []string) []string {
	var out []string
	for _, c := range canonicals {
		c, _, _ = strings.Cut(c, "|")
		out = append(out, c[strings.LastIndexByte(c, '/')+1:])
	}
	return out
}
