package files

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"gocloud.dev/blob"
)

// ContentType of NDJSON files (Bulk Data 3.0.0, Response - Output Files).
const ContentType = "application/fhir+ndjson"

// Info tells what a file holds.
type Info struct {
	Count  int64  // lines
	Bytes  int64  // of the identity form
	Stored int64  // bytes as stored
	SHA256 string // of the identity form, lower-case hex
}

// block is how many bytes are gathered before they are digested and compressed.
const block = 64 << 10

// Writer writes one file. It is used by one goroutine. Nothing is seen of the
// file before Commit; whoever does not commit must abort.
type Writer struct {
	store  *Store
	cancel context.CancelFunc
	blob   *blob.Writer
	file   *os.File // of a local store, else nil
	out    counter
	buf    *bufio.Writer
	zip    *gzip.Writer
	sum    hash.Hash
	lines  []byte
	info   Info
	err    error // the first fault; nothing can be written after it
	done   bool
}

// counter counts what reaches the blob.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// Create begins a file under an object key. Cancelling ctx spoils it.
func (s *Store) Create(ctx context.Context, object string) (*Writer, error) {
	ctx, cancel := context.WithCancel(ctx)
	w := &Writer{store: s, cancel: cancel, sum: sha256.New()}
	opts := &blob.WriterOptions{
		ContentType:                 ContentType,
		ContentEncoding:             "gzip",
		DisableContentTypeDetection: true,
		BeforeWrite: func(as func(any) bool) error {
			var f *os.File
			if !as(&f) {
				return nil // not a local store
			}
			w.file = f
			return f.Chmod(0o600)
		},
	}
	var err error
	if w.blob, err = s.bucket.NewWriter(ctx, object, opts); err != nil {
		cancel()
		return nil, fault("create file", err)
	}
	w.out.w = w.blob
	w.buf = bufio.NewWriterSize(&w.out, block)
	w.zip = s.zips.Get().(*gzip.Writer)
	w.zip.Reset(w.buf)
	w.lines = make([]byte, 0, block+block/4)
	return w, nil
}

// Write appends a line; line has no line feed, and is not kept. Error: ErrFull
// and others, after which only Abort helps.
func (w *Writer) Write(line []byte) error {
	if w.err != nil || w.done {
		return errors.Join(w.err, errors.New("write to a file that is over"))
	}
	w.info.Count++
	w.info.Bytes += int64(len(line)) + 1
	if len(line) >= block {
		// A line of megabytes is not copied once more.
		if err := w.flush(); err != nil {
			return err
		}
		err := w.compress(line)
		w.lines = append(w.lines, '\n')
		return err
	}
	w.lines = append(append(w.lines, line...), '\n')
	if len(w.lines) >= block {
		return w.flush()
	}
	return nil
}

// Info tells what was written so far; Stored and SHA256 are known on Commit.
func (w *Writer) Info() Info { return w.info }

func (w *Writer) flush() error {
	err := w.compress(w.lines)
	w.lines = w.lines[:0]
	return err
}

func (w *Writer) compress(b []byte) error {
	w.sum.Write(b)
	if _, err := w.zip.Write(b); err != nil {
		w.err = fault("write file", err)
	}
	return w.err
}

// Commit makes the file visible, whole and, in a local folder, on disk. Where
// it returns an error, nothing is visible.
func (w *Writer) Commit() (Info, error) {
	if w.done {
		return Info{}, errors.New("commit of a file that is over")
	}
	if err := w.finish(); err != nil {
		w.Abort()
		return Info{}, err
	}
	w.done = true
	w.release()
	// The object appears when the blob closes; only then may ctx end.
	err := w.blob.Close()
	w.cancel()
	if err != nil {
		return Info{}, fault("commit file", err)
	}
	w.info.Stored = w.out.n
	w.info.SHA256 = hex.EncodeToString(w.sum.Sum(nil))
	return w.info, nil
}

// finish pushes everything down to the disk under the temporary name.
func (w *Writer) finish() error {
	if w.err != nil {
		return w.err
	}
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.zip.Close(); err != nil {
		return fault("write file", err)
	}
	if err := w.buf.Flush(); err != nil {
		return fault("write file", err)
	}
	if w.out.n == 0 {
		return errors.New("write file: nothing reached the store")
	}
	if w.file != nil {
		if err := w.file.Sync(); err != nil {
			return fault("sync file", err)
		}
	}
	return nil
}

// Abort gives the file up and leaves nothing; after Commit it does nothing.
func (w *Writer) Abort() {
	if w.done {
		return
	}
	w.done = true
	w.release()
	w.cancel()
	_ = w.blob.Close() // answers that it was cancelled
}

func (w *Writer) release() {
	w.zip.Reset(io.Discard)
	w.store.zips.Put(w.zip)
	w.zip = nil
}

// Limits say when a series goes on in a further file: before the line that
// would break either. Zero means no limit.
type Limits struct {
	Lines int64
	Bytes int64 // of the identity form
}

// Part is one committed file of a Set.
type Part struct {
	Series string
	Seq    int // from 1
	Object string
	Info   Info
}

// Set writes several series of lines (one for each resource type, say) that are
// committed together. It is used by one goroutine.
type Set struct {
	store  *Store
	folder string
	limits Limits
	series map[string]*series
	order  []string
	parts  []Part // of files that are full and committed to the store
	bytes  int64
}

type series struct {
	w   *Writer
	seq int
}

// NewSet begins a set whose objects lie in folder.
func (s *Store) NewSet(folder string, l Limits) *Set {
	return &Set{store: s, folder: folder, limits: l, series: map[string]*series{}}
}

// Write appends a line to a series, whose name becomes part of an object key:
// letters, digits, '-' and '_' only.
func (s *Set) Write(ctx context.Context, name string, line []byte) error {
	r := s.series[name]
	if r == nil {
		r = &series{}
		s.series[name] = r
		s.order = append(s.order, name)
	}
	if r.w != nil && s.limits.reached(r.w.info, len(line)) {
		if err := s.close(name, r); err != nil {
			return err
		}
	}
	if r.w == nil {
		w, err := s.store.Create(ctx, s.object(name, r.seq+1))
		if err != nil {
			return err
		}
		r.w = w
		r.seq++
	}
	s.bytes += int64(len(line)) + 1
	return r.w.Write(line)
}

// WriteBlock appends a block to a series: a header, which is not counted, and
// lines that stay in one file with it. A block that alone breaks the limits gets
// a file of its own.
func (s *Set) WriteBlock(ctx context.Context, name string, header []byte, lines [][]byte) error {
	r := s.series[name]
	size := len(header) + 1
	for _, l := range lines {
		size += len(l) + 1
	}
	if r != nil && r.w != nil && s.limits.exceeded(r.w.info, int64(len(lines)), int64(size)) {
		if err := s.close(name, r); err != nil {
			return err
		}
	}
	limits := s.limits
	s.limits = Limits{}
	defer func() { s.limits = limits }()
	for i, l := range lines {
		if i == 0 {
			if err := s.Write(ctx, name, header); err != nil {
				return err
			}
			s.series[name].w.info.Count--
		}
		if err := s.Write(ctx, name, l); err != nil {
			return err
		}
	}
	return nil
}

// Bytes is how much was written to all series, identity form.
func (s *Set) Bytes() int64 { return s.bytes }

func (s *Set) object(name string, seq int) string {
	return fmt.Sprintf("%s/%s.%d.ndjson.gz", s.folder, name, seq)
}

func (l Limits) reached(i Info, next int) bool {
	return l.Lines > 0 && i.Count >= l.Lines || l.Bytes > 0 && i.Bytes+int64(next)+1 > l.Bytes
}

func (l Limits) exceeded(i Info, lines, bytes int64) bool {
	return l.Lines > 0 && i.Count+lines > l.Lines || l.Bytes > 0 && i.Bytes+bytes > l.Bytes
}

// close commits the open file of a series to the store.
func (s *Set) close(name string, r *series) error {
	info, err := r.w.Commit()
	r.w = nil
	if err != nil {
		return err
	}
	s.parts = append(s.parts, Part{Series: name, Seq: r.seq, Object: s.object(name, r.seq), Info: info})
	return nil
}

// Cut ends the file that a series has open: its next line begins another.
func (s *Set) Cut(name string) error {
	if r := s.series[name]; r != nil && r.w != nil {
		return s.close(name, r)
	}
	return nil
}

// Commit commits every open file and returns all parts, by series in order of
// first use. Where it returns an error, the caller aborts.
func (s *Set) Commit() ([]Part, error) {
	for _, name := range s.order {
		if r := s.series[name]; r.w != nil {
			if err := s.close(name, r); err != nil {
				return nil, err
			}
		}
	}
	return s.parts, nil
}

// Abort leaves nothing of the set, committed or not. ctx bounds the removal.
func (s *Set) Abort(ctx context.Context) error {
	for _, r := range s.series {
		if r.w != nil {
			r.w.Abort()
			r.w = nil
		}
	}
	var err error
	for _, p := range s.parts {
		err = errors.Join(err, s.store.Remove(ctx, p.Object))
	}
	s.parts = nil
	return err
}
