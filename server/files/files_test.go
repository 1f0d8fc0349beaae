package files_test

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"remit/server/files"
	"remit/server/files/filestest"
)

func TestLocal(t *testing.T) {
	t.Parallel()
	filestest.Run(t, func(t *testing.T) *files.Store {
		return open(t, "file:"+t.TempDir())
	})
}

func TestMemory(t *testing.T) {
	t.Parallel()
	filestest.Run(t, func(t *testing.T) *files.Store { return open(t, "mem:") })
}

func open(t *testing.T, address string) *files.Store {
	t.Helper()
	s, err := files.Open(t.Context(), address)
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

// A local folder shows no final name before Commit, no leftover after Abort, and
// nothing to other users of the machine.
func TestLocalNames(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	s := open(t, "file:"+dir)
	w, err := s.Create(t.Context(), "x/0-1/Patient.1.ndjson.gz")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write([]byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	final := filepath.Join(dir, "x", "0-1", "Patient.1.ndjson.gz")
	if _, err := os.Stat(final); !os.IsNotExist(err) {
		t.Fatalf("file is visible before commit: %v", err)
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(final)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("file mode is %v, want 0600", info.Mode().Perm())
	}
	if info, err = os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder mode is %v (%v), want 0700", info.Mode().Perm(), err)
	}
	a, err := s.Create(t.Context(), "x/0-1/Claim.1.ndjson.gz")
	if err != nil {
		t.Fatal(err)
	}
	a.Abort()
	left, err := os.ReadDir(filepath.Dir(final))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 1 {
		t.Errorf("%d files in the folder, want only the committed one", len(left))
	}
	// What a crash leaves under a temporary name goes with the folder.
	if err := os.WriteFile(final+".abc.tmp", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveAll(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "x")); !os.IsNotExist(err) {
		t.Errorf("folder is still there: %v", err)
	}
}

func TestOpenAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "file:", "ftp://x", "s3://", "azblob:"} {
		if _, err := files.Open(t.Context(), address); err == nil {
			t.Errorf("Open(%q) gives no error", address)
		}
	}
}

// A full disk gives ErrFull, keeps what was there, and leaves no half file.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s, objects := filestest.Full(3 << 10)
	defer s.Close()
	set := s.NewSet("e/0-1", files.Limits{Lines: 1})
	var err error
	for err == nil {
		err = set.Write(t.Context(), "B", []byte(rand.Text()))
	}
	if !errors.Is(err, files.ErrFull) {
		t.Errorf("a full disk gives %v, want ErrFull", err)
	}
	if err := set.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := objects(); len(left) != 0 {
		t.Errorf("%d objects remain", len(left))
	}
}
