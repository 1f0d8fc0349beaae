package server

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/server/export"
)

// manifest polls once an export that is done by then.
func (h *house) manifest(token, status string) export.Manifest {
	h.t.Helper()
	a := h.do(http.MethodGet, status, token, "")
	if a.status != http.StatusOK {
		h.t.Fatalf("status %d: %s", a.status, a.body)
	}
	var m export.Manifest
	if err := json.Unmarshal(a.body, &m); err != nil {
		h.t.Fatal(err)
	}
	return m
}

// TestBE155_Status shows BE-160, BE-165, BE-166, BE-174, BE-176, BE-180.
func TestBE155_Status(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	h.double.polls = 1
	token := h.token("alpha", "")
	status := h.kickoff(token, "/Patient/$export?_type=Patient")
	a := h.do(http.MethodGet, status, token, "", "Accept", "application/json")
	if a.status != http.StatusAccepted || len(a.body) != 0 || a.header.Get("X-Export-Status") != "" {
		t.Errorf("running: %d %s", a.status, a.body)
	}
	if got := a.header.Get("X-Progress"); got != "40% complete" { // BE-159
		t.Errorf("X-Progress %q", got)
	}
	if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 || n > 60 { // BE-160
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	for range 2 { // BE-167: the same again
		a = h.do(http.MethodGet, status, token, "", "Accept", "application/json")
		if a.status != http.StatusOK || a.header.Get("Content-Type") != plain || a.header.Get("X-Export-Status") != "" { // BE-165
			t.Errorf("complete: %d %s", a.status, a.header.Get("Content-Type"))
		}
		if got, want := a.header.Get("Expires"), h.clock.Now().Add(time.Hour).Format(http.TimeFormat); got != want { // BE-166
			t.Errorf("Expires %q, want %q", got, want)
		}
	}
	// BE-170..178: the exact keys.
	var got map[string]any
	if err := json.Unmarshal(a.body, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"transactionTime": "2026-05-04T03:02:01.000Z", "request": h.base + "/Patient/$export?_type=Patient", "requiresAccessToken": true,
		"output": []any{map[string]any{"type": "Patient", "count": float64(1000), "url": h.base + "/$export-file/" + exportID(status) + "/Patient.1.ndjson"}},
		"error":  []any{},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
}

// TestBE156_SeparateStatus shows BE-055, BE-157, BE-158.
func TestBE156_SeparateStatus(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	h.double.polls = 1
	token := h.token("alpha", "")
	a := h.do(http.MethodGet, "/$export", token, "", "Prefer", "respond-async, separate-export-status")
	if got := a.header.Get("Preference-Applied"); got != "respond-async, separate-export-status" { // BE-055
		t.Errorf("Preference-Applied %q", got)
	}
	status := a.header.Get("Content-Location")
	for _, want := range []string{"202 Accepted", "200 OK"} { // BE-156, BE-157
		if a := h.do(http.MethodGet, status, token, ""); a.status != http.StatusOK || a.header.Get("X-Export-Status") != want {
			t.Errorf("%d, X-Export-Status %q, want %q", a.status, a.header.Get("X-Export-Status"), want)
		}
	}
	failExport(h, status)
	a = h.do(http.MethodGet, status, token, "") // BE-158
	h.wantOutcome(a, http.StatusOK, "exception")
	if got := a.header.Get("X-Export-Status"); got != "500 Internal Server Error" {
		t.Errorf("X-Export-Status %q", got)
	}
	if a := h.do(http.MethodDelete, status, token, ""); a.status != http.StatusAccepted {
		t.Errorf("delete: %d", a.status)
	}
}

func TestBE162_Failure(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	token := h.token("alpha", "")
	status := h.kickoff(token, "/$export")
	failExport(h, status)
	a := h.do(http.MethodGet, status, token, "")
	h.wantOutcome(a, http.StatusInternalServerError, "exception")
	if strings.Contains(string(a.body), "DETAIL") || !strings.Contains(string(a.body), "The export failed.") {
		t.Errorf("body %s", a.body)
	}
}

func failExport(h *house, status string) {
	h.double.set(exportID(status), func(x *doubleExport) {
		x.status.State = export.StateFailed
		x.status.Failure = &export.Failure{Code: "exception", Text: "The export failed.", Detail: "DETAIL"}
	})
}

// TestBE014_Owner keeps clients apart: beta meets nothing of alpha's export.
// SB-082: an export is its own client's alone.
func TestBE014_Owner(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	alpha, beta := h.token("alpha", ""), h.token("beta", "")
	status := h.kickoff(alpha, "/$export")
	h.manifest(alpha, status)
	file := h.base + filePath + exportID(status) + "/Patient.1.ndjson"
	for _, r := range [][2]string{{"GET", status}, {"DELETE", status}, {"GET", file}} {
		foreign := h.do(r[0], r[1], beta, "")
		h.wantOutcome(foreign, http.StatusNotFound, "not-found")
		none := h.do(r[0], strings.Replace(r[1], exportID(status), "none", 1), beta, "")
		if string(none.body) != string(foreign.body) {
			t.Errorf("%s: %s and %s", r, none.body, foreign.body)
		}
	}
	if a := h.do(http.MethodGet, file, alpha, ""); a.status != http.StatusOK {
		t.Errorf("owner's file: %d", a.status)
	}
}

// TestSB084_LaterToken needs a token that covers what is exported.
//
// It shows BE-013.
func TestSB084_LaterToken(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	status := h.kickoff(h.token("alpha", "system/*.rs"), "/$export?_type=Patient,Coverage")
	file := h.base + filePath + exportID(status) + "/Patient.1.ndjson"
	small, large := h.token("alpha", "system/Patient.rs"), h.token("alpha", "system/Patient.rs system/Coverage.read system/Group.rs")
	for _, target := range []string{status, file} {
		a := h.do(http.MethodGet, target, small, "")
		h.wantOutcome(a, http.StatusForbidden, "forbidden")
		if got := a.header.Get("WWW-Authenticate"); got != `Bearer error="insufficient_scope"` {
			t.Errorf("WWW-Authenticate %q", got)
		}
		if a := h.do(http.MethodGet, target, large, ""); a.status != http.StatusOK {
			t.Errorf("a larger token: %d", a.status)
		}
	}
}

// TestSB081_ExpiredBetween lets the token die between kick-off and poll.
func TestSB081_ExpiredBetween(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	token := h.token("alpha", "")
	status := h.kickoff(token, "/$export")
	h.clock.Pass(301 * time.Second)
	h.wantOutcome(h.do(http.MethodGet, status, token, ""), http.StatusUnauthorized, "expired")
	h.manifest(h.token("alpha", ""), status) // BE-206: any later token will do
	if err := h.db.RevokeClient(t.Context(), "alpha", h.clock.Now()); err != nil {
		t.Fatal(err)
	}
	h.wantOutcome(h.do(http.MethodGet, status, token, ""), http.StatusUnauthorized, "expired")
}

func TestBE161_Polls(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	h.double.polls = 10_000
	token := h.token("alpha", "")
	status := h.kickoff(token, "/$export")
	throttled := 0
	for range 2 * pollBurst {
		if a := h.do(http.MethodGet, status, token, ""); a.status == http.StatusTooManyRequests {
			throttled++
			h.wantOutcome(a, http.StatusTooManyRequests, "throttled")
		}
	}
	if throttled != pollBurst {
		t.Errorf("%d polls were throttled, want %d", throttled, pollBurst)
	}
	for range 50 { // who keeps to Retry-After is never too early
		a := h.do(http.MethodGet, status, token, "")
		if a.status == http.StatusTooManyRequests {
			n, err := strconv.Atoi(a.header.Get("Retry-After"))
			if err != nil {
				t.Fatal(err)
			}
			h.clock.Pass(time.Duration(n) * time.Second)
			a = h.do(http.MethodGet, status, token, "")
		}
		if a.status != http.StatusAccepted {
			t.Fatalf("status %d", a.status)
		}
		n, err := strconv.Atoi(a.header.Get("Retry-After"))
		if err != nil {
			t.Fatal(err)
		}
		h.clock.Pass(time.Duration(n) * time.Second)
		token = h.token("alpha", "")
	}
}

// TestSB082_DeleteWithinScope lets a token end only what it covers.
func TestSB082_DeleteWithinScope(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	status := h.kickoff(h.token("alpha", "system/*.rs"), "/$export?_type=Patient,Coverage")
	small := h.token("alpha", "system/Patient.rs")
	h.wantOutcome(h.do(http.MethodDelete, status, small, ""), http.StatusForbidden, "forbidden")
	large := h.token("alpha", "system/Patient.rs system/Coverage.rs")
	h.wantOutcome(h.do(http.MethodDelete, status, large, ""), http.StatusAccepted, "informational")
}

// TestBE210_Delete shows BE-211, BE-213.
func TestBE210_Delete(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	token := h.token("alpha", "")
	for _, done := range []bool{false, true} {
		status := h.kickoff(token, "/$export")
		file := h.base + filePath + exportID(status) + "/Patient.1.ndjson"
		if done {
			h.manifest(token, status)
		}
		h.wantOutcome(h.do(http.MethodDelete, status, token, "", "Accept", "application/json"), http.StatusAccepted, "informational")
		h.wantOutcome(h.do(http.MethodGet, status, token, ""), http.StatusNotFound, "not-found")    // BE-211
		h.wantOutcome(h.do(http.MethodGet, file, token, ""), http.StatusNotFound, "not-found")      // BE-212
		h.wantOutcome(h.do(http.MethodDelete, status, token, ""), http.StatusNotFound, "not-found") // BE-213
	}
}
