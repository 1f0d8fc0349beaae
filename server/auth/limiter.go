package auth

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// RemoteAddress is the address of a request's caller. Where the connection
// comes from loopback or a private network, its other end is taken for a proxy
// of the operator's, and the caller is the last address of X-Forwarded-For, the
// one that this proxy wrote; else all callers behind it would be limited as
// one. From the internet the header is not believed.
func RemoteAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	peer, err := netip.ParseAddr(host)
	if err != nil || !peer.Unmap().IsLoopback() && !peer.Unmap().IsPrivate() {
		return host
	}
	forwarded := r.Header.Values("X-Forwarded-For")
	if len(forwarded) == 0 {
		return host
	}
	last := forwarded[len(forwarded)-1]
	last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	if caller, err := netip.ParseAddr(last); err == nil {
		return caller.Unmap().String()
	}
	return host
}

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

// take counts one request of the key and says how long to wait where that is
// more than limit in this minute; 0 lets it pass.
func (l *limiter) take(key string, limit int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := l.window()
	if l.count[key] >= limit {
		return left
	}
	l.count[key]++
	return 0
}
