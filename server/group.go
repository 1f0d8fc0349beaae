package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"remit/profiles/search"
	"remit/server/auth"
	"remit/server/export"
	"remit/sql/control"
)

// Groups are the groups that clients make; *export.Groups is one. Methods are
// called concurrently. A group of another client is not there:
// export.ErrNotFound.
type Groups interface {
	// Create keeps a new group; with wait it returns when its members are
	// there. Error: export.ErrTooManyGroups.
	Create(ctx context.Context, b export.Bounds, f *export.GroupForm, wait bool) (*control.Group, error)
	// Replace changes a group that is at the version, where that is above 0.
	// Errors: export.ErrNotFound, export.ErrGroupChanged.
	Replace(ctx context.Context, b export.Bounds, id string, version int64, f *export.GroupForm, wait bool) (*control.Group, error)
	// Delete removes a group. Error: export.ErrNotFound.
	Delete(ctx context.Context, clientID, id string) error
	// Read lays a group down. Error: export.ErrNotFound, also where it is not
	// within the bounds.
	Read(ctx context.Context, b export.Bounds, id string) (*export.Resource, error)
	// List lays down a page of the client's groups that pass a filter and lie
	// within the bounds: at most count behind the first skip of them, fewer where
	// they are large. more says that others follow.
	List(ctx context.Context, b export.Bounds, filter *search.Filter, skip, count int) (page []export.Resource, more bool, err error)
	// Ticket finds the group whose last change has the ticket. Error:
	// export.ErrNotFound.
	Ticket(ctx context.Context, clientID, ticket string) (*control.Group, error)
	// Resource lays a group down.
	Resource(ctx context.Context, x *control.Group) (*export.Resource, error)
}

// groupStatusPath is where the making of a group is asked for.
const groupStatusPath = "/$group-status/"

const groupType = "Group"

// ownsGroup says that the client made the group.
func (s *Server) ownsGroup(r *http.Request, access *auth.Access, id string) (bool, *problem) {
	if s.options.Groups == nil || !validID(id) {
		return false, nil
	}
	_, err := s.options.Groups.Read(r.Context(), export.Bounds{ClientID: access.Client.ID}, id)
	switch {
	case errors.Is(err, export.ErrNotFound):
		return false, nil
	case err != nil:
		return false, s.transient(r, "find group", err)
	}
	return true, nil
}

// createGroup answers POST of a Group, at once or by the asynchronous pattern
// (Bulk Data 3.0.0, Bulk Cohort API; BE-260..263).
func (s *Server) createGroup(w http.ResponseWriter, r *http.Request) {
	s.changeGroup(w, r, auth.Create, "group-create", func(access *auth.Access, f *export.GroupForm, wait bool) (*control.Group, *problem) {
		// Counting and adding are one step for each client.
		unlock := s.kickoffs.lock("group " + access.Client.ID)
		defer unlock()
		b, p := s.bounds(access, auth.Read|auth.Search, f.Types()...)
		if p != nil {
			return nil, p
		}
		x, err := s.options.Groups.Create(r.Context(), b, f, wait)
		return x, s.groupProblem(r, "create group", err)
	})
}

// updateGroup answers PUT of a Group that the client made (BE-266).
func (s *Server) updateGroup(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "id")
	s.changeGroup(w, r, auth.Update, "group-update", func(access *auth.Access, f *export.GroupForm, wait bool) (*control.Group, *problem) {
		if f.ID != id {
			return nil, about(fail("value", "the id of the body is not that of the URL"), "Group.id")
		}
		version, p := ifMatch(r.Header)
		if p != nil {
			return nil, p
		}
		b, p := s.bounds(access, auth.Read|auth.Search, f.Types()...)
		if p != nil {
			return nil, p
		}
		x, err := s.options.Groups.Replace(r.Context(), b, id, version, f, wait)
		return x, s.groupProblem(r, "replace group", err)
	})
}

// ifMatch reads the version that a change is meant for; 0 for any.
func ifMatch(h http.Header) (int64, *problem) {
	text := strings.TrimSpace(h.Get("If-Match"))
	if text == "" || text == "*" {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(text, "W/"), `"`), 10, 64)
	if err != nil || n < 1 {
		p := fail("conflict", "If-Match names no version of the group")
		p.status = http.StatusPreconditionFailed
		return 0, p
	}
	return n, nil
}

func (s *Server) groupProblem(r *http.Request, operation string, err error) *problem {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, export.ErrNotFound):
		return noResource()
	case errors.Is(err, export.ErrTooManyGroups):
		p := fail("too-costly", "the client has as many groups as it may have; delete one first")
		p.status = http.StatusUnprocessableEntity
		return p
	case errors.Is(err, export.ErrGroupChanged):
		p := fail("conflict", "the group was changed meanwhile; read it anew")
		p.status = http.StatusPreconditionFailed
		return p
	}
	return s.transient(r, operation, err)
}

// changeGroup does what create and update have in common.
func (s *Server) changeGroup(w http.ResponseWriter, r *http.Request, needs auth.Permission, action string, change func(*auth.Access, *export.GroupForm, bool) (*control.Group, *problem)) {
	access, p := s.access(r)
	if p != nil {
		s.refuse(w, p)
		return
	}
	preferred := parsePrefer(r.Header)
	x, p := s.readAndChange(w, r, access, needs, !preferred.async, change)
	if p != nil {
		s.auditRefusal(r, access, action, "", p)
		s.refuse(w, p)
		return
	}
	s.audit(r, access, action, "", "ok", groupType+" "+x.ID)
	if preferred.async {
		w.Header().Set("Preference-Applied", "respond-async")
		w.Header().Set("Content-Location", s.base+groupStatusPath+x.Ticket)
		write(w, http.StatusAccepted, fhirJSON, information("The group was accepted; poll the URL in Content-Location."))
		return
	}
	if x.State == control.GroupFailed {
		s.refuse(w, groupFailed())
		return
	}
	res, err := s.options.Groups.Resource(r.Context(), x)
	if err != nil {
		s.refuse(w, s.transient(r, "read group", err))
		return
	}
	status := http.StatusOK
	if needs == auth.Create {
		status = http.StatusCreated
	}
	w.Header().Set("Location", s.base+"/"+groupType+"/"+x.ID)
	s.groupHeaders(w, x)
	write(w, status, fhirJSON, res.JSON)
}

func groupFailed() *problem {
	p := fail("processing", "the members of the group could not be computed")
	p.status = http.StatusInternalServerError
	return p
}

func (s *Server) groupHeaders(w http.ResponseWriter, x *control.Group) {
	w.Header().Set("ETag", fmt.Sprintf(`W/"%d"`, x.Version))
	w.Header().Set("Last-Modified", x.Updated.UTC().Format(http.TimeFormat))
}

func (s *Server) readAndChange(w http.ResponseWriter, r *http.Request, access *auth.Access, needs auth.Permission, wait bool, change func(*auth.Access, *export.GroupForm, bool) (*control.Group, *problem)) (*control.Group, *problem) {
	switch {
	case !access.Scopes.Allows(groupType, needs):
		return nil, insufficient("the token's scopes do not cover changing " + groupType)
	case !acceptsFHIR(r.Header):
		return nil, notAcceptable()
	case !acceptedBody(r.Header):
		p := fail("not-supported", "the body must be %s", fhirJSON)
		p.status = http.StatusUnsupportedMediaType
		return nil, p
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var long *http.MaxBytesError
		if errors.As(err, &long) {
			return nil, fail("too-long", "the body is longer than %d bytes", maxBody)
		}
		return nil, fail("structure", "the body cannot be read")
	}
	f, issues := export.ParseGroup(body, s.options.Search, s.base)
	if len(issues) > 0 {
		p := &problem{status: http.StatusBadRequest}
		for _, i := range issues {
			p.issues = append(p.issues, issue{severity: "error", code: i.Code, text: i.Text, expression: i.Expression})
		}
		return nil, p
	}
	// What a filter looks at is told by who is in the group: the client must
	// be allowed to see it.
	for _, t := range f.Types() {
		if _, ok := s.typeNamed(t); !ok {
			return nil, about(fail("not-supported", "resource type %s is not served", t), "Group.modifierExtension")
		}
		if !access.MayExport(t) {
			return nil, insufficient("the token's scopes do not cover " + t + ", which a member-filter looks at")
		}
	}
	return change(access, f, wait)
}

// deleteGroup answers DELETE of a Group that the client made (BE-265).
func (s *Server) deleteGroup(w http.ResponseWriter, r *http.Request) {
	access, p := s.access(r)
	if p == nil && !access.Scopes.Allows(groupType, auth.Delete) {
		p = insufficient("the token's scopes do not cover deleting " + groupType)
	}
	if p != nil {
		s.refuse(w, p)
		return
	}
	id := chi.URLParam(r, "id")
	if !validID(id) {
		s.refuse(w, noResource())
		return
	}
	if p := s.groupProblem(r, "delete group", s.options.Groups.Delete(r.Context(), access.Client.ID, id)); p != nil {
		s.auditRefusal(r, access, "group-delete", "", p)
		s.refuse(w, p)
		return
	}
	s.audit(r, access, "group-delete", "", "ok", groupType+" "+id)
	w.WriteHeader(http.StatusNoContent)
}

// groupStatus answers a poll for a group that is made or changed, by the
// pattern of asynchronous bundles (R5, Asynchronous Interaction Request;
// BE-261, BE-266).
func (s *Server) groupStatus(w http.ResponseWriter, r *http.Request) {
	access, x, p := s.ticket(r)
	if p != nil {
		s.refuse(w, p)
		return
	}
	now := s.now()
	pause := pollPause(now.Sub(x.Updated))
	if wait := s.polls.wait(x.Ticket, now, pause); wait > 0 {
		p := fail("throttled", "the status is polled too often")
		p.retry = wait
		s.refuse(w, p)
		return
	}
	if x.State == control.GroupBuilding {
		w.Header().Set("X-Progress", "members are being computed")
		w.Header().Set("Retry-After", seconds(pause))
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusAccepted)
		return
	}
	entry := map[string]any{}
	response := map[string]any{"status": "200 OK"}
	if x.Version == 1 {
		response["status"] = "201 Created"
	}
	if x.State == control.GroupFailed {
		response["status"] = "500 Internal Server Error"
		response["outcome"] = json.RawMessage(outcome(groupFailed().issues...))
	} else {
		response["location"] = groupType + "/" + x.ID
		response["etag"] = fmt.Sprintf(`W/"%d"`, x.Version)
		response["lastModified"] = x.Updated.UTC().Format(instant)
		if access.MayRead(groupType) {
			b, p := s.bounds(access, auth.Read, groupType)
			if p != nil {
				s.refuse(w, p)
				return
			}
			res, err := s.options.Groups.Read(r.Context(), b, x.ID)
			if err != nil && !errors.Is(err, export.ErrNotFound) {
				s.refuse(w, s.transient(r, "read group", err))
				return
			}
			if err == nil {
				entry["fullUrl"] = s.base + "/" + groupType + "/" + x.ID
				entry["resource"] = json.RawMessage(res.JSON)
			}
		}
	}
	entry["response"] = response
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(map[string]any{"resourceType": "Bundle", "type": "batch-response", "entry": []any{entry}}); err != nil {
		s.refuse(w, s.transient(r, "write group status", err))
		return
	}
	write(w, http.StatusOK, fhirJSON, b.Bytes())
}

// ticket finds the group of a status URL for its own client.
func (s *Server) ticket(r *http.Request) (*auth.Access, *control.Group, *problem) {
	access, p := s.access(r)
	if p != nil {
		return nil, nil, p
	}
	if !access.Scopes.Allows(groupType, auth.Create) && !access.Scopes.Allows(groupType, auth.Update) {
		return nil, nil, insufficient("the token's scopes do not cover changing " + groupType)
	}
	x, err := s.options.Groups.Ticket(r.Context(), access.Client.ID, chi.URLParam(r, "ticket"))
	switch {
	case errors.Is(err, export.ErrNotFound):
		return nil, nil, noResource()
	case err != nil:
		return nil, nil, s.transient(r, "find group", err)
	}
	return access, x, nil
}

// cancelGroup answers DELETE of a status URL: whoever does not want the group
// any more deletes it.
func (s *Server) cancelGroup(w http.ResponseWriter, r *http.Request) {
	access, x, p := s.ticket(r)
	if p == nil && x.State == control.GroupBuilding && x.Version == 1 {
		p = s.groupProblem(r, "delete group", s.options.Groups.Delete(r.Context(), access.Client.ID, x.ID))
	}
	if p != nil {
		s.refuse(w, p)
		return
	}
	s.polls.forget(x.Ticket)
	write(w, http.StatusAccepted, fhirJSON, information("The request was deleted."))
}

// groupWait is how long a kick-off is asked to wait for a group whose members
// are still computed.
const groupWait = 5 * time.Second

// withMade adds to a capability statement what clients make and what is
// published (BE-265, BE-283).
func (s *Server) withMade(rest object, resources []object) []object {
	if s.options.Publications != nil {
		operations, _ := rest["operation"].([]object)
		rest["operation"] = append(operations, object{"name": "bulk-publish", "definition": bulkOperations + "bulk-publish|4.0.0",
			"documentation": "What belongs to nobody, as a static manifest."})
	}
	if s.options.Groups == nil {
		return resources
	}
	i := slices.IndexFunc(resources, func(o object) bool { return o["type"] == groupType })
	if i < 0 {
		i = len(resources)
		resources = append(resources, object{"type": groupType, "searchParam": searchParams(groupType)})
	}
	group := resources[i]
	group["interaction"] = []object{{"code": "read"}, {"code": "search-type"}, {"code": "create"}, {"code": "update"}, {"code": "delete"}}
	group["updateCreate"], group["versioning"] = false, "versioned"
	profiles, _ := group["supportedProfile"].([]string)
	group["supportedProfile"] = append(slices.Clone(profiles), export.CohortProfile)
	if group["operation"] == nil {
		group["operation"] = []object{s.operation("group-export", export.LevelGroup)}
	}
	return resources
}
