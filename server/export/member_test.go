package export

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"remit/mapping/program"
	"remit/profiles/r4"
	"remit/profiles/search"
	"remit/sql/control"
)

// made keeps a group of a client's with members by Patient id.
func made(t *testing.T, b *bench, clientID string, added map[string]time.Time) string {
	t.Helper()
	g := &control.Group{ID: newID(), ClientID: clientID, Ticket: newID(), Resource: []byte("{}"), State: control.GroupReady,
		Bounded: true, Created: b.clock.now(), Updated: b.clock.now()}
	var given []control.GroupMember
	for id, at := range added {
		given = append(given, control.GroupMember{Member: program.PatientType + "/" + id, Entry: "{}", Added: at})
	}
	if err := b.control.AddGroup(t.Context(), g, given); err != nil {
		t.Fatal(err)
	}
	return g.ID
}

// BE-078: who joined the group after _since brings the history along, and the
// others what changed since; what belongs to nobody comes once, for all of them.
func TestBE078_NewMembersBringTheirHistory(t *testing.T) {
	t.Parallel()
	d := small()
	b := newBench(t, d)
	e := b.engine()
	since := b.clock.now().Add(-time.Hour)
	group := made(t, b, "a", map[string]time.Time{"p1": since.Add(-time.Hour), "p3": since.Add(time.Minute), "p9": since.Add(time.Minute)})
	id := export(t, e, Request{ClientID: "a", Level: LevelGroup, Group: group, Since: since})
	same(t, "patients", []string{"p1", "p3"}, ids(t, e, id, "Patient"))
	d.mu.Lock()
	defer d.mu.Unlock()
	shared := 0
	for _, r := range d.runs {
		if slices.Contains(r.Types, "Organization") {
			shared++
			if len(r.Types) != 1 || !slices.Equal(r.Patients, []string{"m1", "m3"}) || !r.Since.Equal(since) {
				t.Errorf("%v for %v since %v", r.Types, r.Patients, r.Since)
			}
			continue
		}
		old, joined := slices.Contains(r.Patients, "m1"), slices.Contains(r.Patients, "m3")
		if old == joined || old != r.Since.Equal(since) || joined != r.Since.IsZero() {
			t.Errorf("patients %v since %v", r.Patients, r.Since)
		}
	}
	if len(d.runs) < 3 || shared != 1 {
		t.Errorf("%d runs, %d of what belongs to nobody", len(d.runs), shared)
	}
}

// Since leaves nothing out of what is narrowed to the members' rows, and the
// manifest says so; of an export of everybody it does (BE-077).
func TestBE077_DirectoryOfSome(t *testing.T) {
	types := []program.Type{
		{Name: "Patient", Reach: program.PatientData, Tracked: true},
		{Name: "Practitioner", Reach: program.Shared, Tracked: true, Directory: true},
		{Name: "Organization", Reach: program.Shared, Tracked: true},
	}
	for _, limited := range []bool{true, false} {
		o := &order{Request: Request{Level: LevelSystem, Types: []string{"Patient", "Practitioner", "Organization"}, Since: time.Unix(1, 0)}, Limited: limited}
		var about []string
		for _, n := range notes(&control.Export{}, o, types) {
			about = append(about, n.Expression)
		}
		var want []string
		if limited {
			want = []string{"Practitioner"}
		}
		same(t, "types with a note", want, about)
	}
}

// A group that a client made is its own, and holds no member that the client
// may not have (BE-012, BE-016, BE-260).
func TestBE260_MadeGroups(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	e := b.engine()
	group := made(t, b, "a", map[string]time.Time{"p1": {}, "p2": {}, "p3": {}, "p9": {}})
	id := export(t, e, Request{ClientID: "a", Level: LevelGroup, Group: group})
	same(t, "patients", []string{"p1", "p2", "p3"}, ids(t, e, id, "Patient"))
	same(t, "groups", nil, ids(t, e, id, "Group"))
	id = export(t, e, Request{ClientID: "a", Level: LevelGroup, Group: group, Fenced: true, Fence: []string{"g1"}})
	same(t, "patients inside the fence", []string{"p1", "p3"}, ids(t, e, id, "Patient"))
	id = export(t, e, Request{ClientID: "a", Level: LevelGroup, Group: group, Fenced: true})
	same(t, "patients of a client without groups", nil, ids(t, e, id, "Patient"))
	for _, r := range []Request{
		{ClientID: "b", Level: LevelGroup, Group: group, Types: allTypes},
		{ClientID: "b", Level: LevelGroup, Group: "g1", Types: allTypes, Fenced: true, Fence: []string{"g2"}},
	} {
		if _, err := e.Kickoff(t.Context(), r, false); !errors.Is(err, ErrUnknownGroup) {
			t.Errorf("%+v gives %v", r, err)
		}
	}
	x, err := b.control.Group(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	x.State, x.Ticket = control.GroupBuilding, newID()
	if err := b.control.ReplaceGroup(t.Context(), x, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Kickoff(t.Context(), Request{ClientID: "a", Level: LevelGroup, Group: group, Types: allTypes}, false); !errors.Is(err, ErrGroupBuilding) {
		t.Errorf("a group in the making gives %v", err)
	}
	if err := b.control.FailedGroup(t.Context(), x, []byte("{}"), b.clock.now()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Kickoff(t.Context(), Request{ClientID: "a", Level: LevelGroup, Group: group, Types: allTypes}, false); !errors.Is(err, ErrGroupFailed) {
		t.Errorf("a group that failed gives %v", err)
	}
}

// A client's groups are listed page by page, so that no answer holds all of them.
func TestBE265_GroupPages(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	g := b.engine().Groups(nil, GroupOptions{})
	for range 5 {
		made(t, b, "a", nil)
	}
	made(t, b, "b", nil)
	all, err := b.control.GroupsOf(t.Context(), "a") // by time, which some may share
	if err != nil || len(all) != 5 {
		t.Fatal(len(all), err)
	}
	var want []string
	for _, x := range all {
		want = append(want, x.ID)
	}
	params, err := search.Bundled()
	if err != nil {
		t.Fatal(err)
	}
	some := func(ids []string) *search.Filter {
		f, problems := params.ParseFor("Group", "_id="+strings.Join(ids, ","), search.Options{})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return f
	}
	filter, grant := some(want[1:4]), some(want[2:])
	for _, tc := range []struct {
		filter, grant *search.Filter
		skip, count   int
		want          []string
		more          bool
	}{
		{nil, nil, 0, 2, want[:2], true},
		{nil, nil, 2, 2, want[2:4], true},
		{nil, nil, 4, 2, want[4:], false},
		{nil, nil, 0, 5, want, false},
		{nil, nil, 9, 2, nil, false},
		{filter, nil, 0, 2, want[1:3], true},
		{filter, nil, 2, 2, want[3:4], false},
		// What the client's scopes leave out is not there (SB-075).
		{nil, filter, 0, 2, want[1:3], true},
		{nil, filter, 2, 5, want[3:4], false},
		{filter, grant, 0, 5, want[2:4], false},
	} {
		bounds := Bounds{ClientID: "a"}
		if tc.grant != nil {
			bounds.Restrict = map[string][]*search.Filter{"Group": {tc.grant}}
			for _, id := range want {
				_, err := g.Read(t.Context(), bounds, id)
				if there := err == nil; there != tc.grant.Match(groupOf(t, id)) || err != nil && !errors.Is(err, ErrNotFound) {
					t.Errorf("read: %v", err)
				}
			}
		}
		page, more, err := g.List(t.Context(), bounds, tc.filter, tc.skip, tc.count)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range page {
			got = append(got, r.ID)
		}
		if !slices.Equal(got, tc.want) || more != tc.more {
			t.Errorf("%d from %d, filtered %v: %v, more %v; want %v, %v", tc.count, tc.skip, tc.filter != nil, got, more, tc.want, tc.more)
		}
	}
}

// Groups that a client asks for all at once are computed a few at a time, each
// by one hand.
func TestBE261_BuildsAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	e := b.engine()
	g := e.Groups(e.Reader(ReadOptions{}), GroupOptions{Builds: 1})
	state := func(id string) control.GroupState {
		t.Helper()
		x, err := b.control.Group(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return x.State
	}
	add := func() *control.Group {
		t.Helper()
		x := &control.Group{ID: newID(), ClientID: "a", Ticket: newID(), Resource: []byte("{}"), State: control.GroupBuilding,
			Filters: []string{"Patient?gender=female"}, Seen: b.clock.now().Truncate(time.Millisecond), Created: b.clock.now(), Updated: b.clock.now()}
		if err := b.control.AddGroup(t.Context(), x, nil); err != nil {
			t.Fatal(err)
		}
		return x
	}
	mine, taken := add(), add()
	claimed := *taken
	if err := b.control.ClaimGroup(t.Context(), &claimed, b.clock.now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	g.builds <- struct{}{} // the one place
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.buildFor(t.Context(), mine, &Bounds{ClientID: "a"})
	}()
	if got := state(mine.ID); got != control.GroupBuilding {
		t.Errorf("without a place: %s", got)
	}
	<-g.builds
	<-done
	// The bench's program cannot be searched, so what is begun fails.
	if got := state(mine.ID); got != control.GroupFailed {
		t.Errorf("with a place: %s", got)
	}
	g.buildFor(t.Context(), taken, &Bounds{ClientID: "a"})
	if got := state(taken.ID); got != control.GroupBuilding {
		t.Errorf("taken by another hand: %s", got)
	}
}

// BE-079: who left the group is simply not there; nothing of theirs is told as
// deleted.
func TestBE079_LeaversAreNotDeleted(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	e := b.engine()
	since := b.clock.now().Add(-time.Hour)
	group := made(t, b, "a", map[string]time.Time{"p1": since.Add(-time.Hour), "p3": since.Add(-time.Hour)})
	x, err := b.control.Group(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	x.Ticket = newID()
	if err := b.control.ReplaceGroup(t.Context(), x, []control.GroupMember{{Member: "Patient/p1", Entry: "{}", Added: b.clock.now()}}); err != nil {
		t.Fatal(err)
	}
	id := export(t, e, Request{ClientID: "a", Level: LevelGroup, Group: group, Since: since})
	same(t, "patients", []string{"p1"}, ids(t, e, id, "Patient"))
	m, err := e.Manifest(t.Context(), id, "", true)
	if err != nil || len(m.Deleted) > 0 {
		t.Errorf("deleted %v, %v", m.Deleted, err)
	}
}

// groupOf is a group that has an id alone.
func groupOf(t *testing.T, id string) *r4.Resource {
	t.Helper()
	var p r4.Parser
	r := new(r4.Resource)
	if problems := p.Parse([]byte(`{"resourceType":"Group","id":"`+id+`"}`), r); len(problems) > 0 {
		t.Fatal(problems)
	}
	return r
}
