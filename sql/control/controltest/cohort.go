package controltest

import (
	"fmt"
	"testing"
	"time"

	"remit/sql/control"
)

func secrets(t *testing.T, s *control.Store) {
	one, err := s.Secret(t.Context(), "pages", 32)
	must(t, err)
	again, err := s.Secret(t.Context(), "pages", 32)
	must(t, err)
	same(t, one, again)
	other, err := s.Secret(t.Context(), "other", 32)
	must(t, err)
	if len(one) != 32 || string(one) == string(other) {
		t.Errorf("%x, %x", one, other)
	}
}

func groups(t *testing.T, s *control.Store) {
	ctx := t.Context()
	g := &control.Group{ID: "g1", ClientID: "a", Ticket: "t1", Resource: []byte(`{"resourceType":"Group"}`), Filters: []string{"Patient?gender=female"},
		Bounded: true, State: control.GroupBuilding, Seen: now, Created: now, Updated: now}
	given := []control.GroupMember{{Member: "Patient/2", Entry: `{"x":1}`, Added: now}, {Member: "Patient/1", Inactive: true, Added: now}}
	must(t, s.AddGroup(ctx, g, given))
	want1 := *g
	want1.Failure = []byte{}
	got, err := s.Group(ctx, "g1")
	must(t, err)
	same(t, &want1, got)
	got, err = s.GroupByTicket(ctx, "t1")
	must(t, err)
	same(t, &want1, got)
	_, err = s.Group(ctx, "none")
	want(t, "an unknown group", err, control.ErrNotFound)
	members, err := s.GroupMembers(ctx, "g1", control.MemberGiven)
	must(t, err)
	same(t, given, members)
	must(t, s.AddGroup(ctx, &control.Group{ID: "g2", ClientID: "b", Ticket: "t2", State: control.GroupReady, Created: now, Updated: now}, nil))
	for client, n := range map[string]int{"a": 1, "b": 1, "c": 0} {
		all, err := s.GroupsOf(ctx, client)
		must(t, err)
		count, err := s.GroupCount(ctx, client)
		must(t, err)
		if len(all) != n || count != n {
			t.Errorf("client %s has %d groups, counted %d, want %d", client, len(all), count, n)
		}
	}

	// Whoever works on it says so; the slower hand learns of it.
	due, err := s.GroupsDue(ctx, now.Add(time.Minute), time.Time{})
	must(t, err)
	if len(due) != 1 || due[0].ID != "g1" {
		t.Fatalf("due: %v", due)
	}
	slower := *due[0]
	later := now.Add(time.Minute)
	must(t, s.ClaimGroup(ctx, due[0], later))
	want(t, "a second claim", s.ClaimGroup(ctx, &slower, later), control.ErrConflict)
	found := []control.GroupMember{{Member: "m1", Added: later}, {Member: "m2", Added: later}}
	must(t, s.BuiltGroup(ctx, due[0], found, later, later))
	got, err = s.Group(ctx, "g1")
	must(t, err)
	if got.State != control.GroupReady || !got.Refreshed.Equal(later) {
		t.Errorf("%+v", got)
	}

	// A change keeps the time of who was a member already.
	last := now.Add(time.Hour)
	next := *got
	next.Ticket, next.State, next.Updated = "t3", control.GroupBuilding, last
	must(t, s.ReplaceGroup(ctx, &next, []control.GroupMember{{Member: "Patient/2", Added: last}, {Member: "Patient/3", Added: last}}))
	if next.Version != 2 {
		t.Errorf("version %d", next.Version)
	}
	members, err = s.GroupMembers(ctx, "g1", control.MemberGiven)
	must(t, err)
	same(t, []control.GroupMember{{Member: "Patient/2", Added: now}, {Member: "Patient/3", Added: last}}, members)
	want(t, "a change of what was changed", s.ReplaceGroup(ctx, got, nil), control.ErrConflict)
	want(t, "members of what was changed", s.BuiltGroup(ctx, got, nil, later, later), control.ErrConflict)
	foreign := next
	foreign.ClientID = "b"
	want(t, "a change by another client", s.ReplaceGroup(ctx, &foreign, nil), control.ErrConflict)
	must(t, s.FailedGroup(ctx, &next, []byte("why"), last))
	got, err = s.Group(ctx, "g1")
	must(t, err)
	if got.State != control.GroupFailed || string(got.Failure) != "why" {
		t.Errorf("%+v", got)
	}
	// Computed members are due again when they are old.
	must(t, s.BuiltGroup(ctx, &next, found[1:], last, last))
	members, err = s.GroupMembers(ctx, "g1", control.MemberFound)
	must(t, err)
	same(t, []control.GroupMember{{Member: "m2", Added: later}}, members)
	size, err := s.GroupSize(ctx, "g1", control.MemberFound)
	must(t, err)
	same(t, 1, size)
	due, err = s.GroupsDue(ctx, last.Add(time.Minute), last.Add(time.Minute))
	must(t, err)
	if len(due) != 1 {
		t.Errorf("%d are due", len(due))
	}

	want(t, "a deletion by another client", s.DeleteGroup(ctx, "g1", "b"), control.ErrConflict)
	must(t, s.DeleteGroup(ctx, "g1", "a"))
	want(t, "a second deletion", s.DeleteGroup(ctx, "g1", "a"), control.ErrConflict)
	members, err = s.GroupMembers(ctx, "g1", control.MemberFound)
	must(t, err)
	if len(members) > 0 {
		t.Error("the members of a deleted group remain")
	}

	// Many members go in at once.
	var many []control.GroupMember
	for i := range 2500 {
		many = append(many, control.GroupMember{Member: fmt.Sprint("Patient/", i), Added: now})
	}
	must(t, s.AddGroup(ctx, &control.Group{ID: "g3", ClientID: "a", Ticket: "t4", State: control.GroupReady, Created: now, Updated: now}, many))
	members, err = s.GroupMembers(ctx, "g3", control.MemberGiven)
	must(t, err)
	same(t, many, members)
}

func publications(t *testing.T, s *control.Store) {
	ctx := t.Context()
	for _, id := range []string{"full", "increment", "new", "running"} {
		x := &control.Export{ID: id, ClientID: "p", Request: []byte("{}"), Owner: "n", Created: now}
		must(t, s.AddExport(ctx, x))
		if id == "running" {
			continue
		}
		x, err := s.Export(ctx, id)
		must(t, err)
		must(t, s.PlanExport(ctx, x, control.Plan{TransactionTime: now, At: now}))
		must(t, s.CompleteExport(ctx, x, nil, 0, []byte("{}"), control.End{At: now, Expires: now.Add(time.Hour)}))
	}
	_, err := s.CurrentPublication(ctx)
	want(t, "no publication", err, control.ErrNotFound)
	forever := now.AddDate(10, 0, 0)
	full := &control.Publication{ExportID: "full", Epoch: "full", Types: []string{"Organization"}, Cadence: "P1D", TransactionTime: now, Published: now}
	must(t, s.Publish(ctx, full, forever))
	increment := &control.Publication{ExportID: "increment", Epoch: "full", N: 1, Types: []string{"Organization"}, TransactionTime: now, Published: now.Add(time.Hour)}
	must(t, s.Publish(ctx, increment, forever))
	want(t, "an export that runs", s.Publish(ctx, &control.Publication{ExportID: "running", Epoch: "running", Published: now}, forever), control.ErrConflict)
	current, err := s.CurrentPublication(ctx)
	must(t, err)
	same(t, full, current)
	chain, err := s.PublicationChain(ctx, "full")
	must(t, err)
	same(t, []*control.Publication{full, increment}, chain)
	x, err := s.Export(ctx, "full")
	must(t, err)
	if !x.Expires.Equal(forever) {
		t.Errorf("expires %v", x.Expires)
	}
	// A new epoch retires the old one, whose files go some time later.
	next := now.Add(2 * time.Hour)
	must(t, s.Publish(ctx, &control.Publication{ExportID: "new", Epoch: "new", Types: []string{}, TransactionTime: next, Published: next}, forever))
	current, err = s.CurrentPublication(ctx)
	must(t, err)
	if current.ExportID != "new" {
		t.Errorf("current is %s", current.ExportID)
	}
	old, err := s.Publication(ctx, "increment")
	must(t, err)
	if !old.Retired.Equal(next) {
		t.Errorf("retired %v", old.Retired)
	}
	none, err := s.ForgetPublications(ctx, next, now)
	must(t, err)
	gone, err := s.ForgetPublications(ctx, next.Add(time.Second), now)
	must(t, err)
	same(t, []string{"full", "increment"}, gone)
	if len(none) > 0 {
		t.Errorf("%v went early", none)
	}
	_, err = s.Publication(ctx, "full")
	want(t, "a forgotten publication", err, control.ErrNotFound)
}
