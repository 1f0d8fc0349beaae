package export

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"remit/mapping/program"
	"remit/sql/control"
	"remit/sql/source"
)

// Joiner is a program that knows when members joined a roster;
// *program.Program is one.
type Joiner interface {
	// Joined tells which patients of a roster joined it after an instant, by
	// the period of their membership, sorted.
	Joined(ctx context.Context, snap source.Snapshot, id string, since time.Time) ([]string, error)
}

// resolveGroup finds the members of the group that an order names: one that the
// client made, or a roster of the mapping set. Errors: ErrUnknownGroup, alike
// for what is not there and what is not the client's; ErrGroupBuilding;
// ErrGroupFailed.
func (e *Engine) resolveGroup(ctx context.Context, s *session, o *order) error {
	x, err := e.ownGroup(ctx, o.ClientID, o.Group)
	if err == nil {
		return e.resolveMade(ctx, s, o, x)
	}
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	if o.Fenced && !slices.Contains(o.Fence, o.Group) {
		return ErrUnknownGroup
	}
	members, found, err := s.runner.Roster(ctx, s.snap, o.Group)
	if err != nil {
		return fmt.Errorf("read roster: %w", err)
	}
	if !found {
		return ErrUnknownGroup
	}
	o.members = members
	if j, ok := s.runner.(Joiner); ok && !o.Since.IsZero() {
		if o.joined, err = j.Joined(ctx, s.snap, o.Group, o.Since); err != nil {
			return fmt.Errorf("read roster: %w", err)
		}
	}
	return nil
}

func (e *Engine) resolveMade(ctx context.Context, s *session, o *order, x *control.Group) error {
	switch x.State {
	case control.GroupBuilding:
		return ErrGroupBuilding
	case control.GroupFailed:
		return ErrGroupFailed
	}
	o.Made = true
	added := map[string]time.Time{}
	if x.Refreshed.IsZero() {
		given, err := e.Control.GroupMembers(ctx, x.ID, control.MemberGiven)
		if err != nil {
			return err
		}
		byID := map[string]time.Time{}
		for _, m := range given {
			if id, ok := strings.CutPrefix(m.Member, program.PatientType+"/"); ok && !m.Inactive {
				byID[id] = m.Added
			}
		}
		ids := make([]string, 0, len(byID))
		for id := range byID {
			ids = append(ids, id)
		}
		known, err := s.runner.Patients(ctx, s.snap, ids)
		if err != nil {
			return fmt.Errorf("find patients: %w", err)
		}
		for id, value := range known {
			added[value] = byID[id]
		}
	} else {
		found, err := e.Control.GroupMembers(ctx, x.ID, control.MemberFound)
		if err != nil {
			return err
		}
		for _, m := range found {
			added[m.Member] = m.Added
		}
	}
	f := &fence{}
	if o.Fenced {
		f.members = [][]string{}
		for _, id := range o.Fence {
			members, _, err := s.runner.Roster(ctx, s.snap, id)
			if err != nil {
				return fmt.Errorf("read roster: %w", err)
			}
			f.members = append(f.members, members)
		}
	}
	o.members = []string{}
	for value, at := range added {
		if !f.admits(value, true) {
			continue
		}
		o.members = append(o.members, value)
		if !o.Since.IsZero() && at.After(o.Since) {
			o.joined = append(o.joined, value)
		}
	}
	slices.Sort(o.members)
	slices.Sort(o.joined)
	return nil
}

// requests are the order in the program's words: one, or with members who
// joined since, three: what those who were there had since then, the history of
// those who joined (BE-078), and what belongs to nobody, once for all of them.
func (o *order) requests(types []program.Type) []program.Request {
	r := o.request(types)
	if o.Since.IsZero() || len(o.joined) == 0 || !o.Limited {
		return []program.Request{r}
	}
	had := func(p string) bool {
		_, ok := slices.BinarySearch(o.joined, p)
		return ok
	}
	reaches := func(name string, reach program.Reach) bool {
		return slices.ContainsFunc(types, func(t program.Type) bool { return t.Name == name && t.Reach == reach })
	}
	of := func(reach program.Reach) []string {
		return slices.DeleteFunc(slices.Clone(r.Types), func(name string) bool { return !reaches(name, reach) })
	}
	joined, shared := r, r
	joined.Since, joined.Roster, joined.Types = time.Time{}, "", of(program.PatientData)
	joined.Patients = slices.DeleteFunc(slices.Clone(r.Patients), func(p string) bool { return !had(p) })
	if len(joined.Patients) == 0 || len(joined.Types) == 0 {
		return []program.Request{r}
	}
	shared.Types = of(program.Shared)
	r.Types = slices.DeleteFunc(slices.Clone(r.Types), func(name string) bool { return reaches(name, program.Shared) })
	r.Patients = slices.DeleteFunc(slices.Clone(r.Patients), had)
	return slices.DeleteFunc([]program.Request{r, joined, shared}, func(r program.Request) bool { return len(r.Types) == 0 })
}
