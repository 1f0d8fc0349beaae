// Package controltest holds the suite that the control store passes on every
// database.
package controltest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/sql/control"
)

// Run runs the suite; address names an empty database for each test.
func Run(t *testing.T, address func(t *testing.T) string) {
	t.Run("Clients", func(t *testing.T) { clients(t, open(t, address(t))) })
	t.Run("OddIDs", func(t *testing.T) { oddIDs(t, open(t, address(t))) })
	t.Run("Tokens", func(t *testing.T) { tokens(t, open(t, address(t))) })
	t.Run("SigningKeys", func(t *testing.T) { signingKeys(t, open(t, address(t))) })
	t.Run("Assertions", func(t *testing.T) { assertions(t, address(t)) })
	t.Run("GroupCommit", func(t *testing.T) { groupCommit(t, address(t)) })
	t.Run("Events", func(t *testing.T) { events(t, open(t, address(t))) })
	t.Run("Chains", func(t *testing.T) { chains(t, address(t)) })
	t.Run("ChainBreaks", func(t *testing.T) { chainBreaks(t, address(t)) })
	t.Run("Choices", func(t *testing.T) { choices(t, open(t, address(t))) })
	t.Run("ExportLife", func(t *testing.T) { exportLife(t, open(t, address(t))) })
	t.Run("Ends", func(t *testing.T) { ends(t, address(t)) })
	t.Run("EndsInOrder", func(t *testing.T) { endsInOrder(t, open(t, address(t))) })
	t.Run("CompareAndSet", func(t *testing.T) { compareAndSet(t, open(t, address(t))) })
	t.Run("Waiting", func(t *testing.T) { waiting(t, open(t, address(t))) })
	t.Run("Ownership", func(t *testing.T) { ownership(t, open(t, address(t))) })
	t.Run("Retry", func(t *testing.T) { retry(t, open(t, address(t))) })
	t.Run("Nodes", func(t *testing.T) { nodes(t, open(t, address(t))) })
	t.Run("Expiry", func(t *testing.T) { expiry(t, open(t, address(t))) })
	t.Run("Secrets", func(t *testing.T) { secrets(t, open(t, address(t))) })
	t.Run("Groups", func(t *testing.T) { groups(t, open(t, address(t))) })
	t.Run("Publications", func(t *testing.T) { publications(t, open(t, address(t))) })
	t.Run("TwoProcesses", func(t *testing.T) { twoProcesses(t, address(t)) })
}

// now is the suite's clock, in whole milliseconds.
var now = time.Date(2026, 3, 1, 12, 0, 0, 123e6, time.UTC)

func open(t *testing.T, address string) *control.Store {
	t.Helper()
	s, err := control.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s gives %v, want %v", what, err, target)
	}
}

func same[T any](t *testing.T, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func clients(t *testing.T, s *control.Store) {
	ctx := t.Context()
	all := []*control.Client{
		{ID: "a", Name: "One", JWKS: `{"keys":[]}`, Scopes: []string{"system/*.rs"}, Enabled: true, Created: now, Revision: 1},
		{ID: "b", Name: "Two", JWKSURL: "https://x/jwks", Scopes: []string{"system/Patient.rs", "system/Claim.rs"},
			Groups: []string{"g1", "g2"}, View: "basis", Created: now.Add(time.Second), Revision: 1, Purpose: "provider-access",
			Types: []string{"Patient", "Claim"}, Earliest: "2016-01-01", Contact: "x@y", Notes: "two\nlines", Expires: now.Add(time.Hour),
			MaxExports: 3, TokenRate: 10},
		{ID: "c", Name: "None", Scopes: []string{}, Groups: []string{}, Enabled: true, Created: now.Add(time.Minute), Revision: 1},
	}
	for _, c := range all {
		must(t, s.AddClient(ctx, c))
	}
	if err := s.AddClient(ctx, all[0]); err == nil {
		t.Error("an id taken twice gives no error")
	}
	got, err := s.Clients(ctx)
	must(t, err)
	same(t, all, got)

	must(t, spend(t, s, "a", 1, "j", token("h", "a"), control.Fresh))
	must(t, s.DisableClient(ctx, "a", now))
	want(t, "disabling twice", s.DisableClient(ctx, "a", now), control.ErrConflict)
	want(t, "disabling nobody", s.DisableClient(ctx, "x", now), control.ErrNotFound)
	c, err := s.Client(ctx, "a")
	must(t, err)
	if c.Enabled || c.Revision != 2 || !c.LastUse.Equal(now) {
		t.Errorf("disabled client is %+v", c)
	}
	tok, err := s.Token(ctx, "h")
	must(t, err)
	same(t, now, tok.Revoked)
	must(t, s.EnableClient(ctx, "a"))
	want(t, "enabling twice", s.EnableClient(ctx, "a"), control.ErrConflict)
	want(t, "enabling nobody", s.EnableClient(ctx, "x"), control.ErrNotFound)
	_, err = s.Client(ctx, "x")
	want(t, "an unknown client", err, control.ErrNotFound)

	// Changes name the revision that they were decided on.
	stale := *c
	c, err = s.Client(ctx, "a")
	must(t, err)
	must(t, s.SetClientKeys(ctx, c, "", "https://a/jwks"))
	want(t, "keys by an old reading", s.SetClientKeys(ctx, &stale, "", ""), control.ErrConflict)
	c, err = s.Client(ctx, "a")
	must(t, err)
	c.Name, c.Groups, c.Types, c.Expires = "Uno", []string{}, []string{"Claim"}, now
	must(t, s.SetClientPolicy(ctx, c))
	want(t, "a policy by an old reading", s.SetClientPolicy(ctx, &stale), control.ErrConflict)
	c.Revision++
	again, err := s.Client(ctx, "a")
	must(t, err)
	same(t, c, again)

	// Revocation is for good.
	must(t, s.RevokeClient(ctx, "a", now))
	want(t, "revoking twice", s.RevokeClient(ctx, "a", now), control.ErrConflict)
	want(t, "revoking nobody", s.RevokeClient(ctx, "x", now), control.ErrNotFound)
	want(t, "enabling a revoked client", s.EnableClient(ctx, "a"), control.ErrConflict)
	c, err = s.Client(ctx, "a")
	must(t, err)
	if c.Enabled || c.JWKS != "" || c.JWKSURL != "" || !c.Revoked.Equal(now) {
		t.Errorf("revoked client is %+v", c)
	}
	want(t, "keys of a revoked client", s.SetClientKeys(ctx, c, "x", ""), control.ErrConflict)
}

// oddIDs are what a caller may write into a URL or a token, and PostgreSQL
// cannot keep.
func oddIDs(t *testing.T, s *control.Store) {
	ctx := t.Context()
	for _, id := range []string{"", "\x00", "a\x00b", "\xff\xfe", strings.Repeat("x", 100_000)} {
		_, err := s.Export(ctx, id)
		want(t, "export of an odd id", err, control.ErrNotFound)
		_, err = s.File(ctx, id, "Patient.1.ndjson")
		want(t, "file of an odd id", err, control.ErrNotFound)
		_, err = s.File(ctx, "e", id)
		want(t, "file of an odd name", err, control.ErrNotFound)
		_, err = s.Client(ctx, id)
		want(t, "client of an odd id", err, control.ErrNotFound)
	}
}

func add(t *testing.T, s *control.Store, id string) *control.Export {
	t.Helper()
	must(t, s.AddExport(t.Context(), &control.Export{ID: id, ClientID: "a", Request: []byte(`{}`), Owner: "n1", Created: now}))
	x, err := s.Export(t.Context(), id)
	must(t, err)
	return x
}

func plan(t *testing.T, s *control.Store, x *control.Export, chunks int) {
	t.Helper()
	p := control.Plan{Program: "p", TransactionTime: now, At: now.Add(time.Second)}
	for i := range chunks {
		p.Chunks = append(p.Chunks, fmt.Appendf(nil, `{"n":%d}`, i))
	}
	must(t, s.PlanExport(t.Context(), x, p))
	got, err := s.Export(t.Context(), x.ID)
	must(t, err)
	same(t, got, x)
}

func exportLife(t *testing.T, s *control.Store) {
	ctx := t.Context()
	x := add(t, s, "x")
	same(t, control.Accepted, x.State)
	plan(t, s, x, 3)
	n, err := s.ActiveCount(ctx, "a")
	must(t, err)
	same(t, 1, n)
	open, waiting, err := s.OpenChunks(ctx, "x", "n1", now, 2)
	must(t, err)
	same(t, 3, open)
	same(t, []control.Attempt{{ExportID: "x", N: 0}, {ExportID: "x", N: 1}}, waiting)

	percents := []int64{33, 66, 99}
	for i, n := range []int{2, 0, 1} {
		attempt, err := s.StartChunk(ctx, x, n, "n1", now)
		must(t, err)
		same(t, 1, attempt)
		files := []control.File{
			{ExportID: "x", Object: fmt.Sprintf("o%d", n), Chunk: n, Seq: 1, Type: "T", Kind: control.KindOutput, Count: 5, Bytes: 50, Stored: 9, SHA256: "s"},
		}
		left, err := s.FinishChunk(ctx, x, n, attempt, []byte(`{"c":1}`), 5, 50, files, now)
		must(t, err)
		same(t, 2-i, left)
		got, err := s.Export(ctx, "x")
		must(t, err)
		same(t, percents[i], got.Percent)
		same(t, int64(5*(i+1)), got.Resources)
	}
	files, err := s.Files(ctx, "x")
	must(t, err)
	var objects []string
	for i := range files {
		objects = append(objects, files[i].Object)
		files[i].Name = fmt.Sprintf("T.%d.ndjson", i+1)
	}
	same(t, []string{"o0", "o1", "o2"}, objects)
	_, err = s.File(ctx, "x", "T.1.ndjson")
	want(t, "a file before completion", err, control.ErrNotFound)
	must(t, s.CompleteExport(ctx, x, files, 15, []byte(`{"r":1}`), control.End{At: now, Expires: now.Add(time.Hour)}))
	want(t, "completing twice", s.CompleteExport(ctx, x, files, 15, nil, control.End{At: now, Expires: now}), control.ErrConflict)
	f, err := s.File(ctx, "x", "T.2.ndjson")
	must(t, err)
	same(t, files[1], *f)
	got, err := s.Export(ctx, "x")
	must(t, err)
	if got.State != control.Complete || got.Percent != 100 || string(got.Report) != `{"r":1}` || !got.Expires.Equal(now.Add(time.Hour)) {
		t.Errorf("complete export is %+v", got)
	}
	list, err := s.ExportsOf(ctx, "a")
	must(t, err)
	same(t, []*control.Export{got}, list)

	must(t, s.DeleteExport(ctx, "x"))
	want(t, "deleting twice", s.DeleteExport(ctx, "x"), control.ErrConflict)
	_, err = s.File(ctx, "x", "T.1.ndjson")
	want(t, "a file of a deleted export", err, control.ErrNotFound)
	must(t, s.ForgetExport(ctx, "x"))
	_, err = s.Export(ctx, "x")
	want(t, "a forgotten export", err, control.ErrNotFound)
	files, err = s.Files(ctx, "x")
	must(t, err)
	same(t, 0, len(files))
	chunks, err := s.Chunks(ctx, "x")
	must(t, err)
	same(t, 0, len(chunks))
}

func compareAndSet(t *testing.T, s *control.Store) {
	ctx := t.Context()
	x := add(t, s, "x")
	old := *x
	plan(t, s, x, 2)
	want(t, "planning from an old state", s.PlanExport(ctx, &old, control.Plan{}), control.ErrConflict)
	want(t, "completing with open chunks", s.CompleteExport(ctx, x, nil, 0, nil, control.End{At: now, Expires: now}), control.ErrConflict)

	first, err := s.StartChunk(ctx, x, 0, "n1", now)
	must(t, err)
	second, err := s.StartChunk(ctx, x, 0, "n1", now)
	must(t, err)
	same(t, first+1, second)
	_, err = s.FinishChunk(ctx, x, 0, first, nil, 1, 10, nil, now)
	want(t, "finishing an attempt that was overtaken", err, control.ErrConflict)
	got, err := s.Export(ctx, "x")
	must(t, err)
	same(t, int64(0), got.ChunksDone) // the failed finish left no trace
	_, err = s.FinishChunk(ctx, x, 0, second, nil, 1, 10, nil, now)
	must(t, err)
	_, err = s.StartChunk(ctx, x, 0, "n1", now)
	want(t, "starting a chunk that is done", err, control.ErrConflict)

	// A start over makes the old generation powerless, and progress stays.
	stale := *x
	must(t, s.PlanExport(ctx, x, control.Plan{Program: "p2", TransactionTime: now.Add(time.Hour), Chunks: [][]byte{[]byte("{}"), []byte("{}"), []byte("{}")}, At: now}))
	_, err = s.StartChunk(ctx, &stale, 1, "n1", now)
	want(t, "starting a chunk of an old generation", err, control.ErrConflict)
	got, err = s.Export(ctx, "x")
	must(t, err)
	same(t, int64(49), got.Percent)
	same(t, int64(0), got.ChunksDone)
	a, err := s.StartChunk(ctx, x, 0, "n1", now)
	must(t, err)
	_, err = s.FinishChunk(ctx, x, 0, a, nil, 1, 10, nil, now)
	must(t, err)
	got, err = s.Export(ctx, "x")
	must(t, err)
	same(t, int64(49), got.Percent)

	must(t, s.FailExport(ctx, "x", x.Epoch, []byte(`{"f":1}`), nil, control.End{At: now, Expires: now}))
	want(t, "failing twice", s.FailExport(ctx, "x", x.Epoch, nil, nil, control.End{At: now, Expires: now}), control.ErrConflict)
	_, err = s.StartChunk(ctx, x, 1, "n1", now)
	want(t, "starting a chunk of a failed export", err, control.ErrConflict)
}

func ownership(t *testing.T, s *control.Store) {
	ctx := t.Context()
	x := add(t, s, "x")
	later := now.Add(10 * time.Second)
	must(t, s.Announce(ctx, control.Node{ID: "n1", Started: now, Seen: later}))
	owned, err := s.Beat(ctx, "n1", later)
	must(t, err)
	same(t, 0, len(owned)) // it only waits
	claimed, err := s.Claim(ctx, "n2", later, later.Add(-time.Second))
	must(t, err)
	same(t, 0, len(claimed)) // n1 was heard of
	claimed, err = s.Claim(ctx, "n1", later, later.Add(time.Second))
	must(t, err)
	same(t, 0, len(claimed)) // one's own
	claimed, err = s.Claim(ctx, "n2", later, later.Add(time.Second))
	must(t, err)
	if len(claimed) != 1 || claimed[0].Owner != "n2" || claimed[0].Former != "n1" || claimed[0].Epoch != 1 {
		t.Fatalf("claimed %+v", claimed)
	}
	want(t, "planning by the old owner", s.PlanExport(ctx, x, control.Plan{}), control.ErrConflict)
	x = claimed[0].Export
	plan(t, s, x, 1)
	owned, err = s.Beat(ctx, "n2", later)
	must(t, err)
	same(t, []*control.Export{x}, owned)
	claimed, err = s.Claim(ctx, "n3", later, later.Add(-time.Second))
	must(t, err)
	same(t, 0, len(claimed)) // n2 was heard of, by its exports alone
	must(t, s.Release(ctx, "n2"))
	claimed, err = s.Claim(ctx, "n3", later, time.Time{})
	must(t, err)
	if len(claimed) != 1 || claimed[0].Former != "" || claimed[0].Epoch != 2 || claimed[0].Generation != 1 {
		t.Fatalf("claimed %+v", claimed)
	}
	_, err = s.StartChunk(ctx, x, 0, "n1", now)
	want(t, "starting a chunk under an old epoch", err, control.ErrConflict)

	// Of several claimants, one wins.
	must(t, s.Release(ctx, "n3"))
	var wg sync.WaitGroup
	wins := make(chan int, 8)
	for i := range cap(wins) {
		wg.Go(func() {
			got, err := s.Claim(ctx, fmt.Sprintf("m%d", i), later, time.Time{})
			if err != nil {
				t.Error(err)
			}
			wins <- len(got)
		})
	}
	wg.Wait()
	close(wins)
	n := 0
	for w := range wins {
		n += w
	}
	same(t, 1, n)
}

// Exports that wait are found by client, oldest first, small ones apart.
func waiting(t *testing.T, s *control.Store) {
	ctx := t.Context()
	for i, x := range []control.Export{
		{ID: "a1", ClientID: "a"}, {ID: "b1", ClientID: "b"}, {ID: "a2", ClientID: "a"}, {ID: "a3", ClientID: "a", Small: true},
		{ID: "c1", ClientID: "c", Owner: "n2"}, {ID: "d1", ClientID: "d"},
	} {
		x.Request, x.Created = []byte("{}"), now.Add(time.Duration(i)*time.Second)
		if x.Owner == "" {
			x.Owner = "n1"
		}
		must(t, s.AddExport(ctx, &x))
	}
	d, err := s.Export(ctx, "d1")
	must(t, err)
	plan(t, s, d, 1)
	clients := func(node string, small bool, want ...string) {
		t.Helper()
		got, err := s.WaitingClients(ctx, node, small)
		must(t, err)
		same(t, want, got)
	}
	clients("n1", false, "a", "b")
	clients("n1", true, "a")
	clients("n2", false, "c")
	clients("n2", true)
	all, err := s.WaitingOf(ctx, "n1", "a", false, 5)
	must(t, err)
	if len(all) != 2 || all[0].ID != "a1" || all[1].ID != "a2" || all[0].Small {
		t.Errorf("of a wait %+v", all)
	}
	all, err = s.WaitingOf(ctx, "n1", "a", true, 1)
	must(t, err)
	if len(all) != 1 || all[0].ID != "a3" || !all[0].Small {
		t.Errorf("small ones of a: %+v", all)
	}
}

func expiry(t *testing.T, s *control.Store) {
	ctx := t.Context()
	x, y := add(t, s, "x"), add(t, s, "y")
	plan(t, s, x, 0)
	must(t, s.CompleteExport(ctx, x, nil, 0, nil, control.End{At: now, Expires: now.Add(time.Hour)}))
	ids, err := s.ExpireExports(ctx, now.Add(time.Hour-time.Millisecond), expired)
	must(t, err)
	same(t, 0, len(ids))
	ids, err = s.ExpireExports(ctx, now.Add(time.Hour), expired)
	must(t, err)
	same(t, []string{"x"}, ids)
	must(t, s.ForgetExport(ctx, y.ID)) // active: stays
	_, err = s.Export(ctx, "y")
	must(t, err)
	expired, err := s.Exports(ctx, control.Expired)
	must(t, err)
	if len(expired) != 1 || expired[0].ID != "x" {
		t.Errorf("expired exports are %+v", expired)
	}
}

// A client is added while another process writes all the time.
func twoProcesses(t *testing.T, address string) {
	ctx := t.Context()
	server, tool := open(t, address), open(t, address)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 20 {
				e := &control.Export{ID: fmt.Sprintf("%d-%d", i, n), ClientID: "a", Request: []byte("{}"), Owner: "n", Created: now}
				if err := server.AddExport(ctx, e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := range 20 {
		c := &control.Client{ID: fmt.Sprint(n), Name: "x", Scopes: []string{}, Enabled: true, Created: now}
		if err := tool.AddClient(ctx, c); err != nil {
			t.Error(err)
		}
		if _, err := server.Client(ctx, c.ID); err != nil {
			t.Errorf("the server does not see client %d: %v", n, err)
		}
	}
	wg.Wait()
	n, err := tool.ActiveCount(ctx, "a")
	must(t, err)
	same(t, 80, n)
}

// Chunks run on any node; those of a node that fell silent are free.
func nodes(t *testing.T, s *control.Store) {
	ctx := t.Context()
	n1 := control.Node{ID: "n1", Version: "v", Workers: 2, Started: now, Seen: now}
	n2 := control.Node{ID: "n2", Version: "v", Workers: 1, Started: now.Add(time.Second), Seen: now.Add(time.Second)}
	for _, n := range []control.Node{n1, n2} {
		must(t, s.Announce(ctx, n))
	}
	n2.Seen, n2.Workers = now.Add(time.Minute), 3
	must(t, s.Announce(ctx, n2))
	got, err := s.Nodes(ctx)
	must(t, err)
	same(t, []control.Node{n1, n2}, got)

	x := add(t, s, "x")
	plan(t, s, x, 4)
	must(t, s.ShareExport(ctx, x, "token"))
	stale := *x
	stale.Owner = "n2"
	want(t, "sharing by another than the owner", s.ShareExport(ctx, &stale, "other"), control.ErrConflict)
	again, err := s.Export(ctx, "x")
	must(t, err)
	same(t, x, again)
	for n, node := range []string{"n1", "n2", "gone"} {
		_, err := s.StartChunk(ctx, x, n, node, now.Add(time.Duration(n)*time.Second))
		must(t, err)
	}
	waiting := func(node string, alive time.Time) (ns []int) {
		t.Helper()
		open, list, err := s.OpenChunks(ctx, "x", node, alive, 10)
		must(t, err)
		same(t, 4, open)
		for _, a := range list {
			ns = append(ns, a.N)
		}
		return ns
	}
	same(t, []int{2, 3}, waiting("n1", now))
	same(t, []int{2, 3}, waiting("n1", now.Add(time.Second))) // one's own are never lost by time
	same(t, []int{0, 2, 3}, waiting("n2", now.Add(time.Second)))
	must(t, s.Leave(ctx, "n2"))
	same(t, []int{1, 2, 3}, waiting("n1", now))

	mine, err := s.ChunksOf(ctx, "n1", now)
	must(t, err)
	same(t, 0, len(mine))
	mine, err = s.ChunksOf(ctx, "n1", now.Add(time.Second))
	must(t, err)
	same(t, []control.Attempt{{ExportID: "x", N: 0, Attempt: 1}}, mine)
	must(t, s.FreeChunk(ctx, mine[0]))
	want(t, "freeing twice", s.FreeChunk(ctx, mine[0]), control.ErrConflict)
	same(t, []int{0, 1, 2, 3}, waiting("n1", now))

	// A new owner finds everything free, and no snapshot to join.
	_, err = s.StartChunk(ctx, x, 3, "n1", now)
	must(t, err)
	claimed, err := s.Claim(ctx, "n9", now, now.Add(time.Hour))
	must(t, err)
	if len(claimed) != 1 || claimed[0].Snapshot != "" {
		t.Errorf("claimed %+v", claimed)
	}
	same(t, []int{0, 1, 2, 3}, waiting("n9", now))
	must(t, s.ForgetNodes(ctx, now.Add(time.Hour)))
	got, err = s.Nodes(ctx)
	must(t, err)
	same(t, 0, len(got))
}

// A failed export can begin anew; what it had is gone.
func retry(t *testing.T, s *control.Store) {
	ctx := t.Context()
	x := add(t, s, "x")
	plan(t, s, x, 2)
	want(t, "retrying a running export", s.RetryExport(ctx, "x"), control.ErrConflict)
	must(t, s.FailExport(ctx, "x", x.Epoch, []byte(`{"f":1}`), nil, control.End{At: now, Expires: now}))
	counts, err := s.CountExports(ctx)
	must(t, err)
	same(t, map[control.State]int{control.Failed: 1}, counts)
	must(t, s.RetryExport(ctx, "x"))
	want(t, "retrying twice", s.RetryExport(ctx, "x"), control.ErrConflict)
	chunks, err := s.Chunks(ctx, "x")
	must(t, err)
	same(t, 0, len(chunks))
	claimed, err := s.Claim(ctx, "n2", now, time.Time{})
	must(t, err)
	if len(claimed) != 1 || claimed[0].State != control.Accepted || claimed[0].Generation != 0 || len(claimed[0].Failure) != 0 {
		t.Fatalf("claimed %+v", claimed)
	}
	add(t, s, "y")
	recent, err := s.RecentExports(ctx, 5)
	must(t, err)
	same(t, 2, len(recent))
	recent, err = s.RecentExports(ctx, 1)
	must(t, err)
	same(t, 1, len(recent))
}
