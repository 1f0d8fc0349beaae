package program

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"remit/mapping/check"
	"remit/sql/source"
)

// PatientType is the resource type whose ids name patients.
const PatientType = "Patient"

// Index finds the rows of one resource type by the resource's id. An id is a
// hash of the business key, which nothing but the keys themselves can lead
// back: an Index is one walk over them, kept in about 20 bytes a row beside
// the key. It is immutable and safe for concurrent use.
//
// It is a hint, not a store: it names rows of the snapshot it was made on, and
// whoever follows it runs them anew.
type Index struct {
	seed  maphash.Seed
	marks []mark
	rows  []byte
}

type mark struct {
	sum uint64
	at  uint32
}

// ErrIndexTooLarge says that the rows of a type do not fit the budget of an
// index.
var ErrIndexTooLarge = errors.New("too many rows for an index")

// maxIndexBytes bounds what an index can address.
const maxIndexBytes = math.MaxUint32

// Index walks the rows of a type that r asks for. budget bounds its memory in
// bytes. Error: ErrIndexTooLarge.
func (p *Program) Index(ctx context.Context, snap source.Snapshot, r Request, budget int64) (*Index, error) {
	x := &Index{seed: maphash.MakeSeed()}
	budget = min(budget, maxIndexBytes)
	err := p.Rows(ctx, snap, r, 0, func(f *Found) error {
		if f.ID == nil {
			return nil
		}
		at := len(x.rows)
		x.rows = binary.AppendUvarint(x.rows, uint64(f.Pass))
		x.rows = binary.AppendUvarint(x.rows, uint64(len(f.Key)))
		for _, part := range f.Key {
			x.rows = binary.AppendUvarint(x.rows, uint64(len(part)))
			x.rows = append(x.rows, part...)
		}
		if !f.Owned {
			x.rows = binary.AppendUvarint(x.rows, 0)
		} else {
			x.rows = binary.AppendUvarint(x.rows, uint64(len(f.Patient))+1)
			x.rows = append(x.rows, f.Patient...)
		}
		if int64(len(x.rows))+16*int64(len(x.marks)+1) > budget {
			return ErrIndexTooLarge
		}
		x.marks = append(x.marks, mark{maphash.Bytes(x.seed, f.ID), uint32(at)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	x.marks, x.rows = slices.Clip(x.marks), slices.Clip(x.rows)
	slices.SortFunc(x.marks, func(a, b mark) int { return cmp.Or(cmp.Compare(a.sum, b.sum), cmp.Compare(a.at, b.at)) })
	return x, nil
}

// Len is how many rows the index knows.
func (x *Index) Len() int { return len(x.marks) }

// Find lists the rows that made the id, in the order of the walk; now and then
// one that made another id of the same hash. ID is not set.
func (x *Index) Find(id string) []Found {
	sum := maphash.String(x.seed, id)
	i, _ := slices.BinarySearchFunc(x.marks, sum, func(m mark, s uint64) int { return cmp.Compare(m.sum, s) })
	var out []Found
	for ; i < len(x.marks) && x.marks[i].sum == sum; i++ {
		out = append(out, x.row(x.rows[x.marks[i].at:]))
	}
	return out
}

func (x *Index) row(b []byte) Found {
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		b = b[n:]
		return v
	}
	take := func(n uint64) string {
		s := string(b[:n])
		b = b[n:]
		return s
	}
	f := Found{Row: Row{Pass: int(number())}}
	f.Key = make([]string, number())
	for i := range f.Key {
		f.Key[i] = take(number())
	}
	if n := number(); n > 0 {
		f.Patient, f.Owned = take(n-1), true
	}
	return f
}

// maxSplits bounds the ways in which one plain id is taken apart.
const maxSplits = 64

// Recover tells the rows that can make an id whose key can be read from it: a
// plain id (rule 22) made of key columns alone. ok is false where some mapping
// of the type makes ids that tell nothing of their key; a walk must then find
// it. That a row is named does not mean that it exists.
func (p *Program) Recover(resourceType, view, id string) (rows []Row, ok bool) {
	r := Request{Types: []string{resourceType}, Views: []string{view}}
	for i := range p.passes {
		for _, m := range p.wanted(i, &r) {
			keys, ok := recoverKeys(m, id)
			if !ok {
				return nil, false
			}
			for _, k := range keys {
				rows = append(rows, Row{Pass: i + 1, Key: k})
			}
		}
	}
	return rows, true
}

// recoverKeys takes a plain id apart into the key of the mapping's source.
func recoverKeys(m *check.Mapping, id string) (keys [][]string, ok bool) {
	if !m.ID.Plain {
		return nil, false
	}
	// Where each part of the id stands in the key; -1 for a literal.
	at := make([]int, len(m.ID.Parts))
	seen := make([]bool, len(m.From.Key))
	for i, part := range m.ID.Parts {
		at[i] = -1
		if part.Value == nil {
			continue
		}
		if part.Value.Expr == nil || part.Value.Expr.Column == "" {
			return nil, false
		}
		k := slices.IndexFunc(m.From.Key, func(c source.KeyColumn) bool { return strings.EqualFold(c.Name, part.Value.Expr.Column) })
		if k < 0 {
			return nil, false
		}
		switch m.From.Key[k].Type.Kind {
		case source.KindText, source.KindInteger, source.KindDate, source.KindUUID:
		default:
			return nil, false
		}
		at[i], seen[k] = k, true
	}
	if slices.Contains(seen, false) {
		return nil, false
	}
	n := 0
	var split func(rest string, i int, key []string) bool
	split = func(rest string, i int, key []string) bool {
		last := i == len(at)-1
		for end := 0; end <= len(rest); end++ {
			if !last && (end == len(rest) || rest[end] != '-') || last && end != len(rest) {
				continue
			}
			word := rest[:end]
			if at[i] < 0 && word != m.ID.Parts[i].Literal {
				continue
			}
			next := slices.Clone(key)
			if at[i] >= 0 {
				kind := m.From.Key[at[i]].Type.Kind
				if !canonical(kind, word) {
					continue // no value of the column reads so
				}
				if kind == source.KindInteger && !fitsInt64(word) {
					return false // few columns hold it, and asking the others would be an error
				}
				if had := next[at[i]]; had != "" && had != word {
					continue
				}
				next[at[i]] = word
			}
			if last {
				if n++; n > maxSplits {
					return false
				}
				keys = append(keys, next)
				continue
			}
			if !split(rest[end+1:], i+1, next) {
				return false
			}
		}
		return true
	}
	if !split(id, 0, make([]string, len(m.From.Key))) {
		return nil, false
	}
	return keys, true
}

var canonicalForms = map[source.Kind]*regexp.Regexp{
	source.KindInteger: regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`),
	source.KindDate:    regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`),
	source.KindUUID:    regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`),
}

func fitsInt64(word string) bool {
	_, err := strconv.ParseInt(word, 10, 64)
	return err == nil
}

// canonical says that a value of the kind can read so: asking the engine to
// compare with anything else would be an error of the query.
func canonical(kind source.Kind, word string) bool {
	form := canonicalForms[kind]
	if form == nil {
		return word != "" && !strings.ContainsRune(word, 0)
	}
	if !form.MatchString(word) {
		return false
	}
	if kind == source.KindDate {
		_, err := time.Parse(time.DateOnly, word)
		return err == nil
	}
	return true
}
