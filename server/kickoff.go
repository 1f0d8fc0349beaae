package server

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"remit/mapping/program"
	"remit/server/auth"
	"remit/server/export"
)

// maxBody bounds the Parameters body of a kick-off.
const maxBody = 8 << 20

// maxNamed bounds the patients that one OperationOutcome names.
const maxNamed = 100

// kickoff answers GET and POST at one level (Bulk Data 3.0.0, Kick-off Request;
// BE-030..065, BE-151..154).
func (s *Server) kickoff(level export.Level) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		access, p := s.access(r)
		if p != nil {
			s.refuse(w, p)
			return
		}
		preferred := parsePrefer(r.Header)
		id, request, p := s.accept(w, r, level, access, preferred)
		if p != nil {
			s.auditRefusal(r, access, "kick-off", "", p)
			s.refuse(w, p)
			return
		}
		s.audit(r, access, "kick-off", id, "ok", string(level)+" "+strings.Join(request.Types, ","))
		location := s.base + StatusPath + id
		if preferred.separate {
			location += "?" + separateQuery
		}
		w.Header().Set("Content-Location", location)
		if applied := preferred.applied(); applied != "" {
			w.Header().Set("Preference-Applied", applied)
		}
		write(w, http.StatusAccepted, fhirJSON, information("The export was accepted; poll the URL in Content-Location."))
	}
}

// accept checks a kick-off and starts its export.
func (s *Server) accept(w http.ResponseWriter, r *http.Request, level export.Level, access *auth.Access, preferred preferences) (string, export.Request, *problem) {
	if p := s.checkHeaders(r, preferred); p != nil {
		return "", export.Request{}, p
	}
	request, p := s.readKickoff(w, r, level, access, preferred)
	if p != nil {
		return "", export.Request{}, p
	}
	id, p := s.start(r, access, request, preferred)
	return id, request, p
}

// checkHeaders checks what does not depend on the parameters.
func (s *Server) checkHeaders(r *http.Request, preferred preferences) *problem {
	if !acceptsFHIR(r.Header) {
		p := fail("not-supported", "the Accept header leaves no room for %s", fhirJSON)
		p.status = http.StatusNotAcceptable
		return p
	}
	if s.options.RequireAsync && !preferred.async {
		return fail("required", "an export needs the header Prefer: respond-async")
	}
	return nil
}

// readKickoff reads and checks everything about the request, before anything is
// promised (BE-064).
func (s *Server) readKickoff(w http.ResponseWriter, r *http.Request, level export.Level, access *auth.Access, preferred preferences) (export.Request, *problem) {
	group := chi.URLParam(r, "id")
	switch {
	case level != export.LevelGroup:
		if access.Client.Groups != nil {
			return export.Request{}, fail("forbidden", "the client may export its groups only")
		}
	case !access.MayHaveGroup(group):
		if owns, p := s.ownsGroup(r, access, group); p != nil {
			return export.Request{}, p
		} else if !owns {
			return export.Request{}, unknownGroup()
		}
	}
	switch {
	case level != export.LevelGroup:
	case !access.MayRead("Group") || access.Queries("Group", auth.Read) != nil:
		return export.Request{}, insufficient("the token's scopes do not cover reading Group")
	}
	c := export.Context{
		ClientID: access.Client.ID,
		Level:    level,
		Group:    group,
		Types:    s.options.Types(),
		Known:    s.options.KnownType,
		Granted:  access.MayExport,
		Lenient:  preferred.lenient,
		Now:      s.now(),
		Base:     s.base,
		Ballot:   s.options.BulkVersion == 4,
		URL:      s.base + strings.TrimPrefix(r.URL.Path, s.prefix),
	}
	var request export.Request
	var issues []export.Issue
	switch {
	case r.Method == http.MethodPost && r.URL.RawQuery != "":
		return export.Request{}, fail("structure", "a POST kick-off takes its parameters from the body, not from the URL")
	case r.Method == http.MethodPost:
		if !acceptedBody(r.Header) {
			p := fail("not-supported", "the body must be %s", fhirJSON)
			p.status = http.StatusUnsupportedMediaType
			return export.Request{}, p
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			var long *http.MaxBytesError
			if errors.As(err, &long) {
				return export.Request{}, fail("too-long", "the body is longer than %d bytes", maxBody)
			}
			return export.Request{}, fail("structure", "the body cannot be read")
		}
		request, issues = export.ParseParameters(body, c)
	default:
		if r.URL.RawQuery != "" {
			c.URL += "?" + r.URL.RawQuery
		}
		// A semicolon is part of a value here (application/ndjson;charset=utf-8),
		// not an old separator of parameters.
		query, err := url.ParseQuery(strings.ReplaceAll(r.URL.RawQuery, ";", "%3B"))
		if err != nil {
			return export.Request{}, fail("structure", "the query string is malformed")
		}
		request, issues = export.ParseQuery(query, c)
	}
	if len(issues) == 0 {
		request.View = access.Client.View
		if request.Restrict = s.restrict(access, auth.Read|auth.Search, request.Types...); request.Restrict != nil {
			request.Base = s.base // by which their references are read
		}
		request.Fenced, request.Fence = access.Client.Groups != nil, access.Client.Groups
		return request, nil
	}
	p := &problem{}
	for _, i := range issues {
		p.issues = append(p.issues, issue{severity: "error", code: i.Code, text: i.Text, expression: i.Expression})
	}
	if p.sameCode("forbidden") {
		p.challenge = insufficientScope
	}
	return export.Request{}, p
}

// restrict is what the client's scopes and registration leave of the types
// to somebody who uses them with these permissions (SB-075, PR-003, PR-059).
func (s *Server) restrict(access *auth.Access, p auth.Permission, types ...string) map[string][]string {
	return restrict(access, s.options.ServiceDate, p, types...)
}

// Restrict is what the scopes and the registration of an access leave of the
// types that are exported; see export.Request.
func Restrict(access *auth.Access, serviceDate func(string) string, types ...string) map[string][]string {
	return restrict(access, serviceDate, auth.Read|auth.Search, types...)
}

func restrict(access *auth.Access, serviceDate func(string) string, p auth.Permission, types ...string) map[string][]string {
	var out map[string][]string
	for _, t := range types {
		queries := access.Queries(t, p)
		if day := access.Client.Earliest; day != "" && serviceDate != nil {
			if name := serviceDate(t); name != "" {
				since := name + "=ge" + day
				if queries == nil {
					queries = []string{since}
				} else {
					queries = slices.Clone(queries)
					for i := range queries {
						queries[i] += "&" + since
					}
				}
			}
		}
		if queries != nil {
			if out == nil {
				out = map[string][]string{}
			}
			out[t] = queries
		}
	}
	return out
}

func unknownGroup() *problem { return fail("not-found", "there is no such Group") }

// start hands the request to the engine, under the limit of running exports
// (BE-153).
func (s *Server) start(r *http.Request, access *auth.Access, request export.Request, preferred preferences) (string, *problem) {
	ctx := r.Context()
	// Counting and starting are one step for each client.
	unlock := s.kickoffs.lock(request.ClientID)
	defer unlock()
	running, err := s.options.Exports.Running(ctx, request.ClientID)
	if err != nil {
		return "", s.transient(r, "count running exports", err)
	}
	limit := s.options.MaxRunning
	if access.Client.MaxExports > 0 {
		limit = access.Client.MaxExports
	}
	if running >= limit {
		p := fail("throttled", "%d exports of this client are running; no more may start until one is done or deleted", running)
		p.retry = 10 * time.Second
		return "", p
	}
	id, err := s.options.Exports.Kickoff(ctx, request, preferred.lenient)
	var unknown *export.UnknownPatientsError
	switch {
	case err == nil:
		return id, nil
	case errors.Is(err, export.ErrUnknownGroup):
		return "", unknownGroup()
	case errors.Is(err, export.ErrGroupBuilding):
		p := fail("transient", "the members of the group are being computed; try again")
		p.retry = groupWait
		return "", p
	case errors.Is(err, export.ErrGroupFailed):
		p := fail("processing", "the members of the group could not be computed; change the group, or delete it")
		p.status = http.StatusUnprocessableEntity
		return "", p
	case errors.As(err, &unknown):
		p := &problem{status: http.StatusBadRequest}
		for i, patient := range unknown.IDs {
			if i == maxNamed {
				p.issues = append(p.issues, issue{severity: "error", code: "not-found", expression: "patient", text: "and more"})
				break
			}
			p.issues = append(p.issues, issue{severity: "error", code: "not-found", expression: "patient", text: unknownPatient(patient)})
		}
		return "", p
	}
	// Nothing was promised, so the same request may be sent again.
	return "", s.transient(r, "kick off", err)
}

func unknownPatient(id string) string {
	return "Patient/" + id + " is not known, or not a member of the group"
}

// keyedLocks are one lock for each key in use.
type keyedLocks struct {
	mu    sync.Mutex
	locks map[string]*keyedLock
}

type keyedLock struct {
	sync.Mutex
	users int
}

// lock takes the key's lock; the function returned gives it back.
func (k *keyedLocks) lock(key string) func() {
	k.mu.Lock()
	l, ok := k.locks[key]
	if !ok {
		l = &keyedLock{}
		k.locks[key] = l
	}
	l.users++
	k.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		k.mu.Lock()
		if l.users--; l.users == 0 {
			delete(k.locks, key)
		}
		k.mu.Unlock()
	}
}

// hasReach says whether any type is of the reach.
func hasReach(types []program.Type, reach program.Reach) bool {
	return slices.ContainsFunc(types, func(t program.Type) bool { return t.Reach == reach })
}
