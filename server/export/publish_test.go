package export

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// BE-283: a full publication, increments behind it, and a new epoch that closes
// the old one.
func TestBE283_Chain(t *testing.T) {
	t.Parallel()
	d := small()
	for i := range d.types {
		d.types[i].Tracked = true
	}
	b := newBench(t, d)
	e := b.engine()
	all := e.Publications()
	const base = "https://x/$bulk-publish"
	if _, err := all.Manifest(t.Context(), "", base, true); !errors.Is(err, ErrNotFound) {
		t.Errorf("nothing published gives %v", err)
	}
	due, full, err := all.Due(t.Context(), time.Hour, 0)
	if err != nil || !due || !full {
		t.Errorf("due %v, full %v, %v", due, full, err)
	}
	publish := func(q Publish) string {
		t.Helper()
		p, err := all.Publish(t.Context(), q, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p.ExportID
	}
	next := func(id string) string {
		t.Helper()
		m, err := all.Manifest(t.Context(), id, base, true)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Types) != 1 || m.Types[0] != "Organization" || strings.Contains(m.TransactionTime, "0001") || m.UpdateCadence != "PT1H" {
			t.Errorf("%+v", m)
		}
		if len(m.Link) == 0 {
			return ""
		}
		return strings.TrimPrefix(m.Link[0].URL, base+"/")
	}
	root := publish(Publish{Cadence: time.Hour})
	if got := next(""); got != "#pending" {
		t.Errorf("behind the root %q", got)
	}
	if due, _, err := all.Due(t.Context(), time.Hour, 0); err != nil || due {
		t.Errorf("due at once: %v, %v", due, err)
	}
	increment := publish(Publish{Cadence: time.Hour})
	if got := next(root); got != increment {
		t.Errorf("behind the root %q, want %q", got, increment)
	}
	if got := next(increment); got != "#pending" {
		t.Errorf("behind the increment %q", got)
	}
	d.mu.Lock()
	last := d.runs[len(d.runs)-1]
	d.mu.Unlock()
	if last.Since.IsZero() {
		t.Error("the increment is a full export")
	}
	fresh := publish(Publish{Cadence: time.Hour, Full: true})
	if got := next(""); got != "#pending" {
		t.Errorf("behind the new root %q", got)
	}
	if got := next(increment); got != "#closed" {
		t.Errorf("behind the old increment %q", got)
	}
	m, err := all.Manifest(t.Context(), "", base, true)
	if err != nil || len(m.Output) == 0 || !strings.HasPrefix(m.Output[0].URL, base+"/"+fresh+"/") {
		t.Errorf("%+v, %v", m, err)
	}
	name := m.Output[0].URL[strings.LastIndex(m.Output[0].URL, "/")+1:]
	if _, err := all.OpenFile(t.Context(), fresh, name); err != nil {
		t.Error(err)
	}
	// An export that is not published is not shown.
	id := export(t, e, Request{Types: []string{"Organization"}})
	if _, err := all.OpenFile(t.Context(), id, name); !errors.Is(err, ErrNotFound) {
		t.Errorf("a file of an export gives %v", err)
	}
	if _, err := all.Manifest(t.Context(), id, base, true); !errors.Is(err, ErrNotFound) {
		t.Errorf("an export gives %v", err)
	}
	for _, types := range [][]string{{"Patient"}, {"Group"}, {"Nothing"}, {"Organization", "Claim"}} {
		if _, err := all.Publish(t.Context(), Publish{Types: types}, nil); !errors.Is(err, ErrNotPublic) {
			t.Errorf("publishing %v gives %v", types, err)
		}
	}
	// What cannot be told to have changed is renewed as a whole.
	for i := range d.types {
		d.types[i].Tracked = false
	}
	p, err := all.Publish(t.Context(), Publish{Cadence: time.Hour}, nil)
	if err != nil || p.N != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if got := next(""); got != "" {
		t.Errorf("behind it %q", got)
	}
}

func TestISODuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{0: "", 24 * time.Hour: "P1D", 36 * time.Hour: "PT36H", 90 * time.Minute: "PT90M", 5 * time.Second: "PT5S", time.Millisecond: "PT1S"} {
		if got := isoDuration(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
