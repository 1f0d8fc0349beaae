package export

import (
	"context"
	"fmt"
	"slices"

	"remit/mapping/program"
)

// Consent is whose data a client may have, by the members' own choices. Members
// are the warehouse's own patient values, sorted.
type Consent struct {
	// Only says that Members are the only ones (they chose to share); else they
	// are the ones left out (they chose not to).
	Only    bool
	Members []string
	// Types, where not nil, lists the resource types that the client may still
	// have: a grant that shrank while the export runs counts at once (SB-084).
	Types []string
}

// asks says that some member is left out.
func (c *Consent) asks() bool { return c != nil && (c.Only || len(c.Members) > 0) }

// may says whether the member's data may go out. No consent asks nobody.
func (c *Consent) may(member string) bool {
	if c == nil {
		return true
	}
	_, listed := slices.BinarySearch(c.Members, member)
	return listed == c.Only
}

// of is the members that remain of a sorted list.
func (c *Consent) of(members []string) []string {
	if c == nil {
		return members
	}
	return slices.DeleteFunc(slices.Clone(members), func(m string) bool { return !c.may(m) })
}

// consent reads the choices that count for the export's client now.
func (e *Engine) consent(ctx context.Context, clientID string) (*Consent, error) {
	if clientID == publisher {
		return nil, nil // what is published belongs to nobody
	}
	if e.Consent == nil || clientID == "" {
		return nil, nil
	}
	c, err := e.Consent(ctx, clientID)
	if err != nil {
		return nil, fmt.Errorf("read members' choices: %w", err)
	}
	return c, nil
}

// narrow takes out of a request whom the consent does not cover: of a list of
// patients, or else of all.
func (c *Consent) narrow(r *program.Request) {
	if c != nil && c.Types != nil {
		r.Types = slices.DeleteFunc(append([]string{}, r.Types...), func(t string) bool { return !slices.Contains(c.Types, t) })
	}
	r.Chosen = r.Chosen || c.asks()
	switch {
	case !c.asks():
	case r.Unowned: // rows of nobody
	case r.Patients != nil:
		r.Patients = append([]string{}, c.of(r.Patients)...)
	case c.Only:
		r.Patients = append([]string{}, c.Members...)
	default:
		r.Without = c.Members
	}
}

// strike is which patients, by id, the roster resources of a chunk may not name.
type strike struct {
	types    []string
	patients map[string]bool
}

// from strikes them out of a roster resource.
func (s *strike) from(m *program.Emitted) {
	if s != nil && m.Resource != nil && slices.Contains(s.types, m.Type) {
		program.Strike(m.Resource, func(id string) bool { return s.patients[id] })
	}
}

// strikeFrom finds whom the roster resources of a request may not name. It is
// nil where there is no such resource, or nobody.
func (e *Engine) strikeFrom(ctx context.Context, s *session, c *Consent, r program.Request) (*strike, error) {
	if !c.asks() {
		return nil, nil
	}
	view := ""
	if len(r.Views) > 0 {
		view = r.Views[0]
	}
	wanted := r.Types
	r.Types = []string{}
	for _, t := range s.runner.TypesOf(view) {
		if t.Reach == program.Roster && (wanted == nil || slices.Contains(wanted, t.Name)) {
			r.Types = append(r.Types, t.Name)
		}
	}
	if len(r.Types) == 0 {
		return nil, nil
	}
	named := map[string]bool{}
	_, err := s.runner.Run(ctx, s.snap, r, func(m *program.Emitted) error {
		if m.Resource == nil {
			return nil
		}
		for _, id := range program.Patients(m.Resource) {
			named[id] = true
		}
		return nil
	})
	if err != nil || len(named) == 0 {
		return nil, err
	}
	ids := make([]string, 0, len(named))
	for id := range named {
		ids = append(ids, id)
	}
	values, err := s.runner.Patients(ctx, s.snap, ids)
	if err != nil {
		return nil, err
	}
	struck := &strike{types: r.Types, patients: map[string]bool{}}
	for id, value := range values {
		if !c.may(value) {
			struck.patients[id] = true
		}
	}
	return struck, nil
}
