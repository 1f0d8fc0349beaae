package program

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"remit/profiles/r4"
	"remit/sql/source"
)

// Joined tells the patient values of those members of a roster resource
// (Group/id) whose period begins on the day of since or later, sorted. A
// mapping that writes no member.period tells of none, and so chooses that new
// members bring no history (Bulk Data 3.0.0, Group-level export; BE-078).
func (p *Program) Joined(ctx context.Context, snap source.Snapshot, id string, since time.Time) ([]string, error) {
	day := since.UTC().Format(time.DateOnly)
	ids := map[string]struct{}{}
	r := Request{Roster: id}
	for _, t := range p.Types() {
		if t.Reach == Roster {
			r.Types = append(r.Types, t.Name)
		}
	}
	if r.Types == nil {
		return nil, nil
	}
	_, err := p.Run(ctx, snap, r, func(e *Emitted) error {
		if e.Deleted {
			return nil
		}
		for m := e.Resource.First(r4.Root); m != r4.None; m = e.Resource.Next(m) {
			if e.Resource.ElementOf(m).Name() != "member" {
				continue
			}
			start := valueAt(e.Resource, m, "period", "start")
			target, ok := strings.CutPrefix(valueAt(e.Resource, m, "entity", "reference"), PatientType+"/")
			// Dates compare by their text; a shorter one begins no later.
			if ok && start != "" && start[:min(len(start), len(day))] >= day {
				ids[target] = struct{}{}
			}
		}
		return nil
	})
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	byID, err := p.Patients(ctx, snap, slices.Collect(maps.Keys(ids)))
	if err != nil {
		return nil, err
	}
	return slices.Compact(slices.Sorted(maps.Values(byID))), nil
}

// valueAt is the text of the first element on a path below n, "" without one.
func valueAt(r *r4.Resource, n r4.Node, path ...string) string {
	for _, name := range path {
		c := r.First(n)
		for c != r4.None && r.ElementOf(c).Name() != name {
			c = r.Next(c)
		}
		if c == r4.None {
			return ""
		}
		n = c
	}
	return string(r.Value(n))
}
