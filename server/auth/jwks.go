package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Limits of a JWKS fetch (SB-024) and its cache (SB-022, SB-023).
const (
	fetchTimeout     = 5 * time.Second
	maxSetBytes      = 1 << 20
	maxRedirects     = 3
	defaultFreshness = 5 * time.Minute
	maxFreshness     = 24 * time.Hour
	refetchInterval  = 30 * time.Second
	maxCachedSets    = 10_000
)

// FetchOptions says which JWKS URLs may be fetched and how.
type FetchOptions struct {
	// AllowHosts lists host names, addresses and CIDR ranges that may be
	// fetched from although they lie in a private network.
	AllowHosts []string
	// AllowLoopbackHTTP lets plain http to loopback addresses pass. It is for
	// tests and demonstrations alone.
	AllowLoopbackHTTP bool
	// AllowPrivate lets any address pass. It is for URLs that the operator, and
	// no client, has chosen.
	AllowPrivate bool
	// RootCAs verify the servers' certificates; nil means the system's.
	RootCAs *x509.CertPool
	// Timeout bounds one fetch as a whole; 0 means 5 seconds.
	Timeout time.Duration
}

// keyFetcher fetches and caches JWK Sets by URL.
type keyFetcher struct {
	client  *http.Client
	options FetchOptions
	now     func() time.Time

	mu   sync.Mutex
	sets map[string]*cachedSet
}

// cachedSet is what is known of one URL. Its lock is held during a fetch, so
// that one URL is fetched once at a time.
type cachedSet struct {
	mu      sync.Mutex
	set     *KeySet
	until   time.Time // the set may be used before this instant
	refetch time.Time // when an unknown kid was last a reason to fetch
}

// errFetch is any failure to get a client's keys; texts carry no more than the
// kind of failure, since the URL is the client's.
var errFetch = errors.New("jwks fetch")

func newKeyFetcher(o FetchOptions, now func() time.Time) *keyFetcher {
	f := &keyFetcher{options: o, now: now, sets: map[string]*cachedSet{}}
	timeout := o.Timeout
	if timeout == 0 {
		timeout = fetchTimeout
	}
	dialer := &net.Dialer{Timeout: timeout, Control: f.checkAddress}
	f.client = &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			// No proxy: the address check below must see the real address.
			DialContext:         f.dialer(dialer),
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
			TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout,
			MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives:      true,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return errors.New("too many redirects")
			}
			return f.checkURL(r.URL)
		},
	}
	return f
}

func (f *keyFetcher) dialer(d *net.Dialer) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(f.options.AllowHosts, func(h string) bool { return strings.EqualFold(h, host) }) {
			listed := *d
			listed.Control = nil
			return listed.DialContext(ctx, network, address)
		}
		return d.DialContext(ctx, network, address)
	}
}

// checkAddress runs on the address that is really dialled, after name
// resolution, so that a name cannot point into the private network.
func (f *keyFetcher) checkAddress(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return errors.New("address not understood")
	}
	addr := ap.Addr().Unmap()
	for _, h := range f.options.AllowHosts {
		if prefix, err := netip.ParsePrefix(h); err == nil && prefix.Contains(addr) {
			return nil
		}
	}
	if f.options.AllowPrivate || f.options.AllowLoopbackHTTP && addr.IsLoopback() {
		return nil
	}
	if !public(addr) {
		return errors.New("address is not public")
	}
	return nil
}

// specialRanges are not reachable hosts of the internet, or lead to one's own
// network by way of translation (IANA special-purpose registries).
func specialRanges() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),
		netip.MustParsePrefix("100.64.0.0/10"),
		netip.MustParsePrefix("192.0.0.0/24"),
		netip.MustParsePrefix("192.0.2.0/24"),
		netip.MustParsePrefix("198.18.0.0/15"),
		netip.MustParsePrefix("198.51.100.0/24"),
		netip.MustParsePrefix("203.0.113.0/24"),
		netip.MustParsePrefix("240.0.0.0/4"),
		netip.MustParsePrefix("64:ff9b::/96"),
		netip.MustParsePrefix("64:ff9b:1::/48"),
		netip.MustParsePrefix("100::/64"),
		netip.MustParsePrefix("2001::/23"),
		netip.MustParsePrefix("2001:db8::/32"),
		netip.MustParsePrefix("2002::/16"),
		netip.MustParsePrefix("fec0::/10"),
	}
}

func public(a netip.Addr) bool {
	if !a.IsValid() || !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.Zone() != "" {
		return false
	}
	return !slices.ContainsFunc(specialRanges(), func(p netip.Prefix) bool { return p.Contains(a) })
}

// checkURL refuses what is not https, but for loopback http where allowed.
func (f *keyFetcher) checkURL(u *url.URL) error {
	switch {
	case u.Host == "" || u.User != nil || u.Opaque != "":
		return errors.New("jwks url has no plain host")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && f.options.AllowLoopbackHTTP && loopbackName(u.Hostname()):
		return nil
	}
	return errors.New("jwks url is not https")
}

func loopbackName(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// CheckKeysURL says whether a JWKS URL may be registered: absolute, https, and
// without credentials (SB-021, SB-024). It fetches nothing.
func CheckKeysURL(raw string, o FetchOptions) error {
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("jwks url is malformed")
	}
	return (&keyFetcher{options: o}).checkURL(u)
}

// keys returns the set at the URL, from the cache while that may be used. A
// kid that the cached set lacks causes one fetch more, at most one in 30
// seconds (SB-022, SB-023).
func (f *keyFetcher) keys(ctx context.Context, rawURL, kid string) (*KeySet, error) {
	entry := f.entry(rawURL)
	entry.mu.Lock()
	defer entry.mu.Unlock()
	now := f.now()
	if entry.set != nil && now.Before(entry.until) {
		if entry.set.has(kid) || now.Before(entry.refetch.Add(refetchInterval)) {
			return entry.set, nil
		}
		entry.refetch = now
	}
	set, freshness, err := f.fetch(ctx, rawURL)
	if err != nil {
		// A set that may still be used stays; one past its time never serves.
		return nil, err
	}
	entry.set, entry.until = set, now.Add(freshness)
	return set, nil
}

func (f *keyFetcher) entry(rawURL string) *cachedSet {
	f.mu.Lock()
	defer f.mu.Unlock()
	entry, ok := f.sets[rawURL]
	if !ok {
		if len(f.sets) >= maxCachedSets {
			clear(f.sets)
		}
		entry = &cachedSet{}
		f.sets[rawURL] = entry
	}
	return entry
}

func (f *keyFetcher) fetch(ctx context.Context, rawURL string) (*KeySet, time.Duration, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: malformed url", errFetch)
	}
	if err := f.checkURL(u); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errFetch, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: malformed url", errFetch)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := f.client.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the URL
		}
		return nil, 0, fmt.Errorf("%w: %w", errFetch, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("%w: status %d", errFetch, resp.StatusCode)
	}
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); strings.HasPrefix(media, "text/html") {
		return nil, 0, fmt.Errorf("%w: html instead of a key set", errFetch)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSetBytes+1))
	if err != nil {
		return nil, 0, fmt.Errorf("%w: read body: %w", errFetch, err)
	}
	if len(body) > maxSetBytes {
		return nil, 0, fmt.Errorf("%w: more than %d bytes", errFetch, maxSetBytes)
	}
	set, err := ParseKeySet(body, false)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errFetch, err)
	}
	return set, freshness(resp.Header, f.now()), nil
}

// freshness is how long a response may be reused (RFC 9111, 4.2), at most a
// day; 5 minutes where the response does not say.
func freshness(h http.Header, now time.Time) time.Duration {
	var age time.Duration
	if n, err := strconv.Atoi(strings.TrimSpace(h.Get("Age"))); err == nil && n > 0 {
		age = time.Duration(min(n, int(maxFreshness/time.Second))) * time.Second
	}
	control := strings.ToLower(strings.Join(h.Values("Cache-Control"), ","))
	found := false
	life := time.Duration(0)
	for directive := range strings.SplitSeq(control, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			n, err := strconv.ParseInt(strings.Trim(strings.TrimSpace(value), `"`), 10, 64)
			if err != nil || n < 0 {
				return 0 // not understood: do not keep
			}
			n = min(n, int64(maxFreshness/time.Second))
			if d := time.Duration(n) * time.Second; !found || d < life {
				life = d
			}
			found = true
		}
	}
	if !found {
		expires := h.Get("Expires")
		if expires == "" {
			return defaultFreshness
		}
		at, err := http.ParseTime(expires)
		if err != nil {
			return 0
		}
		from := now
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			from = date
		}
		life = min(at.Sub(from), maxFreshness)
	}
	return max(life-age, 0)
}
