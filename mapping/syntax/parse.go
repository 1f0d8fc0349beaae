package syntax

import (
	"path"
	"strings"

	"go.yaml.in/yaml/v3"

	"remit/mapping/diag"
)

var (
	sourcesKeys  = []string{"currency", "timezone", "dates", "money", "empty", "trim", "with", "sources", "maps", "systems"}
	queryKeys    = []string{"has", "sql", "patient"}
	sourceKeys   = []string{"table", "sql", "unpivot", "n", "columns", "where", "parent", "key", "order", "header", "patient", "updated", "removed", "unique", "currency", "timezone", "dates", "money", "empty", "trim"}
	mappingKeys  = []string{"resource", "profile", "from", "where", "id", "set", "views", "unmapped"}
	viewKeys     = []string{"profile", "drop"}
	idKeys       = []string{"key", "form", "unique"}
	emptyKeys    = []string{"text", "date"}
	fileKeys     = []string{"csv", "xlsx", "conceptmap", "sheet", "group", "key", "value", "default", "missing"}
	controlNames = map[string]bool{
		"each": true, "where": true, "when": true, "key": true, "absent": true, "assumed": true, "first": true,
		"ref": true, "map": true, "of": true, "get": true, "seq": true, "raw": true, "codes": true,
	}
)

// ParseSources reads sources.yaml. It returns what could be read, or nil where
// the file is no YAML map; all mistakes are in diags.
func ParseSources(name string, data []byte, diags *diag.List) *Sources {
	w, top := open(name, data, diags)
	if w == nil {
		return nil
	}
	out := &Sources{Pos: w.pos(top)}
	w.pairs(top, "the keys of sources.yaml", func(k, v *yaml.Node) {
		switch k.Value {
		case "with":
			w.pairs(v, "queries by name", func(k, v *yaml.Node) {
				if q := w.query(k, v); q != nil {
					out.With = append(out.With, q)
				}
			})
		case "sources":
			w.pairs(v, "sources by name", func(k, v *yaml.Node) {
				if s := w.source(k, v); s != nil {
					out.Sources = append(out.Sources, s)
				}
			})
		case "maps":
			w.pairs(v, "maps by name", func(k, v *yaml.Node) {
				if m := w.codeMap(k, v); m != nil {
					out.Maps = append(out.Maps, m)
				}
			})
		case "systems":
			w.pairs(v, "code systems by name", func(k, v *yaml.Node) {
				if u := w.scalar(v, "the URL of a code system"); u != nil {
					out.Systems = append(out.Systems, &System{Name: w.text(k), URL: u})
				}
			})
		default:
			if !w.defaults(&out.Defaults, k, v) {
				w.unknown(k, "sources.yaml", sourcesKeys)
			}
		}
	})
	return out
}

// defaults reads the settings that a set and a source share.
func (w *walker) defaults(d *Defaults, k, v *yaml.Node) bool {
	switch k.Value {
	case "currency":
		d.Currency = w.scalar(v, "a currency code")
	case "timezone":
		d.Timezone = w.scalar(v, "a time zone name")
	case "dates":
		d.Dates = w.scalars(v, "a date format")
	case "money":
		d.Money = w.scalars(v, "a money format")
	case "trim":
		d.Trim = w.scalar(v, "true or false")
	case "empty":
		e := &Empty{Pos: w.pos(k)}
		w.pairs(v, "the lists text and date", func(k, v *yaml.Node) {
			switch k.Value {
			case "text":
				e.Text = w.scalars(v, "a text")
			case "date":
				e.Date = w.scalars(v, "a date")
			default:
				w.unknown(k, "empty", emptyKeys)
			}
		})
		d.Empty = e
	default:
		return false
	}
	return true
}

func (w *walker) query(name, n *yaml.Node) *Query {
	q := &Query{Pos: w.pos(name), Name: w.text(name)}
	ok := w.pairs(n, "the keys of a query", func(k, v *yaml.Node) {
		switch k.Value {
		case "has":
			w.pairs(v, "SQL by table or column", func(k, v *yaml.Node) {
				if t := w.scalar(v, "a file name or SQL"); t != nil {
					q.Has = append(q.Has, &Pair{Key: w.text(k), Value: t})
				}
			})
		case "sql":
			q.SQL = w.scalar(v, "a file name or SQL")
		case "patient":
			q.Patient = w.scalar(v, "a column name")
		default:
			w.unknown(k, "a query", queryKeys)
			q.Broken = true
		}
	})
	if !ok {
		return nil
	}
	return q
}

func (w *walker) source(name, n *yaml.Node) *Source {
	s := &Source{Pos: w.pos(name), Name: w.text(name)}
	ok := w.pairs(n, "the keys of a source", func(k, v *yaml.Node) {
		switch k.Value {
		case "table":
			s.Table = w.scalar(v, "a table name")
		case "sql":
			s.SQL = w.scalar(v, "a file name or SQL")
		case "unpivot":
			s.Unpivot = w.scalar(v, "a source name")
		case "n":
			s.N = w.scalar(v, "a range such as 1..25")
		case "columns":
			w.pairs(v, "column patterns by name", func(k, v *yaml.Node) {
				if p := w.scalar(v, "a column pattern with {n}"); p != nil {
					s.Columns = append(s.Columns, &Pair{Key: w.text(k), Value: p})
				}
			})
		case "where":
			s.Where = w.scalar(v, "an SQL condition")
		case "parent":
			s.Parent = w.scalar(v, "a source name")
		case "key":
			if v.Kind == yaml.MappingNode {
				w.pairs(v, "columns", func(k, v *yaml.Node) {
					if t := w.scalar(v, "a column of the parent"); t != nil {
						s.Key = append(s.Key, w.text(k))
						s.KeyOf = append(s.KeyOf, t)
					}
				})
				break
			}
			s.Key = w.scalars(v, "a column name")
		case "order":
			s.Order = w.scalars(v, "a column name")
		case "header":
			s.Header = w.scalar(v, "assert, first or withhold")
		case "removed":
			s.Removed = w.scalar(v, "a file name or SQL")
		case "patient":
			s.Patient = w.scalar(v, "a column name")
		case "updated":
			s.Updated = w.scalar(v, "a column name")
		case "unique":
			s.Unique = w.scalar(v, "true or false")
		default:
			if !w.defaults(&s.Defaults, k, v) {
				w.unknown(k, "a source", sourceKeys)
				s.Broken = true
			}
		}
	})
	if !ok {
		return nil
	}
	return s
}

func (w *walker) codeMap(name, n *yaml.Node) *Map {
	m := &Map{Pos: w.pos(name), Name: w.text(name)}
	file := false
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			switch n.Content[i].Value {
			case "csv", "xlsx", "conceptmap":
				file = true
			}
		}
	}
	ok := w.pairs(n, "codes and their targets", func(k, v *yaml.Node) {
		switch {
		case k.Value == "default":
			m.Default = w.scalar(v, "a target")
		case k.Value == "missing":
			m.Missing = w.scalar(v, "omit, withhold or fail")
		case file && k.Value == "csv":
			m.CSV = w.scalar(v, "a file name")
		case file && k.Value == "xlsx":
			m.XLSX = w.scalar(v, "a file name")
		case file && k.Value == "conceptmap":
			m.ConceptMap = w.scalar(v, "a file name")
		case file && k.Value == "sheet":
			m.Sheet = w.scalar(v, "the name of a sheet")
		case file && k.Value == "group":
			m.Group = w.scalar(v, "the URL of a source system")
		case file && k.Value == "key":
			m.Key = w.scalars(v, "a column name")
		case file && k.Value == "value":
			m.Value = w.scalars(v, "a column name")
		case file:
			w.unknown(k, "a map from a file", fileKeys)
		default:
			if t := w.scalar(v, "a target"); t != nil {
				m.Entries = append(m.Entries, &Pair{Key: w.text(k), Value: t})
			}
		}
	})
	if !ok {
		return nil
	}
	return m
}

// ParseMapping reads a mapping file. It returns what could be read, or nil
// where the file is no YAML map; all mistakes are in diags.
func ParseMapping(name string, data []byte, diags *diag.List) *Mapping {
	w, top := open(name, data, diags)
	if w == nil {
		return nil
	}
	m := &Mapping{Pos: w.pos(top), Name: strings.TrimSuffix(path.Base(name), path.Ext(name))}
	w.pairs(top, "the keys of a mapping", func(k, v *yaml.Node) {
		switch k.Value {
		case "resource":
			m.Resource = w.scalar(v, "a resource type")
		case "profile":
			m.Profiles = w.scalars(v, "a profile")
		case "from":
			m.From = w.scalar(v, "a source name")
		case "where":
			m.Where = w.scalar(v, "an SQL condition")
		case "id":
			m.ID = w.id(k, v)
		case "set":
			if v.Kind != yaml.MappingNode {
				w.pairs(v, "element paths", nil)
				break
			}
			m.Set = w.node(v)
		case "views":
			w.pairs(v, "views by name", func(k, v *yaml.Node) { m.Views = append(m.Views, w.view(k, v)) })
		case "unmapped":
			w.pairs(v, "reasons by element path", func(k, v *yaml.Node) {
				path, why := w.path(w.text(k)), w.scalar(v, "a reason")
				if path != nil && why != nil {
					m.Unmapped = append(m.Unmapped, &Reason{Path: path, Why: why})
				}
			})
		default:
			w.unknown(k, "a mapping", mappingKeys)
			m.Broken = true
		}
	})
	return m
}

func (w *walker) view(name, n *yaml.Node) *View {
	out := &View{Name: w.text(name)}
	w.pairs(n, "the keys of a view", func(k, v *yaml.Node) {
		switch k.Value {
		case "profile":
			out.Profiles = w.scalars(v, "a profile")
		case "drop":
			for _, t := range w.scalars(v, "an element path") {
				if p := w.path(t); p != nil {
					out.Drop = append(out.Drop, p)
				}
			}
		default:
			w.unknown(k, "a view", viewKeys)
		}
	})
	return out
}

func (w *walker) id(key, n *yaml.Node) *ID {
	id := &ID{Pos: w.pos(key)}
	w.pairs(n, "the keys of id", func(k, v *yaml.Node) {
		switch k.Value {
		case "key":
			id.Key = w.values(v)
		case "form":
			id.Form = w.scalar(v, "hash or plain")
		case "unique":
			id.Unique = w.scalar(v, "true or false")
		default:
			w.unknown(k, "id", idKeys)
		}
	})
	return id
}

// values reads a list of values; one value alone is a list of one.
func (w *walker) values(n *yaml.Node) []*Node {
	if n.Kind != yaml.SequenceNode {
		if v := w.node(n); v != nil {
			return []*Node{v}
		}
		return nil
	}
	if len(n.Content) == 0 {
		w.emptyValue(n, "a list of values")
	}
	var out []*Node
	for _, c := range n.Content {
		if v := w.node(c); v != nil {
			out = append(out, v)
		}
	}
	return out
}

// node reads a value of set.
func (w *walker) node(n *yaml.Node) *Node {
	out := &Node{Pos: w.pos(n)}
	switch n.Kind {
	case yaml.ScalarNode:
		if out.Text = w.scalar(n, "a value"); out.Text == nil {
			return nil
		}
		return out
	case yaml.SequenceNode:
		out.List = w.values(n)
		if len(out.List) == 0 {
			return nil
		}
		return out
	}
	if len(n.Content) == 0 {
		w.emptyValue(n, "element paths")
		return nil
	}
	w.pairs(n, "element paths", func(k, v *yaml.Node) {
		if controlNames[k.Value] {
			w.control(out, k, v)
			return
		}
		p, c := w.path(w.text(k)), w.node(v)
		if p == nil || c == nil {
			out.Broken = true
			return
		}
		out.Entries = append(out.Entries, &Entry{Path: p, Node: c})
	})
	return out
}

// control reads a word of the language into n.
func (w *walker) control(n *Node, k, v *yaml.Node) {
	switch k.Value {
	case "each":
		n.Each = w.scalar(v, "a source name")
	case "where":
		n.Where = w.scalar(v, "an SQL condition")
	case "when":
		n.When = w.scalar(v, "SQL that starts with =")
		if n.When != nil && !n.When.IsSQL() {
			w.diags.Errorf(n.When.Pos, "not-sql", "when takes SQL that starts with =, found a literal")
			n.When = nil
		}
	case "key":
		n.Key = w.values(v)
		n.KeyPos = w.pos(k)
	case "absent":
		n.Absent = w.scalar(v, "a data-absent-reason code")
	case "assumed":
		n.Assumed = w.node(v)
	case "first":
		if v.Kind != yaml.SequenceNode {
			w.diags.Errorf(w.pos(v), "wrong-kind", "expected a list of values, found %s", kindName(v))
			return
		}
		n.First = w.values(v)
	case "ref":
		n.Ref = w.scalar(v, "a resource type")
	case "map":
		n.Map = w.scalar(v, "the name of a map")
	case "of":
		n.Of = w.values(v)
	case "get":
		n.Get = w.scalar(v, "a column of the map")
	case "raw":
		n.Raw = w.scalar(v, "true or false")
	case "codes":
		n.Codes = w.values(v)
	case "seq":
		if t := w.scalar(v, "an element"); t != nil {
			n.Seq = w.path(t)
		}
	}
}
