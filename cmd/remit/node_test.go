package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"remit/fixtures"
	"remit/server"
	"remit/server/export"
)

// A node keeps an audit trail, and stamps its exports with the fingerprint of
// its mapping set.
func TestNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir+"/warehouse", fixtures.Tuva()); err != nil {
		t.Fatal(err)
	}
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }, now: time.Now}
	c := config{Warehouse: "duckdb:" + dir + "/warehouse", Mappings: "tuva", Data: dir + "/data", PublicURL: "http://127.0.0.1:1/fhir"}
	if err := c.resolve(a); err != nil {
		t.Fatal(err)
	}
	n, err := openNode(t.Context(), a, &c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	face, err := n.face(t.Context(), a, &c)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:1/fhir"+server.TokenPath, strings.NewReader("grant_type=password"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	face.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest {
		t.Errorf("token request: %d %s", w.Code, w.Body)
	}
	st, err := n.engine.Run(t.Context(), export.Request{Level: export.LevelSystem, Types: []string{"Patient"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	events, err := n.control.Events(t.Context(), time.Time{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		got = append(got, e.Action+" "+e.Outcome)
	}
	if want := "token refused, export ok"; strings.Join(got, ", ") != want {
		t.Errorf("audit trail is %q, want %q", got, want)
	}
	x, err := n.control.Export(t.Context(), st.ID)
	if err != nil {
		t.Fatal(err)
	}
	want, err := fingerprint(n.loaded.files, nil, buildInfo().Version, false)
	if err != nil {
		t.Fatal(err)
	}
	if x.Program != want {
		t.Errorf("the export bears the fingerprint %q, want %q", x.Program, want)
	}
}
