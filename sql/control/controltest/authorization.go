package controltest

import (
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"remit/sql/control"
)

func token(hash, clientID string) *control.Token {
	return &control.Token{Hash: hash, ClientID: clientID, Scopes: []string{"x", "y"}, Issued: now, Expires: now.Add(time.Minute)}
}

// spend spends a jti and checks what becomes of it.
func spend(t *testing.T, s *control.Store, id string, revision int64, jti string, tok *control.Token, wanted control.Used) error {
	t.Helper()
	got, err := s.Spend(t.Context(), control.Use{ClientID: id, Revision: revision, JTI: jti, Until: now, Token: tok,
		Granted:  &control.Event{At: now, ClientID: id, Action: "token", Outcome: "ok"},
		Replayed: &control.Event{At: now, ClientID: id, Action: "token", Outcome: "refused"}})
	if err == nil && got != wanted {
		t.Errorf("%s/%s ends as %v, want %v", id, jti, got, wanted)
	}
	return err
}

func register(t *testing.T, s *control.Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		must(t, s.AddClient(t.Context(), &control.Client{ID: id, Name: id, Scopes: []string{}, Enabled: true, Created: now}))
	}
}

func tokens(t *testing.T, s *control.Store) {
	ctx := t.Context()
	register(t, s, "a")
	tok := token("h1", "a")
	must(t, spend(t, s, "a", 1, "1", tok, control.Fresh))
	got, err := s.Token(ctx, "h1")
	must(t, err)
	same(t, tok, got)
	must(t, s.RevokeToken(ctx, "h1", now.Add(time.Second)))
	want(t, "revoking twice", s.RevokeToken(ctx, "h1", now), control.ErrConflict)
	want(t, "revoking an unknown token", s.RevokeToken(ctx, "h9", now), control.ErrConflict)
	must(t, s.CleanTokens(ctx, now.Add(time.Minute)))
	_, err = s.Token(ctx, "h1")
	must(t, err)
	must(t, s.CleanTokens(ctx, now.Add(time.Minute+time.Millisecond)))
	_, err = s.Token(ctx, "h1")
	want(t, "a cleaned token", err, control.ErrNotFound)
}

func signingKeys(t *testing.T, s *control.Store) {
	ctx := t.Context()
	keys := []control.SigningKey{
		{ID: "1", Public: "{}", Sealed: "xx", Created: now, Retires: now.Add(time.Hour)},
		{ID: "2", Public: "{}", Sealed: "yy", Created: now.Add(time.Minute), Retires: now.Add(2 * time.Hour)},
	}
	for _, k := range keys {
		must(t, s.AddSigningKey(ctx, k))
	}
	if s.AddSigningKey(ctx, keys[0]) == nil {
		t.Error("an id taken twice gives no error")
	}
	got, err := s.SigningKeys(ctx)
	must(t, err)
	same(t, keys, got)
	must(t, s.CleanTokens(ctx, now.Add(time.Hour+time.Millisecond)))
	got, err = s.SigningKeys(ctx)
	must(t, err)
	same(t, keys[1:], got)
}

func assertions(t *testing.T, address string) {
	ctx := t.Context()
	s, other := open(t, address), open(t, address)
	register(t, s, "a", "b")
	must(t, spend(t, s, "a", 1, "1", token("h1", "a"), control.Fresh))
	must(t, spend(t, other, "a", 1, "1", token("h2", "a"), control.Replayed))
	if _, err := s.Token(ctx, "h2"); err == nil {
		t.Error("a replayed assertion earned a token")
	}
	must(t, spend(t, other, "b", 1, "1", nil, control.Fresh))
	must(t, s.CleanTokens(ctx, now.Add(time.Millisecond)))
	must(t, spend(t, s, "a", 1, "1", nil, control.Fresh))

	// What was decided on an old reading leaves no trace, of an unknown or a
	// disabled client neither.
	before, err := s.Events(ctx, time.Time{}, 100)
	must(t, err)
	must(t, s.DisableClient(ctx, "b", now))
	for id, revision := range map[string]int64{"a": 2, "b": 2, "x": 1} {
		must(t, spend(t, s, id, revision, "2", token("h3"+id, id), control.Stale))
	}
	must(t, spend(t, s, "a", 1, "2", nil, control.Fresh))
	after, err := s.Events(ctx, time.Time{}, 100)
	must(t, err)
	same(t, len(before)+1, len(after))

	// Of many at once, on two servers, one wins.
	var wg sync.WaitGroup
	wins := make(chan bool, 16)
	for i := range cap(wins) {
		wg.Go(func() {
			got, err := []*control.Store{s, other}[i%2].Spend(ctx, control.Use{ClientID: "a", Revision: 1, JTI: "race", Until: now})
			if err != nil {
				t.Error(err)
			}
			wins <- got == control.Fresh
		})
	}
	wg.Wait()
	close(wins)
	n := 0
	for fresh := range wins {
		if fresh {
			n++
		}
	}
	same(t, 1, n)
}

// groupCommit writes from many hands on two servers, crosswise: nobody is lost,
// nobody waits in a circle, and a caller who brings what cannot be kept fails
// alone.
func groupCommit(t *testing.T, address string) {
	ctx := t.Context()
	servers := []*control.Store{openAs(t, address, "n1"), openAs(t, address, "n2")}
	const clients, each = 4, 25
	for i := range clients {
		register(t, servers[0], fmt.Sprint(i))
	}
	var wg sync.WaitGroup
	for i := range clients {
		for k, s := range servers {
			wg.Go(func() {
				for n := range each {
					jti := fmt.Sprint(n)
					if k == 1 {
						jti = fmt.Sprint(each - 1 - n)
					}
					id := fmt.Sprint((i + n) % clients)
					u := control.Use{ClientID: id, Revision: 1, JTI: jti, Until: now, Token: token(strings.Join([]string{id, jti, fmt.Sprint(k, i)}, "-"), id),
						Granted: &control.Event{At: now, Action: "token", Outcome: "ok"}, Replayed: &control.Event{At: now, Action: "token", Outcome: "refused"}}
					if _, err := s.Spend(ctx, u); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Go(func() {
		for i := range 3 {
			_, err := servers[0].Spend(ctx, control.Use{ClientID: "0", Revision: 1, JTI: fmt.Sprintf("same-%d", i), Until: now, Token: token("taken", "0")})
			if (err == nil) != (i == 0) {
				t.Errorf("hash taken, try %d: %v", i, err)
			}
		}
	})
	wg.Wait()
	events, err := servers[0].Events(ctx, time.Time{}, 10_000)
	must(t, err)
	same(t, clients*each*len(servers), len(events))
	granted := 0
	for _, e := range events {
		if e.Outcome == "ok" {
			granted++
		}
	}
	same(t, clients*each, granted) // each pair of client and jti once
	v, err := servers[1].VerifyEvents(ctx)
	must(t, err)
	same(t, 2, len(v.Chains))
	same(t, 0, len(v.Breaks))
}

func openAs(t *testing.T, address, server string) *control.Store {
	t.Helper()
	s, err := control.OpenAs(t.Context(), address, server)
	must(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func events(t *testing.T, s *control.Store) {
	ctx := t.Context()
	for i := range 3 {
		must(t, s.AddEvent(ctx, control.Event{At: now.Add(time.Duration(i) * time.Second), ClientID: "a", Action: "kick-off",
			ExportID: fmt.Sprint(i), Outcome: "ok", Detail: "d", Actor: "x", Remote: "192.0.2.1"}))
	}
	got, err := s.Events(ctx, now.Add(time.Second), 10)
	must(t, err)
	if len(got) != 2 || got[0].ExportID != "1" || got[1].ExportID != "2" || !got[0].At.Equal(now.Add(time.Second)) ||
		got[0].Actor != "x" || got[0].Remote != "192.0.2.1" || got[0].Seq != 2 || got[0].Server != s.ServerName() {
		t.Errorf("events from the second on are %+v", got)
	}
	// What no database keeps costs the character, not the event.
	must(t, s.AddEvent(ctx, control.Event{At: now.Add(time.Hour), ClientID: "a\x00\xff", Action: "token"}))
	got, err = s.Events(ctx, now.Add(time.Hour), 10)
	must(t, err)
	same(t, 1, len(got))
	same(t, "a??", got[0].ClientID)

	n, err := s.TrimEvents(ctx, now.Add(2*time.Second))
	must(t, err)
	same(t, int64(2), n)
	got, err = s.Events(ctx, time.Time{}, 10)
	must(t, err)
	same(t, 2, len(got))
	v, err := s.VerifyEvents(ctx)
	must(t, err)
	same(t, 0, len(v.Breaks))
	same(t, int64(2), v.Chains[0].BaseSeq)
	n, err = s.TrimEvents(ctx, now.Add(2*time.Hour))
	must(t, err)
	same(t, int64(2), n)
	must(t, s.AddEvent(ctx, control.Event{At: now, Action: "token"}))
	v, err = s.VerifyEvents(ctx)
	must(t, err)
	same(t, 0, len(v.Breaks))
	same(t, int64(1), v.Events)
}

// chains keeps one chain for each server, however many processes write it, and
// goes on after a restart.
func chains(t *testing.T, address string) {
	ctx := t.Context()
	a, twin, b := openAs(t, address, "a"), openAs(t, address, "a"), openAs(t, address, "b")
	var wg sync.WaitGroup
	for _, s := range []*control.Store{a, twin, b} {
		for range 3 {
			wg.Go(func() {
				for range 5 {
					if err := s.AddEvent(ctx, control.Event{At: now, Action: "token", Outcome: "ok"}); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	must(t, openAs(t, address, "b").AddEvent(ctx, control.Event{At: now, Action: "download", Outcome: "ok"}))
	v, err := a.VerifyEvents(ctx)
	must(t, err)
	same(t, 0, len(v.Breaks))
	same(t, int64(46), v.Events)
	heads := map[string]int64{}
	for _, c := range v.Chains {
		heads[c.Server] = c.HeadSeq
	}
	same(t, map[string]int64{"a": 30, "b": 16}, heads)
}

// chainBreaks changes, removes and adds rows behind the store's back.
func chainBreaks(t *testing.T, address string) {
	for _, tc := range []struct {
		name, statement string
		want            []control.Break
	}{
		{"a changed detail", "UPDATE audit SET detail = 'x' WHERE seq = 3", []control.Break{{Server: "s", Seq: 3, What: "changed"}}},
		{"a changed time", "UPDATE audit SET at = at + 1 WHERE seq = 1", []control.Break{{Server: "s", Seq: 1, What: "changed"}}},
		{"a removed event", "DELETE FROM audit WHERE seq = 2", []control.Break{{Server: "s", Seq: 2, What: "missing"}}},
		{"a removed head", "DELETE FROM audit WHERE seq = 5", []control.Break{{Server: "s", Seq: 5, What: "missing"}}},
		{"a hash made to fit", "UPDATE audit SET hash = 'x' WHERE seq = 5", []control.Break{{Server: "s", Seq: 5, What: "changed"}, {Server: "s", Seq: 5, What: "head"}}},
		{"an anchor moved back", "UPDATE audit_chains SET head_seq = 4", []control.Break{{Server: "s", Seq: 4, What: "head"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx := t.Context()
			s := openAs(t, address, "s")
			for range 5 {
				must(t, s.AddEvent(ctx, control.Event{At: now, Action: "token", Outcome: "ok"}))
			}
			Tamper(t, address, tc.statement)
			v, err := s.VerifyEvents(ctx)
			must(t, err)
			same(t, tc.want, v.Breaks)
			Tamper(t, address, "DELETE FROM audit")
			Tamper(t, address, "DELETE FROM audit_chains")
		})
	}
}

// Tamper changes the database as somebody would who may write to it.
func Tamper(t *testing.T, address, statement string) {
	t.Helper()
	driver, dsn := "postgres", address
	if file, ok := strings.CutPrefix(address, "sqlite:"); ok {
		driver, dsn = "sqlite", file
	}
	db, err := sql.Open(driver, dsn)
	must(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), statement)
	must(t, err)
}

func choices(t *testing.T, s *control.Store) {
	ctx := t.Context()
	empty, err := s.Choices(ctx, "p")
	must(t, err)
	same(t, true, empty.In("a", "m", true))
	same(t, false, empty.In("a", "m", false))
	all := []control.Choice{{Member: "m1"}, {Member: "m2", In: true}, {Member: "m3"}, {ClientID: "a", Member: "m3", In: true}, {ClientID: "b", Member: "M"}}
	must(t, s.SetChoices(ctx, "p", all, true, now))
	c, err := s.Choices(ctx, "p")
	must(t, err)
	for _, tc := range []struct {
		client, member      string
		otherwise, expected bool
	}{
		{"a", "m1", true, false}, {"a", "m2", false, true}, {"a", "m3", false, true}, {"b", "m3", true, false},
		{"b", "M", true, false}, {"a", "M", true, true}, {"a", "m", false, false},
	} {
		if got := c.In(tc.client, tc.member, tc.otherwise); got != tc.expected {
			t.Errorf("%+v: %v", tc, got)
		}
	}
	same(t, []string{"m2", "m3"}, c.Members("a", true))
	same(t, []string{"m1"}, c.Members("a", false))
	same(t, []string{"M", "m1", "m3"}, c.Members("b", false))

	// A change is seen at once; what was read stays as it was.
	must(t, s.SetChoices(ctx, "p", []control.Choice{{Member: "m1", In: true}}, false, now.Add(time.Second)))
	later, err := s.Choices(ctx, "p")
	must(t, err)
	same(t, true, later.In("a", "m1", false))
	same(t, false, c.In("a", "m1", true))
	same(t, true, later.In("a", "m2", false))
	counts, err := s.ChoiceCounts(ctx)
	must(t, err)
	same(t, 4, len(counts))
	same(t, control.ChoiceCount{Purpose: "p", Choice: "in", Members: 2, Changed: now.Add(time.Second), Millis: now.Add(time.Second).UnixMilli()}, counts[0])
	must(t, s.SetChoices(ctx, "p", nil, true, now))
	later, err = s.Choices(ctx, "p")
	must(t, err)
	same(t, true, later.In("a", "m1", true))

	// All or nothing.
	twice := []control.Choice{{Member: "x", In: true}, {Member: "x"}}
	if s.SetChoices(ctx, "p", twice, false, now) == nil {
		t.Error("a member twice gives no error")
	}
	later, err = s.Choices(ctx, "p")
	must(t, err)
	same(t, true, later.In("a", "x", true))
	many := make([]control.Choice, 1000)
	for i := range many {
		many[i] = control.Choice{Member: fmt.Sprint(i), In: i%2 == 0}
	}
	must(t, s.SetChoices(ctx, "q", many, true, now))
	later, err = s.Choices(ctx, "q")
	must(t, err)
	same(t, 500, len(later.Members("a", true)))
}
