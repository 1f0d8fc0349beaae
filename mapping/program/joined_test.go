package program_test

import (
	"context"
	"testing"
	"time"

	"remit/mapping/program"
)

// TestBE078_Joined tells the members of the shipped roster who joined since,
// by the period of their membership.
func TestBE078_Joined(t *testing.T) {
	ctx := context.Background()
	p, _, w := tuva(t)
	snap := snapshot(t, w)
	group := ""
	first := map[string]int{} // members by the first day of their period
	if _, err := p.Run(ctx, snap, program.Request{Types: []string{"Group"}}, func(e *program.Emitted) error {
		group = string(e.ID)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	all, found, err := p.Roster(ctx, snap, group)
	if err != nil || !found || len(all) == 0 {
		t.Fatal(found, err)
	}
	last := len(all)
	for _, day := range []string{"1900-01-01", "2017-01-02", "2018-06-01", "2100-01-01"} {
		since, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		joined, err := p.Joined(ctx, snap, group, since)
		if err != nil {
			t.Fatal(err)
		}
		first[day] = len(joined)
		if len(joined) > last {
			t.Errorf("since %s %d joined, since an earlier day %d", day, len(joined), last)
		}
		last = len(joined)
	}
	if first["1900-01-01"] != len(all) || first["2100-01-01"] != 0 {
		t.Errorf("joined by day %v, of %d", first, len(all))
	}
	if joined, err := p.Joined(ctx, snap, "nobody", time.Time{}); err != nil || len(joined) > 0 {
		t.Errorf("an unknown roster: %v, %v", joined, err)
	}
}
