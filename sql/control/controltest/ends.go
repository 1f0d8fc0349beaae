package controltest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"remit/sql/control"
)

// expired tells of no expiry.
func expired(string) *control.Event { return nil }

// ends cuts the end of an export between its own rows and the audit trail: there
// are both or neither, and a further attempt tells once.
func ends(t *testing.T, address string) {
	ctx := t.Context()
	s := open(t, address)
	var followed []control.Event
	s.Follow(func(events []control.Event) { followed = append(followed, events...) })
	trail := func() (actions []string) {
		events, err := s.Events(ctx, now.Add(-time.Hour), 100)
		must(t, err)
		for _, e := range events {
			actions = append(actions, e.Action+" "+e.ExportID+" "+e.Outcome)
		}
		return actions
	}
	end := func(id, outcome string) control.End {
		return control.End{At: now, Expires: now.Add(time.Hour),
			Event: &control.Event{At: now, ClientID: "a", ExportID: id, Action: "export", Outcome: outcome}}
	}
	expire := func(id string) *control.Event {
		return &control.Event{At: now, ExportID: id, Action: "expire", Outcome: "ok"}
	}
	state := func(id string, state control.State) {
		t.Helper()
		x, err := s.Export(ctx, id)
		must(t, err)
		same(t, state, x.State)
	}
	done := add(t, s, "done")
	plan(t, s, done, 0)
	failed := add(t, s, "failed")
	file := []control.File{{Object: "o", Seq: 1, Type: "T", Kind: control.KindOutput, Name: "T.1.ndjson"}}

	cut := func(what string, end func() error) {
		t.Helper()
		Tamper(t, address, "ALTER TABLE audit RENAME TO audit_away")
		err := end()
		Tamper(t, address, "ALTER TABLE audit_away RENAME TO audit")
		if err == nil {
			t.Errorf("%s without its line in the audit trail", what)
		}
	}
	complete := func() error { return s.CompleteExport(ctx, done, file, 1, []byte("{}"), end("done", "ok")) }
	cut("complete", complete)
	state("done", control.Running)
	_, err := s.File(ctx, "done", "T.1.ndjson")
	want(t, "a file of an export whose end was cut", err, control.ErrNotFound)
	fail := func() error {
		return s.FailExport(ctx, "failed", failed.Epoch, []byte("{}"), nil, end("failed", "failed"))
	}
	cut("failed", fail)
	state("failed", control.Accepted)
	same(t, 0, len(trail()))

	must(t, complete())
	must(t, fail())
	want(t, "completing twice", complete(), control.ErrConflict)
	want(t, "failing twice", fail(), control.ErrConflict)
	state("done", control.Complete)
	state("failed", control.Failed)
	same(t, []string{"export done ok", "export failed failed"}, trail())

	cut("expired", func() error { _, err := s.ExpireExports(ctx, now.Add(time.Hour), expire); return err })
	state("done", control.Complete)
	ids, err := s.ExpireExports(ctx, now.Add(time.Hour), expire)
	must(t, err)
	same(t, 2, len(ids))
	ids, err = s.ExpireExports(ctx, now.Add(time.Hour), expire)
	must(t, err)
	same(t, 0, len(ids))
	got := trail()
	same(t, 4, len(got))
	same(t, 4, len(followed))
	v, err := s.VerifyEvents(ctx)
	must(t, err)
	same(t, 0, len(v.Breaks))
}

// endsInOrder has exports end beside other events: who follows the trail is told of
// all of them in the order of the chain.
func endsInOrder(t *testing.T, s *control.Store) {
	ctx := t.Context()
	const each = 12
	var told []int64 // under the store's own lock
	s.Follow(func(events []control.Event) {
		for _, e := range events {
			told = append(told, e.Seq)
		}
	})
	var wg sync.WaitGroup
	for n := range each {
		id := fmt.Sprint("x", n)
		x := add(t, s, id)
		wg.Go(func() {
			err := s.FailExport(ctx, id, x.Epoch, []byte("{}"), nil, control.End{At: now, Expires: now,
				Event: &control.Event{At: now, ExportID: id, Action: "export", Outcome: "failed"}})
			if err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := s.AddEvent(ctx, control.Event{At: now, Action: "token", Outcome: "ok"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var want []int64
	for n := range int64(2 * each) {
		want = append(want, n+1)
	}
	same(t, want, told)
}
