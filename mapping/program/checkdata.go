package program

import (
	"cmp"
	"context"
	"hash/maphash"
	"slices"

	"remit/mapping/diag"
	"remit/profiles/r4"
	"remit/sql/source"
)

// DataReport counts what is wrong with the keys of a warehouse, as far as the
// mapping set reads it (rule 21). It holds no values.
type DataReport struct {
	Sources    []SourceData    `json:"sources"`
	IDs        []IDData        `json:"ids"`
	References []ReferenceData `json:"references"`
}

// Clean says that nothing is wrong.
func (d *DataReport) Clean() bool {
	return !slices.ContainsFunc(d.Sources, func(s SourceData) bool { return s.NullKeys+s.Orphans+s.Duplicates > 0 }) &&
		!slices.ContainsFunc(d.IDs, func(i IDData) bool { return i.Duplicates > 0 }) &&
		!slices.ContainsFunc(d.References, func(r ReferenceData) bool { return r.Dangling > 0 })
}

// SourceData counts the rows of one source.
type SourceData struct {
	Source string `json:"source"`
	Rows   int64  `json:"rows"`
	// NullKeys have a NULL in their key, Orphans no parent, and Duplicates the
	// key (and order) of another row.
	NullKeys   int64 `json:"null_keys"`
	Orphans    int64 `json:"orphans"`
	Duplicates int64 `json:"duplicates"`
}

// IDData counts the resources of one type.
type IDData struct {
	Type       string `json:"type"`
	Resources  int64  `json:"resources"`
	Duplicates int64  `json:"duplicates"` // that have the id of another
}

// ReferenceData counts the references that one place of the set writes.
type ReferenceData struct {
	Pos        diag.Pos `json:"pos"`
	Target     string   `json:"target"`
	References int64    `json:"references"`
	Dangling   int64    `json:"dangling"` // whose target no row makes
}

// sourceData gathers counts by source over the passes of a run.
type sourceData struct{ list []SourceData }

func (d *sourceData) add(name string, rows, nullKeys, twice, orphans int64) {
	i := slices.IndexFunc(d.list, func(s SourceData) bool { return s.Source == name })
	if i < 0 {
		i = len(d.list)
		d.list = append(d.list, SourceData{Source: name})
	}
	s := &d.list[i]
	s.Rows, s.NullKeys, s.Duplicates, s.Orphans = s.Rows+rows, s.NullKeys+nullKeys, s.Duplicates+twice, s.Orphans+orphans
}

// DefaultIDs is how many ids CheckData keeps in memory at once, eight bytes
// each.
const DefaultIDs = 32 << 20

// CheckData reads the whole warehouse and counts NULL keys, orphans, keys and
// ids that occur twice, and references that lead nowhere. It runs the mappings
// themselves, so that what it counts is what an export meets. Ids are compared
// by 64 bits of their hash; of more than maxIDs (0 means DefaultIDs) they are
// compared in several rounds, each of which reads the warehouse again.
func (p *Program) CheckData(ctx context.Context, snap source.Snapshot, maxIDs int) (*DataReport, error) {
	if maxIDs <= 0 {
		maxIDs = DefaultIDs
	}
	c := &dataCheck{p: p, max: maxIDs, rounds: 1, seed: maphash.MakeSeed(), types: map[string]*IDData{}, places: map[place]*ReferenceData{}}
	out := &DataReport{}
	for round := uint64(0); round < c.rounds; round++ {
		c.round, c.ids = round, c.ids[:0]
		sources := &sourceData{}
		if _, err := p.Run(ctx, snap, Request{lenient: true, sources: sources}, c.collect); err != nil {
			return nil, err
		}
		if round == 0 {
			out.Sources = sources.list
		}
		c.duplicates()
		if _, err := p.Run(ctx, snap, Request{lenient: true}, c.resolve); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out.Sources, func(a, b SourceData) int { return cmp.Compare(a.Source, b.Source) })
	for _, t := range c.types {
		out.IDs = append(out.IDs, *t)
	}
	slices.SortFunc(out.IDs, func(a, b IDData) int { return cmp.Compare(a.Type, b.Type) })
	for _, r := range c.places {
		out.References = append(out.References, *r)
	}
	slices.SortFunc(out.References, func(a, b ReferenceData) int { return cmp.Or(a.Pos.Compare(b.Pos), cmp.Compare(a.Target, b.Target)) })
	return out, nil
}

// place is where references of one target type are written.
type place struct {
	origin r4.Origin
	target string
}

type dataCheck struct {
	p      *Program
	max    int
	round  uint64
	rounds uint64 // a power of two: each takes the hashes that leave its number
	seed   maphash.Seed
	ids    []typedID
	types  map[string]*IDData
	places map[place]*ReferenceData
	key    []byte
}

type typedID struct {
	hash uint64
	typ  string
}

func (c *dataCheck) hash(typ string, id []byte) uint64 {
	c.key = append(append(append(c.key[:0], typ...), '/'), id...)
	return maphash.Bytes(c.seed, c.key)
}

// collect keeps the ids of the round.
func (c *dataCheck) collect(e *Emitted) error {
	t := c.types[e.Type]
	if t == nil {
		t = &IDData{Type: e.Type}
		c.types[e.Type] = t
	}
	h := c.hash(e.Type, e.ID)
	if len(e.ID) == 0 || h%c.rounds != c.round {
		return nil
	}
	t.Resources++
	c.ids = append(c.ids, typedID{h, t.Type})
	if len(c.ids) > c.max && c.round == 0 {
		// Half of them must wait for a later round.
		c.rounds *= 2
		kept := c.ids[:0]
		for _, id := range c.ids {
			if id.hash%c.rounds == 0 {
				kept = append(kept, id)
				continue
			}
			c.types[id.typ].Resources--
		}
		c.ids = kept
	}
	return nil
}

// duplicates sorts the ids and counts those that stand twice.
func (c *dataCheck) duplicates() {
	slices.SortFunc(c.ids, func(a, b typedID) int { return cmp.Compare(a.hash, b.hash) })
	for i := 1; i < len(c.ids); i++ {
		if c.ids[i].hash == c.ids[i-1].hash {
			c.types[c.ids[i].typ].Duplicates++
		}
	}
}

// resolve looks up the references of a resource.
func (c *dataCheck) resolve(e *Emitted) error {
	reference := r4.Lookup("Reference").Element("reference")
	for n := r4.Root; int(n) < e.Resource.Len(); n++ {
		if e.Resource.ElementOf(n) != reference || !e.Resource.HasValue(n) {
			continue
		}
		h := maphash.Bytes(c.seed, e.Resource.Value(n))
		if h%c.rounds != c.round {
			continue
		}
		target, _, ok := cutType(e.Resource.Value(n))
		if !ok || c.types[target] == nil {
			continue // no reference of a key: an address as the data have it
		}
		at := place{e.Resource.Origin(n), target}
		r := c.places[at]
		if r == nil {
			r = &ReferenceData{Pos: c.p.Position(at.origin), Target: target}
			c.places[at] = r
		}
		r.References++
		if _, found := slices.BinarySearchFunc(c.ids, h, func(t typedID, h uint64) int { return cmp.Compare(t.hash, h) }); !found {
			r.Dangling++
		}
	}
	return nil
}

// cutType splits Type/id.
func cutType(reference []byte) (typ, id string, ok bool) {
	for i, c := range reference {
		if c == '/' {
			return string(reference[:i]), string(reference[i+1:]), true
		}
	}
	return "", "", false
}
