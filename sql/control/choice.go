package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

// Choice is what one member decided about one purpose. Member is the
// warehouse's own patient value; it never leaves this store but to the export
// engine.
type Choice struct {
	// ClientID limits the choice to one client; "" is for all of the purpose.
	// The narrower choice counts.
	ClientID string
	Member   string
	In       bool // may be shared
}

// Choices are the choices of one purpose, as one moment found them. They are
// immutable and safe for concurrent use. Memory: about 60 bytes and the value
// for each choice.
type Choices struct {
	revision int64
	all      choiceList
	client   map[string]choiceList
}

type choiceRow struct {
	ClientID string `db:"client_id"`
	Member   string `db:"member"`
	Choice   string `db:"choice"`
}

// choiceList is sorted by member.
type choiceList struct {
	members []string
	in      []bool
}

func (l *choiceList) find(member string) (in, found bool) {
	i, found := slices.BinarySearch(l.members, member)
	return found && l.in[i], found
}

// In says whether the member's data may be shared with the client, and
// otherwise what the rule says of members who did not choose.
func (c *Choices) In(clientID, member string, otherwise bool) bool {
	if l, ok := c.client[clientID]; ok {
		if in, found := l.find(member); found {
			return in
		}
	}
	if in, found := c.all.find(member); found {
		return in
	}
	return otherwise
}

// Members lists, sorted, the members whose choice for the client is in, or out.
func (c *Choices) Members(clientID string, in bool) []string {
	var out []string
	narrow := c.client[clientID]
	for i, m := range c.all.members {
		if _, own := narrow.find(m); !own && c.all.in[i] == in {
			out = append(out, m)
		}
	}
	for i, m := range narrow.members {
		if narrow.in[i] == in {
			out = append(out, m)
		}
	}
	slices.Sort(out)
	return out
}

// Choices reads the choices of a purpose as they are now. What did not change
// since the last call is not read again.
func (s *Store) Choices(ctx context.Context, purpose string) (*Choices, error) {
	var revision int64
	if err := s.get(ctx, s.read, &revision, "choice-revision", purpose); err != nil {
		return nil, err
	}
	s.choicesMu.Lock()
	defer s.choicesMu.Unlock()
	if have := s.choices[purpose]; have != nil && have.revision == revision {
		return have, nil
	}
	var rows []choiceRow
	if err := s.list(ctx, &rows, "choice-list", purpose); err != nil {
		return nil, err
	}
	// Sorted here: the database may compare by its own rules.
	slices.SortFunc(rows, func(a, b choiceRow) int { return strings.Compare(a.Member, b.Member) })
	// A change between the two reads only makes the next call read again.
	c := &Choices{revision: revision, client: map[string]choiceList{}}
	for _, r := range rows {
		l := c.client[r.ClientID]
		l.members, l.in = append(l.members, r.Member), append(l.in, r.Choice == "in")
		c.client[r.ClientID] = l
	}
	c.all = c.client[""]
	delete(c.client, "")
	if s.choices == nil {
		s.choices = map[string]*Choices{}
	}
	s.choices[purpose] = c
	return c, nil
}

// ErrTwice says that a list has a member's choice for a client twice.
var ErrTwice = errors.New("its member stands there twice")

// SetChoices keeps choices of a purpose, from one moment to the next; with
// replace they take the place of all that the purpose had. Error: ErrTwice.
func (s *Store) SetChoices(ctx context.Context, purpose string, choices []Choice, replace bool, at time.Time) error {
	return s.inTx(ctx, "set choices", func(tx *sqlx.Tx) error {
		if replace {
			if _, err := s.exec(ctx, tx, "choice-drop", purpose); err != nil {
				return err
			}
		}
		rows := make([][]any, len(choices))
		seen := make(map[[2]string]bool, len(choices))
		for i, c := range choices {
			key := [2]string{c.ClientID, c.Member}
			if seen[key] {
				return fmt.Errorf("choice %d: %w", i+1, ErrTwice)
			}
			seen[key] = true
			word := "out"
			if c.In {
				word = "in"
			}
			rows[i] = []any{purpose, c.ClientID, c.Member, word, millis(at)}
		}
		if err := s.insert(ctx, tx, "choice-add", rows); err != nil {
			return err
		}
		_, err := s.exec(ctx, tx, "choice-set", purpose, millis(at))
		return err
	})
}

// ChoiceCount counts the choices of one kind.
type ChoiceCount struct {
	Purpose  string    `db:"purpose"`
	ClientID string    `db:"client_id"`
	Choice   string    `db:"choice"` // in, out
	Members  int64     `db:"members"`
	Changed  time.Time `db:"-"` // the purpose's last change
	Millis   int64     `db:"changed"`
}

// ChoiceCounts counts all choices by purpose, client and choice.
func (s *Store) ChoiceCounts(ctx context.Context) ([]ChoiceCount, error) {
	var all []ChoiceCount
	if err := s.list(ctx, &all, "choice-counts"); err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Changed = instant(all[i].Millis)
	}
	return all, nil
}
