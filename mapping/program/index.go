package program

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"hash/maphash"
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
	marks []mark   // sorted by sum
	pages [][]byte // the rows, none over the end of a page
}

// mark tells where the row of an id stands.
type mark struct {
	sum uint64 // of the id
	at  uint32 // number of the page, and the place there in pageBits
}

// A page is no larger than its places can be told, and the first ones are small:
// most types have few rows.
const (
	pageBits  = 20
	firstPage = 4 << 10
	maxPage   = 1 << pageBits
	maxPages  = 1 << (32 - pageBits)
	markBytes = 16
)

// ErrIndexTooLarge says that there is no room for an index of all rows of a type.
var ErrIndexTooLarge = errors.New("too many rows for an index")

// Room is asked before memory is taken, with its bytes, and says whether it may
// be; it is told with a negative number what is given back, which cannot fail.
type Room func(bytes int64) bool

// Index walks the rows of a type that r asks for. What the index takes, Bytes in
// the end and a little more while its marks grow, was granted by room before; where
// there is an error, all of it has been given back. Error: ErrIndexTooLarge.
func (p *Program) Index(ctx context.Context, snap source.Snapshot, r Request, room Room) (*Index, error) {
	b := NewIndexBuilder(room)
	if err := p.Rows(ctx, snap, r, 0, b.Add); err != nil {
		b.Drop()
		return nil, err
	}
	return b.Index(), nil
}

// IndexBuilder makes an Index row by row. It is used by one goroutine, and ends
// with Index or Drop.
type IndexBuilder struct {
	x    *Index
	room Room
}

// NewIndexBuilder makes a builder that asks room for what it takes.
func NewIndexBuilder(room Room) *IndexBuilder {
	return &IndexBuilder{x: &Index{seed: maphash.MakeSeed()}, room: room}
}

// Add takes a row in, unless it made no id. Error: ErrIndexTooLarge.
func (b *IndexBuilder) Add(f *Found) error {
	if f.ID == nil {
		return nil
	}
	x := b.x
	if err := b.makeRoom(f); err != nil {
		return err
	}
	last := len(x.pages) - 1
	page := x.pages[last]
	at := uint32(last)<<pageBits | uint32(len(page))
	page = binary.AppendUvarint(page, uint64(f.Pass))
	page = binary.AppendUvarint(page, uint64(len(f.Key)))
	for _, part := range f.Key {
		page = binary.AppendUvarint(page, uint64(len(part)))
		page = append(page, part...)
	}
	if !f.Owned {
		page = binary.AppendUvarint(page, 0)
	} else {
		page = binary.AppendUvarint(page, uint64(len(f.Patient))+1)
		page = append(page, f.Patient...)
	}
	x.pages[last] = page
	x.marks = append(x.marks, mark{maphash.Bytes(x.seed, f.ID), at})
	return nil
}

// makeRoom begins a page or moves the marks where what is there does not hold the
// row.
func (b *IndexBuilder) makeRoom(f *Found) error {
	x := b.x
	size := 3*binary.MaxVarintLen64 + len(f.Patient) // at most
	for _, part := range f.Key {
		size += binary.MaxVarintLen64 + len(part)
	}
	if n := len(x.pages); n == 0 || cap(x.pages[n-1])-len(x.pages[n-1]) < size {
		page := firstPage
		if n > 0 {
			page = min(2*cap(x.pages[n-1]), maxPage)
		}
		for page < size {
			page *= 2
		}
		if page > maxPage || n == maxPages || !b.room(int64(page)) {
			return ErrIndexTooLarge
		}
		x.pages = append(x.pages, make([]byte, 0, page))
	}
	if n := len(x.marks); n == cap(x.marks) {
		// Old and new are both there until all is copied.
		grown := n + n/2 + 64
		if !b.room(int64(grown) * markBytes) {
			return ErrIndexTooLarge
		}
		marks := make([]mark, n, grown)
		copy(marks, x.marks)
		x.marks = marks
		b.room(-int64(n) * markBytes)
	}
	return nil
}

// Index is the index of what was added. Its Bytes are those that room has granted
// and not had back.
func (b *IndexBuilder) Index() *Index {
	slices.SortFunc(b.x.marks, func(a, b mark) int { return cmp.Or(cmp.Compare(a.sum, b.sum), cmp.Compare(a.at, b.at)) })
	return b.x
}

// Drop gives back what was granted.
func (b *IndexBuilder) Drop() { b.room(-b.x.Bytes()) }

// Bytes is how much memory the index takes.
func (x *Index) Bytes() int64 {
	n := int64(cap(x.marks)) * markBytes
	for _, p := range x.pages {
		n += int64(cap(p))
	}
	return n
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
		at := x.marks[i].at
		out = append(out, x.row(x.pages[at>>pageBits][at&(maxPage-1):]))
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
