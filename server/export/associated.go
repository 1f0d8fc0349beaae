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
// that are replaced.
func (d *deduper) associate(ctx context.Context, which Associated) (replaced []string, err error) {
	if which == NoAssociated {
		return nil, nil
	}
	targets := map[digest]*newest{}
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
	err = each(func(file int, line int64, o origin) {
		for _, t := range o.Target {
			g := digestOfURL(t.Reference)
			if best := targets[g]; best == nil || o.Recorded.After(best.at) {
				targets[g] = &newest{at: o.Recorded, file: file, line: line}
			}
		}
	})
	if err != nil {
		return nil, err
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
			return nil, err
		}
	}
	drop := map[int][]int64{}
	err = each(func(file int, line int64, o origin) {
		for _, t := range o.Target {
			best := targets[digestOfURL(t.Reference)]
			if best.exported && (which == AllProvenance || best.file == file && best.line == line) {
				return
			}
		}
		drop[file] = append(drop[file], line)
	})
	if err != nil {
		return nil, err
	}
	for i := range d.rows {
		if drop[i] == nil {
			continue
		}
		f := &d.rows[i]
		before := f.Bytes
		replaced = append(replaced, f.Object)
		if err := d.without(ctx, f, drop[i]); err != nil {
			return nil, err
		}
		if f.Count == 0 {
			f.Bytes = 0
		}
		add(&d.report.Exported, provenance, -int64(len(drop[i])))
		add(&d.report.Filtered, provenance, int64(len(drop[i])))
		add(&d.report.Bytes, provenance, f.Bytes-before)
	}
	d.rows = slices.DeleteFunc(d.rows, func(f control.File) bool { return f.Kind == control.KindOutput && f.Count == 0 })
	return replaced, nil
}
