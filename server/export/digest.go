package export

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"remit/server/files"
	"remit/sql/control"
)

// digest stands for a resource's type and id.
type digest [16]byte

func (d digest) compare(o digest) int { return bytes.Compare(d[:], o[:]) }

func digestOf(typ string, id []byte) digest {
	var buf [128]byte // more than a type's name and the longest legal id
	sum := sha256.Sum256(append(append(append(buf[:0], typ...), '/'), id...))
	return digest(sum[:16])
}

// digestOfURL is digestOf for "Type/id".
func digestOfURL(url string) digest {
	sum := sha256.Sum256([]byte(url))
	return digest(sum[:16])
}

// Bounds of the memory that digests take, however large an export is.
const (
	// maxDigests is how many a chunk, or a step of the export's end, holds at
	// once: 256 Ki, 5 to 10 MB as a map.
	maxDigests = 256 << 10
	// maxRuns is how many files of digests are merged at once, each of which
	// costs about 50 kB for its decompressor.
	maxRuns = 64
)

// digests are those of what one attempt at a chunk exported. Beyond max of them
// they go to the chunk's files, so that the end of the export alone finds what
// the chunk exports once more. It is used by one goroutine.
type digests struct {
	byType  map[string]map[digest]struct{}
	held    int
	max     int
	spilled bool // what is written is not all that is held
}

func newDigests(limit int) *digests {
	return &digests{byType: map[string]map[digest]struct{}{}, max: limit}
}

// has says that the digest is among those held.
func (d *digests) has(typ string, g digest) bool {
	_, ok := d.byType[typ][g]
	return ok
}

// add takes a digest in, after it has made room where there is none.
func (d *digests) add(ctx context.Context, set *files.Set, typ string, g digest) error {
	if d.held >= d.max {
		if err := d.write(ctx, set); err != nil {
			return err
		}
		d.spilled = true
	}
	of := d.byType[typ]
	if of == nil {
		of = map[digest]struct{}{}
		d.byType[typ] = of
	}
	of[g] = struct{}{}
	d.held++
	return nil
}

// write lays down what is held, each type as runs of digests in their order, and
// forgets it. A file is a run, or the part of one.
func (d *digests) write(ctx context.Context, set *files.Set) error {
	types := make([]string, 0, len(d.byType))
	for typ := range d.byType {
		types = append(types, typ)
	}
	slices.Sort(types)
	var run []digest
	var line digestLine
	for _, typ := range types {
		run = run[:0]
		for g := range d.byType[typ] {
			run = append(run, g)
		}
		clear(d.byType[typ])
		slices.SortFunc(run, digest.compare)
		name := seriesOf(control.KindDigest, typ)
		for _, g := range run {
			if err := set.Write(ctx, name, line.of(g)); err != nil {
				return err
			}
		}
		if err := set.Cut(name); err != nil {
			return err
		}
	}
	d.held = 0
	return nil
}

// digestLine is a digest as files hold it, line feed included.
type digestLine [2*len(digest{}) + 1]byte

// of writes a digest, without the line feed; what it returns is valid until the
// next call.
func (l *digestLine) of(g digest) []byte {
	hex.Encode(l[:len(l)-1], g[:])
	return l[:len(l)-1]
}

// cursor walks a file of digests.
type cursor struct {
	from   io.Closer
	in     *bufio.Reader
	line   digestLine
	at     digest
	begun  bool
	sorted bool // so far
}

func openCursor(ctx context.Context, store *files.Store, f *control.File) (*cursor, error) {
	r, err := store.Plain(ctx, f.Object, f.Bytes)
	if err != nil {
		return nil, err
	}
	var line digestLine
	return &cursor{from: r, in: bufio.NewReaderSize(r, 128*len(line)), sorted: true}, nil
}

// next moves on; ok is false at the end.
func (c *cursor) next() (ok bool, err error) {
	_, err = io.ReadFull(c.in, c.line[:])
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, fmt.Errorf("read file: %w", err)
	}
	last := len(c.line) - 1
	var g digest
	if _, bad := hex.Decode(g[:], c.line[:last]); err != nil || bad != nil || c.line[last] != '\n' {
		return false, errors.New("read file: malformed digest")
	}
	c.sorted = c.sorted && (!c.begun || c.at.compare(g) <= 0)
	c.at, c.begun = g, true
	return true, nil
}

// eachDigest calls do for every digest of a file.
func eachDigest(ctx context.Context, store *files.Store, f control.File, do func(digest)) (err error) {
	c, err := openCursor(ctx, store, &f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.from.Close()) }()
	for {
		ok, err := c.next()
		if !ok || err != nil {
			return err
		}
		do(c.at)
	}
}

// errUnsorted says that a file is no run: processes of an earlier version wrote
// digests in no order.
var errUnsorted = errors.New("digests are in no order")

// merge calls do for every digest of the runs, in their order. Error:
// errUnsorted, after do was called for some.
func merge(ctx context.Context, store *files.Store, runs []control.File, do func(digest) error) (err error) {
	heap := make([]*cursor, 0, len(runs)) // the least digest first
	down := func(i int) {
		for {
			least := i
			for _, child := range [2]int{2*i + 1, 2*i + 2} {
				if child < len(heap) && heap[child].at.compare(heap[least].at) < 0 {
					least = child
				}
			}
			if least == i {
				return
			}
			heap[i], heap[least] = heap[least], heap[i]
			i = least
		}
	}
	defer func() {
		for _, c := range heap {
			err = errors.Join(err, c.from.Close())
		}
	}()
	for n := range runs {
		c, err := openCursor(ctx, store, &runs[n])
		if err != nil {
			return err
		}
		ok, err := c.next()
		if !ok || err != nil {
			if err = errors.Join(err, c.from.Close()); err != nil {
				return err
			}
			continue
		}
		heap = append(heap, c)
	}
	for i := len(heap)/2 - 1; i >= 0; i-- {
		down(i)
	}
	for n := 0; len(heap) > 0; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c := heap[0]
		if err := do(c.at); err != nil {
			return err
		}
		ok, err := c.next()
		switch {
		case err != nil:
			return err
		case !c.sorted:
			return errUnsorted
		case !ok:
			last := len(heap) - 1
			heap[0], heap = heap[last], heap[:last]
			if err := c.from.Close(); err != nil {
				return err
			}
		}
		down(0)
	}
	return nil
}

// merger merges the digests of one type from any number of files, no more than fan
// at once: those too many are merged into files of their own first.
type merger struct {
	store *files.Store
	base  string // of those files' keys
	fan   int
	made  []string // objects
}

// each calls do for every digest of the files, in order. Where a file is no run,
// do is called from the first again.
func (m *merger) each(ctx context.Context, list []control.File, do func(digest) error) (err error) {
	defer func() {
		for _, object := range m.made {
			err = errors.Join(err, m.store.Remove(context.WithoutCancel(ctx), object))
		}
		m.made = nil
	}()
	list = slices.Clone(list)
	for {
		few := list
		// No more are merged than must be, and what was merged already comes last.
		for len(few) > m.fan {
			n := min(m.fan, len(few)-m.fan+1)
			var one control.File
			if one, err = m.into(ctx, few[:n]); err != nil {
				break
			}
			few = append(few[n:len(few):len(few)], one)
		}
		if err == nil {
			err = merge(ctx, m.store, few, do)
		}
		if !errors.Is(err, errUnsorted) {
			return err
		}
		if list, err = m.sorted(ctx, list); err != nil {
			return err
		}
	}
}

// into merges runs into a file.
func (m *merger) into(ctx context.Context, list []control.File) (control.File, error) {
	return m.write(ctx, list[0].Type, func(do func(digest) error) error { return merge(ctx, m.store, list, do) })
}

// sorted makes a run of every file of the list that is none. Such files have no
// more lines than the limits of a set allow.
func (m *merger) sorted(ctx context.Context, list []control.File) ([]control.File, error) {
	out := slices.Clone(list)
	for i, f := range list {
		all := make([]digest, 0, f.Count)
		if err := eachDigest(ctx, m.store, f, func(g digest) { all = append(all, g) }); err != nil {
			return nil, err
		}
		if slices.IsSortedFunc(all, digest.compare) {
			continue
		}
		slices.SortFunc(all, digest.compare)
		run, err := m.write(ctx, f.Type, func(do func(digest) error) error {
			for _, g := range all {
				if err := do(g); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		out[i] = run
	}
	return out, nil
}

// write makes a file of the digests that give calls its argument with.
func (m *merger) write(ctx context.Context, typ string, give func(do func(digest) error) error) (control.File, error) {
	f := control.File{Kind: control.KindDigest, Type: typ, Object: fmt.Sprintf("%s/runs/%s.%d.ndjson.gz", m.base, typ, len(m.made)+1)}
	w, err := m.store.Create(ctx, f.Object)
	if err != nil {
		return f, err
	}
	defer w.Abort()
	var line digestLine
	if err := give(func(g digest) error { return w.Write(line.of(g)) }); err != nil {
		return f, err
	}
	info, err := w.Commit()
	if err != nil {
		return f, err
	}
	m.made = append(m.made, f.Object)
	f.Count, f.Bytes, f.Stored, f.SHA256 = info.Count, info.Bytes, info.Stored, info.SHA256
	return f, nil
}
