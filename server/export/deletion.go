package export

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"remit/server/files"
	"remit/sql/control"
)

// deletion is a resource that is no more.
type deletion struct{ typ, id string }

// bundleType is the resource type of deletion files; the engine knows it and
// outcomeType alone.
const bundleType = "Bundle"

// bundle is one line of a deletion file: a transaction that deletes one
// resource (Bundle; BE-191).
type bundle struct {
	ResourceType string        `json:"resourceType"`
	Type         string        `json:"type"`
	Entry        []bundleEntry `json:"entry"`
}

type bundleEntry struct {
	Request bundleRequest `json:"request"`
}

type bundleRequest struct {
	Method string `json:"method"`
	URL    string `json:"url"`
}

func (d deletion) line() ([]byte, error) {
	return json.Marshal(bundle{bundleType, "transaction", []bundleEntry{{bundleRequest{"DELETE", d.typ + "/" + d.id}}}})
}

// url reads what line wrote.
func deletedURL(line []byte) (string, error) {
	var b bundle
	if err := json.Unmarshal(line, &b); err != nil || len(b.Entry) != 1 {
		return "", errors.New("malformed deletion")
	}
	return b.Entry[0].Request.URL, nil
}

// writeDeletions writes what the chunk found gone, but for what it also
// exported: a resource that moved is not deleted (BE-192). A filter cannot be
// asked about what is no more, so it is told (BE-193).
func (r *run) writeDeletions(ctx context.Context) error {
	told := map[deletion]bool{}
	for _, d := range r.gone {
		if told[d] {
			continue
		}
		told[d] = true
		if r.digests.has(d.typ, digestOf(d.typ, []byte(d.id))) {
			continue
		}
		line, err := d.line()
		if err != nil {
			return err
		}
		if err := r.set.Write(ctx, seriesOf(control.KindDeleted, bundleType), line); err != nil {
			return err
		}
		r.tally.Deleted[d.typ]++
	}
	return nil
}

// settle takes out of the deletion files what another chunk exported, and what
// an earlier chunk told already. It returns the objects that are replaced. No more
// deletions are held at once than the batch, each lot of them for a walk over all
// digests.
func (d *deduper) settle(ctx context.Context) (replaced []string, err error) {
	var told int64
	holders := 0
	for _, f := range d.rows {
		if f.Kind == control.KindDeleted {
			told += f.Count
			holders++
		}
	}
	for lots, lot := d.lots(told), 0; lot < lots; lot++ {
		objects, err := d.settleLot(ctx, func(g digest) bool { return g.lot(lots) == lot }, holders > 1)
		if err != nil {
			return nil, err
		}
		replaced = append(replaced, objects...)
	}
	return replaced, nil
}

// lots is into how many lots n digests are divided, so that none is much larger
// than the batch: 0 where there are none. Digests are spread evenly.
func (d *deduper) lots(n int64) int { return int((n + int64(d.batch) - 1) / int64(d.batch)) }

// lot is in which of so many lots the digest is.
func (g digest) lot(lots int) int {
	return int(int64(binary.BigEndian.Uint32(g[:])) * int64(lots) >> 32)
}

// settleLot settles the deletions that are in the lot; several says that more
// than one file may tell of the same.
func (d *deduper) settleLot(ctx context.Context, in func(digest) bool, several bool) (replaced []string, err error) {
	gone := map[digest]bool{} // true for what was exported, and later for what was told
	for _, f := range d.rows {
		if f.Kind != control.KindDeleted {
			continue
		}
		if err := eachDeletion(ctx, d.store, f, func(_ string, g digest) {
			if in(g) {
				gone[g] = false
			}
		}); err != nil {
			return nil, err
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	there := false
	for _, f := range d.rows {
		if f.Kind != control.KindDigest {
			continue
		}
		if err := eachDigest(ctx, d.store, f, func(g digest) {
			if _, ok := gone[g]; ok {
				gone[g], there = true, true
			}
		}); err != nil {
			return nil, err
		}
	}
	if !there && !several {
		return nil, nil // its chunk settled it by itself
	}
	for i := range d.rows {
		f := &d.rows[i]
		if f.Kind != control.KindDeleted {
			continue
		}
		var drop []int64
		var n int64
		if err := eachDeletion(ctx, d.store, *f, func(url string, g digest) {
			if in(g) {
				if gone[g] {
					drop = append(drop, n)
					typ, _, _ := strings.Cut(url, "/")
					d.report.Deleted[typ]--
				}
				gone[g] = true // told once
			}
			n++
		}); err != nil {
			return nil, err
		}
		if drop == nil {
			continue
		}
		replaced = append(replaced, f.Object)
		if err := d.without(ctx, f, drop); err != nil {
			return nil, err
		}
	}
	d.rows = slices.DeleteFunc(d.rows, func(f control.File) bool { return f.Kind == control.KindDeleted && f.Count == 0 })
	return replaced, nil
}

// eachDeletion calls do for every deletion of a file.
func eachDeletion(ctx context.Context, store *files.Store, f control.File, do func(url string, g digest)) error {
	return eachLine(ctx, store, f, func(line []byte) error {
		url, err := deletedURL(line)
		if err == nil {
			do(url, digestOfURL(url))
		}
		return err
	})
}
