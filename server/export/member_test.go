package export

import (
	"errors"
	"slices"
	"testing"
	"time"

	"remit/mapping/program"
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
// others what changed since.
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
	for _, r := range d.runs {
		old, joined := slices.Contains(r.Patients, "m1"), slices.Contains(r.Patients, "m3")
		if old == joined || old != r.Since.Equal(since) || joined != r.Since.IsZero() {
			t.Errorf("patients %v since %v", r.Patients, r.Since)
		}
		if joined && slices.Contains(r.Types, "Organization") {
			t.Error("shared resources come twice")
		}
	}
	if len(d.runs) < 2 {
		t.Errorf("%d runs", len(d.runs))
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
