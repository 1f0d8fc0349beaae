package client

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// Download says where files go and how.
type Download struct {
	// Dir is the folder; it is made where it is missing.
	Dir string
	// Parallel is how many files are fetched at once; 0 means 4.
	Parallel int
	// Progress, where not nil, is told the bytes written so far and the files
	// done of all; calls come one at a time.
	Progress func(bytes int64, done, all int)
}

// Kinds of files in a manifest.
const (
	KindOutput  = "output"
	KindDeleted = "deleted"
	KindError   = "error"
)

// Saved is one downloaded file.
type Saved struct {
	Kind  string // output, deleted, error
	Type  string
	Path  string
	Lines int64 // resources
	Bytes int64 // of the file, uncompressed
}

// partial marks files under way; nobody else may take them for whole.
const partial = ".partial"

// Fetch downloads all files of a manifest. A file appears under its name only
// when it is whole and holds as many resources as the manifest says; what an
// earlier, broken run left is begun anew. The order is that of the manifest.
func (c *Client) Fetch(ctx context.Context, m *Manifest, d Download) ([]Saved, error) {
	if err := os.MkdirAll(d.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("download: %w", err)
	}
	if d.Parallel <= 0 {
		d.Parallel = 4
	}
	type job struct {
		item Item
		name string
		kind string
	}
	var jobs []job
	taken := map[string]bool{}
	for _, list := range []struct {
		kind  string
		items []Item
	}{{KindOutput, m.Output}, {KindDeleted, m.Deleted}, {KindError, m.Error}} {
		for _, item := range list.items {
			name := fileName(item, taken)
			jobs = append(jobs, job{item, name, list.kind})
		}
	}
	saved := make([]Saved, len(jobs))
	var written atomic.Int64
	var mu sync.Mutex
	done := 0
	tell := func(finished int) {
		if d.Progress == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		done += finished
		d.Progress(written.Load(), done, len(jobs))
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(d.Parallel)
	for i, j := range jobs {
		group.Go(func() error {
			f := &fetch{
				client: c, item: j.item, path: filepath.Join(d.Dir, j.name), authorize: m.RequiresAccessToken,
				counted: j.kind == KindOutput, want: wanted(j.kind, j.item.Type), wrote: func(n int) { written.Add(int64(n)); tell(0) },
			}
			if err := f.run(ctx); err != nil {
				return fmt.Errorf("download %s: %w", j.name, err)
			}
			saved[i] = Saved{Kind: j.kind, Type: j.item.Type, Path: f.path, Lines: f.lines.n, Bytes: f.bytes}
			tell(1)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return saved, nil
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$`)

// fileName is the last segment of the item's URL where that is a plain name
// ending in .ndjson and not taken, else Type.N.ndjson.
func fileName(item Item, taken map[string]bool) string {
	name := ""
	if u, err := url.Parse(item.URL); err == nil {
		name = path.Base(u.Path)
	}
	kind := item.Type
	if !plainName.MatchString(kind) {
		kind = "file"
	}
	// Some file systems see no difference between A and a.
	free := func(n string) bool { return !taken[strings.ToLower(n)] }
	if !plainName.MatchString(name) || !strings.HasSuffix(name, ".ndjson") || !free(name) {
		for n := 1; ; n++ {
			if name = fmt.Sprintf("%s.%d.ndjson", kind, n); free(name) {
				break
			}
		}
	}
	taken[strings.ToLower(name)] = true
	return name
}

// fetch is one file on its way.
type fetch struct {
	client    *Client
	item      Item
	path      string
	authorize bool
	counted   bool
	want      string // resource type of each line; "" for any
	wrote     func(int)

	file  *os.File
	bytes int64
	lines lineCounter
}

// run fetches into a partial file, goes on where a broken connection left off,
// checks, and only then gives the file its name.
func (f *fetch) run(ctx context.Context) (err error) {
	f.file, err = os.OpenFile(f.path+partial, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600) // health data: the owner's alone
	if err != nil {
		return err
	}
	defer func() {
		if f.file != nil {
			err = errors.Join(err, f.file.Close())
		}
		if err != nil {
			err = errors.Join(err, os.Remove(f.path+partial))
		}
	}()
	if err := f.client.again(ctx, f.try); err != nil {
		return err
	}
	lines := f.lines.end()
	if f.want != "" {
		if err := f.types(); err != nil {
			return err
		}
	}
	if f.item.Count != nil && f.counted && lines != *f.item.Count {
		return fmt.Errorf("%d resources, but the manifest says %d", lines, *f.item.Count)
	}
	if err := f.file.Sync(); err != nil {
		return err
	}
	err = f.file.Close()
	f.file = nil
	if err != nil {
		return err
	}
	return os.Rename(f.path+partial, f.path)
}

// wanted is the resource type that the lines of a file must have (BE-177,
// BE-191).
func wanted(kind, typ string) string {
	switch kind {
	case KindDeleted:
		return "Bundle"
	case KindError:
		return "OperationOutcome"
	}
	return typ
}

// maxLine is the longest line that is looked at.
const maxLine = 64 << 20

// types checks that each line is a resource of the type that the manifest
// promised.
func (f *fetch) types() error {
	if _, err := f.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in := bufio.NewScanner(f.file)
	in.Buffer(make([]byte, 0, 64<<10), maxLine)
	usual := []byte(`{"resourceType":"` + f.want + `"`)
	for n := 1; in.Scan(); n++ {
		line := bytes.TrimSpace(in.Bytes())
		if len(line) == 0 || bytes.HasPrefix(line, header) || bytes.HasPrefix(line, usual) {
			continue
		}
		var head struct {
			ResourceType string `json:"resourceType"`
		}
		if err := json.Unmarshal(line, &head); err != nil {
			return fmt.Errorf("line %d is no JSON", n)
		}
		if head.ResourceType != f.want {
			return fmt.Errorf("line %d is no %s", n, f.want)
		}
	}
	return in.Err()
}

// try asks for what is missing still. The whole file comes as gzip where the
// server likes; what is left of it after a break comes by range.
func (f *fetch) try(ctx context.Context) error {
	h := http.Header{"Accept": {"application/fhir+ndjson"}, "Accept-Encoding": {"gzip"}}
	if f.bytes > 0 {
		h.Set("Accept-Encoding", "identity")
		h.Set("Range", fmt.Sprintf("bytes=%d-", f.bytes))
	}
	resp, err := f.client.send(ctx, "get file", http.MethodGet, f.item.URL, h, nil, f.authorize)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusPartialContent && f.bytes > 0 &&
		strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", f.bytes)):
	case resp.StatusCode == http.StatusOK:
		if err := f.restart(); err != nil {
			return lasting{err}
		}
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && f.bytes > 0,
		resp.StatusCode == http.StatusPartialContent:
		// What we have does not fit what the server has.
		if err := f.restart(); err != nil {
			return lasting{err}
		}
		return errors.New("the server has no such range")
	default:
		return f.client.failure("get file", resp)
	}
	var body io.Reader = resp.Body
	switch strings.ToLower(resp.Header.Get("Content-Encoding")) {
	case "", "identity":
	case "gzip", "x-gzip":
		if body, err = gzip.NewReader(resp.Body); err != nil {
			return fmt.Errorf("read gzip: %w", err)
		}
	default:
		return lasting{errors.New("the file comes in a content encoding that was not asked for")}
	}
	if _, err := io.Copy(fileWriter{f}, body); err != nil {
		var full writeError
		if errors.As(err, &full) {
			return lasting(full)
		}
		return fmt.Errorf("read file: %w", err)
	}
	return nil
}

func (f *fetch) restart() error {
	if f.bytes == 0 {
		return nil
	}
	f.wrote(-int(f.bytes))
	f.bytes, f.lines = 0, lineCounter{}
	if err := f.file.Truncate(0); err != nil {
		return err
	}
	_, err := f.file.Seek(0, io.SeekStart)
	return err
}

// writeError is a fault of the local disk, which no second try mends.
type writeError struct{ err error }

func (w writeError) Error() string { return w.err.Error() }

type fileWriter struct{ f *fetch }

func (w fileWriter) Write(b []byte) (int, error) {
	n, err := w.f.file.Write(b)
	w.f.bytes += int64(n)
	w.f.lines.add(b[:n])
	w.f.wrote(n)
	if err != nil {
		return n, writeError{err}
	}
	return n, nil
}

// header is what begins a block header line of organized output, which is no
// resource of the export (BE-149).
var header = []byte(`{"resourceType":"Parameters"`)

// lineCounter counts the lines that hold a resource, however they are cut into
// writes.
type lineCounter struct {
	n     int64
	start []byte // the beginning of the line under way, without blanks
}

func (l *lineCounter) add(b []byte) {
	for len(b) > 0 {
		line, rest, ended := bytes.Cut(b, []byte("\n"))
		if need := len(header) - len(l.start); need > 0 {
			if len(l.start) == 0 {
				line = bytes.TrimLeft(line, " \t\r")
			}
			l.start = append(l.start, line[:min(need, len(line))]...)
		}
		if ended {
			l.end()
		}
		b = rest
	}
}

// end closes the line under way and tells the count.
func (l *lineCounter) end() int64 {
	if len(l.start) > 0 && !slices.Equal(l.start, header) {
		l.n++
	}
	l.start = l.start[:0]
	return l.n
}
