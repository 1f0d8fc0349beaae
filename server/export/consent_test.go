package export

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"remit/mapping/program"
	"remit/profiles/r4"
)

// choices is a consent that tests change.
type choices struct {
	mu sync.Mutex
	c  *Consent
	// asked counts the questions.
	asked int
}

func (c *choices) set(v *Consent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.c = v
}

func (c *choices) consent(context.Context, string) (*Consent, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	return c.c, nil
}

func consentBench(t *testing.T, c *choices) (*bench, *Engine) {
	t.Helper()
	d := small()
	d.named = true
	b := newBench(t, d)
	b.change = func(o *Options) { o.Consent = c.consent }
	return b, b.engine()
}

// PR-006, PR-007: whoever opted out, or did not opt in, is not exported at any level, and no
// roster names them; what belongs to nobody stays.
func TestPR006_Choices(t *testing.T) {
	t.Parallel()
	optOut := &Consent{Members: []string{"m1"}}
	optIn := &Consent{Only: true, Members: []string{"m1", "m9"}}
	for _, c := range []struct {
		name     string
		consent  *Consent
		r        Request
		patients []string
		claims   []string
		groups   string // members of the exported groups
	}{
		{"nobody chose", &Consent{}, Request{Level: LevelSystem}, []string{"p1", "p2", "p3"}, []string{"c11", "c12", "c21", "c22", "c31", "c32"}, "p1 p3 p2"},
		{"BE-017 opt-out at system level", optOut, Request{Level: LevelSystem}, []string{"p2", "p3"}, []string{"c21", "c22", "c31", "c32"}, "p3 p2"},
		{"BE-017 opt-out at patient level", optOut, Request{Level: LevelPatient}, []string{"p2", "p3"}, []string{"c21", "c22", "c31", "c32"}, ""},
		{"BE-017 opt-out in a group", optOut, Request{Level: LevelGroup, Group: "g1"}, []string{"p3"}, []string{"c31", "c32"}, "p3"},
		{"opt-out of all of a group", &Consent{Members: []string{"m1", "m3"}}, Request{Level: LevelGroup, Group: "g1"}, nil, nil, ""},
		{"PR-007 opt-in at system level", optIn, Request{Level: LevelSystem}, []string{"p1"}, []string{"c11", "c12"}, ""},
		{"PR-007 opt-in in a group", optIn, Request{Level: LevelGroup, Group: "g1"}, []string{"p1"}, []string{"c11", "c12"}, "p1"},
		{"PR-007 nobody opted in", &Consent{Only: true}, Request{Level: LevelPatient}, nil, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, e := consentBench(t, &choices{c: c.consent})
			c.r.ClientID = "a"
			id := export(t, e, c.r)
			same(t, "patients", c.patients, ids(t, e, id, "Patient"))
			same(t, "claims", c.claims, ids(t, e, id, "Claim"))
			same(t, "organizations", []string{"o1", "o2"}, ids(t, e, id, "Organization"))
			same(t, "members of groups", c.groups, strings.Join(members(t, e, id), " "))
		})
	}
}

func members(t *testing.T, e *Engine, id string) []string {
	t.Helper()
	var out []string
	for name, all := range lines(t, e, id) {
		if !strings.HasPrefix(name, "Group.") {
			continue
		}
		for _, l := range all {
			for part := range strings.SplitSeq(l, `"reference":"Patient/`) {
				if id, _, ok := strings.Cut(part, `"`); ok && strings.HasPrefix(id, "p") {
					out = append(out, id)
				}
			}
		}
	}
	return out
}

// A member who opted out is answered like one who never was, in every byte but
// the id.
func TestPR044_InvisibleToTheClient(t *testing.T) {
	t.Parallel()
	_, e := consentBench(t, &choices{c: &Consent{Members: []string{"m1"}}})
	ask := func(level Level, patients ...string) []string {
		r := Request{ClientID: "a", Level: level, Types: allTypes, Patients: patients}
		if level == LevelGroup {
			r.Group = "g1"
		}
		_, err := e.Kickoff(t.Context(), r, false)
		var unknown *UnknownPatientsError
		if !errors.As(err, &unknown) {
			t.Fatalf("%s %v: %v", level, patients, err)
		}
		return unknown.IDs
	}
	same(t, "patient level", []string{"p1", "p9"}, ask(LevelPatient, "p1", "p2", "p9"))
	same(t, "group level", []string{"p1", "p9"}, ask(LevelGroup, "p1", "p3", "p9"))
}

// Choices count when the export runs, however they stood at kick-off.
func TestPR046_CheckedWhenItRuns(t *testing.T) {
	t.Parallel()
	for _, level := range []Level{LevelSystem, LevelGroup} {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			c := &choices{c: &Consent{}}
			d := small()
			d.named = true
			b := newBench(t, d)
			b.change = func(o *Options) { o.Consent, o.Workers = c.consent, 1 }
			// Somebody opts out between the plan and the first chunk.
			d.split = func() { c.set(&Consent{Members: []string{"m1"}}) }
			e := b.engine()
			r := Request{ClientID: "a", Level: level, Types: allTypes}
			if level == LevelGroup {
				r.Group = "g1"
			}
			id := export(t, e, r)
			if got := ids(t, e, id, "Patient"); slices.Contains(got, "p1") || !slices.Contains(got, "p3") {
				t.Errorf("patients %v", got)
			}
			if got := members(t, e, id); slices.Contains(got, "p1") || !slices.Contains(got, "p3") {
				t.Errorf("members %v", got)
			}
		})
	}
}

// Where the choices cannot be read nothing is exported.
func TestPR006_ChoicesAway(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	away := errors.New("choices are away")
	b.change = func(o *Options) { o.Consent = func(context.Context, string) (*Consent, error) { return nil, away } }
	e := b.engine()
	if _, err := e.Kickoff(t.Context(), Request{ClientID: "a", Level: LevelGroup, Group: "g1", Types: allTypes}, false); !errors.Is(err, away) {
		t.Errorf("kick-off: %v", err)
	}
	id := kickoff(t, e, Request{ClientID: "a", Level: LevelSystem, Types: allTypes})
	if st := wait(t, e, id); st.State != StateFailed {
		t.Errorf("export ends as %s", st.State)
	}
	// Our own exports, without a client, ask nobody.
	export(t, e, Request{Level: LevelSystem, Types: allTypes})
}

func TestConsentNarrow(t *testing.T) {
	t.Parallel()
	p := func(s string) *string { return &s }
	out := &Consent{Members: []string{"a", "b", "c", "d"}}
	for _, c := range []struct {
		name     string
		consent  *Consent
		in       program.Request
		patients []string
		without  []string
	}{
		{name: "all", consent: out, without: []string{"a", "b", "c", "d"}},
		{name: "range, whose order is the warehouse's", consent: out, in: program.Request{After: p("10"), UpTo: p("9")}, without: []string{"a", "b", "c", "d"}},
		{name: "rows of nobody", consent: out, in: program.Request{Unowned: true}},
		{name: "list", consent: out, in: program.Request{Patients: []string{"a", "z"}}, patients: []string{"z"}},
		{name: "only", consent: &Consent{Only: true, Members: []string{"a", "b"}}, in: program.Request{After: p("a")}, patients: []string{"a", "b"}},
		{name: "only of a list", consent: &Consent{Only: true, Members: []string{"a"}}, in: program.Request{Patients: []string{"a", "z"}}, patients: []string{"a"}},
		{name: "nobody chose", consent: &Consent{}, in: program.Request{After: p("a")}},
		{name: "none", in: program.Request{Patients: []string{"a"}}, patients: []string{"a"}},
	} {
		r := c.in
		c.consent.narrow(&r)
		same(t, c.name+": patients", c.patients, r.Patients)
		same(t, c.name+": without", c.without, r.Without)
		if asks := c.consent.asks(); r.Chosen != asks {
			t.Errorf("%s: somebody is left out: %v, told %v", c.name, asks, r.Chosen)
		}
	}
	r := program.Request{}
	(&Consent{Only: true}).narrow(&r)
	if r.Patients == nil {
		t.Error("nobody opted in, and everybody is exported")
	}
}

// What the client may no longer have is not written any more (SB-084).
func TestSB084_ShrinksWhileItRuns(t *testing.T) {
	t.Parallel()
	c := &choices{c: &Consent{}}
	d := small()
	b := newBench(t, d)
	b.change = func(o *Options) { o.Consent, o.Workers = c.consent, 1 }
	d.split = func() { c.set(&Consent{Types: []string{"Patient"}}) }
	e := b.engine()
	id := export(t, e, Request{ClientID: "a", Level: LevelSystem})
	same(t, "patients", []string{"p1", "p2", "p3"}, ids(t, e, id, "Patient"))
	same(t, "claims", nil, ids(t, e, id, "Claim"))
	same(t, "organizations", nil, ids(t, e, id, "Organization"))
}

func TestStrike(t *testing.T) {
	t.Parallel()
	var r r4.Resource
	group, part, ref := r4.Lookup("Group"), r4.Lookup("Group.member"), r4.Lookup("Reference")
	r.Start(group, 0)
	r.SetString(r.Add(r4.Root, group.Element("quantity"), 0), "3")
	for _, id := range []string{"a", "b", "a"} {
		m := r.Add(r4.Root, group.Element("member"), 0)
		r.SetString(r.Add(r.Add(m, part.Element("entity"), 0), ref.Element("reference"), 0), "Patient/"+id)
	}
	if n := program.Strike(&r, func(id string) bool { return id == "a" }); n != 2 {
		t.Errorf("%d parts were struck", n)
	}
	want := `{"resourceType":"Group","quantity":1,"member":[{"entity":{"reference":"Patient/b"}}]}`
	if got := string(r.AppendJSON(nil)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if n := program.Strike(&r, func(id string) bool { return id == "a" }); n != 0 {
		t.Errorf("%d parts were struck again", n)
	}
}
