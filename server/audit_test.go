package server

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The audit trail tells who did what with which export, and holds nothing that
// a client sent: no token, no patient, no query.
func TestAuditTrail(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	alpha, beta := h.token("alpha", ""), h.token("beta", "")
	file, _ := h.done(alpha)
	files := strings.TrimSuffix(file, "/Patient.1.ndjson")
	status := strings.Replace(files, filePath, StatusPath, 1)
	id := exportID(status)
	for _, tc := range []struct {
		method, target, token, body string
		status                      int
	}{
		{http.MethodGet, file, alpha, "", http.StatusOK},
		{http.MethodHead, file, alpha, "", http.StatusOK},
		{http.MethodGet, files + "/nothing", alpha, "", http.StatusNotFound},
		{http.MethodGet, status, alpha, "", http.StatusOK},
		{http.MethodGet, status, beta, "", http.StatusNotFound},
		{http.MethodDelete, status, beta, "", http.StatusNotFound},
		{http.MethodGet, "/$export?_type=Patient&secret=1", alpha, "", http.StatusBadRequest},
		{http.MethodGet, "/$export", beta, "", http.StatusForbidden},
		{http.MethodGet, "/$export", "", "", http.StatusUnauthorized},
		{http.MethodDelete, status, alpha, "", http.StatusAccepted},
	} {
		if a := h.do(tc.method, tc.target, tc.token, tc.body); a.status != tc.status {
			t.Errorf("%s %s: %d, want %d", tc.method, tc.target, a.status, tc.status)
		}
	}
	form := "grant_type=client_credentials&scope=x&client_assertion_type=x&client_assertion=secret"
	if a := h.do(http.MethodPost, "/auth/token", "", form, "Content-Type", "application/x-www-form-urlencoded"); a.status != http.StatusBadRequest {
		t.Errorf("token: %d", a.status)
	}

	// The line of a download is written beside the next request.
	h.http.Close()
	h.server.settle()
	events, err := h.db.Events(t.Context(), time.Time{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		export := ""
		if e.ExportID == id {
			export = "the export"
		}
		got = append(got, strings.Join([]string{e.ClientID, e.Action, export, e.Outcome, e.Detail}, "|"))
	}
	want := []string{
		"alpha|token||ok|system/*.rs",
		"beta|token||ok|system/*.rs",
		"alpha|kick-off|the export|ok|system Patient",
		"alpha|download|the export|ok|Patient.1.ndjson",
		"beta|access|the export|refused|export of another client",
		"beta|access|the export|refused|export of another client",
		"alpha|kick-off||refused|not-supported",
		"beta|kick-off||refused|forbidden",
		"alpha|delete|the export|ok|",
		"|token||refused|invalid_request: assertion-type",
	}
	slices.Sort(got) // the clock stands still
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("audit trail (-want +got):\n%s", diff)
	}
}
