package control

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
)

// Use is one assertion that a client showed and whose signature was found good.
type Use struct {
	ClientID string
	// Revision is that of the registration that the caller decided by.
	Revision int64
	JTI      string
	// Until is when the assertion can no longer be good.
	Until time.Time
	// Token is the token that it earns; nil where it authenticates some other
	// request, or one that is refused for another reason.
	Token *Token
	// Granted and Replayed are the audit events of the two ends; nil leaves
	// the event out.
	Granted, Replayed *Event
}

// Used is what became of a Use.
type Used int

// The ends of a Use.
const (
	// Fresh: the assertion was new; it is spent now, and the token is good.
	Fresh Used = iota
	// Replayed: the assertion was spent before; no token is kept.
	Replayed
	// Stale: the client changed since the caller read it, or is off; nothing
	// was written. The caller reads it anew and decides again.
	Stale
)

// Bounds of a group commit.
const (
	maxGroup      = 256
	commitTimeout = 15 * time.Second
)

// ledger gathers what concurrent requests write, so that one transaction, and
// one wait for the disk, serves many of them. It needs no goroutine while there
// is nothing to write.
type ledger struct {
	mu      sync.Mutex
	waiting []*entry
	busy    bool
	idle    sync.WaitGroup // of the goroutine that commits
	used    map[string]int64
}

// entry is one caller's part of a group: a use, or an event alone.
type entry struct {
	use    *Use
	event  *Event
	result Used
	done   chan error
}

// lastUseEvery is how coarsely a client's last use is kept.
const lastUseEvery = time.Minute

// Spend spends an assertion: it notes the jti, keeps the token and appends the
// audit event, all or nothing, and returns when that is durable (RFC 7523,
// section 3; SB-047). Many callers share one transaction.
func (s *Store) Spend(ctx context.Context, u Use) (Used, error) {
	e := &entry{use: &u, done: make(chan error, 1)}
	err := s.enter(ctx, e)
	return e.result, err
}

// AddEvent appends to the audit trail and returns when that is durable. Its ID,
// Server, Seq and Hash are made here.
func (s *Store) AddEvent(ctx context.Context, e Event) error {
	return s.enter(ctx, &entry{event: &e, done: make(chan error, 1)})
}

// enter puts an entry into the next group and waits for its commit.
func (s *Store) enter(ctx context.Context, e *entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l := &s.ledger
	l.mu.Lock()
	l.waiting = append(l.waiting, e)
	if !l.busy {
		l.busy = true
		l.idle.Go(s.commitGroups)
	}
	l.mu.Unlock()
	// The wait is bounded by the commit's own timeout; leaving earlier would
	// not tell whether the entry was kept.
	return <-e.done
}

// commitGroups commits until nobody waits.
func (s *Store) commitGroups() {
	l := &s.ledger
	for {
		// Where processors are short, those who can run come to wait with the
		// others: fewer commits, and less of their cost a caller.
		runtime.Gosched()
		l.mu.Lock()
		n := min(len(l.waiting), maxGroup)
		group := l.waiting[:n:n]
		l.waiting = l.waiting[n:]
		if n == 0 {
			l.busy, l.waiting = false, nil
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		s.commitGroup(group)
	}
}

// commitGroup commits a group, and where that fails each entry alone, so that
// nobody fails for what another brought along.
func (s *Store) commitGroup(group []*entry) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	err := s.write(ctx, group)
	for _, e := range group {
		if err != nil && len(group) > 1 && ctx.Err() == nil {
			e.done <- s.write(ctx, []*entry{e})
			continue
		}
		e.done <- err
	}
}

// write is one transaction.
func (s *Store) write(ctx context.Context, group []*entry) error {
	used := map[string]int64{}
	err := s.withEvents(ctx, "commit", func(tx *sqlx.Tx) ([]*Event, error) {
		uses := make([]*entry, 0, len(group))
		for _, e := range group {
			if e.use != nil {
				uses = append(uses, e)
			}
		}
		if err := s.sortOut(ctx, tx, uses); err != nil {
			return nil, err
		}
		var tokens [][]any
		var events []*Event
		for _, e := range group {
			switch {
			case e.use == nil:
				events = append(events, e.event)
			case e.result == Fresh:
				if t := e.use.Token; t != nil {
					tokens = append(tokens, []any{t.Hash, t.ClientID, strings.Join(t.Scopes, " "), millis(t.Issued), millis(t.Expires)})
					if s.ledger.lastUse(t.ClientID) < millis(t.Issued.Add(-lastUseEvery)) {
						used[t.ClientID] = millis(t.Issued)
					}
				}
				events = append(events, e.use.Granted)
			case e.result == Replayed:
				events = append(events, e.use.Replayed)
			}
		}
		if err := s.insert(ctx, tx, "token-add", tokens); err != nil {
			return nil, err
		}
		for _, id := range sortedKeys(used) {
			if _, err := s.exec(ctx, tx, "client-used", id, used[id]); err != nil {
				return nil, err
			}
		}
		return events, nil
	})
	if err == nil {
		s.ledger.noteUse(used)
	}
	return err
}

func (l *ledger) lastUse(id string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used[id]
}

func (l *ledger) noteUse(used map[string]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.used == nil {
		l.used = map[string]int64{}
	}
	for id, at := range used {
		l.used[id] = at
	}
}

// sortOut decides each use: stale, replayed or fresh.
func (s *Store) sortOut(ctx context.Context, tx *sqlx.Tx, uses []*entry) error {
	if len(uses) == 0 {
		return nil
	}
	var ids []string
	for _, e := range uses {
		ids = append(ids, e.use.ClientID)
	}
	slices.Sort(ids)
	revisions, err := s.revisions(ctx, tx, slices.Compact(ids))
	if err != nil {
		return err
	}
	// One order for all servers: their transactions then wait for each other
	// in a line, never in a circle.
	slices.SortStableFunc(uses, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.use.ClientID, b.use.ClientID), cmp.Compare(a.use.JTI, b.use.JTI))
	})
	var rows [][]any
	for i, e := range uses {
		u := e.use
		switch {
		case revisions[u.ClientID] != u.Revision:
			e.result = Stale
		case i > 0 && uses[i-1].use.ClientID == u.ClientID && uses[i-1].use.JTI == u.JTI && uses[i-1].result != Stale:
			e.result = Replayed
		default:
			e.result = Fresh
			rows = append(rows, []any{u.ClientID, u.JTI, millis(u.Until)})
		}
	}
	fresh := map[[2]string]bool{}
	if len(rows) > 0 {
		found, err := tx.QueryxContext(ctx, s.many("assertion-use", len(rows)), flat(rows)...)
		if err != nil {
			return fmt.Errorf("assertion-use: %w", err)
		}
		defer found.Close()
		for found.Next() {
			var k [2]string
			if err := found.Scan(&k[0], &k[1]); err != nil {
				return fmt.Errorf("assertion-use: %w", err)
			}
			fresh[k] = true
		}
		if err := found.Err(); err != nil {
			return fmt.Errorf("assertion-use: %w", err)
		}
	}
	for _, e := range uses {
		if e.result == Fresh && !fresh[[2]string{e.use.ClientID, e.use.JTI}] {
			e.result = Replayed
		}
	}
	return nil
}

// revisions reads the revisions of the clients that are on. On PostgreSQL they
// stay so until the transaction ends; SQLite has one writer anyway.
func (s *Store) revisions(ctx context.Context, tx *sqlx.Tx, ids []string) (map[string]int64, error) {
	query, args, err := sqlx.In(s.raw["client-revisions"], ids)
	if err != nil {
		return nil, fmt.Errorf("client-revisions: %w", err)
	}
	if s.postgres {
		query += " ORDER BY id FOR SHARE"
	}
	var rows []struct {
		ID       string `db:"id"`
		Revision int64  `db:"revision"`
	}
	if err := tx.SelectContext(ctx, &rows, s.db.Rebind(query), args...); err != nil {
		return nil, fmt.Errorf("client-revisions: %w", err)
	}
	out := make(map[string]int64, len(rows))
	for _, r := range rows {
		out[r.ID] = r.Revision
	}
	return out, nil
}

// insert runs an INSERT of one row of VALUES for all rows at once.
func (s *Store) insert(ctx context.Context, tx *sqlx.Tx, name string, rows [][]any) error {
	for part := range slices.Chunk(rows, maxGroup) {
		if _, err := tx.ExecContext(ctx, s.many(name, len(part)), flat(part)...); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// many is the INSERT of that name with n rows of VALUES, in the store's
// dialect.
func (s *Store) many(name string, n int) string {
	s.manyMu.Lock()
	defer s.manyMu.Unlock()
	key := manyKey{name, n}
	if text, ok := s.manyTexts[key]; ok {
		return text
	}
	text := s.raw[name]
	from := strings.Index(text, "VALUES (") + len("VALUES ")
	to := from + strings.IndexByte(text[from:], ')') + 1
	text = s.db.Rebind(text[:from] + strings.Repeat(text[from:to]+", ", n-1) + text[from:to] + text[to:])
	if s.manyTexts == nil {
		s.manyTexts = map[manyKey]string{}
	}
	s.manyTexts[key] = text
	return text
}

type manyKey struct {
	name string
	n    int
}

func flat(rows [][]any) []any {
	var all []any
	for _, r := range rows {
		all = append(all, r...)
	}
	return all
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
