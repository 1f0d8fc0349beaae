// Package filestest holds the suite that every file store passes, and a store
// whose disk is too small.
package filestest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"remit/server/files"
)

// Run runs the suite; open makes an empty store for each test.
func Run(t *testing.T, open func(t *testing.T) *files.Store) {
	t.Run("CommitAndRead", func(t *testing.T) { commitAndRead(t, open(t)) })
	t.Run("InvisibleUntilCommit", func(t *testing.T) { invisible(t, open(t)) })
	t.Run("CancelSpoils", func(t *testing.T) { cancelSpoils(t, open(t)) })
	t.Run("Rotation", func(t *testing.T) { rotation(t, open(t)) })
	t.Run("SetAbort", func(t *testing.T) { setAbort(t, open(t)) })
	t.Run("SeekPlain", func(t *testing.T) { seekPlain(t, open(t)) })
	t.Run("RemoveAll", func(t *testing.T) { removeAll(t, open(t)) })
}

func write(t *testing.T, s *files.Store, object string, lines ...string) files.Info {
	t.Helper()
	w, err := s.Create(t.Context(), object)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if err := w.Write([]byte(l)); err != nil {
			t.Fatal(err)
		}
	}
	info, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	w.Abort() // after Commit it must do nothing
	return info
}

func plain(t *testing.T, s *files.Store, object string, size int64) string {
	t.Helper()
	r, err := s.Plain(t.Context(), object, size)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func absent(t *testing.T, s *files.Store, object string) {
	t.Helper()
	r, err := s.Reader(t.Context(), object)
	if err == nil {
		r.Close()
	}
	if !errors.Is(err, files.ErrNotExist) {
		t.Errorf("reading %s gives %v, want ErrNotExist", object, err)
	}
}

func commitAndRead(t *testing.T, s *files.Store) {
	// Longer than a block, so that several are compressed.
	var lines []string
	for i := range 5000 {
		lines = append(lines, fmt.Sprintf(`{"n":%d,"pad":%q}`, i, strings.Repeat("x", i%97)))
	}
	text := strings.Join(lines, "\n") + "\n"
	info := write(t, s, "e/0-1/A.1.ndjson.gz", lines...)
	sum := sha256.Sum256([]byte(text))

	r, err := s.Reader(t.Context(), "e/0-1/A.1.ndjson.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	stored, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	want := files.Info{Count: 5000, Bytes: int64(len(text)), Stored: int64(len(stored)), SHA256: hex.EncodeToString(sum[:])}
	if diff := cmp.Diff(want, info); diff != "" {
		t.Errorf("info (-want +got):\n%s", diff)
	}
	z, err := gzip.NewReader(bytes.NewReader(stored))
	if err != nil {
		t.Fatal(err)
	}
	back, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if string(back) != text {
		t.Error("stored form does not decompress to what was written")
	}
	if got := plain(t, s, "e/0-1/A.1.ndjson.gz", info.Bytes); got != text {
		t.Error("identity form is not what was written")
	}
}

func invisible(t *testing.T, s *files.Store) {
	w, err := s.Create(t.Context(), "e/a.gz")
	if err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		if err := w.Write(bytes.Repeat([]byte("z"), 100)); err != nil {
			t.Fatal(err)
		}
	}
	absent(t, s, "e/a.gz")
	w.Abort()
	w.Abort()
	absent(t, s, "e/a.gz")
	if err := w.Write([]byte("x")); err == nil {
		t.Error("a write after Abort gives no error")
	}
	if _, err := w.Commit(); err == nil {
		t.Error("a commit after Abort gives no error")
	}
}

func cancelSpoils(t *testing.T, s *files.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	w, err := s.Create(ctx, "e/a.gz")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := w.Commit(); err == nil {
		t.Error("a commit under a cancelled context gives no error")
	}
	absent(t, s, "e/a.gz")
}

func rotation(t *testing.T, s *files.Store) {
	set := s.NewSet("e/1-1", files.Limits{Lines: 3, Bytes: 20})
	for i := range 7 {
		if err := set.Write(t.Context(), "A", fmt.Appendf(nil, "%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	// 16 + 1 bytes, then 4 more would make 22.
	for _, l := range []string{"0123456789abcdef", "wxyz", "longer than the whole limit of bytes"} {
		if err := set.Write(t.Context(), "B", []byte(l)); err != nil {
			t.Fatal(err)
		}
	}
	parts, err := set.Commit()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range parts {
		got[p.Object] = plain(t, s, p.Object, p.Info.Bytes)
	}
	want := map[string]string{
		"e/1-1/A.1.ndjson.gz": "0\n1\n2\n", "e/1-1/A.2.ndjson.gz": "3\n4\n5\n", "e/1-1/A.3.ndjson.gz": "6\n",
		"e/1-1/B.1.ndjson.gz": "0123456789abcdef\n", "e/1-1/B.2.ndjson.gz": "wxyz\n",
		"e/1-1/B.3.ndjson.gz": "longer than the whole limit of bytes\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
}

func setAbort(t *testing.T, s *files.Store) {
	set := s.NewSet("e/1-1", files.Limits{Lines: 1})
	for range 3 {
		if err := set.Write(t.Context(), "A", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := set.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		absent(t, s, fmt.Sprintf("e/1-1/A.%d.ndjson.gz", i+1))
	}
}

func seekPlain(t *testing.T, s *files.Store) {
	info := write(t, s, "e/a.gz", "0123456789", "abcdefghij")
	r, err := s.Plain(t.Context(), "e/a.gz", info.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	read := func(offset int64, whence, n int, want string) {
		t.Helper()
		if _, err := r.Seek(offset, whence); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatal(err)
		}
		if string(b) != want {
			t.Errorf("seek(%d, %d) reads %q, want %q", offset, whence, b, want)
		}
	}
	read(5, io.SeekStart, 3, "567")
	read(1, io.SeekCurrent, 2, "9\n")
	read(0, io.SeekStart, 2, "01")
	read(-4, io.SeekEnd, 4, "hij\n")
	if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read at the end gives %d, %v", n, err)
	}
	if _, err := r.Seek(-1, io.SeekStart); err == nil {
		t.Error("a seek before the start gives no error")
	}
}

func removeAll(t *testing.T, s *files.Store) {
	write(t, s, "one/a.gz", "x")
	write(t, s, "one/0-1/b.gz", "x")
	write(t, s, "other/a.gz", "x")
	if err := s.RemoveAll(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	absent(t, s, "one/a.gz")
	absent(t, s, "one/0-1/b.gz")
	if got := plain(t, s, "other/a.gz", 2); got != "x\n" {
		t.Errorf("another folder's file reads %q", got)
	}
	if err := s.RemoveAll(t.Context(), "one"); err != nil {
		t.Errorf("removing nothing: %v", err)
	}
	for _, bad := range []string{"", "..", "../x", "/"} {
		if err := s.RemoveAll(t.Context(), bad); err == nil {
			t.Errorf("RemoveAll(%q) gives no error", bad)
		}
	}
	if err := s.Remove(t.Context(), "one/a.gz"); err != nil {
		t.Errorf("removing an absent file: %v", err)
	}
}
