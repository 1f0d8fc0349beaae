package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// State is where an export stands.
type State string

// The states. Accepted and Running are active; the others are final, but that
// Complete and Failed become Expired or Deleted in time.
const (
	Accepted State = "accepted" // row committed, not yet cut into chunks
	Running  State = "running"
	Complete State = "complete"
	Failed   State = "failed"
	Deleted  State = "deleted" // by the client; nobody sees it any more
	Expired  State = "expired" // files gone
)

// Active says that work is still to be done.
func (s State) Active() bool { return s == Accepted || s == Running }

// Export is one export. Request, Report and Failure are JSON of the export
// engine's own; the store does not look inside.
type Export struct {
	ID       string
	ClientID string
	Request  []byte
	// Members is JSON of the engine's own, too: whom the request came down to.
	// It may be large, so that only AddExport and Members deal with it.
	Members []byte
	// Small says that it comes down to few members: it waits in a line of its
	// own.
	Small bool
	State State
	// Owner is the node that works on it, Epoch counts its owners and
	// Generation how often it was cut into chunks: 0 before the first time.
	Owner      string
	Epoch      int64
	Generation int64
	// Snapshot is the token by which other nodes join the view of the warehouse
	// that its chunks are read from; "" where they cannot, or not yet.
	Snapshot string
	// Program is the fingerprint of the program that cut it.
	Program string
	// TransactionTime is the snapshot's instant, zero before the plan.
	TransactionTime time.Time
	ChunksTotal     int64
	ChunksDone      int64
	Percent         int64 // never falls; 100 only when complete
	Resources       int64
	Bytes           int64 // of the identity form, of the chunks done
	Report          []byte
	Failure         []byte
	Created         time.Time
	Started         time.Time
	Finished        time.Time
	Expires         time.Time
}

type exportRow struct {
	ID              string `db:"id"`
	ClientID        string `db:"client_id"`
	Request         string `db:"request"`
	State           string `db:"state"`
	Owner           string `db:"owner"`
	Epoch           int64  `db:"epoch"`
	Generation      int64  `db:"generation"`
	Program         string `db:"program"`
	TransactionTime int64  `db:"transaction_time"`
	ChunksTotal     int64  `db:"chunks_total"`
	ChunksDone      int64  `db:"chunks_done"`
	Percent         int64  `db:"percent"`
	Resources       int64  `db:"resources"`
	Bytes           int64  `db:"bytes"`
	Report          string `db:"report"`
	Failure         string `db:"failure"`
	Created         int64  `db:"created"`
	Started         int64  `db:"started"`
	Finished        int64  `db:"finished"`
	Expires         int64  `db:"expires"`
	Snapshot        string `db:"snapshot"`
	Small           int64  `db:"small"`
}

func (r *exportRow) export() *Export {
	return &Export{ID: r.ID, ClientID: r.ClientID, Request: []byte(r.Request), State: State(r.State), Owner: r.Owner,
		Epoch: r.Epoch, Generation: r.Generation, Program: r.Program, TransactionTime: instant(r.TransactionTime),
		ChunksTotal: r.ChunksTotal, ChunksDone: r.ChunksDone, Percent: r.Percent, Resources: r.Resources, Bytes: r.Bytes,
		Report: []byte(r.Report), Failure: []byte(r.Failure), Created: instant(r.Created), Started: instant(r.Started),
		Finished: instant(r.Finished), Expires: instant(r.Expires), Snapshot: r.Snapshot, Small: r.Small != 0}
}

func (s *Store) exports(ctx context.Context, name string, args ...any) ([]*Export, error) {
	var rows []exportRow
	if err := s.list(ctx, &rows, name, args...); err != nil {
		return nil, err
	}
	all := make([]*Export, len(rows))
	for i := range rows {
		all[i] = rows[i].export()
	}
	return all, nil
}

// AddExport commits an accepted export owned by e.Owner. Only ID, ClientID,
// Request, Members, Small, Owner and Created are read.
func (s *Store) AddExport(ctx context.Context, e *Export) error {
	_, err := s.exec(ctx, s.db, "export-add", e.ID, e.ClientID, string(e.Request), e.Owner, millis(e.Created), millis(e.Created),
		string(e.Members), number(e.Small))
	return err
}

// Members reads an export's Members. Error: ErrNotFound.
func (s *Store) Members(ctx context.Context, id string) ([]byte, error) {
	var text string
	if err := s.get(ctx, s.read, &text, "export-members", id); err != nil {
		return nil, err
	}
	return []byte(text), nil
}

// Export reads one export in whatever state. Error: ErrNotFound.
func (s *Store) Export(ctx context.Context, id string) (*Export, error) {
	var r exportRow
	if err := s.get(ctx, s.read, &r, "export-by-id", id); err != nil {
		return nil, err
	}
	return r.export(), nil
}

// Exports lists the exports in a state, oldest first.
func (s *Store) Exports(ctx context.Context, state State) ([]*Export, error) {
	return s.exports(ctx, "export-by-state", string(state))
}

// ExportsOf lists a client's exports but the deleted ones, oldest first.
func (s *Store) ExportsOf(ctx context.Context, clientID string) ([]*Export, error) {
	return s.exports(ctx, "export-by-client", clientID)
}

// CountExports counts the exports in each state.
func (s *Store) CountExports(ctx context.Context) (map[State]int, error) {
	var rows []struct {
		State State `db:"state"`
		N     int   `db:"n"`
	}
	if err := s.list(ctx, &rows, "export-count"); err != nil {
		return nil, err
	}
	counts := make(map[State]int, len(rows))
	for _, r := range rows {
		counts[r.State] = r.N
	}
	return counts, nil
}

// RecentExports lists the last limit exports in whatever state, newest first.
func (s *Store) RecentExports(ctx context.Context, limit int) ([]*Export, error) {
	return s.exports(ctx, "export-recent", limit)
}

// RetryExport lets a failed export begin anew under the same id: any node may
// claim it. Error: ErrConflict where it is not failed.
func (s *Store) RetryExport(ctx context.Context, id string) error {
	return s.inTx(ctx, "retry export", func(tx *sqlx.Tx) error {
		if err := s.cas(ctx, tx, "export-retry", id); err != nil {
			return err
		}
		for _, name := range []string{"file-drop", "chunk-drop"} {
			if _, err := s.exec(ctx, tx, name, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// ActiveCount is how many exports of a client are not finished.
func (s *Store) ActiveCount(ctx context.Context, clientID string) (int, error) {
	var n int
	err := s.get(ctx, s.read, &n, "export-active-count", clientID)
	return n, err
}

// WaitingClients lists the clients of whom accepted exports of node wait, small
// or large ones, by id. Its cost grows with the clients, not with the exports.
func (s *Store) WaitingClients(ctx context.Context, node string, small bool) ([]string, error) {
	var ids []string
	err := s.list(ctx, &ids, "export-waiting-clients", node, number(small), node, number(small))
	return ids, err
}

// WaitingOf lists the first limit of a client's accepted exports of node, small
// or large ones, oldest first.
func (s *Store) WaitingOf(ctx context.Context, node, clientID string, small bool, limit int) ([]*Export, error) {
	return s.exports(ctx, "export-waiting-of", node, number(small), clientID, limit)
}

// Beat tells that node works on the running exports it owns, and returns them.
// The accepted ones are its own as long as Announce tells that it is alive: they
// may be many, and are not touched while they wait.
func (s *Store) Beat(ctx context.Context, node string, now time.Time) ([]*Export, error) {
	if _, err := s.exec(ctx, s.db, "export-beat", millis(now), node); err != nil {
		return nil, err
	}
	return s.exports(ctx, "export-owned", node)
}

// claimAtOnce bounds what one Claim takes over.
const claimAtOnce = 200

// Claimed is an export that changed its owner.
type Claimed struct {
	*Export
	Former string // owner, "" where it was released
}

// Claim makes node the owner of the active exports whose owner released them or
// was not heard of since before, running ones first and only so many at once
// that a node's heart goes on beating; each claim raises the export's epoch, and
// sets the chunks free that were running under the former one.
func (s *Store) Claim(ctx context.Context, node string, now, before time.Time) ([]Claimed, error) {
	var lost []struct {
		ID    string `db:"id"`
		Owner string `db:"owner"`
	}
	if err := s.list(ctx, &lost, "export-lost", node, millis(before), millis(before), claimAtOnce); err != nil {
		return nil, err
	}
	var claimed []Claimed
	for _, l := range lost {
		err := s.inTx(ctx, "claim export", func(tx *sqlx.Tx) error {
			if err := s.cas(ctx, tx, "export-claim", node, millis(now), l.ID, node, millis(before), millis(before)); err != nil {
				return err
			}
			_, err := s.exec(ctx, tx, "chunk-free-all", l.ID)
			return err
		})
		if errors.Is(err, ErrConflict) {
			continue // another node was quicker
		}
		if err != nil {
			return claimed, err
		}
		e, err := s.Export(ctx, l.ID)
		if err != nil {
			return claimed, err
		}
		claimed = append(claimed, Claimed{e, l.Owner})
	}
	return claimed, nil
}

// Release gives up the active exports of node, so that any node may claim them
// at once.
func (s *Store) Release(ctx context.Context, node string) error {
	_, err := s.exec(ctx, s.db, "export-release", node)
	return err
}

// ShareExport tells the other nodes how to join the snapshot of e, which is as
// read; on success e is changed. Error: ErrConflict.
func (s *Store) ShareExport(ctx context.Context, e *Export, snapshot string) error {
	err := s.cas(ctx, s.db, "export-share", snapshot, e.ID, e.Owner, e.Epoch, e.Generation)
	if err == nil {
		e.Snapshot = snapshot
	}
	return err
}

// Plan is an export cut into chunks.
type Plan struct {
	Program         string
	Snapshot        string // as of Export
	TransactionTime time.Time
	Chunks          [][]byte // requests, JSON of the export engine's own
	At              time.Time
}

// PlanExport sets e running with the chunks of p and drops what an earlier plan
// left: e's next generation begins. e is as read; on success it is changed to
// what is stored. Error: ErrConflict.
func (s *Store) PlanExport(ctx context.Context, e *Export, p Plan) error {
	err := s.inTx(ctx, "plan export", func(tx *sqlx.Tx) error {
		err := s.cas(ctx, tx, "export-plan", p.Program, millis(p.TransactionTime), p.Snapshot, len(p.Chunks), millis(p.At),
			e.ID, e.Owner, e.Epoch, e.Generation)
		if err != nil {
			return err
		}
		for _, name := range []string{"file-drop", "chunk-drop"} {
			if _, err := s.exec(ctx, tx, name, e.ID); err != nil {
				return err
			}
		}
		for n, request := range p.Chunks {
			if _, err := s.exec(ctx, tx, "chunk-add", e.ID, n, string(request)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	e.State, e.Program, e.TransactionTime, e.Snapshot = Running, p.Program, p.TransactionTime, p.Snapshot
	e.Generation++
	e.ChunksTotal, e.ChunksDone, e.Resources, e.Bytes = int64(len(p.Chunks)), 0, 0, 0
	if e.Started.IsZero() {
		e.Started = p.At
	}
	return nil
}

// End is how an export ends. Event tells the audit trail: it is appended in the
// step that ends the export, once, however often that is tried and whatever is
// killed between; nil tells nothing.
type End struct {
	At, Expires time.Time
	Event       *Event
}

// CompleteExport makes e's files visible under their names and the export
// complete, in one step. files are all of the export's files, named. Error:
// ErrConflict where e is no longer running as read, or a chunk is not done.
func (s *Store) CompleteExport(ctx context.Context, e *Export, files []File, resources int64, report []byte, end End) error {
	return s.withEvents(ctx, "complete export", func(tx *sqlx.Tx) ([]*Event, error) {
		err := s.cas(ctx, tx, "export-complete", resources, string(report), millis(end.At), millis(end.Expires), e.ID, e.Epoch, e.Generation)
		if err != nil {
			return nil, err
		}
		if _, err := s.exec(ctx, tx, "file-drop", e.ID); err != nil {
			return nil, err
		}
		return []*Event{end.Event}, s.addFiles(ctx, tx, e.ID, files)
	})
}

// FailExport ends an active export. Error: ErrConflict where it is no longer
// active under that epoch.
func (s *Store) FailExport(ctx context.Context, id string, epoch int64, failure, report []byte, end End) error {
	return s.withEvents(ctx, "fail export", func(tx *sqlx.Tx) ([]*Event, error) {
		return []*Event{end.Event}, s.cas(ctx, tx, "export-fail", string(failure), string(report), millis(end.At), millis(end.Expires), id, epoch)
	})
}

// DeleteExport takes an export out of sight, whatever it is doing. Its rows
// stay until ForgetExport. Error: ErrConflict where it is deleted already or
// never was.
func (s *Store) DeleteExport(ctx context.Context, id string) error {
	return s.cas(ctx, s.db, "export-delete", id)
}

// ExpireExports takes the finished exports that expire at now or earlier out of
// service, each with the event that tells of it, where that is not nil, and
// returns their ids.
func (s *Store) ExpireExports(ctx context.Context, now time.Time, event func(id string) *Event) ([]string, error) {
	var ids, done []string
	if err := s.list(ctx, &ids, "export-expired", millis(now)); err != nil {
		return nil, err
	}
	for _, id := range ids {
		err := s.withEvents(ctx, "expire export", func(tx *sqlx.Tx) ([]*Event, error) {
			return []*Event{event(id)}, s.cas(ctx, tx, "export-expire", id, millis(now))
		})
		switch {
		case err == nil:
			done = append(done, id)
		case !errors.Is(err, ErrConflict): // of another process, which has done it
			return done, err
		}
	}
	return done, nil
}

// ForgetExport removes every row of a deleted or expired export. It is no error
// where there is none.
func (s *Store) ForgetExport(ctx context.Context, id string) error {
	_, err := s.exec(ctx, s.db, "export-forget", id)
	return err
}

// Chunk is a part of an export that is run, and retried, as a whole.
type Chunk struct {
	ExportID string `db:"export_id"`
	N        int    `db:"n"` // from 0
	Request  string `db:"request"`
	State    string `db:"state"` // pending, running, done
	Attempt  int    `db:"attempt"`
	Node     string `db:"node"`   // of the last attempt
	Counts   string `db:"counts"` // JSON of the export engine's own, "" before done
}

// Chunk reads one chunk. Error: ErrNotFound.
func (s *Store) Chunk(ctx context.Context, id string, n int) (*Chunk, error) {
	c := new(Chunk)
	if err := s.get(ctx, s.read, c, "chunk-by-n", id, n); err != nil {
		return nil, err
	}
	return c, nil
}

// Chunks lists an export's chunks in order.
func (s *Store) Chunks(ctx context.Context, id string) ([]Chunk, error) {
	var all []Chunk
	err := s.list(ctx, &all, "chunk-list", id)
	return all, err
}

// Attempt names a chunk and how often it was started.
type Attempt struct {
	ExportID string `db:"export_id"`
	N        int    `db:"n"`
	Attempt  int    `db:"attempt"`
}

// OpenChunks tells how many chunks of an export are not done, and lists the
// first limit of those that nobody works on: never started, set free, or
// running on a node other than node that was not heard of since alive.
func (s *Store) OpenChunks(ctx context.Context, id, node string, alive time.Time, limit int) (open int, waiting []Attempt, err error) {
	if err := s.list(ctx, &waiting, "chunk-waiting", id, node, millis(alive), limit); err != nil {
		return 0, nil, err
	}
	for i := range waiting {
		waiting[i].ExportID = id
	}
	err = s.get(ctx, s.read, &open, "chunk-open-count", id)
	return open, waiting, err
}

// ChunksOf lists the chunks that node is running by the store's word, of those
// started before.
func (s *Store) ChunksOf(ctx context.Context, node string, before time.Time) ([]Attempt, error) {
	var all []Attempt
	err := s.list(ctx, &all, "chunk-of-node", node, millis(before))
	return all, err
}

// FreeChunk lets a running chunk be started anew by any node. Error:
// ErrConflict where that attempt is no longer the one that runs.
func (s *Store) FreeChunk(ctx context.Context, a Attempt) error {
	return s.cas(ctx, s.db, "chunk-free", a.ExportID, a.N, a.Attempt)
}

// StartChunk begins an attempt on node and returns its number, from 1. A chunk left
// running by a lost worker may be started again: the older attempt can then no
// longer finish. Error: ErrConflict where the chunk is done, or the export is
// not running under that epoch and generation.
func (s *Store) StartChunk(ctx context.Context, e *Export, n int, node string, at time.Time) (attempt int, err error) {
	rows, err := s.db.QueryxContext(ctx, s.text("chunk-start"), node, millis(at), e.ID, n, e.Epoch, e.Generation)
	if err != nil {
		return 0, fmt.Errorf("chunk-start: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&attempt); err != nil {
			return 0, fmt.Errorf("chunk-start: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("chunk-start: %w", err)
	}
	if attempt == 0 {
		return 0, fmt.Errorf("chunk-start: %w", ErrConflict)
	}
	return attempt, nil
}

// FinishChunk ends an attempt with its counts and files; left is how many
// chunks are still to do. Error: ErrConflict where a later attempt has begun or
// the export moved on; the attempt's files are then nobody's.
func (s *Store) FinishChunk(ctx context.Context, e *Export, n, attempt int, counts []byte, resources, bytes int64, files []File, at time.Time) (left int, err error) {
	err = s.inTx(ctx, "finish chunk", func(tx *sqlx.Tx) error {
		// The export's row first: both changes then lock in one order.
		if err := s.cas(ctx, tx, "export-progress", resources, bytes, e.ID, e.Epoch, e.Generation); err != nil {
			return err
		}
		if err := s.cas(ctx, tx, "chunk-finish", string(counts), millis(at), e.ID, n, attempt); err != nil {
			return err
		}
		if err := s.addFiles(ctx, tx, e.ID, files); err != nil {
			return err
		}
		var r exportRow
		if err := s.get(ctx, tx, &r, "export-by-id", e.ID); err != nil {
			return err
		}
		left = int(r.ChunksTotal - r.ChunksDone)
		return nil
	})
	return left, err
}

// Kinds of files.
const (
	KindOutput  = "output"
	KindError   = "error"
	KindDeleted = "deleted"
	// KindDigest marks a file of the engine's own, never offered to a client.
	KindDigest = "digest"
)

// File is one file of an export.
type File struct {
	ExportID string `db:"export_id"`
	Object   string `db:"object"` // key in the file store
	Chunk    int    `db:"chunk"`
	Seq      int    `db:"seq"`  // order among the chunk's files of that type and kind
	Name     string `db:"name"` // as a client asks for it; "" until the export is complete
	Type     string `db:"type"`
	Kind     string `db:"kind"`
	Count    int64  `db:"count"`  // resources
	Bytes    int64  `db:"bytes"`  // of the identity form
	Stored   int64  `db:"stored"` // bytes as stored
	SHA256   string `db:"sha256"` // of the identity form, hex
}

func (s *Store) addFiles(ctx context.Context, tx *sqlx.Tx, id string, files []File) error {
	for _, f := range files {
		_, err := s.exec(ctx, tx, "file-add", id, f.Object, f.Chunk, f.Seq, f.Name, f.Type, f.Kind, f.Count, f.Bytes, f.Stored, f.SHA256)
		if err != nil {
			return err
		}
	}
	return nil
}

// Files lists an export's files by kind, type, chunk and sequence: an order
// that does not depend on which chunk was done first.
func (s *Store) Files(ctx context.Context, id string) ([]File, error) {
	var all []File
	err := s.list(ctx, &all, "file-list", id)
	return all, err
}

// File finds a file of a complete export by name. Error: ErrNotFound.
func (s *Store) File(ctx context.Context, id, name string) (*File, error) {
	f := new(File)
	if err := s.get(ctx, s.read, f, "file-by-name", id, name); err != nil {
		return nil, err
	}
	return f, nil
}
