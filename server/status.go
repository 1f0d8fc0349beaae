package server

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"remit/server/auth"
	"remit/server/export"
)

// separateQuery marks the status URL of an export whose client negotiated
// separate-export-status (BE-055), so that nothing need be remembered.
const separateQuery = "separate-export-status=true"

// gone says that there is no such export or file, or none any more.
func gone(err error) bool {
	return errors.Is(err, export.ErrNotFound) || errors.Is(err, export.ErrExpired)
}

// owned finds the export of a status or file URL for its own client; an export
// of another client does not exist (BE-014).
func (s *Server) owned(r *http.Request, access *auth.Access, id string) (*export.Status, *problem) {
	e, err := s.options.Exports.Status(r.Context(), id)
	switch {
	case err == nil && e.Request.ClientID != access.Client.ID:
		s.audit(r, access, "access", id, "refused", "export of another client")
		fallthrough
	case gone(err):
		return nil, fail("not-found", "there is no such export, or not any more")
	case err != nil:
		return nil, s.transient(r, "look up export", err)
	}
	return e, nil
}

// granted finds who asks by a token, and an export that is the client's and that
// the token covers.
func (s *Server) granted(r *http.Request, id string) (*auth.Access, *export.Status, *problem) {
	access, p := s.access(r)
	if p != nil {
		return nil, nil, p
	}
	e, p := s.owned(r, access, id)
	if p == nil {
		p = s.covered(access, e)
	}
	return access, e, p
}

// covered checks that the token and the registration still cover all that is
// exported (BE-013, SB-084).
func (s *Server) covered(access *auth.Access, e *export.Status) *problem {
	if !registered(access, &e.Request) {
		return insufficient("the client may not have all of this export any more")
	}
	now := s.restrict(access, auth.Read|auth.Search, e.Request.Types...)
	for _, t := range e.Request.Types {
		covers := access.MayExport(t)
		if queries := now[t]; queries != nil {
			// What was exported must lie within what may be had by now.
			had := e.Request.Restrict[t]
			covers = covers && had != nil && !slices.ContainsFunc(had, func(q string) bool {
				return !slices.ContainsFunc(queries, func(may string) bool { return within(q, may) })
			})
		}
		if !covers {
			return insufficient("the token's scopes do not cover every resource type of this export")
		}
	}
	return nil
}

// registered says that a client's registration still gives the view and the
// members of an export, which it may have narrowed since.
func registered(access *auth.Access, r *export.Request) bool {
	if view := access.Client.View; view != "" && view != r.View {
		return false
	}
	if access.Client.Groups == nil || r.Level == export.LevelGroup && access.MayHaveGroup(r.Group) {
		return true
	}
	return r.Fenced && !slices.ContainsFunc(r.Fence, func(g string) bool { return !access.MayHaveGroup(g) })
}

// within says that every resource that passes query also passes may: it has all
// parts of it. More than that is not looked for; a client that asks with other
// words is told that its token does not cover the export.
func within(query, may string) bool {
	parts := strings.Split(query, "&")
	for part := range strings.SplitSeq(may, "&") {
		if !slices.Contains(parts, part) {
			return false
		}
	}
	return true
}

// status answers a poll (Bulk Data 3.0.0, Export Status; BE-155..169).
func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "export")
	_, e, p := s.granted(r, id)
	if p != nil {
		s.refuse(w, p)
		return
	}
	now := s.now()
	pause := pollPause(now.Sub(e.Created))
	if wait := s.polls.wait(id, now, pause); wait > 0 {
		p := fail("throttled", "the status is polled too often")
		p.retry = wait
		s.refuse(w, p)
		return
	}
	separate := r.URL.Query().Get("separate-export-status") == "true"
	switch e.State {
	case export.StateComplete:
		manifest, err := s.options.Exports.Manifest(r.Context(), id, s.base+filePath+id+"/", s.authenticator() != nil && s.options.FileURLKey == nil)
		if gone(err) {
			s.refuse(w, fail("not-found", "there is no such export, or not any more"))
			return
		}
		if err != nil {
			s.refuse(w, s.transient(r, "read manifest", err))
			return
		}
		n := page(r.URL.Query())
		if n == 0 || n > s.pages(manifest) {
			s.refuse(w, fail("not-found", "the manifest has no such page"))
			return
		}
		location := s.base + StatusPath + id
		if separate {
			w.Header().Set("X-Export-Status", "200 OK")
			location += "?" + separateQuery
		}
		if !e.Expires.IsZero() {
			w.Header().Set("Expires", e.Expires.UTC().Format(http.TimeFormat))
		}
		write(w, http.StatusOK, plain, s.manifestJSON(manifest, id, location, n))
	case export.StateFailed:
		failure := fail("exception", "The export failed.")
		if e.Failure != nil {
			failure = fail(e.Failure.Code, "%s", e.Failure.Text)
		}
		// Whatever its code, this is a failure of the export, and final.
		failure.status = http.StatusInternalServerError
		if separate {
			w.Header().Set("X-Export-Status", "500 Internal Server Error")
			failure.status = http.StatusOK
		}
		s.refuse(w, failure)
	default:
		w.Header().Set("X-Progress", progress(e))
		w.Header().Set("Retry-After", seconds(pause))
		status := http.StatusAccepted
		if separate {
			w.Header().Set("X-Export-Status", "202 Accepted")
			status = http.StatusOK
		}
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
	}
}

// pollPause is the Retry-After of a running export: a tenth of its age, between
// 1 and 10 seconds (BE-160).
func pollPause(age time.Duration) time.Duration {
	return min(max(age/10, time.Second), 10*time.Second).Truncate(time.Second)
}

// instant is how a FHIR instant is printed: UTC with milliseconds.
const instant = "2006-01-02T15:04:05.000Z"

// cancel answers DELETE of a status URL (Bulk Data 3.0.0, Delete Request;
// BE-210..214). It takes a token that covers the export, as reading its status
// does (SB-082).
func (s *Server) cancel(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "export")
	access, _, p := s.granted(r, id)
	if p != nil {
		s.refuse(w, p)
		return
	}
	err := s.options.Exports.Delete(r.Context(), id)
	switch {
	case gone(err):
		s.refuse(w, fail("not-found", "there is no such export, or not any more"))
	case err != nil:
		s.refuse(w, s.transient(r, "delete export", err))
	default:
		s.audit(r, access, "delete", id, "ok", "")
		s.polls.forget(id)
		write(w, http.StatusAccepted, fhirJSON, information("The export was deleted."))
	}
}

// Polling beyond Retry-After is met with patience: so many polls may come at
// any time, and one more each pause.
const pollBurst = 20

// maxPolled bounds the exports whose polls are counted.
const maxPolled = 10_000

// pollLimiter counts polls by export (BE-161).
type pollLimiter struct {
	mu      sync.Mutex
	buckets map[string]*pollBucket
}

type pollBucket struct {
	tokens float64
	last   time.Time
}

// wait takes one poll and returns 0, or how long to wait for the next. A client
// that keeps to the pause is never made to wait.
func (l *pollLimiter) wait(id string, now time.Time, pause time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets[id]
	if !ok {
		if len(l.buckets) >= maxPolled {
			clear(l.buckets)
		}
		b = &pollBucket{tokens: pollBurst, last: now}
		l.buckets[id] = b
	}
	b.tokens = min(pollBurst, b.tokens+max(0, now.Sub(b.last).Seconds())/pause.Seconds())
	b.last = now
	if b.tokens < 1 {
		return time.Duration((1 - b.tokens) * float64(pause))
	}
	b.tokens--
	return 0
}

func (l *pollLimiter) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.buckets, id)
}
