// Package terminology answers what can be answered about codes without a
// terminology server: what a value set holds, whether a code is in it, what a
// code is called, and whether a code of a licensed system at least looks like
// one.
//
// Membership is three-valued. Many code systems of claims (CPT, NUBC, X12, NDC
// ...) are licensed and absent; a value set that draws from them is not empty,
// it is unknown, and [Unknown] is what [Service.Member] then says. A user may load
// licensed lists ([ReadList]); then the same questions have answers.
//
// The room finds definitions through a [Source] and knows nothing of packages,
// profiles or resources.
package terminology

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Tri is an answer that may be impossible to give offline.
type Tri uint8

// The three answers.
const (
	Unknown Tri = iota
	Yes
	No
)

// String is unknown, yes or no.
func (t Tri) String() string { return [...]string{"unknown", "yes", "no"}[t] }

// Coding is one code of an enumerable value set.
type Coding struct{ System, Code, Display string }

// Definition is one found definition.
type Definition struct {
	JSON   []byte // not changed by who gets it
	Within string // whatever the Source wants to be told when this definition names another
}

// Source finds definitions. Both functions take a canonical, with "|version" or
// without, and the Within of the definition that names it ("" for none): so a
// guide's value set draws from the code system of that guide's own version.
type Source interface {
	ValueSet(canonical, within string) (Definition, bool)
	CodeSystem(canonical, within string) (Definition, bool)
}

// Service expands code systems and value sets on first use and keeps them. It
// is safe for concurrent use.
type Service struct {
	source Source
	lists  map[string]*CodeSystem // user-supplied, by system

	mu      sync.Mutex
	systems map[string]*CodeSystem
	sets    atomic.Pointer[map[string]*ValueSet]
}

// New makes a Service of a source and the user's lists. A list adds to a code
// system that the source holds in full, and stands for one that it does not.
func New(source Source, lists ...*List) (*Service, error) {
	s := &Service{source: source, lists: map[string]*CodeSystem{}, systems: map[string]*CodeSystem{}}
	s.sets.Store(&map[string]*ValueSet{})
	for _, l := range lists {
		for _, cs := range l.systems {
			if have := s.lists[cs.URL]; have != nil {
				have.merge(cs)
			} else {
				s.lists[cs.URL] = cs
			}
		}
	}
	for _, l := range lists {
		for _, raw := range l.sets {
			var d valueSet
			if err := json.Unmarshal(raw, &d); err != nil {
				return nil, err
			}
			s.keep(d.URL+" user", s.expand(&d, scope{chain: []string{d.URL}}))
		}
	}
	return s, nil
}

// Member says whether a code is in a value set. An empty system asks by code
// alone, as for an element of type code, whose system the value set implies.
func (s *Service) Member(set, system, code string) Tri {
	vs := s.ValueSet(set)
	if vs == nil {
		return Unknown
	}
	return vs.Member(bytesOf(system), bytesOf(code))
}

// bytesOf views a string as bytes, which are only read.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// ValueSet gives the expansion of a value set by canonical, or nil if it is not
// loaded.
func (s *Service) ValueSet(canonical string) *ValueSet {
	if vs, ok := (*s.sets.Load())[canonical]; ok {
		return vs
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.valueSet(canonical, scope{})
}

// scope is where a definition names another: within whose package, and by
// which chain of value sets, so that one that includes itself ends.
type scope struct {
	within string
	chain  []string
}

func (sc scope) key(canonical string) string {
	if sc.within == "" {
		return canonical
	}
	return canonical + " " + sc.within
}

// valueSet expands with s.mu held.
func (s *Service) valueSet(canonical string, sc scope) *ValueSet {
	key := sc.key(canonical)
	if vs, ok := (*s.sets.Load())[key]; ok {
		return vs
	}
	url, _, _ := strings.Cut(canonical, "|")
	if slices.Contains(sc.chain, url) {
		return nil
	}
	// A user's own value set stands before a bundled one of that name.
	vs := (*s.sets.Load())[url+" user"]
	if vs == nil {
		if def, ok := s.source.ValueSet(canonical, sc.within); ok {
			var d valueSet
			if json.Unmarshal(def.JSON, &d) == nil {
				vs = s.expand(&d, scope{def.Within, append(slices.Clip(sc.chain), url)})
			}
		}
	}
	s.keep(key, vs)
	return vs
}

// keep publishes an expansion: readers see the old map or the new one.
func (s *Service) keep(key string, vs *ValueSet) {
	old := *s.sets.Load()
	grown := make(map[string]*ValueSet, len(old)+1)
	maps.Copy(grown, old)
	grown[key] = vs
	s.sets.Store(&grown)
}

// CodeSystem gives a code system by canonical, or nil if nothing is known of
// it. A system known by name alone has no codes and is not complete.
func (s *Service) CodeSystem(canonical string) *CodeSystem {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.codeSystem(canonical, "")
}

func (s *Service) codeSystem(canonical, within string) *CodeSystem {
	key := scope{within: within}.key(canonical)
	if cs, ok := s.systems[key]; ok {
		return cs
	}
	var cs *CodeSystem
	if def, ok := s.source.CodeSystem(canonical, within); ok {
		cs, _ = parseCodeSystem(def.JSON)
	}
	url, _, _ := strings.Cut(canonical, "|")
	if list := s.lists[url]; list != nil {
		if cs != nil && cs.Complete {
			cs.merge(list)
		} else {
			cs = list
		}
	}
	s.systems[key] = cs
	return cs
}

// Display is the display text of a code, or "".
func (s *Service) Display(system, code string) string {
	cs := s.CodeSystem(system)
	if cs == nil {
		return ""
	}
	if i, ok := cs.find(code); ok {
		return cs.concepts[i].display
	}
	return ""
}
