package auth

import (
	"sync"
	"time"
)

// maxLimited bounds the addresses that a limiter remembers.
const maxLimited = 100_000

// limiter counts refusals by address and window of a minute.
type limiter struct {
	limit int
	now   func() time.Time

	mu    sync.Mutex
	since time.Time
	count map[string]int
}

func newLimiter(limit int, now func() time.Time) *limiter {
	return &limiter{limit: limit, now: now, count: map[string]int{}}
}

// window starts anew when the minute is over. The lock is held.
func (l *limiter) window() time.Duration {
	now := l.now()
	if passed := now.Sub(l.since); passed < 0 || passed >= time.Minute || len(l.count) >= maxLimited {
		l.since = now
		clear(l.count)
	}
	return time.Minute - now.Sub(l.since)
}

// wait is how long the address has to wait; 0 lets it pass.
func (l *limiter) wait(address string) time.Duration {
	if l.limit < 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	left := l.window()
	if l.count[address] < l.limit {
		return 0
	}
	return left
}

// refused counts one refusal.
func (l *limiter) refused(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.window()
	l.count[address]++
}
