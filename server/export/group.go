package export

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"remit/mapping/program"
	"remit/profiles/r4"
	"remit/profiles/search"
	"remit/sql/control"
)

// What callers of groups decide on.
var (
	// ErrGroupBuilding: the members of the group are being computed.
	ErrGroupBuilding = errors.New("the group is being built")
	// ErrGroupFailed: its members could not be computed.
	ErrGroupFailed = errors.New("the group could not be built")
	// ErrTooManyGroups: the client has as many groups as it may have.
	ErrTooManyGroups = errors.New("too many groups")
	// ErrGroupChanged: the group is not at the version that a change names.
	ErrGroupChanged = errors.New("the group was changed meanwhile")
)

// GroupOptions of Groups. The zero value takes the defaults.
type GroupOptions struct {
	Search *search.Parameters // required
	// Base is the public FHIR base without trailing slash: references below it in
	// criteria are relative ones.
	Base string
	// Bounds tells what a client may have now, for members that are computed
	// anew without it asking. Nil bounds nobody.
	Bounds func(ctx context.Context, clientID string) (Bounds, error)
	// Max is how many groups a client may have; default 1000.
	Max int
	// Refresh is how old computed members may become; default 24 h (BE-264).
	Refresh time.Duration
	// Lease is after what silence another server takes a computation over;
	// default 2 min.
	Lease time.Duration
	// Builds is how many groups may be computed at once, each a walk through the
	// types of its criteria; default 2. Further ones wait.
	Builds int
}

// Groups are the groups that clients make, beside the rosters of the mapping
// set: by members, or by criteria that are evaluated now and then (BE-260..266).
// A group belongs to its client; to any other it is not there.
//
// Members are kept as the client gave them and matched when they are needed, on
// the snapshot of the need, inside what the client may have. Nothing that is
// answered about a group depends on whether a member exists.
//
// It is safe for concurrent use.
type Groups struct {
	engine *Engine
	reader *Reader
	o      GroupOptions
	builds chan struct{} // a place for each group that is computed

	mu      sync.Mutex
	stop    context.CancelFunc
	life    context.Context
	working sync.WaitGroup
}

// Groups makes the groups of an engine; Start lets them compute members.
func (e *Engine) Groups(r *Reader, o GroupOptions) *Groups {
	if o.Max <= 0 {
		o.Max = 1000
	}
	if o.Refresh <= 0 {
		o.Refresh = 24 * time.Hour
	}
	if o.Lease <= 0 {
		o.Lease = 2 * time.Minute
	}
	if o.Builds <= 0 {
		o.Builds = 2
	}
	return &Groups{engine: e, reader: r, o: o, builds: make(chan struct{}, o.Builds)}
}

// Start begins to compute members in the background, those first that an
// earlier process left. It may be called twice, and after Stop.
func (g *Groups) Start(ctx context.Context) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stop != nil {
		return
	}
	g.life, g.stop = context.WithCancel(context.WithoutCancel(ctx))
	life := g.life
	g.working.Go(func() {
		tick := time.NewTicker(g.o.Lease / 2)
		defer tick.Stop()
		for {
			if err := g.Sweep(life); err != nil && life.Err() == nil {
				g.engine.Log.ErrorContext(life, "groups not refreshed", "error", err)
			}
			select {
			case <-life.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// Stop cancels what is computed and waits for it; another server, or the next
// start, goes on. It may be called twice.
func (g *Groups) Stop() {
	g.mu.Lock()
	stop := g.stop
	g.stop = nil
	g.mu.Unlock()
	if stop != nil {
		stop()
	}
	g.working.Wait()
}

// Sweep computes the members of every group that waits for it: begun and left
// alone, or too old. Error: what kept it from looking.
func (g *Groups) Sweep(ctx context.Context) error {
	now := g.engine.Clock()
	due, err := g.engine.Control.GroupsDue(ctx, now.Add(-g.o.Lease), now.Add(-g.o.Refresh))
	if err != nil {
		return err
	}
	for _, x := range due {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := g.engine.Control.ClaimGroup(ctx, x, now); errors.Is(err, control.ErrConflict) {
			continue
		} else if err != nil {
			return err
		}
		g.build(ctx, x)
	}
	return nil
}

// computed says that a group's members must be computed: it has criteria, or
// members that only the warehouse can tell.
func computed(filters []string, members []control.GroupMember) bool {
	return len(filters) > 0 || slices.ContainsFunc(members, func(m control.GroupMember) bool {
		return !strings.HasPrefix(m.Member, program.PatientType+"/")
	})
}

// Create keeps a new group of a client. With wait it returns when the members
// are there; else they are computed in the background, and Ticket tells. Error:
// ErrTooManyGroups.
func (g *Groups) Create(ctx context.Context, b Bounds, f *GroupForm, wait bool) (*control.Group, error) {
	n, err := g.engine.Control.GroupCount(ctx, b.ClientID)
	if err != nil {
		return nil, err
	}
	if n >= g.o.Max {
		return nil, ErrTooManyGroups
	}
	x := &control.Group{ID: newID(), ClientID: b.ClientID, Created: g.engine.Clock()}
	return x, g.change(ctx, x, &b, f, wait, g.engine.Control.AddGroup)
}

// Replace changes a client's group; version, where above 0, is the one that it
// must be at. Errors: ErrNotFound; ErrGroupChanged.
func (g *Groups) Replace(ctx context.Context, b Bounds, id string, version int64, f *GroupForm, wait bool) (*control.Group, error) {
	x, err := g.own(ctx, b.ClientID, id)
	if err != nil {
		return nil, err
	}
	if version > 0 && version != x.Version {
		return nil, ErrGroupChanged
	}
	err = g.change(ctx, x, &b, f, wait, g.engine.Control.ReplaceGroup)
	if errors.Is(err, control.ErrConflict) {
		err = ErrGroupChanged
	}
	return x, err
}

func (g *Groups) change(ctx context.Context, x *control.Group, b *Bounds, f *GroupForm, wait bool, save func(context.Context, *control.Group, []control.GroupMember) error) error {
	now := g.engine.Clock().UTC().Truncate(time.Millisecond)
	text, err := json.Marshal(f.resource)
	if err != nil {
		return fmt.Errorf("write group: %w", err)
	}
	x.Ticket, x.Resource, x.Filters, x.Bounded = strings.ToLower(rand.Text()), text, f.queries(), len(f.Members) > 0
	x.State, x.Seen, x.Updated, x.Refreshed, x.Failure = control.GroupReady, now, now, time.Time{}, nil
	build := computed(x.Filters, f.Members)
	if build {
		x.State = control.GroupBuilding
	}
	given := slices.Clone(f.Members)
	for i := range given {
		given[i].Added = now
	}
	if err := save(ctx, x, given); err != nil {
		return err
	}
	g.engine.Log.InfoContext(ctx, "group saved", "group_id", x.ID, "client_id", x.ClientID, "members", len(given), "filters", len(x.Filters))
	switch {
	case !build:
	case wait:
		g.buildFor(ctx, x, b)
		fresh, err := g.engine.Control.Group(ctx, x.ID)
		if err != nil {
			return err
		}
		*x = *fresh
	default:
		g.mu.Lock()
		life := g.life
		running := g.stop != nil
		if running {
			copied := *x
			g.working.Go(func() { g.buildFor(life, &copied, b) })
		}
		g.mu.Unlock()
	}
	return nil
}

// Delete removes a client's group. Error: ErrNotFound.
func (g *Groups) Delete(ctx context.Context, clientID, id string) error {
	err := g.engine.Control.DeleteGroup(ctx, id, clientID)
	if errors.Is(err, control.ErrConflict) {
		return ErrNotFound
	}
	return err
}

// own reads a client's group. Error: ErrNotFound, be it another's.
func (g *Groups) own(ctx context.Context, clientID, id string) (*control.Group, error) {
	return g.engine.ownGroup(ctx, clientID, id)
}

func (e *Engine) ownGroup(ctx context.Context, clientID, id string) (*control.Group, error) {
	x, err := e.Control.Group(ctx, id)
	switch {
	case errors.Is(err, control.ErrNotFound), err == nil && x.ClientID != clientID:
		return nil, ErrNotFound
	case err != nil:
		return nil, err
	}
	return x, nil
}

// Ticket tells where the last change of a client's group stands. Error:
// ErrNotFound.
func (g *Groups) Ticket(ctx context.Context, clientID, ticket string) (*control.Group, error) {
	x, err := g.engine.Control.GroupByTicket(ctx, ticket)
	switch {
	case errors.Is(err, control.ErrNotFound), err == nil && x.ClientID != clientID:
		return nil, ErrNotFound
	case err != nil:
		return nil, err
	}
	return x, nil
}

// Read reads a client's group as a resource. Error: ErrNotFound, also where its
// grant leaves the group out.
func (g *Groups) Read(ctx context.Context, b Bounds, id string) (*Resource, error) {
	x, err := g.own(ctx, b.ClientID, id)
	if err != nil {
		return nil, err
	}
	res, err := g.Resource(ctx, x)
	if err != nil {
		return nil, err
	}
	fits, err := newGroupFilter(&b, nil).fits(res)
	if err != nil {
		return nil, err
	}
	if !fits {
		return nil, ErrNotFound
	}
	return res, nil
}

// groupFilter is what a group must pass to be handed out: the filter of a search,
// and one of those of the client's grant.
type groupFilter struct {
	asked   *search.Filter
	granted []*search.Filter
	bounded bool // the grant is granular
	parser  r4.Parser
	tree    r4.Resource
}

func newGroupFilter(b *Bounds, asked *search.Filter) *groupFilter {
	f := &groupFilter{asked: asked}
	f.granted, f.bounded = b.Restrict[groupType]
	return f
}

// all says that nothing is left out.
func (f *groupFilter) all() bool { return f.asked == nil && !f.bounded }

func (f *groupFilter) fits(res *Resource) (bool, error) {
	if f.all() {
		return true, nil
	}
	if problems := f.parser.Parse(res.JSON, &f.tree); len(problems) > 0 {
		return false, fmt.Errorf("read group: %s", problems[0].Code)
	}
	return (f.asked == nil || f.asked.Match(&f.tree)) && (!f.bounded || search.Match(f.granted, &f.tree)), nil
}

// Resource lays a group down: what the client gave, and what the server knows
// of it. Computed members are not listed, only counted.
func (g *Groups) Resource(ctx context.Context, x *control.Group) (*Resource, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(x.Resource, &all); err != nil {
		return nil, fmt.Errorf("read group: %w", err)
	}
	given, err := g.engine.Control.GroupMembers(ctx, x.ID, control.MemberGiven)
	if err != nil {
		return nil, err
	}
	set := func(name string, v any) {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // plain data
		}
		all[name] = text
	}
	updated := x.Updated.UTC()
	set("id", x.ID)
	meta := map[string]any{"versionId": strconv.FormatInt(x.Version, 10), "lastUpdated": updated.Format(instantLayout)}
	if len(x.Filters) > 0 {
		meta["profile"] = []string{CohortProfile}
	}
	set("meta", meta)
	set("actual", len(given) > 0)
	if len(given) > 0 {
		members := make([]json.RawMessage, len(given))
		for i, m := range given {
			members[i] = json.RawMessage(m.Entry)
		}
		set("member", members)
	}
	if len(x.Filters) > 0 && !x.Refreshed.IsZero() {
		found, err := g.engine.Control.GroupSize(ctx, x.ID, control.MemberFound)
		if err != nil {
			return nil, err
		}
		set("quantity", found)
		extensions := []json.RawMessage{}
		if raw, ok := all["extension"]; ok {
			if err := json.Unmarshal(raw, &extensions); err != nil {
				return nil, fmt.Errorf("read group: %w", err)
			}
		}
		text, err := json.Marshal(map[string]string{"url": membersRefresh, "valueDateTime": x.Refreshed.UTC().Format(instantLayout)})
		if err != nil {
			return nil, fmt.Errorf("read group: %w", err)
		}
		set("extension", append(extensions, text))
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("write group: %w", err)
	}
	line := append([]byte(`{"resourceType":"Group",`), bytes.TrimPrefix(text, []byte("{"))...)
	return &Resource{Type: groupType, ID: x.ID, Version: x.Version, Updated: updated, JSON: line}, nil
}

// List lays down a page of a client's groups that pass the filter and the grant,
// oldest first: at most count behind the first skip of them, fewer where they
// are large. more says that others follow.
func (g *Groups) List(ctx context.Context, b Bounds, asked *search.Filter, skip, count int) (page []Resource, more bool, err error) {
	all, err := g.engine.Control.GroupsOf(ctx, b.ClientID)
	if err != nil {
		return nil, false, err
	}
	filter := newGroupFilter(&b, asked)
	if filter.all() {
		all, skip = all[min(skip, len(all)):], 0
	}
	size := 0
	for _, x := range all {
		if filter.all() && len(page) >= count {
			return page, true, nil
		}
		res, err := g.Resource(ctx, x)
		if err != nil {
			return nil, false, err
		}
		if fits, err := filter.fits(res); err != nil {
			return nil, false, err
		} else if !fits {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if size += len(res.JSON); len(page) >= count || len(page) > 0 && size > maxPageBytes {
			return page, true, nil
		}
		page = append(page, *res)
	}
	return page, false, nil
}

// build computes the members of a group that was claimed, by what its client
// may have now.
func (g *Groups) build(ctx context.Context, x *control.Group) {
	b := Bounds{ClientID: x.ClientID}
	if g.o.Bounds != nil {
		var err error
		if b, err = g.o.Bounds(ctx, x.ClientID); err != nil {
			g.fail(ctx, x, err)
			return
		}
	}
	g.buildFor(ctx, x, &b)
}

// buildFor computes the members of a group, once there is a place for it.
func (g *Groups) buildFor(ctx context.Context, x *control.Group, b *Bounds) {
	select {
	case g.builds <- struct{}{}:
		defer func() { <-g.builds }()
	case <-ctx.Done():
		return
	}
	// Who waited long may find that another hand has taken the group.
	now, err := g.engine.Control.Group(ctx, x.ID)
	if err == nil && (now.Version != x.Version || !now.Seen.Equal(x.Seen)) || errors.Is(err, control.ErrNotFound) {
		return
	}
	began := g.engine.Clock()
	var found []string
	var asOf time.Time
	if err == nil {
		found, asOf, err = g.compute(ctx, x, b)
	}
	if err == nil {
		members := make([]control.GroupMember, len(found))
		for i, p := range found {
			members[i] = control.GroupMember{Member: p, Added: g.engine.Clock()}
		}
		err = g.engine.Control.BuiltGroup(ctx, x, members, asOf, g.engine.Clock())
	}
	switch {
	case err == nil:
		g.engine.Log.InfoContext(ctx, "group built", "group_id", x.ID, "client_id", x.ClientID, "members", len(found), "elapsed_ms", g.engine.Clock().Sub(began).Milliseconds())
	case errors.Is(err, control.ErrConflict), ctx.Err() != nil:
		// Changed or deleted meanwhile, or to be gone on with.
	default:
		g.fail(ctx, x, err)
	}
}

func (g *Groups) fail(ctx context.Context, x *control.Group, reason error) {
	g.engine.Log.ErrorContext(ctx, "group not built", slog.String("group_id", x.ID), slog.String("error", reason.Error()))
	text, err := json.Marshal(Failure{Code: "exception", Text: "The members of the group could not be computed.", Detail: reason.Error()})
	if err == nil {
		err = g.engine.Control.FailedGroup(context.WithoutCancel(ctx), x, text, g.engine.Clock())
	}
	if err != nil && !errors.Is(err, control.ErrConflict) {
		g.engine.Log.ErrorContext(ctx, "group failure not kept", "group_id", x.ID, "error", err)
	}
}

// compute finds the members of a group: the warehouse's patient values, sorted.
func (g *Groups) compute(ctx context.Context, x *control.Group, b *Bounds) (found []string, asOf time.Time, err error) {
	r := g.reader
	ctx, v, leave, err := r.enter(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer leave()
	fence, err := r.fence(ctx, v, b)
	if err != nil {
		return nil, time.Time{}, because(ctx, err)
	}
	all := true // everybody, so far
	if x.Bounded {
		given, err := g.engine.Control.GroupMembers(ctx, x.ID, control.MemberGiven)
		if err == nil {
			found, err = g.given(ctx, v, b, fence, given)
		}
		if err != nil {
			return nil, time.Time{}, because(ctx, err)
		}
		all = false
	}
	for _, text := range x.Filters {
		f, problems := g.o.Search.Parse(text, search.Options{Base: g.o.Base})
		if len(problems) > 0 {
			return nil, time.Time{}, errors.New("a member-filter is not understood any more")
		}
		var within []string
		if !all {
			within = found
		}
		if found, err = g.matching(ctx, v, b, fence, f, within); err != nil {
			return nil, time.Time{}, because(ctx, err)
		}
		all = false
	}
	found = slices.DeleteFunc(found, func(p string) bool { return !fence.admits(p, true) })
	return found, v.session.snap.AsOf().UTC(), nil
}

// matching lists the patients who own a resource that passes the filter: of
// those within, where that is not nil.
func (g *Groups) matching(ctx context.Context, v *view, b *Bounds, fence *fence, f *search.Filter, within []string) ([]string, error) {
	found := map[string]struct{}{}
	if within == nil || len(within) > 0 {
		s := &sweep{reader: g.reader, view: v, bounds: b, fence: fence, filter: f, within: within}
		if err := s.run(ctx, func(patient string) { found[patient] = struct{}{} }); err != nil {
			return nil, err
		}
	}
	out := make([]string, 0, len(found))
	for p := range found {
		out = append(out, p)
	}
	slices.Sort(out)
	return out, nil
}

// given finds the patients behind members that a client named. Whoever is not
// found, or is not the client's, is left out.
func (g *Groups) given(ctx context.Context, v *view, b *Bounds, fence *fence, members []control.GroupMember) ([]string, error) {
	out := []string{}
	var ids, tokens []string
	for _, m := range members {
		if m.Inactive {
			continue
		}
		if id, ok := strings.CutPrefix(m.Member, program.PatientType+"/"); ok {
			ids = append(ids, id)
		} else if id, ok := strings.CutPrefix(m.Member, groupType+"/"); ok {
			of, err := g.membersOf(ctx, v, b, id)
			if err != nil {
				return nil, err
			}
			out = append(out, of...)
		} else if word, ok := strings.CutPrefix(m.Member, identifierQuery+"="); ok {
			tokens = append(tokens, word)
		}
	}
	if ids != nil {
		known, err := v.finder.Patients(ctx, v.session.snap, ids)
		if err != nil {
			return nil, err
		}
		for _, value := range known {
			out = append(out, value)
		}
	}
	for part := range slices.Chunk(tokens, 1000) {
		f, problems := g.o.Search.ParseFor(program.PatientType, identifierQuery+"="+escapeQuery(strings.Join(part, ",")), search.Options{})
		if len(problems) > 0 {
			return nil, errors.New("an identifier is not understood any more")
		}
		of, err := g.matching(ctx, v, b, fence, f, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, of...)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// membersOf lists the members of a group inside another: a roster that the
// client may have, or a group of its own without groups in it.
func (g *Groups) membersOf(ctx context.Context, v *view, b *Bounds, id string) ([]string, error) {
	x, err := g.own(ctx, b.ClientID, id)
	if err == nil {
		members, err := g.engine.Control.GroupMembers(ctx, x.ID, control.MemberFound)
		if err != nil || !x.Refreshed.IsZero() {
			return memberValues(members), err
		}
		given, err := g.engine.Control.GroupMembers(ctx, x.ID, control.MemberGiven)
		if err != nil {
			return nil, err
		}
		var ids []string
		for _, m := range given {
			if id, ok := strings.CutPrefix(m.Member, program.PatientType+"/"); ok && !m.Inactive {
				ids = append(ids, id)
			}
		}
		known, err := v.finder.Patients(ctx, v.session.snap, ids)
		var out []string
		for _, value := range known {
			out = append(out, value)
		}
		return out, err
	}
	if !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if b.Groups != nil && !slices.Contains(b.Groups, id) {
		return nil, nil
	}
	members, _, err := v.finder.Roster(ctx, v.session.snap, id)
	return members, err
}

func memberValues(members []control.GroupMember) []string {
	out := make([]string, len(members))
	for i, m := range members {
		out[i] = m.Member
	}
	return out
}

// escapeQuery makes a value fit for a query as the search room reads it.
func escapeQuery(s string) string {
	return strings.NewReplacer("%", "%25", "&", "%26", "=", "%3D", "+", "%2B", "#", "%23", ";", "%3B", " ", "%20").Replace(s)
}
