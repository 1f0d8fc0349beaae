package export

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"remit/sql/control"
)

// origin is what counts of a Provenance: what it is about, and when it was
// recorded.
type origin struct {
	Target []struct {
		Reference string `json:"reference"`
	} `json:"target"`
	Recorded time.Time `json:"recorded"`
}

func readOrigin(line []byte) (o origin, err error) {
	if err := json.Unmarshal(line, &o); err != nil {
		return o, errors.New("malformed " + provenance)
	}
	return o, nil
}

// newest is the latest Provenance of a target: the instant, and which of those
// recorded then comes first.
type newest struct {
	at       time.Time
	file     int
	line     int64
	exported bool
}

// associate leaves of the Provenance what includeAssociatedData asks for: that of
// exported resources, of each the newest or all (BE-120). It returns the objects
// that are replaced. No more targets are held at once than about the batch, each
// lot of them for a walk over all digests.
func (d *deduper) associate(ctx context.Context, which Associated) (replaced []string, err error) {
	if which == NoAssociated {
		return nil, nil
	}
	each := func(do func(file int, line int64, o origin)) error {
		for i, f := range d.rows {
			if f.Kind != control.KindOutput || f.Type != provenance {
				continue
			}
			var n int64
			if err := eachLine(ctx, d.store, f, func(line []byte) error {
				o, err := readOrigin(line)
				if err == nil {
					do(i, n, o)
				}
				n++
				return err
			}); err != nil {
				return err
			}
		}
		return nil
	}
	var targets int64
	kept := map[int][]bool{} // by file and line
	for i, f := range d.rows {
		if f.Kind == control.KindOutput && f.Type == provenance {
			kept[i] = make([]bool, f.Count)
		}
	}
	if err := each(func(_ int, _ int64, o origin) { targets += int64(len(o.Target)) }); err != nil {
		return nil, err
	}
	for lots, lot := d.lots(targets), 0; lot < lots; lot++ {
		in := func(g digest) bool { return g.lot(lots) == lot }
		if err := d.associateLot(ctx, which, in, each, kept); err != nil {
			return nil, err
		}
	}
	for i := range d.rows {
		f := &d.rows[i]
		var drop []int64
		for n, keep := range kept[i] {
			if !keep {
				drop = append(drop, int64(n))
			}
		}
		if drop == nil {
			continue
		}
		before := f.Bytes
		replaced = append(replaced, f.Object)
		if err := d.without(ctx, f, drop); err != nil {
			return nil, err
		}
		if f.Count == 0 {
			f.Bytes = 0
		}
		add(&d.report.Exported, provenance, -int64(len(drop)))
		add(&d.report.Filtered, provenance, int64(len(drop)))
		add(&d.report.Bytes, provenance, f.Bytes-before)
	}
	d.rows = slices.DeleteFunc(d.rows, func(f control.File) bool { return f.Kind == control.KindOutput && f.Count == 0 })
	return replaced, nil
}

// associateLot marks in kept the Provenance that is kept for a target in the lot.
func (d *deduper) associateLot(ctx context.Context, which Associated, in func(digest) bool, each func(func(file int, line int64, o origin)) error, kept map[int][]bool) error {
	targets := map[digest]*newest{}
	err := each(func(file int, line int64, o origin) {
		for _, t := range o.Target {
			g := digestOfURL(t.Reference)
			if !in(g) {
				continue
			}
			if best := targets[g]; best == nil || o.Recorded.After(best.at) {
				targets[g] = &newest{at: o.Recorded, file: file, line: line}
			}
		}
	})
	if err != nil {
		return err
	}
	for _, f := range d.rows {
		if f.Kind != control.KindDigest || f.Type == provenance {
			continue
		}
		if err := eachDigest(ctx, d.store, f, func(g digest) {
			if t := targets[g]; t != nil {
				t.exported = true
			}
		}); err != nil {
			return err
		}
	}
	return each(func(file int, line int64, o origin) {
		for _, t := range o.Target {
			best := targets[digestOfURL(t.Reference)]
			if best != nil && best.exported && (which == AllProvenance || best.file == file && best.line == line) {
				kept[file][line] = true
			}
		}
	})
}
