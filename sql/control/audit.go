package control

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

// Event is one line of the audit trail. It never holds a row value or a token.
type Event struct {
	ID       string // made when it is appended, as Server, Seq and Hash are
	At       time.Time
	ClientID string
	Action   string // kick-off, download, delete, client-add, client-revoke, token ...
	ExportID string
	Outcome  string // ok, refused, failed
	Detail   string
	// Actor is who acted where that is no client: an administrator.
	Actor string
	// Remote is the network address from which it was asked for.
	Remote string
	// Server names the chain that the event stands in, Seq its place there,
	// from 1 without a gap, and Hash binds it to all that stand before it.
	Server string
	Seq    int64
	Hash   string // SHA-256, hexadecimal
}

type eventRow struct {
	ID       string `db:"id"`
	At       int64  `db:"at"`
	ClientID string `db:"client_id"`
	Action   string `db:"action"`
	ExportID string `db:"export_id"`
	Outcome  string `db:"outcome"`
	Detail   string `db:"detail"`
	Server   string `db:"server"`
	Seq      int64  `db:"seq"`
	Actor    string `db:"actor"`
	Remote   string `db:"remote"`
	Hash     string `db:"hash"`
}

func (r *eventRow) event() Event {
	return Event{ID: r.ID, At: instant(r.At), ClientID: r.ClientID, Action: r.Action, ExportID: r.ExportID, Outcome: r.Outcome,
		Detail: r.Detail, Actor: r.Actor, Remote: r.Remote, Server: r.Server, Seq: r.Seq, Hash: r.Hash}
}

// Link is the hash of the event after one whose hash is prev: SHA-256 over prev
// and every member but Hash, each with its length before it.
func (e *Event) Link(prev string) string {
	h := sha256.New()
	for _, text := range []string{prev, e.Server, e.ID, e.ClientID, e.Action, e.ExportID, e.Outcome, e.Detail, e.Actor, e.Remote} {
		hashText(h, text)
	}
	var n [16]byte
	binary.BigEndian.PutUint64(n[:8], uint64(e.Seq))
	binary.BigEndian.PutUint64(n[8:], uint64(millis(e.At)))
	h.Write(n[:])
	return hex.EncodeToString(h.Sum(nil))
}

func hashText(h hash.Hash, text string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(text)))
	h.Write(n[:])
	h.Write([]byte(text))
}

// Chain is the anchor of one server's events.
type Chain struct {
	Server string `db:"server"`
	// BaseSeq and BaseHash are of the last event that was trimmed away: 0 and
	// "" where none was.
	BaseSeq  int64  `db:"base_seq"`
	BaseHash string `db:"base_hash"`
	// HeadSeq and HeadHash are of the last event.
	HeadSeq  int64  `db:"head_seq"`
	HeadHash string `db:"head_hash"`
}

// Follow has f told of the events that this process appends, in their order,
// once they are durable. It is for the time before the first event, and f must
// not append events itself.
func (s *Store) Follow(f func([]Event)) { s.follow = f }

// withEvents is inTx for a change that is audited: the events that f returns, nil
// ones left out, are appended in the same transaction, after everything else, so
// that what was done is told, or was not done. Follow is told afterwards. The
// chain's order is that in which its appenders hold the lock here; between
// processes it is the database's.
func (s *Store) withEvents(ctx context.Context, op string, f func(*sqlx.Tx) ([]*Event, error)) error {
	var written []Event
	chained := false
	defer func() {
		if chained {
			s.chaining.Unlock()
		}
	}()
	err := s.inTx(ctx, op, func(tx *sqlx.Tx) error {
		events, err := f(tx)
		if events = slices.DeleteFunc(events, func(e *Event) bool { return e == nil }); err != nil || len(events) == 0 {
			return err
		}
		s.chaining.Lock()
		chained = true
		written, err = s.appendEvents(ctx, tx, events)
		if errors.Is(err, ErrConflict) {
			// It is the chain's, not the caller's: they would take it for their own.
			return fmt.Errorf("append to the audit trail: %v", err) //nolint:errorlint // as said
		}
		return err
	})
	if err == nil && s.follow != nil && len(written) > 0 {
		s.follow(written)
	}
	return err
}

// appendEvents appends events, in order, to this server's chain, and returns
// them as they stand there.
func (s *Store) appendEvents(ctx context.Context, tx *sqlx.Tx, events []*Event) ([]Event, error) {
	if len(events) == 0 {
		return nil, nil
	}
	server := s.ServerName()
	var chain Chain
	lock := s.text("audit-chain")
	if s.postgres {
		lock += " FOR UPDATE"
	}
	err := tx.GetContext(ctx, &chain, lock, server)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("audit-chain: %w", err)
	}
	if err != nil { // the chain's first event
		if _, err := s.exec(ctx, tx, "audit-chain-begin", server); err != nil {
			return nil, err
		}
		if err := tx.GetContext(ctx, &chain, lock, server); err != nil {
			return nil, fmt.Errorf("audit-chain: %w", err)
		}
	}
	seq, last := chain.HeadSeq, chain.HeadHash
	rows, written := make([][]any, len(events)), make([]Event, len(events))
	for i, e := range events {
		seq++
		row := *e
		row.clean()
		row.At = instant(millis(row.At)) // as it will be read
		row.ID, row.Server, row.Seq = rand.Text(), server, seq
		row.Hash = row.Link(last)
		last = row.Hash
		written[i] = row
		rows[i] = []any{row.ID, millis(row.At), row.ClientID, row.Action, row.ExportID, row.Outcome, row.Detail, row.Server, row.Seq,
			row.Actor, row.Remote, row.Hash}
	}
	if err := s.insert(ctx, tx, "audit-add", rows); err != nil {
		return nil, err
	}
	return written, s.cas(ctx, tx, "audit-chain-head", seq, last, server, chain.HeadSeq, chain.HeadHash)
}

// clean takes out what no database keeps, so that an event is never lost for
// what somebody sent.
func (e *Event) clean() {
	for _, text := range []*string{&e.ClientID, &e.Action, &e.ExportID, &e.Outcome, &e.Detail, &e.Actor, &e.Remote} {
		*text = strings.ReplaceAll(strings.ToValidUTF8(*text, "?"), "\x00", "?")
	}
}

// Events lists at most limit events from the instant on, oldest first.
func (s *Store) Events(ctx context.Context, from time.Time, limit int) ([]Event, error) {
	return s.events(ctx, "audit-list", millis(from), limit)
}

// EventsAfter lists at most limit events of a chain that follow seq, in order.
func (s *Store) EventsAfter(ctx context.Context, server string, seq int64, limit int) ([]Event, error) {
	return s.events(ctx, "audit-after", server, seq, limit)
}

func (s *Store) events(ctx context.Context, name string, args ...any) ([]Event, error) {
	var rows []eventRow
	if err := s.list(ctx, &rows, name, args...); err != nil {
		return nil, err
	}
	events := make([]Event, len(rows))
	for i := range rows {
		events[i] = rows[i].event()
	}
	return events, nil
}

// Chains lists the anchors of all servers.
func (s *Store) Chains(ctx context.Context) ([]Chain, error) {
	var all []Chain
	err := s.list(ctx, &all, "audit-chain-list")
	return all, err
}

// Break is a place where a chain is not what was written.
type Break struct {
	Server string
	Seq    int64 // of the event, or of the one that is missing
	// What is "missing", "changed" or "head": the last event is not the one
	// that the anchor names.
	What string
}

// Verified is the outcome of VerifyEvents.
type Verified struct {
	Chains []Chain
	Events int64 // that were read
	Breaks []Break
	// Unchained counts events of chains that have no anchor.
	Unchained int64
}

// VerifyEvents recomputes every chain from its base to its head. Events that
// are appended meanwhile do not disturb it.
func (s *Store) VerifyEvents(ctx context.Context) (*Verified, error) {
	v := &Verified{}
	var err error
	if v.Chains, err = s.Chains(ctx); err != nil {
		return nil, err
	}
	for _, c := range v.Chains {
		if err := s.verifyChain(ctx, c, v); err != nil {
			return nil, err
		}
	}
	return v, s.get(ctx, s.read, &v.Unchained, "audit-unchained")
}

func (s *Store) verifyChain(ctx context.Context, c Chain, v *Verified) error {
	at, last := c.BaseSeq, c.BaseHash
	broken := func(seq int64, what string) { v.Breaks = append(v.Breaks, Break{c.Server, seq, what}) }
	for at < c.HeadSeq {
		events, err := s.EventsAfter(ctx, c.Server, at, 1000)
		if err != nil {
			return err
		}
		for i := range events {
			e := &events[i]
			if e.Seq > c.HeadSeq {
				events = events[:i]
				break
			}
			v.Events++
			if e.Seq != at+1 {
				broken(at+1, "missing")
			} else if e.Link(last) != e.Hash {
				broken(e.Seq, "changed")
			}
			at, last = e.Seq, e.Hash
		}
		if len(events) == 0 {
			broken(at+1, "missing")
			return nil
		}
	}
	if last != c.HeadHash {
		broken(c.HeadSeq, "head")
	}
	return nil
}

// TrimEvents removes, of every chain, the events before the first that is not
// older than the instant, and moves the chain's base there, so that what stays
// can still be verified. It returns how many went.
func (s *Store) TrimEvents(ctx context.Context, before time.Time) (removed int64, err error) {
	chains, err := s.Chains(ctx)
	if err != nil {
		return 0, err
	}
	for _, c := range chains {
		err := s.inTx(ctx, "trim audit", func(tx *sqlx.Tx) error {
			var first int64
			if err := s.get(ctx, tx, &first, "audit-first-kept", c.Server, millis(before)); err != nil {
				return err
			}
			through := first - 1
			if first == 0 {
				through = c.HeadSeq // all are older
			}
			if through <= c.BaseSeq {
				return nil
			}
			var hash string
			if err := s.get(ctx, tx, &hash, "audit-hash", c.Server, through); err != nil {
				return err
			}
			n, err := s.exec(ctx, tx, "audit-trim", c.Server, through)
			if err != nil {
				return err
			}
			removed += n
			return s.cas(ctx, tx, "audit-chain-base", through, hash, c.Server, through)
		})
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}
