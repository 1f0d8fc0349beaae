package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	fhirJSON = "application/fhir+json"
	plain    = "application/json"
	ndjson   = "application/fhir+ndjson"
)

// issue is one OperationOutcome.issue.
type issue struct {
	severity, code, text, expression string
}

// problem is an answer other than success. Codes are FHIR issue types.
type problem struct {
	issues []issue
	// status overrides what the code stands for, where not 0.
	status    int
	challenge string        // WWW-Authenticate
	retry     time.Duration // Retry-After
	allow     string        // Allow
}

// fail makes a problem of one issue.
func fail(code, format string, args ...any) *problem {
	return &problem{issues: []issue{{severity: "error", code: code, text: fmt.Sprintf(format, args...)}}}
}

// statusOf is the one place where codes become HTTP statuses.
func statusOf(code string) int {
	switch code {
	case "login", "expired":
		return http.StatusUnauthorized
	case "forbidden":
		return http.StatusForbidden
	case "not-found":
		return http.StatusNotFound
	case "too-long":
		return http.StatusRequestEntityTooLarge
	case "throttled":
		return http.StatusTooManyRequests
	case "transient", "lock-error", "no-store", "timeout", "incomplete":
		return http.StatusServiceUnavailable
	case "exception":
		return http.StatusInternalServerError
	default: // structure, value, required, not-supported, invalid ...
		return http.StatusBadRequest
	}
}

// statusCode is the status of the problem: that of its issues where they agree,
// else 400.
func (p *problem) statusCode() int {
	if p.status != 0 {
		return p.status
	}
	status := 0
	for _, i := range p.issues {
		if s := statusOf(i.code); status == 0 || s == status {
			status = s
		} else {
			return http.StatusBadRequest
		}
	}
	return status
}

// resource is an OperationOutcome as JSON.
type resource struct {
	ResourceType string          `json:"resourceType"`
	Issue        []resourceIssue `json:"issue"`
}

type resourceIssue struct {
	Severity   string   `json:"severity"`
	Code       string   `json:"code"`
	Details    details  `json:"details"`
	Expression []string `json:"expression,omitempty"`
}

type details struct {
	Text string `json:"text"`
}

// outcome builds an OperationOutcome.
func outcome(issues ...issue) []byte {
	out := resource{ResourceType: "OperationOutcome"}
	for _, i := range issues {
		r := resourceIssue{Severity: i.severity, Code: i.code, Details: details{Text: i.text}}
		if i.expression != "" {
			r.Expression = []string{i.expression}
		}
		out.Issue = append(out.Issue, r)
	}
	data, err := json.Marshal(out)
	if err != nil {
		panic("server: an outcome of strings is always JSON: " + err.Error())
	}
	return data
}

// information is the body of a success that says something.
func information(text string) []byte {
	return outcome(issue{severity: "information", code: "informational", text: text})
}

// refuse answers a problem as OperationOutcome (BE-152, BE-162).
func (s *Server) refuse(w http.ResponseWriter, p *problem) {
	h := w.Header()
	if p.challenge != "" {
		h.Set("WWW-Authenticate", p.challenge)
	}
	if p.retry > 0 {
		h.Set("Retry-After", seconds(p.retry))
	}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	for _, name := range []string{"ETag", "Content-Encoding", "Content-Length", "Content-Disposition", "Accept-Ranges", "Expires"} {
		h.Del(name)
	}
	write(w, p.statusCode(), fhirJSON, outcome(p.issues...))
}

// write sends a body whole.
func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// The reader may be gone; there is nobody left to tell.
	_, _ = w.Write(body)
}

// seconds writes a wait as whole seconds, at least 1 (BE-160).
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}

// sameCode says whether all issues of the problem have the code.
func (p *problem) sameCode(code string) bool {
	return !slices.ContainsFunc(p.issues, func(i issue) bool { return i.code != code })
}
