package program

import (
	"context"
	"fmt"
	"math"
	"slices"

	"remit/mapping/check"
)

// A pass is cut by a sample where the warehouse has members enough, the sample
// finds rows enough to judge by, the pass makes parts enough for it to matter,
// and members are enough alike.
const (
	// keptMembers bounds how many members stand for the list in memory.
	keptMembers = 1 << 16
	// leastMembers is how many make a sample worth while.
	leastMembers = 1024
	// A sample is of one member in sampledPart, and of sampledMembers at most:
	// what it costs does not grow with the warehouse.
	sampledPart, sampledMembers = 8, 1024
	// leastRows is how many rows a sample must find.
	leastRows = 100
	// leastParts is of how many parts a pass must be, about.
	leastParts = 2
	// regionSamples is how many sampled members tell how many rows a member has
	// in their region of the list: members that stand near each other may be
	// alike, as where numbers were given out over the years.
	regionSamples = 32
	// thinnest bounds how much less than the mean a member of a region is taken
	// to have, so that no part has more than so many times the members of others.
	thinnest = 8
	// mostError is the greatest standard error of a part's size that is put up
	// with, as a share of the size.
	mostError = 0.5
)

// memberList is the members of the warehouse, as a Patient mapping's source
// lists them within the request, in their order.
type memberList struct {
	from *check.Source
	// n is how many there are; kept holds every step-th of them, from the first.
	n, step int
	kept    []string
	last    string
	// cuts and unowned are those of the pass that makes the members themselves,
	// which is listed row by row along the way.
	cuts    []string
	unowned bool
}

// add takes the next member. Of too many every other one is forgotten.
func (l *memberList) add(member []byte) {
	if l.n%l.step == 0 {
		if len(l.kept) == keptMembers {
			for i := range keptMembers / 2 {
				l.kept[i] = l.kept[2*i]
			}
			clear(l.kept[keptMembers/2:])
			l.kept = l.kept[:keptMembers/2]
			l.step *= 2
		}
		l.kept = append(l.kept, string(member))
	}
	l.n++
}

// members reads the member list by which a pass can be cut, once a Split; nil
// where there is none. Its patients must be of the kind of the pass's own, of
// which the order is known, so that what rises in it rises there.
func (s *splitter) members(ctx context.Context, from *check.Source) (*memberList, error) {
	kind := from.Patient.Type.Kind
	if !ordered(kind) {
		return nil, nil
	}
	var list *check.Source
	for _, m := range s.p.set.Mappings {
		if m.Type.Name() == "Patient" && m.From.Patient != nil && m.From.Patient.Type.Kind == kind && (list == nil || m.From == from) {
			list = m.From
		}
	}
	if list == nil {
		return nil, nil
	}
	if l := s.lists[list]; l != nil {
		return l, nil
	}
	l := &memberList{from: list, step: 1}
	c := s.cutter(list)
	var err error
	l.unowned, err = s.owners(ctx, s.ownersOf(list, s.r), func(patient []byte) {
		if c.add(patient, 1) {
			l.add(patient)
		}
	})
	if err != nil {
		return nil, err
	}
	l.cuts, l.last = c.cuts, string(c.last)
	s.lists[list] = l
	return l, nil
}

// sampled cuts a pass at members of a list, of which a sample tells how many
// rows each has. Rows of patients before the first member and behind the last
// are listed; those in between, whom the list does not know, make parts larger
// than asked for, unless they are many (see strangers). ok is false where the
// rows of the pass must be listed.
func (s *splitter) sampled(ctx context.Context, from *check.Source, l *memberList) (cuts []string, ok bool, err error) {
	d, err := s.density(ctx, from, l.kept, l.n)
	if d == nil || err != nil {
		return nil, false, err
	}
	if many, err := s.strangers(ctx, from, l, d); many || err != nil {
		return nil, false, err
	}
	c := s.cutter(from)
	before, behind := *s.r, *s.r
	before.UpTo, behind.After = &l.kept[0], &l.last
	if _, err := s.owners(ctx, s.ownersOf(from, &before), c.row); err != nil {
		return nil, false, err
	}
	var member []byte
	for i, next := range l.kept[1:] {
		member = append(member[:0], next...)
		c.add(member, float64(l.step)*d.at(i+1, len(l.kept)))
	}
	c.add([]byte(l.last), float64((l.n-1)%l.step)*d.at(len(l.kept)-1, len(l.kept)))
	if _, err := s.owners(ctx, s.ownersOf(from, &behind), c.row); err != nil {
		return nil, false, err
	}
	return c.cuts, true, nil
}

// unowned says that a pass has rows without a patient, where the request's range
// has room for them.
func (s *splitter) unowned(ctx context.Context, from *check.Source) (bool, error) {
	if s.r.After != nil || s.r.UpTo != nil {
		return false, nil
	}
	q := s.ownersOf(from, s.r)
	q.Key, q.Limit, q.Narrow.PatientNull = nil, 1, true
	some, err := hasRows(ctx, s.snap, q)
	if err != nil {
		return false, fmt.Errorf("look for rows of source %q without a patient: %w", from.Name, err)
	}
	return some, nil
}

// sampledShare is share by a sample of the request's patients.
func (s *splitter) sampledShare(ctx context.Context, from *check.Source) (parts [][]string, ok bool, err error) {
	if len(s.r.Patients) < leastMembers {
		return nil, false, nil
	}
	if s.named == nil {
		s.named = slices.Compact(slices.Sorted(slices.Values(s.r.Patients)))
	}
	d, err := s.density(ctx, from, s.named, len(s.named))
	if d == nil || err != nil {
		return nil, false, err
	}
	first, rows := 0, 0.0
	for i := range s.named {
		more := d.at(i, len(s.named))
		if rows += more; rows > float64(s.size) && i > first {
			parts = append(parts, s.named[first:i:i])
			first, rows = i, more
		}
	}
	return append(parts, s.named[first:]), true, nil
}

// density tells how many rows of a pass a member has, by region of a list.
type density struct {
	regions []float64
	// mean is over all regions; owning is the share of members with any row.
	mean, owning float64
}

// at is the density where the i-th of n stands.
func (d *density) at(i, n int) float64 { return d.regions[i*len(d.regions)/n] }

// density counts the rows of members that stand evenly in a list of the
// warehouse's members; it is nil where they tell too little.
func (s *splitter) density(ctx context.Context, from *check.Source, list []string, members int) (*density, error) {
	if members < leastMembers {
		return nil, nil
	}
	one := *s.r
	one.Patients = make([]string, min(sampledMembers, len(list)/sampledPart))
	sample := make(map[string]int, len(one.Patients))
	for i := range one.Patients {
		one.Patients[i] = list[(2*i+1)*len(list)/(2*len(one.Patients))]
		sample[one.Patients[i]] = i
	}
	counts := make([]float64, len(one.Patients))
	q := s.ownersOf(from, &one)
	q.Key = nil // in any order
	if _, err := s.owners(ctx, q, func(patient []byte) {
		if i, ok := sample[string(patient)]; ok {
			counts[i]++
		}
	}); err != nil {
		return nil, err
	}
	return densityOf(counts, float64(members), float64(s.size)), nil
}

func densityOf(counts []float64, members, size float64) *density {
	n := len(counts)
	d := &density{regions: make([]float64, max(1, n/regionSamples))}
	sampled := make([]float64, len(d.regions))
	rows := 0.0
	for i, c := range counts {
		region := i * len(d.regions) / n
		d.regions[region] += c
		sampled[region]++
		rows += c
		if c > 0 {
			d.owning += 1 / float64(n)
		}
	}
	d.mean = rows / float64(n)
	if rows < leastRows || d.mean*members < leastParts*size {
		return nil
	}
	for i := range d.regions {
		d.regions[i] /= sampled[i]
	}
	// How far members of a region differ tells how far off a part is: what its
	// region's mean is off, and what its own members are off from that.
	variance := 0.0
	for i, c := range counts {
		off := c - d.at(i, n)
		variance += off * off / float64(n)
	}
	perRegion, perPart := float64(n)/float64(len(d.regions)), max(1, size/d.mean)
	if math.Sqrt(variance*(1/perRegion+1/perPart)) > mostError*d.mean {
		return nil
	}
	for i := range d.regions {
		d.regions[i] = max(d.regions[i], d.mean/thinnest)
	}
	return d
}

// How strangers are looked for: in how many places, among how many members each,
// and how many patients more than expected are put up with.
const (
	probes, probedMembers  = 4, 64
	moreOwners, someOwners = 1.5, 16
	moreRows               = 4
)

// strangers says that patients of a pass's rows are, in many places, not in the
// member list, or that rows stand in heaps: more patients, or far more rows, lie
// between two members than the sample lets expect.
func (s *splitter) strangers(ctx context.Context, from *check.Source, l *memberList, d *density) (bool, error) {
	width := (probedMembers + l.step - 1) / l.step
	members := float64(width * l.step)
	owners := 0.0
	for i := range probes {
		at := (2*i + 1) * (len(l.kept) - width) / (2 * probes)
		one := *s.r
		one.After, one.UpTo = &l.kept[at], &l.kept[at+width]
		q := s.ownersOf(from, &one)
		q.Limit = s.size + int(moreRows*members*d.mean)
		c := s.cutter(from)
		rows := 0
		if _, err := s.owners(ctx, q, func(patient []byte) {
			if rows++; c.add(patient, 1) {
				owners++
			}
		}); err != nil {
			return false, err
		}
		if rows == q.Limit {
			return true, nil
		}
	}
	return owners > moreOwners*d.owning*members*probes+someOwners, nil
}
