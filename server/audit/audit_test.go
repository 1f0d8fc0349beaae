package audit

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"remit/profiles"
	"remit/profiles/r4"
	"remit/sql/control"
)

var now = time.Date(2026, 5, 4, 3, 2, 1, 5e6, time.UTC)

func open(t *testing.T) *control.Store {
	t.Helper()
	s, err := control.OpenAs(t.Context(), "sqlite:"+t.TempDir()+"/control.db", "s1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

var samples = []control.Event{
	{At: now, ClientID: "acme", Action: "token", Outcome: "ok", Detail: "system/*.rs", Remote: "192.0.2.1"},
	{At: now, ClientID: "?", Action: "token", Outcome: "refused", Detail: "invalid_client: signature", Remote: "192.0.2.1"},
	{At: now, ClientID: "acme", Action: "kick-off", ExportID: "x1", Outcome: "ok", Detail: "group Patient,Claim"},
	{At: now, ClientID: "acme", Action: "download", ExportID: "x1", Outcome: "failed", Detail: "Patient.1.ndjson"},
	{At: now, ClientID: "acme", Action: "delete", ExportID: "x1", Outcome: "ok"},
	{At: now, ClientID: "acme", Action: "export", ExportID: "x1", Outcome: "ok"},
	{At: now, ClientID: "acme", Action: "client-disable", Outcome: "ok", Actor: "cli:ann"},
	{At: now, Action: "member-choices", Outcome: "ok", Actor: "ann", Remote: "192.0.2.2", Detail: "provider-access: 2 choices"},
	{At: now, Action: "admin-login", Outcome: "refused", Remote: "192.0.2.3"},
	{At: now, Action: "audit-trim", Outcome: "ok", Actor: "server"},
	{At: now, Action: "something new", Outcome: "ok"},
}

// Every kind of event is a valid AuditEvent of R4 (PR-053).
func TestPR053_AuditEvents(t *testing.T) {
	t.Parallel()
	set, err := profiles.Open(profiles.Options{})
	if err != nil {
		t.Fatal(err)
	}
	validator, err := set.Validator(profiles.ValidatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := open(t)
	for _, e := range samples {
		if err := s.AddEvent(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	n, err := Write(t.Context(), s, &out, time.Time{})
	if err != nil || n != int64(len(samples)) {
		t.Fatalf("%d events, %v", n, err)
	}
	for line := range strings.Lines(out.String()) {
		var r r4.Resource
		if problems := new(r4.Parser).Parse([]byte(strings.TrimSpace(line)), &r); len(problems) > 0 {
			t.Errorf("%v: %s", problems, line)
		}
		for _, f := range validator.Validate(&r, nil) {
			if f.Severity == profiles.Error {
				t.Errorf("%s: %s %s: %s", f.Path, f.Code, f.Message, line)
			}
		}
	}
	var first struct {
		Type    struct{ Code string }
		Outcome string
		Agent   []struct {
			AltID   string
			Network struct{ Address string }
		}
	}
	if err := json.Unmarshal(out.Bytes()[:bytes.IndexByte(out.Bytes(), '\n')], &first); err != nil {
		t.Fatal(err)
	}
	if first.Type.Code != "110114" || first.Outcome != "0" || first.Agent[0].AltID != "acme" || first.Agent[0].Network.Address != "192.0.2.1" {
		t.Errorf("first event %+v", first)
	}
	if n, err := Write(t.Context(), s, &out, now.Add(time.Millisecond)); n != 0 || err != nil {
		t.Errorf("later events: %d, %v", n, err)
	}
}

// The file that events are copied to is, byte for byte, what the trail says, and
// a change of either shows.
func TestLogAndCompare(t *testing.T) {
	t.Parallel()
	s := open(t)
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	var logged bytes.Buffer
	l, err := OpenLog(path, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	s.Follow(l.Append)
	for i := range samples {
		e := samples[i]
		e.At = e.At.AddDate(0, 0, i)
		if err := s.AddEvent(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	compare := func(what string, text []byte, wantCompared, wantTrimmed int64, wantWrong int) {
		t.Helper()
		compared, trimmed, wrong, err := Compare(t.Context(), s, bytes.NewReader(text))
		if err != nil || compared != wantCompared || trimmed != wantTrimmed || len(wrong) != wantWrong {
			t.Errorf("%s: %d compared, %d trimmed, %v, %v", what, compared, trimmed, wrong, err)
		}
	}
	all := int64(len(samples))
	compare("as written", file, all, 0, 0)
	compare("a changed line", bytes.Replace(file, []byte("group Patient"), []byte("group Person"), 1), all, 0, 1)
	compare("a line of another chain", bytes.ReplaceAll(file, []byte(`"valueString":"s1"`), []byte(`"valueString":"s2"`)), 0, 0, len(samples))
	compare("no event", []byte("{}\nx\n"), 0, 0, 2)
	if _, err := s.TrimEvents(t.Context(), now.AddDate(0, 0, 4)); err != nil {
		t.Fatal(err)
	}
	compare("after a trim", file, all-4, 4, 0)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// A file that cannot be written is told, and costs no event.
	if err := s.AddEvent(t.Context(), samples[0]); err != nil || !strings.Contains(logged.String(), "not copied") {
		t.Errorf("%v, log %s", err, logged.String())
	}
}
