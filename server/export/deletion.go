package export

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

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
// an earlier chunk told already. It returns the objects that are replaced.
func (d *deduper) settle(ctx context.Context) (replaced []string, err error) {
	gone := map[digest]struct{}{}
	one := true // all in one chunk, which settled it by itself
	for _, f := range d.rows {
		if f.Kind != control.KindDeleted {
			continue
		}
		one = one && len(gone) == 0
		if err := eachLine(ctx, d.store, f, func(line []byte) error {
			url, err := deletedURL(line)
			gone[digestOfURL(url)] = struct{}{}
			return err
		}); err != nil {
			return nil, err
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	there := map[digest]struct{}{}
	for _, f := range d.rows {
		if f.Kind != control.KindDigest {
			continue
		}
		if err := eachDigest(ctx, d.store, f, func(g digest) {
			if _, ok := gone[g]; ok {
				there[g] = struct{}{}
			}
		}); err != nil {
			return nil, err
		}
	}
	if len(there) == 0 && one {
		return nil, nil
	}
	for i := range d.rows {
		f := &d.rows[i]
		if f.Kind != control.KindDeleted {
			continue
		}
		var drop []int64
		var n int64
		if err := eachLine(ctx, d.store, *f, func(line []byte) error {
			url, err := deletedURL(line)
			g := digestOfURL(url)
			if _, ok := there[g]; ok {
				drop = append(drop, n)
				typ, _, _ := strings.Cut(url, "/")
				d.report.Deleted[typ]--
			}
			there[g] = struct{}{} // told once
			n++
			return err
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
