package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"remit/server/client"
)

// receiver is the other end of $bulk-submit: it holds what it is sent against
// the guide, fetches what a completed submission names as a client of the
// submitter's server, and tells of it.
//
// Source: Bulk Data 4.0.0-ballot, Bulk Submit.
type receiver struct {
	ts     *testscript.TestScript
	http   *httptest.Server
	fetch  *client.Client // nil where the submitter's server is open
	folder string

	mu          sync.Mutex
	submissions map[string]*received
}

type received struct {
	state     string
	manifests []string
	asked     int
	failures  int
}

// scriptReceiver starts a receiver that fetches as a client of the server at
// BASE, and sets RECEIVER.
//
//	receiver $CLIENT key.json
func scriptReceiver(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: receiver CLIENT KEYFILE")
	}
	key, err := client.ParseKey([]byte(ts.ReadFile(args[1])))
	ts.Check(err)
	r := &receiver{ts: ts, folder: ts.MkAbs("received"), submissions: map[string]*received{}}
	r.fetch, err = client.New(client.Options{BaseURL: ts.Getenv("BASE"), ClientID: args[0], Key: key})
	ts.Check(err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /fhir/.well-known/smart-configuration", func(w http.ResponseWriter, q *http.Request) {
		fmt.Fprintf(w, `{"token_endpoint":"http://%s/token"}`, q.Host)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, q *http.Request) {
		if q.PostFormValue("scope") != "system/bulk-submit" || q.PostFormValue("client_assertion") == "" {
			http.Error(w, `{"error":"invalid_scope"}`, http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, `{"access_token":"submit-token","token_type":"bearer","expires_in":300,"scope":"system/bulk-submit"}`)
	})
	mux.HandleFunc("POST /fhir/$bulk-submit", r.protected(r.submit))
	mux.HandleFunc("POST /fhir/$bulk-submit-status", r.protected(r.status))
	mux.HandleFunc("GET /status/{id}", r.protected(r.poll))
	mux.HandleFunc("GET /outcome/{id}", r.protected(r.outcome))
	r.http = httptest.NewServer(mux)
	ts.Defer(r.http.Close)
	ts.Setenv("RECEIVER", r.http.URL+"/fhir")
}

func (r *receiver) protected(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		if q.Header.Get("Authorization") != "Bearer submit-token" {
			refuseSubmit(w, http.StatusUnauthorized, "no token of scope system/bulk-submit")
			return
		}
		h(w, q)
	}
}

func refuseSubmit(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/fhir+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":%q}}]}`, text)
}

// told are the parameters of a request.
type told struct {
	submitter, id, state, manifest, base, oauth, replaces string
}

// readTold reads a Parameters body strictly: names, types and cardinality.
func readTold(q *http.Request, allowed ...string) (*told, string) {
	if q.Header.Get("Content-Type") != "application/fhir+json" || q.Header.Get("Accept") != "application/fhir+json" {
		return nil, "wrong Content-Type or Accept"
	}
	var body struct {
		ResourceType string
		Parameter    []struct {
			Name            string
			ValueString     *string
			ValueURL        *string `json:"valueUrl"`
			ValueCoding     *struct{ System, Code string }
			ValueIdentifier *client.Identifier
		}
	}
	if err := json.NewDecoder(q.Body).Decode(&body); err != nil || body.ResourceType != "Parameters" {
		return nil, "the body is no Parameters"
	}
	out := &told{}
	seen := map[string]bool{}
	for _, p := range body.Parameter {
		ok := false
		for _, a := range allowed {
			ok = ok || a == p.Name
		}
		if !ok || seen[p.Name] {
			return nil, "parameter " + p.Name + " is not expected, or comes twice"
		}
		seen[p.Name] = true
		text := func(to *string, v *string) bool {
			if v == nil || *v == "" {
				return false
			}
			*to = *v
			return true
		}
		var format string
		switch p.Name {
		case "submitter":
			ok = p.ValueIdentifier != nil && p.ValueIdentifier.Value != ""
			if ok {
				out.submitter = p.ValueIdentifier.System + "|" + p.ValueIdentifier.Value
			}
		case "submissionId":
			ok = text(&out.id, p.ValueString)
		case "submissionStatus":
			ok = p.ValueCoding != nil && p.ValueCoding.System == "http://hl7.org/fhir/event-status"
			if ok {
				out.state = p.ValueCoding.Code
			}
		case "manifestUrl":
			ok = text(&out.manifest, p.ValueURL)
		case "fhirBaseUrl":
			ok = text(&out.base, p.ValueURL)
		case "oauthMetadataUrl":
			ok = text(&out.oauth, p.ValueURL)
		case "replacesManifestUrl":
			ok = text(&out.replaces, p.ValueURL)
		case "_outputFormat":
			ok = text(&format, p.ValueString) && format == "application/fhir+ndjson"
		}
		if !ok {
			return nil, "parameter " + p.Name + " has the wrong type"
		}
	}
	if out.submitter != "urn:payers|acme" || out.id == "" {
		return nil, "unknown submitter, or no submissionId"
	}
	return out, ""
}

func (r *receiver) submit(w http.ResponseWriter, q *http.Request) {
	t, fault := readTold(q, "submitter", "submissionId", "submissionStatus", "manifestUrl", "fhirBaseUrl", "oauthMetadataUrl", "replacesManifestUrl")
	switch {
	case fault != "":
	case t.state == "" && t.manifest == "":
		fault = "neither submissionStatus nor manifestUrl"
	case t.manifest != "" && t.base == "":
		fault = "manifestUrl without fhirBaseUrl"
	case t.state != "" && t.state != "in-progress" && t.state != "completed" && t.state != "stopped":
		fault = "unknown submissionStatus " + t.state
	}
	if fault != "" {
		refuseSubmit(w, http.StatusBadRequest, fault)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.submissions[t.id]
	if s == nil {
		s = &received{}
		r.submissions[t.id] = s
	}
	if s.state == "completed" || s.state == "stopped" {
		refuseSubmit(w, http.StatusBadRequest, "the submission is "+s.state+" already")
		return
	}
	for _, m := range s.manifests {
		if m == t.manifest {
			refuseSubmit(w, http.StatusBadRequest, "the manifest was submitted already")
			return
		}
	}
	if t.manifest != "" {
		s.manifests = append(s.manifests, t.manifest)
	}
	s.state = t.state
	if s.state == "completed" {
		for _, m := range s.manifests {
			if err := r.take(q, m); err != nil {
				s.failures++
				r.ts.Logf("receiver: %v", err)
			}
		}
	}
	w.WriteHeader(http.StatusOK)
}

// take fetches a manifest and its files.
func (r *receiver) take(q *http.Request, url string) error {
	m, err := r.fetch.Poll(q.Context(), url, nil)
	if err != nil {
		return err
	}
	saved, err := r.fetch.Fetch(q.Context(), m, client.Download{Dir: r.folder})
	if err != nil {
		return err
	}
	if len(saved) == 0 {
		return fmt.Errorf("the manifest lists no files")
	}
	return nil
}

func (r *receiver) status(w http.ResponseWriter, q *http.Request) {
	t, fault := readTold(q, "submitter", "submissionId", "_outputFormat")
	if fault == "" && !strings.Contains(q.Header.Get("Prefer"), "respond-async") {
		fault = "no Prefer: respond-async"
	}
	if fault != "" {
		refuseSubmit(w, http.StatusBadRequest, fault)
		return
	}
	w.Header().Set("Content-Location", "http://"+q.Host+"/status/"+t.id)
	w.WriteHeader(http.StatusAccepted)
}

func (r *receiver) poll(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.submissions[q.PathValue("id")]
	if s == nil {
		refuseSubmit(w, http.StatusNotFound, "no such submission")
		return
	}
	if s.asked++; s.asked == 1 {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusAccepted)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"submissionId": q.PathValue("id"), "transactionTime": time.Now().UTC().Format(time.RFC3339), "requiresAccessToken": true,
		"output": []any{}, "outcome": []any{map[string]any{"url": "http://" + q.Host + "/outcome/" + q.PathValue("id"), "manifestUrl": s.manifests[0],
			"countSeverity": []any{map[string]any{"code": "information", "count": 1}, map[string]any{"code": "error", "count": s.failures}}}},
	})
}

func (r *receiver) outcome(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/fhir+ndjson")
	fmt.Fprintln(w, `{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":"taken"}}]}`)
}
