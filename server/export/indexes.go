package export

import (
	"context"
	"sync"

	"remit/mapping/program"
)

// gate is a mutex that can be waited for as long as a context lasts.
type gate chan struct{}

func newGate() gate { return make(gate, 1) }

func (g gate) enter(ctx context.Context) error {
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g gate) leave() { <-g }

// indexes are those of a reader, which share one bound: where there is no room
// for another, the one that was used least recently goes. They are safe for
// concurrent use.
type indexes struct {
	limit int64 // bytes

	mu    sync.Mutex
	slots map[indexKey]*indexSlot
	held  int64 // bytes, of those that are being built, too
	turn  int64 // counts uses
}

type indexKey struct{ fingerprint, resourceType, view string }

// indexSlot holds the index of a type. Who passes its gate builds it, while the
// others wait; all else is under the mutex of the indexes.
type indexSlot struct {
	gate  gate
	index *program.Index // nil where it was too large, or is to be built
	built *view          // nil where it is to be built
	used  int64
}

func newIndexes(limit int64) *indexes {
	return &indexes{limit: limit, slots: map[indexKey]*indexSlot{}}
}

// slot finds the slot of a type, or makes it.
func (x *indexes) slot(key indexKey) *indexSlot {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.slots[key]
	if s == nil {
		s = &indexSlot{gate: newGate()}
		x.slots[key] = s
	}
	return s
}

// use reads what a slot holds, and notes that it was wanted.
func (x *indexes) use(s *indexSlot) (index *program.Index, built *view) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.turn++
	s.used = x.turn
	return s.index, s.built
}

// keep puts an index into its slot, nil where there is no room for it; room has
// granted its bytes.
func (x *indexes) keep(key indexKey, s *indexSlot, index *program.Index, built *view) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.slots[key] != s { // of a mapping set that was exchanged meanwhile
		if index != nil {
			x.held -= index.Bytes()
		}
		return
	}
	x.drop(s)
	s.index, s.built = index, built
}

// room is the program.Room of an index that is being built.
func (x *indexes) room(bytes int64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for bytes > 0 && x.held+bytes > x.limit {
		var oldest *indexSlot
		for _, s := range x.slots {
			if s.index != nil && (oldest == nil || s.used < oldest.used) {
				oldest = s
			}
		}
		if oldest == nil {
			return false
		}
		x.drop(oldest)
	}
	x.held += bytes
	return true
}

// drop forgets the index of a slot. The caller holds the mutex.
func (x *indexes) drop(s *indexSlot) {
	if s.index != nil {
		x.held -= s.index.Bytes()
	}
	s.index, s.built = nil, nil
}

// only forgets all indexes but those of one mapping set.
func (x *indexes) only(fingerprint string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for k, s := range x.slots {
		if k.fingerprint != fingerprint {
			x.drop(s)
			delete(x.slots, k)
		}
	}
}
