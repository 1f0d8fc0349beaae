package server

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/profiles/opinion"
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

// TestBE155_Status polls an export before and after its end.
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
	t.Run("BE-160 Retry-After in seconds", func(t *testing.T) {
		if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 || n > 60 {
			t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
		}
	})
	for _, accept := range []string{"application/json", "application/fhir+json", "*/*", ""} { // BE-167: the same again, however it is asked for
		var headers []string
		if accept != "" {
			headers = []string{"Accept", accept}
		}
		a = h.do(http.MethodGet, status, token, "", headers...)
		t.Run("BE-165 application/json", func(t *testing.T) {
			if a.status != http.StatusOK || a.header.Get("Content-Type") != plain {
				t.Errorf("Accept %q: %d %s", accept, a.status, a.header.Get("Content-Type"))
			}
		})
		t.Run("BE-166 Expires", func(t *testing.T) {
			if got, want := a.header.Get("Expires"), h.clock.Now().Add(time.Hour).Format(http.TimeFormat); got != want {
				t.Errorf("Expires %q, want %q", got, want)
			}
		})
		t.Run("BE-158 no X-Export-Status unasked", func(t *testing.T) {
			if got := a.header.Values("X-Export-Status"); got != nil {
				t.Errorf("X-Export-Status %q", got)
			}
		})
	}
	var got map[string]any
	if err := json.Unmarshal(a.body, &got); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, key string
		want      any
	}{
		{"BE-171 transactionTime", "transactionTime", "2026-05-04T03:02:01.000Z"},
		{"BE-173 request", "request", h.base + "/Patient/$export?_type=Patient"},
		{"BE-174 requiresAccessToken", "requiresAccessToken", true},
		{"BE-176 an item has type and absolute url", "output",
			[]any{map[string]any{"type": "Patient", "count": float64(1000), "url": h.base + "/$export-file/" + exportID(status) + "/Patient.1.ndjson"}}},
		{"BE-180 error is empty where there is nothing to say", "error", []any{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, got[tc.key]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.key, diff)
			}
		})
	}
	if len(got) != 5 {
		t.Errorf("BE-170: the manifest has the keys %v", slices.Sorted(maps.Keys(got)))
	}
}

// TestBE156_SeparateStatus has the export's state in a header of its own.
func TestBE156_SeparateStatus(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	h.double.polls = 1
	token := h.token("alpha", "")
	a := h.do(http.MethodGet, "/$export", token, "", "Prefer", "respond-async, separate-export-status")
	t.Run("BE-055 Preference-Applied", func(t *testing.T) {
		if got := a.header.Get("Preference-Applied"); got != "respond-async, separate-export-status" {
			t.Errorf("%q", got)
		}
	})
	status := a.header.Get("Content-Location")
	for _, tc := range []struct{ name, want string }{{"BE-156 running", "202 Accepted"}, {"BE-157 complete", "200 OK"}} {
		t.Run(tc.name, func(t *testing.T) {
			h := h.in(t)
			if a := h.do(http.MethodGet, status, token, ""); a.status != http.StatusOK || a.header.Get("X-Export-Status") != tc.want {
				t.Errorf("%d, X-Export-Status %q, want %q", a.status, a.header.Get("X-Export-Status"), tc.want)
			}
		})
	}
	failExport(h, status)
	t.Run("BE-158 failed", func(t *testing.T) {
		h := h.in(t)
		a := h.do(http.MethodGet, status, token, "")
		h.wantOutcome(a, http.StatusOK, "exception")
		if got := a.header.Get("X-Export-Status"); got != "500 Internal Server Error" {
			t.Errorf("X-Export-Status %q", got)
		}
	})
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
func TestBE014_Owner(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	alpha, beta := h.token("alpha", ""), h.token("beta", "")
	status := h.kickoff(alpha, "/$export")
	h.manifest(alpha, status)
	file := h.base + filePath + exportID(status) + "/Patient.1.ndjson"
	for _, tc := range []struct{ name, method, target string }{
		{"SB-082 another's status", "GET", status}, {"BE-213 another's export", "DELETE", status}, {"SB-082 another's file", "GET", file},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := h.in(t)
			foreign := h.do(tc.method, tc.target, beta, "")
			h.wantOutcome(foreign, http.StatusNotFound, "not-found")
			none := h.do(tc.method, strings.Replace(tc.target, exportID(status), "none", 1), beta, "")
			if string(none.body) != string(foreign.body) {
				t.Errorf("%s and %s", none.body, foreign.body)
			}
		})
	}
	if a := h.do(http.MethodGet, file, alpha, ""); a.status != http.StatusOK {
		t.Errorf("owner's file: %d", a.status)
	}
}

// TestSB084_LaterToken needs a token that covers what is exported.
func TestSB084_LaterToken(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	status := h.kickoff(h.token("alpha", "system/*.rs"), "/$export?_type=Patient,Coverage")
	file := h.base + filePath + exportID(status) + "/Patient.1.ndjson"
	small, large := h.token("alpha", "system/Patient.rs"), h.token("alpha", "system/Patient.rs system/Coverage.read system/Group.rs")
	for _, tc := range []struct{ name, target string }{{"BE-013 status", status}, {"BE-013 file", file}} {
		t.Run(tc.name, func(t *testing.T) {
			h := h.in(t)
			a := h.do(http.MethodGet, tc.target, small, "")
			h.wantOutcome(a, http.StatusForbidden, "forbidden")
			if got := a.header.Get("WWW-Authenticate"); got != `Bearer error="insufficient_scope"` {
				t.Errorf("WWW-Authenticate %q", got)
			}
			if a := h.do(http.MethodGet, tc.target, large, ""); a.status != http.StatusOK {
				t.Errorf("a larger token: %d", a.status)
			}
		})
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

// TestBE210_Delete deletes an export that runs and one that is complete.
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
		t.Run("BE-211 its status is gone", func(t *testing.T) {
			h := h.in(t)
			a := h.do(http.MethodGet, status, token, "", "Accept", "application/json")
			h.wantOutcome(a, http.StatusNotFound, "not-found")
			if err := opinion.Judge(a.body); err != nil {
				t.Errorf("%v: %s", err, a.body)
			}
		})
		h.wantOutcome(h.do(http.MethodGet, file, token, ""), http.StatusNotFound, "not-found") // BE-212
		t.Run("BE-213 a second deletion", func(t *testing.T) {
			h := h.in(t)
			h.wantOutcome(h.do(http.MethodDelete, status, token, ""), http.StatusNotFound, "not-found")
		})
	}
}
