package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"remit/server/files"
	"remit/sql/control"
)

// instantLayout writes a FHIR instant in UTC with milliseconds.
const instantLayout = "2006-01-02T15:04:05.000Z07:00"

// State is where an export stands.
type State string

// The states a caller can meet.
const (
	StateAccepted State = "accepted"
	StateRunning  State = "running"
	StateComplete State = "complete"
	StateFailed   State = "failed"
)

// Status tells where an export stands. Times are UTC, zero where they have not
// come yet.
type Status struct {
	ID       string
	Request  Request
	State    State
	Percent  int // never falls; below 100 until complete (BE-159)
	Chunks   int // in all; 0 before the plan
	Done     int // chunks
	Exported int64
	Bytes    int64 // of the identity form
	// Expected and ExpectedBytes are what the chunks still to come are taken to
	// add up to with those done; 0 before the first is done.
	Expected, ExpectedBytes int64
	// TransactionTime is the snapshot's instant; it moves only when the export
	// starts over.
	TransactionTime time.Time
	Restarts        int
	Created         time.Time
	Started         time.Time
	Finished        time.Time
	Expires         time.Time // when files and status go (BE-166)
	Failure         *Failure  // of a failed export
}

// Running is how many exports of a client are not finished (BE-153).
func (e *Engine) Running(ctx context.Context, clientID string) (int, error) {
	return e.Control.ActiveCount(ctx, clientID)
}

// visible reads an export that its client may still see.
func (e *Engine) visible(ctx context.Context, id string) (*control.Export, error) {
	x, err := e.Control.Export(ctx, id)
	switch {
	case errors.Is(err, control.ErrNotFound), err == nil && x.State == control.Deleted:
		return nil, ErrNotFound
	case err != nil:
		return nil, err
	case x.State == control.Expired, !x.State.Active() && !e.Clock().Before(x.Expires):
		return nil, ErrExpired
	}
	return x, nil
}

// Status reads where an export stands. Errors: ErrNotFound, ErrExpired.
func (e *Engine) Status(ctx context.Context, id string) (*Status, error) {
	x, err := e.visible(ctx, id)
	if err != nil {
		return nil, err
	}
	var o order
	if err := json.Unmarshal(x.Request, &o); err != nil {
		return nil, fmt.Errorf("read request of export: %w", err)
	}
	st := &Status{ID: id, Request: o.Request, State: State(x.State), Percent: int(x.Percent), Chunks: int(x.ChunksTotal),
		Done: int(x.ChunksDone), Exported: x.Resources, Bytes: x.Bytes, TransactionTime: x.TransactionTime, Restarts: max(0, int(x.Generation)-1),
		Created: x.Created, Started: x.Started, Finished: x.Finished, Expires: x.Expires}
	if x.ChunksDone > 0 {
		// Chunks are cut alike, so that the rest is taken to be like them.
		st.Expected = scale(x.Resources, x.ChunksTotal, x.ChunksDone)
		st.ExpectedBytes = scale(x.Bytes, x.ChunksTotal, x.ChunksDone)
	}
	if len(x.Failure) > 0 {
		st.Failure = new(Failure)
		if err := json.Unmarshal(x.Failure, st.Failure); err != nil {
			return nil, fmt.Errorf("read failure of export: %w", err)
		}
	}
	return st, nil
}

// scale is n * of / per, rounded, for numbers of any size met here.
func scale(n, of, per int64) int64 { return int64(math.Round(float64(n) * float64(of) / float64(per))) }

// Manifest lists the files of a complete export (Bulk Data 3.0.0, Response -
// Complete Status; BE-170 to BE-181). Its JSON form is the response body.
type Manifest struct {
	TransactionTime     string         `json:"transactionTime"`
	Request             string         `json:"request"`
	RequiresAccessToken bool           `json:"requiresAccessToken"`
	OutputOrganizedBy   string         `json:"outputOrganizedBy,omitempty"`
	Output              []ManifestFile `json:"output"`
	Deleted             []ManifestFile `json:"deleted,omitempty"`
	Error               []ManifestFile `json:"error"`

	// Snapshot is TransactionTime as a time.
	Snapshot time.Time `json:"-"`
	// Paged says that the client takes the manifest in pages.
	Paged bool `json:"-"`
}

// ManifestFile is one file of a manifest.
type ManifestFile struct {
	Type  string `json:"type"`
	URL   string `json:"url"`
	Count int64  `json:"count"` // resources

	Name string      `json:"-"` // last segment of URL
	Kind string      `json:"-"` // output, error, deleted
	Info *files.Info `json:"-"`
}

// Manifest lists an export's files, output by type and number. base is what
// stands before a file's name in its URL, slash included. Errors: ErrNotFound,
// ErrExpired, ErrNotReady.
func (e *Engine) Manifest(ctx context.Context, id, base string, requiresAccessToken bool) (*Manifest, error) {
	x, err := e.visible(ctx, id)
	if err != nil {
		return nil, err
	}
	if x.State != control.Complete {
		return nil, ErrNotReady
	}
	var o order
	if err := json.Unmarshal(x.Request, &o); err != nil {
		return nil, fmt.Errorf("read request of export: %w", err)
	}
	rows, err := e.Control.Files(ctx, id)
	if err != nil {
		return nil, err
	}
	m := &Manifest{TransactionTime: x.TransactionTime.Format(instantLayout), Snapshot: x.TransactionTime, Request: o.URL,
		RequiresAccessToken: requiresAccessToken, OutputOrganizedBy: o.Organize, Paged: o.Paged, Output: []ManifestFile{}, Error: []ManifestFile{}}
	sortFiles(rows)
	for i := range rows {
		f := &rows[i]
		if f.Name == "" {
			continue // the engine's own
		}
		line := ManifestFile{Type: f.Type, URL: base + f.Name, Count: f.Count, Name: f.Name, Kind: f.Kind, Info: infoOf(f)}
		switch f.Kind {
		case control.KindOutput:
			m.Output = append(m.Output, line)
		case control.KindError:
			m.Error = append(m.Error, line)
		case control.KindDeleted:
			m.Deleted = append(m.Deleted, line)
		}
	}
	return m, nil
}

func infoOf(f *control.File) *files.Info {
	return &files.Info{Count: f.Count, Bytes: f.Bytes, Stored: f.Stored, SHA256: f.SHA256}
}

// File is one file of a complete export. Its content never changes.
type File struct {
	Type, Kind, Name string
	files.Info

	store  *files.Store
	object string
	begin  func() (end func()) // of a download
}

// Gzip opens the file as stored, Stored bytes in gzip form. The caller closes
// it; a download that has begun ends well even if the export is deleted.
func (f *File) Gzip(ctx context.Context) (io.ReadSeekCloser, error) {
	return f.open(func() (io.ReadSeekCloser, error) { return f.store.Reader(ctx, f.object) })
}

// Identity opens the identity form, Bytes long. The caller closes it.
func (f *File) Identity(ctx context.Context) (io.ReadSeekCloser, error) {
	return f.open(func() (io.ReadSeekCloser, error) { return f.store.Plain(ctx, f.object, f.Bytes) })
}

// open counts the file as being read until the reader is closed.
func (f *File) open(open func() (io.ReadSeekCloser, error)) (io.ReadSeekCloser, error) {
	end := f.begin()
	r, err := open()
	if err != nil {
		end()
		return nil, err
	}
	return &download{ReadSeekCloser: r, end: end}, nil
}

// download is a file being read.
type download struct {
	io.ReadSeekCloser
	once sync.Once
	end  func()
}

// Unwrap is the reader beneath, which the kernel may know how to send.
func (d *download) Unwrap() io.Reader { return d.ReadSeekCloser }

// Close ends the download.
func (d *download) Close() error {
	d.once.Do(d.end)
	return d.ReadSeekCloser.Close()
}

// read counts a download of an export; end takes it back.
func (e *Engine) read(id string) (end func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reading[id]++
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.reading[id]--; e.reading[id] == 0 {
			delete(e.reading, id)
		}
	}
}

// isRead says that files of an export are being read here (BE-019).
func (e *Engine) isRead(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reading[id] > 0
}

// OpenFile finds a file of a complete export by its name in the manifest.
// Errors: ErrNotFound, ErrExpired, ErrNotReady.
func (e *Engine) OpenFile(ctx context.Context, id, name string) (*File, error) {
	x, err := e.visible(ctx, id)
	if err != nil {
		return nil, err
	}
	if x.State != control.Complete {
		return nil, ErrNotReady
	}
	if name == "" {
		return nil, ErrNotFound
	}
	f, err := e.Control.File(ctx, id, name)
	if errors.Is(err, control.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return &File{Type: f.Type, Kind: f.Kind, Name: f.Name, Info: *infoOf(f), store: e.Files, object: f.Object,
		begin: func() func() { return e.read(id) }}, nil
}

// Report reads the counts of a complete export. Errors: ErrNotFound,
// ErrExpired, ErrNotReady.
func (e *Engine) Report(ctx context.Context, id string) (*Report, error) {
	x, err := e.visible(ctx, id)
	if err != nil {
		return nil, err
	}
	if x.State != control.Complete {
		return nil, ErrNotReady
	}
	r := new(Report)
	if err := json.Unmarshal(x.Report, r); err != nil {
		return nil, fmt.Errorf("read report of export: %w", err)
	}
	return r, nil
}

// Delete takes an export out of sight, stops its SQL where it runs, and removes
// its files; from then on it is not found (BE-210 to BE-214). Error:
// ErrNotFound, also on the second call.
func (e *Engine) Delete(ctx context.Context, id string) error {
	err := e.Control.DeleteExport(ctx, id)
	if errors.Is(err, control.ErrConflict) {
		return ErrNotFound
	}
	if err != nil {
		return err
	}
	e.end(id, ErrCancelled)
	e.next(ctx)
	e.Log.InfoContext(ctx, "export deleted", "job_id", id)
	if e.isRead(id) {
		return nil // the sweep removes them when the last download has ended
	}
	if err := e.Files.RemoveAll(context.WithoutCancel(ctx), id); err != nil {
		// The sweep removes them; the client has nothing to do about it.
		e.Log.WarnContext(ctx, "files of a deleted export remain", "job_id", id, "error", err)
	}
	return nil
}
