package search

import (
	"strings"
	"sync"

	"remit/profiles/r4"
)

// Link finds the resource of one type that a resource of another belongs to: by
// the search parameter named like that type ("patient"), else by the first
// reference of the resource that leads to one. It is immutable and safe for
// concurrent use.
type Link struct {
	target string
	param  *Parameter
	pool   sync.Pool // of *matcher
}

// Link makes the link from a resource type to another, or to itself.
func (p *Parameters) Link(resourceType, target string) *Link {
	l := &Link{target: target}
	l.pool.New = func() any { return newMatcher("") }
	if q := p.Lookup(resourceType, strings.ToLower(target)); q != nil && q.Kind == Reference && resourceType != target {
		if _, err := q.expression(); err == nil {
			l.param = q
		}
	}
	return l
}

// leads reads the id from a reference to the target type.
func (l *Link) leads(ref string) (id []byte, ok bool) {
	typ, rest, ok := relative(ref)
	return []byte(rest), ok && typ == l.target
}

// ID is the id of the resource that r belongs to; ok is false where it belongs
// to none.
func (l *Link) ID(r *r4.Resource) (id []byte, ok bool) {
	if t := r.Type(); t != nil && t.Name() == l.target {
		return append([]byte(nil), r.ID()...), true
	}
	if l.param != nil {
		m := l.pool.Get().(*matcher)
		defer l.pool.Put(m)
		if items, err := l.param.compiled.Items(&m.env, r, r4.Root); err == nil {
			for _, item := range items {
				if r, n, ok := item.Node(); ok {
					if id, ok := l.leads(text(r, n, "reference")); ok {
						return id, true
					}
				}
			}
		}
	}
	reference := r4.Lookup("Reference").Element("reference")
	for n := r4.Root; int(n) < r.Len(); n++ {
		if r.ElementOf(n) == reference && r.Parent(n) != r4.None {
			if id, ok := l.leads(view(r.Value(n))); ok {
				return id, true
			}
		}
	}
	return nil, false
}
