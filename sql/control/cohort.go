package control

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// Secret reads a secret of n bytes that all servers of the store share, and
// makes it where there is none yet. It protects links, not data: whoever reads
// the store can make links.
func (s *Store) Secret(ctx context.Context, name string, n int) ([]byte, error) {
	fresh := make([]byte, n)
	if _, err := rand.Read(fresh); err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	if _, err := s.exec(ctx, s.db, "secret-add", name, base64.StdEncoding.EncodeToString(fresh)); err != nil {
		return nil, err
	}
	var text string
	if err := s.get(ctx, s.read, &text, "secret-by-name", name); err != nil {
		return nil, err
	}
	value, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(value) != n {
		return nil, errors.New("secret: the stored value is damaged")
	}
	return value, nil
}

// GroupState is where a group of a client's stands.
type GroupState string

// The states.
const (
	GroupBuilding GroupState = "building" // its members are being computed
	GroupReady    GroupState = "ready"
	GroupFailed   GroupState = "failed" // they could not be computed
)

// Kinds of members of a group.
const (
	// MemberGiven is one that the client named, as it named it.
	MemberGiven = "given"
	// MemberFound is a warehouse's patient value that was computed.
	MemberFound = "found"
)

// Group is a group that a client made. Resource and Failure are JSON of the
// export engine's own; the store does not look inside.
type Group struct {
	ID, ClientID string
	// Ticket names the last change in its status URL; nobody can guess it.
	Ticket   string
	Resource []byte
	// Filters are the queries of a criteria-based group, none of a
	// member-based one.
	Filters []string
	// Bounded says that members were given.
	Bounded bool
	State   GroupState
	Version int64 // from 1
	// Seen is when somebody last worked on its members.
	Seen time.Time
	// Refreshed is the instant of the snapshot that computed members are of,
	// zero where none are.
	Refreshed time.Time
	Failure   []byte
	Created   time.Time
	Updated   time.Time
}

// GroupMember is one member. Given ones have the entry as the client sent it.
type GroupMember struct {
	Member   string
	Inactive bool
	Entry    string
	// Added is when it became a member; kept when a group is replaced.
	Added time.Time
}

type groupRow struct {
	ID        string `db:"id"`
	ClientID  string `db:"client_id"`
	Ticket    string `db:"ticket"`
	Resource  string `db:"resource"`
	Filters   string `db:"filters"`
	Bounded   int    `db:"bounded"`
	State     string `db:"state"`
	Version   int64  `db:"version"`
	Seen      int64  `db:"seen"`
	Refreshed int64  `db:"refreshed"`
	Failure   string `db:"failure"`
	Created   int64  `db:"created"`
	Updated   int64  `db:"updated"`
}

func (r *groupRow) group() (*Group, error) {
	g := &Group{ID: r.ID, ClientID: r.ClientID, Ticket: r.Ticket, Resource: []byte(r.Resource), Bounded: r.Bounded != 0,
		State: GroupState(r.State), Version: r.Version, Seen: instant(r.Seen), Refreshed: instant(r.Refreshed),
		Failure: []byte(r.Failure), Created: instant(r.Created), Updated: instant(r.Updated)}
	if err := json.Unmarshal([]byte(r.Filters), &g.Filters); err != nil {
		return nil, fmt.Errorf("filters of group %s: %w", r.ID, err)
	}
	return g, nil
}

func (s *Store) groups(ctx context.Context, name string, args ...any) ([]*Group, error) {
	var rows []groupRow
	if err := s.list(ctx, &rows, name, args...); err != nil {
		return nil, err
	}
	out := make([]*Group, len(rows))
	for i := range rows {
		var err error
		if out[i], err = rows[i].group(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func filtersText(filters []string) (string, error) {
	if filters == nil {
		filters = []string{}
	}
	text, err := json.Marshal(filters)
	return string(text), err
}

// AddGroup keeps a new group with its given members, at version 1.
func (s *Store) AddGroup(ctx context.Context, g *Group, given []GroupMember) error {
	filters, err := filtersText(g.Filters)
	if err != nil {
		return fmt.Errorf("add group: %w", err)
	}
	return s.inTx(ctx, "add group", func(tx *sqlx.Tx) error {
		_, err := s.exec(ctx, tx, "cohort-add", g.ID, g.ClientID, g.Ticket, string(g.Resource), filters, number(g.Bounded),
			string(g.State), millis(g.Seen), millis(g.Created), millis(g.Updated))
		if err != nil {
			return err
		}
		g.Version = 1
		return s.addMembers(ctx, tx, g.ID, MemberGiven, given, nil)
	})
}

// Group reads one group. Error: ErrNotFound.
func (s *Store) Group(ctx context.Context, id string) (*Group, error) {
	var r groupRow
	if err := s.get(ctx, s.read, &r, "cohort-by-id", id); err != nil {
		return nil, err
	}
	return r.group()
}

// GroupByTicket reads the group whose last change has the ticket. Error:
// ErrNotFound.
func (s *Store) GroupByTicket(ctx context.Context, ticket string) (*Group, error) {
	var r groupRow
	if err := s.get(ctx, s.read, &r, "cohort-by-ticket", ticket); err != nil {
		return nil, err
	}
	return r.group()
}

// GroupsOf lists a client's groups, oldest first.
func (s *Store) GroupsOf(ctx context.Context, clientID string) ([]*Group, error) {
	return s.groups(ctx, "cohort-by-client", clientID)
}

// GroupCount counts a client's groups.
func (s *Store) GroupCount(ctx context.Context, clientID string) (int, error) {
	var n int
	err := s.get(ctx, s.read, &n, "cohort-count", clientID)
	return n, err
}

// ReplaceGroup changes a group that is at g.Version, with new given members;
// who was one already keeps the time at which it became one. On success g is at
// the next version. Error: ErrConflict where the group is not the client's, or
// was changed by another hand.
func (s *Store) ReplaceGroup(ctx context.Context, g *Group, given []GroupMember) error {
	filters, err := filtersText(g.Filters)
	if err != nil {
		return fmt.Errorf("replace group: %w", err)
	}
	err = s.inTx(ctx, "replace group", func(tx *sqlx.Tx) error {
		err := s.cas(ctx, tx, "cohort-replace", g.Ticket, string(g.Resource), filters, number(g.Bounded), string(g.State),
			millis(g.Seen), millis(g.Updated), g.ID, g.ClientID, g.Version)
		if err != nil {
			return err
		}
		return s.replaceMembers(ctx, tx, g.ID, MemberGiven, given)
	})
	if err == nil {
		g.Version++
	}
	return err
}

// DeleteGroup removes a client's group. Error: ErrConflict where it has none of
// the id.
func (s *Store) DeleteGroup(ctx context.Context, id, clientID string) error {
	return s.cas(ctx, s.db, "cohort-delete", id, clientID)
}

type memberRow struct {
	Member   string `db:"member"`
	Inactive int    `db:"inactive"`
	Entry    string `db:"entry"`
	Added    int64  `db:"added"`
}

// GroupMembers lists members of a kind, in the order in which they were given.
func (s *Store) GroupMembers(ctx context.Context, id, kind string) ([]GroupMember, error) {
	var rows []memberRow
	if err := s.list(ctx, &rows, "cohort-members", id, kind); err != nil {
		return nil, err
	}
	return members(rows), nil
}

// GroupSize is how many members of a kind there are.
func (s *Store) GroupSize(ctx context.Context, id, kind string) (int, error) {
	var n int
	err := s.get(ctx, s.read, &n, "cohort-members-count", id, kind)
	return n, err
}

func members(rows []memberRow) []GroupMember {
	out := make([]GroupMember, len(rows))
	for i, r := range rows {
		out[i] = GroupMember{Member: r.Member, Inactive: r.Inactive != 0, Entry: r.Entry, Added: instant(r.Added)}
	}
	return out
}

func (s *Store) replaceMembers(ctx context.Context, tx *sqlx.Tx, id, kind string, all []GroupMember) error {
	var rows []memberRow
	if err := tx.SelectContext(ctx, &rows, s.text("cohort-members"), id, kind); err != nil {
		return fmt.Errorf("cohort-members: %w", err)
	}
	since := make(map[string]time.Time, len(rows))
	for _, m := range members(rows) {
		since[m.Member] = m.Added
	}
	if _, err := s.exec(ctx, tx, "cohort-members-drop", id, kind); err != nil {
		return err
	}
	return s.addMembers(ctx, tx, id, kind, all, since)
}

func (s *Store) addMembers(ctx context.Context, tx *sqlx.Tx, id, kind string, all []GroupMember, since map[string]time.Time) error {
	rows := make([][]any, len(all))
	for i, m := range all {
		if was, ok := since[m.Member]; ok {
			m.Added = was
		}
		rows[i] = []any{id, kind, m.Member, number(m.Inactive), m.Entry, i, millis(m.Added)}
	}
	return s.insert(ctx, tx, "cohort-member-add", rows)
}

// GroupsDue lists the groups whose members nobody has worked on since idle: of
// those that are being built, and of those ready whose members were computed
// before stale.
func (s *Store) GroupsDue(ctx context.Context, idle, stale time.Time) ([]*Group, error) {
	return s.groups(ctx, "cohort-due", millis(idle), millis(stale), millis(idle))
}

// ClaimGroup takes a group as read, so as to compute its members. Error:
// ErrConflict where another hand was quicker.
func (s *Store) ClaimGroup(ctx context.Context, g *Group, now time.Time) error {
	if err := s.cas(ctx, s.db, "cohort-claim", millis(now), g.ID, g.Version, millis(g.Seen)); err != nil {
		return err
	}
	g.Seen = instant(millis(now))
	return nil
}

// BuiltGroup makes a group ready with the members that were found, who keep the
// time at which they first were. Error: ErrConflict where it was changed or
// deleted meanwhile.
func (s *Store) BuiltGroup(ctx context.Context, g *Group, found []GroupMember, refreshed, at time.Time) error {
	return s.inTx(ctx, "built group", func(tx *sqlx.Tx) error {
		if err := s.cas(ctx, tx, "cohort-built", millis(at), millis(refreshed), millis(at), g.ID, g.Version); err != nil {
			return err
		}
		return s.replaceMembers(ctx, tx, g.ID, MemberFound, found)
	})
}

// FailedGroup notes why members could not be computed; a group that was ready
// keeps those it has. Error: ErrConflict.
func (s *Store) FailedGroup(ctx context.Context, g *Group, failure []byte, at time.Time) error {
	return s.cas(ctx, s.db, "cohort-failed", millis(at), string(failure), g.ID, g.Version)
}
