package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync"

	"remit/mapping/diag"
	"remit/mapping/syntax"
	"remit/profiles"
	"remit/profiles/r4"
	"remit/sql/source"
)

// Env is what a set is checked against.
type Env struct {
	Warehouse     source.Source
	Profiles      *profiles.Set
	IDKey         []byte
	NoAssumptions bool
	// Sheets reads maps out of workbooks; nil where none are read.
	Sheets SheetReader
	// Unread are the resource types of files that could not be read: that nothing
	// makes them is not told beside it.
	Unread []string
}

// checker carries one load.
type checker struct {
	ctx   context.Context
	env   Env
	files fs.FS
	diags *diag.List
	set   *Set
	// withQueries are the queries of with, in the order in which they are declared;
	// badWith names those that did not resolve.
	withQueries []*query
	badWith     map[string]bool
	asked       map[string]*ahead // by relation
	sources     map[string]*Source
	broken      map[string]bool // sources that are declared but did not resolve
	maps        map[string]*Map
	badMaps     map[string]bool
	origins     map[diag.Pos]r4.Origin
	exprs       []*Expr
	deferred    []func()
	notes       []func() // warnings of a set that loads
	codes       map[string]*codeTable
	failed      map[string]bool // resource types of mappings that did not resolve
}

// Check gives meaning to a parsed set. The Set is nil where the list holds an
// error. The error is for faults outside the set.
func Check(ctx context.Context, files fs.FS, src *syntax.Sources, mappings []*syntax.Mapping, env Env, diags *diag.List) (*Set, error) {
	c := &checker{
		ctx: ctx, env: env, files: files, diags: diags,
		set:     &Set{Origins: []diag.Pos{{}}, Systems: namedSystems(), IDKey: env.IDKey, profiles: env.Profiles},
		sources: map[string]*Source{}, broken: map[string]bool{},
		badWith: map[string]bool{}, asked: map[string]*ahead{},
		maps: map[string]*Map{}, badMaps: map[string]bool{},
		origins: map[diag.Pos]r4.Origin{}, codes: map[string]*codeTable{}, failed: map[string]bool{},
	}
	for _, t := range env.Unread {
		c.failed[t] = true
	}
	for _, s := range src.Systems {
		c.system(s)
	}
	for _, m := range src.Maps {
		c.codeMap(m)
	}
	if err := c.withs(src.With); err != nil {
		return nil, err
	}
	if err := c.resolveSources(src); err != nil {
		return nil, err
	}
	for _, m := range mappings {
		out := c.mapping(m)
		if (out == nil || out.lost) && m.Resource != nil {
			c.failed[m.Resource.Value] = true
		}
		if out == nil {
			continue
		}
		if !out.lost {
			c.set.Mappings = append(c.set.Mappings, out)
		}
		c.unmapped(out, m.Unmapped)
		for _, v := range m.Views {
			c.view(out, m, v)
		}
	}
	c.unviewed()
	if err := c.describe(); err != nil {
		return nil, err
	}
	for _, f := range c.deferred {
		f()
	}
	c.references()
	if diags.HasErrors() {
		return nil, nil
	}
	c.untracked()
	c.unusedWiths(src.With)
	for _, f := range c.notes {
		f()
	}
	return c.set, nil
}

// origin numbers a place.
func (c *checker) origin(p diag.Pos) r4.Origin {
	if o, ok := c.origins[p]; ok {
		return o
	}
	o := r4.Origin(len(c.set.Origins))
	c.set.Origins = append(c.set.Origins, p)
	c.origins[p] = o
	return o
}

func (c *checker) system(s *syntax.System) {
	name := strings.ToLower(s.Name.Value)
	if !strings.Contains(s.URL.Value, ":") {
		c.diags.Errorf(s.URL.Pos, "bad-system", "system %q needs a URL", s.Name.Value)
		return
	}
	if strings.Contains(name, ":") {
		c.diags.Errorf(s.Name.Pos, "bad-system", "the name of a system holds no colon")
		return
	}
	if old := c.set.Systems[name]; old != nil && old.URL != s.URL.Value {
		c.diags.Errorf(s.Name.Pos, "duplicate-system", "system %q already stands for %s", name, old.URL)
		return
	}
	if c.isValueSet(s.URL.Value) {
		c.diags.Errorf(s.URL.Pos, "value-set-as-system", "%s is a value set; a system is a code system", s.URL.Value)
		return
	}
	c.set.Systems[name] = &System{Name: name, URL: s.URL.Value}
}

func (c *checker) isValueSet(url string) bool {
	return c.env.Profiles.IsValueSet(url) && !c.env.Profiles.IsCodeSystem(url)
}

// mapping checks one mapping file.
func (c *checker) mapping(m *syntax.Mapping) *Mapping {
	top := m.Pos
	need := func(t *syntax.Text, key string) bool {
		if t == nil {
			if !m.Broken {
				c.diags.Errorf(top, "missing-key", "the mapping has no %s", key)
			}
			return false
		}
		return true
	}
	okType, okFrom := need(m.Resource, "resource"), need(m.From, "from")
	if m.Set == nil && !m.Broken {
		c.diags.Errorf(top, "missing-key", "the mapping has no set")
	}
	out := &Mapping{Name: m.Name, Pos: top}
	if okType {
		out.Pos = m.Resource.Pos
		out.Origin = c.origin(out.Pos)
		t := r4.Lookup(m.Resource.Value)
		if t == nil || t.Kind() != r4.KindResource {
			c.diags.Errorf(m.Resource.Pos, "unknown-resource", "%q is no resource type", m.Resource.Value).
				WithHint("%s", diag.DidYouMean(m.Resource.Value, r4.Resources()))
			okType = false
		}
		out.Type = t
	}
	if okFrom {
		out.From = c.standIn(m.From)
		out.lost = out.From.lost
		if out.From.Parent != nil {
			c.diags.Errorf(m.From.Pos, "from-child", "source %q has a parent; a mapping starts from a source with a key of its own", out.From.Name)
			out.From, out.lost = lost(m.From), true
		}
	}
	if !okType || out.From == nil || m.Set == nil {
		return nil
	}
	var root *profiles.Element
	for i, p := range m.Profiles {
		prof, err := c.env.Profiles.Profile(p.Value)
		if err != nil {
			c.profileError(p, m.Resource.Value, err)
			continue
		}
		if prof.Type != m.Resource.Value {
			c.diags.Errorf(p.Pos, "profile-type", "profile %q is on %s, not on %s", p.Value, prof.Type, m.Resource.Value)
			continue
		}
		out.Profiles = append(out.Profiles, prof)
		if i == 0 {
			root = prof.Root()
		}
	}
	if len(m.Profiles) > 0 && root == nil {
		return nil
	}
	if root == nil {
		if prof, err := c.env.Profiles.Profile("http://hl7.org/fhir/StructureDefinition/" + m.Resource.Value); err == nil {
			root = prof.Root()
		}
	}
	sc := &scope{source: out.From}
	if m.Where != nil {
		out.Where = c.condition(m.Where, sc)
	}
	out.ID = c.idKey(m, out.From, sc)
	p := &placer{checker: c, mapping: out, repeats: map[string]int{}}
	out.Root = p.root(root, m, sc)
	p.finish()
	for i, prof := range out.Profiles {
		if i > 0 && !m.Set.Broken {
			p.conforms(out.Root, prof)
		}
	}
	if out.From.Removed != nil && out.ID != nil {
		out.RemovedID = c.removedID(out.ID, out.From)
	}
	out.Repeats = p.count
	slices.Sort(out.References)
	out.References = slices.Compact(out.References)
	return out
}

func (c *checker) profileError(p *syntax.Text, resourceType string, err error) {
	d := c.diags.Errorf(p.Pos, "unknown-profile", "profile %q is not loaded", p.Value)
	var unknown *profiles.UnknownError
	if errors.As(err, &unknown) && unknown.Nearest != "" {
		_ = d.WithHint("did you mean %q?", unknown.Nearest)
		return
	}
	if near := diag.DidYouMean(p.Value, c.env.Profiles.Profiles(resourceType)); near != "" {
		_ = d.WithHint("%s", near)
	}
}

// idKey is the key of a mapping's id: as written, or the source's own.
func (c *checker) idKey(m *syntax.Mapping, from *Source, sc *scope) *Key {
	if m.ID == nil || len(m.ID.Key) == 0 {
		k := &Key{Pos: m.From.Pos}
		if m.ID != nil {
			k.Pos = m.ID.Pos
			k.Plain = c.plainForm(m.ID.Form)
		}
		for _, col := range from.Key {
			e := &Expr{SQL: QuoteName(col.Name), Source: from, Pos: m.From.Pos, Column: col.Name}
			c.exprs = append(c.exprs, e)
			k.Parts = append(k.Parts, Part{Pos: m.From.Pos, Value: &Value{Pos: m.From.Pos, Expr: e}})
		}
		return k
	}
	k := &Key{Pos: m.ID.Pos, Plain: c.plainForm(m.ID.Form), Parts: c.parts(m.ID.Key, sc)}
	unique := m.ID.Unique != nil && m.ID.Unique.Value == "true"
	if m.ID.Unique != nil && m.ID.Unique.Value != "true" && m.ID.Unique.Value != "false" {
		c.diags.Errorf(m.ID.Unique.Pos, "not-boolean", "expected true or false")
	}
	if !unique {
		c.deferred = append(c.deferred, func() { c.idDetermined(k, from) })
	}
	return k
}

// idDetermined asks that the parts of an id tell the rows of the source apart,
// as far as the text shows it: every key column is named, or the id is made of
// one plain column of its own and declared unique (rule 22).
func (c *checker) idDetermined(k *Key, from *Source) {
	named := map[string]bool{}
	for _, p := range k.Parts {
		if p.Value == nil {
			continue
		}
		exprs := p.Value.Of
		if p.Value.Expr != nil {
			exprs = []*Expr{p.Value.Expr}
		}
		for _, e := range exprs {
			tokens, _ := scanSQL(e.SQL)
			for _, t := range tokens {
				named[strings.ToLower(t.text)] = true
			}
		}
	}
	var missing []string
	for _, col := range from.Key {
		if !named[strings.ToLower(col.Name)] {
			missing = append(missing, col.Name)
		}
	}
	if len(missing) > 0 && len(k.Parts) > 0 {
		c.diags.Errorf(k.Pos, "id-not-unique", "the id does not depend on key column %s of source %q", strings.Join(missing, ", "), from.Name).
			WithHint("name it in the key, or declare unique: true")
	}
}

// removedID is a mapping's id over the rows of removed, which give no more than
// the key (rule 30).
func (c *checker) removedID(id *Key, from *Source) *Key {
	over := func(e *Expr) *Expr {
		tokens, _ := scanSQL(e.SQL)
		for i, t := range tokens {
			if t.kind != tokenName && t.kind != tokenQuoted || i+1 < len(tokens) && tokens[i+1].text == "." {
				continue
			}
			if findColumn(from.Columns, t.text) != nil && findColumn(from.Removed.Columns, t.text) == nil {
				c.diags.Errorf(e.at(t.offset), "removed-id", "the id needs column %q, which removed of source %q does not give", t.text, from.Name).
					WithRelated(from.Removed.Pos, "removed at")
				return nil
			}
		}
		out := *e
		out.Source = from.Removed
		if out.Column != "" {
			out.Column = findColumn(from.Removed.Columns, e.Column).Name
		}
		c.exprs = append(c.exprs, &out)
		return &out
	}
	out := &Key{Pos: id.Pos, Plain: id.Plain}
	for _, p := range id.Parts {
		if p.Value != nil {
			v := *p.Value
			v.Of = nil
			if p.Value.Expr != nil {
				if v.Expr = over(p.Value.Expr); v.Expr == nil {
					return nil
				}
			}
			for _, e := range p.Value.Of {
				o := over(e)
				if o == nil {
					return nil
				}
				v.Of = append(v.Of, o)
			}
			p.Value = &v
		}
		out.Parts = append(out.Parts, p)
	}
	return out
}

// untracked notes the sources that cannot say what changed (rule 29).
func (c *checker) untracked() {
	told := map[*Source]bool{}
	for _, m := range c.set.Mappings {
		from := m.From
		if told[from] {
			continue
		}
		told[from] = true
		if from.Removed != nil && from.Patient != nil && from.Removed.Patient == nil {
			c.diags.Warnf(from.Removed.Pos, "removed-patient", "removed of source %q gives no column %q, so that its deletions are told only where no patient is left out", from.Name, from.Patient.Name)
		}
		if from.Updated == nil {
			c.diags.Warnf(m.From.Pos, "no-updated", "source %q declares no updated; its resources are returned whatever _since says", m.From.Name)
		}
	}
}

func (c *checker) plainForm(t *syntax.Text) bool {
	switch {
	case t == nil || t.Value == "hash":
		return false
	case t.Value == "plain":
		return true
	}
	c.diags.Errorf(t.Pos, "unknown-form", "form %q is not known; expected hash or plain", t.Value)
	return false
}

// question is what the warehouse is asked of one source, and what it answers.
type question struct {
	query  *source.Query
	index  map[string]int // of each expression among the columns
	answer []source.Described
	err    error
}

// describe prepares all expressions, those of one source together.
func (c *checker) describe() error {
	groups := map[*Source][]*Expr{}
	var order []*Source
	for _, e := range c.exprs {
		if groups[e.Source] == nil {
			order = append(order, e.Source)
		}
		groups[e.Source] = append(groups[e.Source], e)
	}
	slices.SortStableFunc(order, func(a, b *Source) int { return cmp.Compare(a.Name, b.Name) })
	// The warehouse does the work, and takes several questions at once; what it
	// says is taken in order.
	questions := make([]question, len(order))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var asking sync.WaitGroup
	for i, s := range order {
		x := &questions[i]
		x.index = map[string]int{}
		x.query = &source.Query{From: s.Relation, Key: s.Key, Order: s.Order}
		for _, e := range groups[s] {
			if _, ok := x.index[e.SQL]; !ok {
				x.index[e.SQL] = len(x.query.Columns)
				x.query.Columns = append(x.query.Columns, source.Expr{SQL: e.SQL})
			}
		}
		asking.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			x.answer, x.err = c.env.Warehouse.Describe(c.ctx, x.query)
		})
	}
	asking.Wait()
	for i, s := range order {
		x := &questions[i]
		if x.err != nil {
			return fmt.Errorf("prepare the expressions of source %q: %w", s.Name, x.err)
		}
		if len(x.answer) != len(x.query.Columns) {
			return fmt.Errorf("prepare the expressions of source %q: %d answers for %d expressions", s.Name, len(x.answer), len(x.query.Columns))
		}
		for _, e := range groups[s] {
			d := x.answer[x.index[e.SQL]]
			if d.Err != nil {
				c.sqlError(e, d.Err)
				continue
			}
			e.Type = d.Type
			if d.Type.Kind == source.KindComposite {
				c.diags.Errorf(e.Pos, "not-scalar", "the expression gives %s; expected a single value", typeName(d.Type))
				e.Type.Kind = source.KindUnknown
			}
		}
	}
	return nil
}

// sqlError sets the warehouse's complaint on the place in the YAML.
func (c *checker) sqlError(e *Expr, err *source.SQLError) {
	offset := err.Offset
	if err.Name != "" {
		// The engine's offset may stand beside the name; the name itself is
		// the better place.
		if at := nameOffset(e.SQL, err.Name); at >= 0 && (offset < 0 || !strings.HasPrefix(strings.ToLower(e.SQL[min(offset, len(e.SQL)):]), strings.ToLower(err.Name))) {
			offset = at
		}
	}
	switch err.Code {
	case "unknown-column":
		name := err.Name
		if name == "" {
			name = wordAt(e.SQL, offset)
		}
		if name == "" {
			break
		}
		d := c.diags.Errorf(e.at(offset), "unknown-column", "column %q is not in source %q", name, e.Source.Name)
		c.columnHint(d, name, e.Source)
		return
	}
	code := cmp.Or(err.Code, "other")
	if code == "syntax" || code == "type" || code == "other" || code == "runtime" {
		code = "sql-" + code
	}
	c.diags.Errorf(e.at(offset), code, "%s", err.Message)
}

// columnHint names the nearest column, or the outer level that has the name.
func (c *checker) columnHint(d *diag.Diagnostic, name string, s *Source) {
	for p := s.Parent; p != nil; p = p.Parent {
		if findColumn(p.Columns, name) != nil {
			_ = d.WithHint("source %q has it: write %s.%s", p.Name, p.Name, name)
			return
		}
	}
	var all []string
	for _, col := range s.Columns {
		all = append(all, col.Name)
	}
	_ = d.WithHint("%s", diag.DidYouMean(name, all))
}

func nameOffset(sql, name string) int {
	tokens, _ := scanSQL(sql)
	last := name[strings.LastIndexByte(name, '.')+1:]
	for _, t := range tokens {
		if (t.kind == tokenName || t.kind == tokenQuoted) && strings.EqualFold(t.text, last) {
			return t.offset
		}
	}
	return -1
}

func wordAt(sql string, offset int) string {
	if offset < 0 {
		return ""
	}
	tokens, _ := scanSQL(sql)
	for _, t := range tokens {
		if offset >= t.offset && offset < t.offset+max(len(t.text), 1) && (t.kind == tokenName || t.kind == tokenQuoted) {
			return t.text
		}
	}
	return ""
}

func typeName(t source.Type) string {
	if t.Name != "" {
		return strings.ToLower(t.Name)
	}
	return [...]string{"an unknown type", "text", "integer", "decimal", "float", "boolean", "date", "timestamp", "timestamp with time zone", "uuid", "a record or list"}[t.Kind]
}
