package mapping_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/fstest"

	"remit/mapping"
	"remit/mapping/program"
	"remit/sql/source"
)

func loadFake(t testing.TB, f *fake, set fstest.MapFS) (*program.Program, source.Snapshot) {
	t.Helper()
	p, diags, err := mapping.Load(context.Background(), set, mapping.Env{Warehouse: f, Profiles: profileSet(t)})
	if err != nil {
		t.Fatal(err)
	}
	if p == nil {
		t.Fatal(diags.Err())
	}
	snap, err := f.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return p, snap
}

// Every row is walked with the id that a run gives it, the index leads from the
// id back to the row, and the row alone makes the resource again.
func TestRowsAndIndex(t *testing.T) {
	ctx := context.Background()
	f, set := claims(40)
	p, snap := loadFake(t, f, set)
	made := map[string]string{}
	if _, err := p.Run(ctx, snap, program.Request{Types: []string{"Coverage"}}, func(e *program.Emitted) error {
		made[string(e.ID)] = string(e.Resource.AppendJSON(nil))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r := program.Request{Types: []string{"Coverage"}}
	walked := 0
	err := p.Rows(ctx, snap, r, 0, func(f *program.Found) error {
		walked++
		if made[string(f.ID)] == "" || !f.Owned || f.Patient == "" || f.N != walked {
			t.Errorf("%+v", f)
		}
		return nil
	})
	if err != nil || walked != len(made) {
		t.Errorf("%d rows of %d, %v", walked, len(made), err)
	}
	var held, most int64
	room := func(limit int64) program.Room {
		held, most = 0, 0
		return func(bytes int64) bool {
			if held+bytes > limit {
				return false
			}
			held += bytes
			most = max(most, held)
			return true
		}
	}
	x, err := p.Index(ctx, snap, r, room(1<<20))
	if err != nil || x.Len() != len(made) {
		t.Fatalf("index of %d, %v", x.Len(), err)
	}
	if held != x.Bytes() || held == 0 {
		t.Errorf("an index of %d bytes was granted %d", x.Bytes(), held)
	}
	for id, json := range made {
		rows := x.Find(id)
		if len(rows) != 1 {
			t.Fatalf("%s has %d rows", id, len(rows))
		}
		got := ""
		_, err := p.Run(ctx, snap, program.Request{Pass: rows[0].Pass, Types: r.Types, Keys: [][]string{rows[0].Key}}, func(e *program.Emitted) error {
			if string(e.ID) == id { // the double does not narrow
				got += string(e.Resource.AppendJSON(nil))
			}
			return nil
		})
		if err != nil || got != json {
			t.Errorf("%s: %s, %v", id, got, err)
		}
	}
	if rows := x.Find("nobody"); len(rows) != 0 {
		t.Errorf("%+v", rows)
	}
	for _, limit := range []int64{0, 100, most - 1} {
		if _, err := p.Index(ctx, snap, r, room(limit)); !errors.Is(err, program.ErrIndexTooLarge) || held != 0 {
			t.Errorf("room for %d bytes gives %v, and %d are held", limit, err, held)
		}
	}
	stop := errors.New("stop")
	if err := p.Rows(ctx, snap, r, 0, func(*program.Found) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the callback's error becomes %v", err)
	}
}

// A plain id tells its key; a word that no key reads so tells none, and is no
// error of a query.
func TestRecover(t *testing.T) {
	f, _ := claims(1)
	for _, test := range []struct {
		name, key, id string
		want          [][]string
		no            bool
	}{
		{name: "one column", key: "key: [claim_id]", id: "{key: [=claim_id], form: plain}", want: [][]string{{"A-7"}}},
		{name: "two columns", key: "key: [claim_id, member_id]", id: "{key: [=claim_id, =member_id], form: plain}", want: [][]string{{"A", "7"}}},
		{name: "literal", key: "key: [claim_id]", id: "{key: [A, =claim_id], form: plain}", want: [][]string{{"7"}}},
		{name: "other literal", key: "key: [claim_id]", id: "{key: [B, =claim_id], form: plain}"},
		{name: "date", key: "key: [claim_id, start_date]", id: "{key: [=claim_id, =start_date], form: plain}"},
		{name: "hashed", key: "key: [claim_id]", id: "{key: [=claim_id]}", no: true},
		{name: "part of the key", key: "key: [claim_id, member_id]", id: "{key: [=claim_id], form: plain, unique: true}", no: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, _ := loadFake(t, f, fstest.MapFS{
				"sources.yaml":  {Data: []byte("sources:\n  claim: {table: claim, " + test.key + ", patient: member_id}\n")},
				"coverage.yaml": {Data: []byte("resource: Coverage\nfrom: claim\nid: " + test.id + "\nset: {status: active, beneficiary: {display: =member_id}, payor: {display: =payer}}\n")},
			})
			rows, ok := p.Recover("Coverage", "", "A-7")
			if ok == test.no || len(rows) != len(test.want) {
				t.Fatalf("%v, %v", rows, ok)
			}
			for i, r := range rows {
				if r.Pass != 1 || !slices.Equal(r.Key, test.want[i]) {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

// A number that fits its column is read from a plain id, however long; one that
// may not is left to a walk, since asking for it would be an error of the query.
func TestRecover_Number(t *testing.T) {
	f, _ := claims(1)
	p, _ := loadFake(t, f, fstest.MapFS{
		"sources.yaml": {Data: []byte("sources:\n  line: {table: line, key: [line_no]}\n")},
		"coverage.yaml": {Data: []byte("resource: Coverage\nfrom: line\nid: {key: [=line_no], form: plain}\n" +
			"set: {status: active, beneficiary: {display: =rendering}, payor: {display: =hcpcs}}\n")},
	})
	for id, want := range map[string]struct{ found, ok bool }{
		"7":                    {true, true},
		"-7":                   {true, true},
		"9223372036854775807":  {true, true},
		"-9223372036854775808": {true, true},
		"9223372036854775808":  {false, false},
		"007":                  {false, true},
		"-0":                   {false, true},
	} {
		rows, ok := p.Recover("Coverage", "", id)
		if ok != want.ok || (len(rows) == 1 && rows[0].Key[0] == id) != want.found {
			t.Errorf("%s: %v, %v", id, rows, ok)
		}
	}
}
