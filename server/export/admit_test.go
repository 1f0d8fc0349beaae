package export

import (
	"io"
	"testing"
	"time"

	"remit/sql/control"
)

// BE-018: more exports than may run at once wait their turn, without a snapshot,
// and then run.
func TestBE018_Turns(t *testing.T) {
	t.Parallel()
	d := small()
	reached := hold(d)
	b := newBench(t, d)
	b.change = func(o *Options) { o.MaxActive = 1 }
	e := b.engine()
	first := kickoff(t, e, Request{ClientID: "a"})
	<-reached
	second := kickoff(t, e, Request{ClientID: "b", Level: LevelGroup, Group: "g1"})
	third := kickoff(t, e, Request{ClientID: "b"})
	// The jobs of the two have been looked at when nothing but the first holds a
	// snapshot.
	for deadline := time.Now().Add(patience); ; {
		if open, opened := b.wh.stats(); open == 1 && opened >= 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a waiting export keeps its snapshot")
		}
	}
	for _, id := range []string{second, third} {
		if st, err := e.Status(t.Context(), id); err != nil || st.State != StateAccepted {
			t.Errorf("status %+v, %v", st, err)
		}
	}
	if err := e.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{second, third} {
		if st := wait(t, e, id); st.State != StateComplete {
			t.Errorf("export ends as %s", st.State)
		}
	}
	same(t, "patients of the group", []string{"p1", "p3"}, ids(t, e, second, "Patient"))
	same(t, "patients", []string{"p1", "p2", "p3"}, ids(t, e, third, "Patient"))
}

// BE-019, BE-212: a download that has begun ends well, past the expiry and after
// DELETE; then the files go.
func TestBE019_DownloadOutlivesExport(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"delete", "expiry"} {
		t.Run(way, func(t *testing.T) {
			b := newBench(t, small())
			e := b.engine()
			id := export(t, e, Request{Types: []string{"Patient"}})
			f, err := e.OpenFile(t.Context(), id, "Patient.1.ndjson")
			if err != nil {
				t.Fatal(err)
			}
			r, err := f.Identity(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(r, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
			if way == "delete" {
				if err := e.Delete(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			} else {
				b.clock.forward(e.Keep + time.Minute)
			}
			if err := e.expire(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(objects(t, b)) == 0 {
				t.Error("files are gone under a download")
			}
			_, err = e.OpenFile(t.Context(), id, "Patient.1.ndjson")
			if err == nil {
				t.Error("a new download begins")
			}
			rest, err := io.ReadAll(r)
			if err != nil || int64(len(rest))+5 != f.Bytes {
				t.Errorf("%d bytes, %v", len(rest), err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if err := e.expire(t.Context()); err != nil {
				t.Fatal(err)
			}
			same(t, "objects", nil, objects(t, b))
			if way == "delete" {
				_, err = b.control.Export(t.Context(), id)
				is(t, "a deleted export", err, control.ErrNotFound)
			}
		})
	}
}
