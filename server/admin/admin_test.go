package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/server/auth"
	"remit/sql/control"
)

const secret = "0123456789abcdef0123456789abcdef"

// office is an API on a store of its own.
type office struct {
	t    *testing.T
	db   *control.Store
	api  *API
	time time.Time
}

func open(t *testing.T) *office {
	t.Helper()
	db, err := control.Open(t.Context(), "sqlite:"+t.TempDir()+"/control.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	o := &office{t: t, db: db, time: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)}
	clock := func() time.Time { return o.time }
	credentials, err := ParseCredentials([]byte("# operators\nann:" + secret + "\n\nbob:another-secret-of-more-than-32-characters\n"))
	if err != nil {
		t.Fatal(err)
	}
	desk := &Desk{Control: db, Store: auth.NewStore(db, clock), Clock: clock, Types: func() []string { return []string{"Patient", "Claim"} },
		Rules: auth.Rules{KnownType: func(s string) bool { return s == "Patient" || s == "Claim" }, KnownView: func(v string) bool { return v == "basis" }}}
	if o.api, err = NewAPI(Options{Desk: desk, Credentials: credentials}); err != nil {
		t.Fatal(err)
	}
	return o
}

// do sends a request with a credential and checks the status.
func (o *office) do(status int, method, path, credential, body string) map[string]any {
	o.t.Helper()
	r := httptest.NewRequest(method, "/admin"+path, strings.NewReader(body))
	if credential != "" {
		r.Header.Set("Authorization", "Bearer "+credential)
	}
	w := httptest.NewRecorder()
	o.api.Handler().ServeHTTP(w, r)
	if w.Code != status {
		o.t.Errorf("%s %s: %d, want %d: %s", method, path, w.Code, status, w.Body)
	}
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		o.t.Errorf("%s %s: headers %v", method, path, w.Header())
	}
	var out map[string]any
	if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			o.t.Fatal(err)
		}
	} else if w.Code == http.StatusOK {
		out = map[string]any{"text": w.Body.String()}
	}
	return out
}

const keys = `{"keys":[{"kty":"EC","crv":"P-384","kid":"k1","x":"11BgFKA9A18bwqgB4i4ROQxK9JLbb1zZC5OPENaFqeNA_GeqW7HrKDvIo1kgXarT","y":"HJJOIIqNCydU4QoxysCof7ipQu0lUeLKxzFvVSbf--dFlUsbn-Sqy_7UAkouTHJm"}]}`

// A partner is onboarded, changed, given new keys and ended, by whoever holds a
// credential of the API and by nobody else (SB-028).
func TestSB028_API(t *testing.T) {
	t.Parallel()
	o := open(t)
	c := o.do(201, "POST", "/clients", secret, `{"name":"Acme","jwks":`+keys+`,"scopes":["system/*.rs"],"groups":["g1"],"purpose":"provider-access","view":"basis",
		"earliest_service_date":"2016-01-01","expires":"2027-01-01T00:00:00Z","max_exports":2,"token_rate":60}`)
	id, _ := c["id"].(string)
	if c["state"] != "enabled" || c["purpose"] != "provider-access" || c["view"] != "basis" || c["keys"] != "inline" || id == "" {
		t.Errorf("registered %v", c)
	}
	c = o.do(200, "PATCH", "/clients/"+id, secret, `{"view":"","all_groups":true,"types":["Claim"]}`)
	if c["view"] != nil || c["all_groups"] != true || c["purpose"] != "provider-access" || fmt.Sprint(c["types"]) != "[Claim]" {
		t.Errorf("changed %v", c)
	}
	checks := o.do(200, "POST", "/clients/"+id+"/test", secret, "")["checks"].([]any)
	if len(checks) != 3 || checks[2].(map[string]any)["text"] != "may export Claim" {
		t.Errorf("checks %v", checks)
	}
	o.do(200, "PUT", "/clients/"+id+"/keys", secret, `{"jwks":`+strings.Replace(keys, "k1", "k2", 1)+`,"add":true}`)
	o.do(200, "PUT", "/clients/"+id+"/keys", secret, `{"drop":["k1"]}`)
	o.do(422, "PUT", "/clients/"+id+"/keys", secret, `{"drop":["k9"]}`)
	o.do(200, "PUT", "/clients/"+id+"/keys", secret, `{"jwks_url":"https://acme.example/jwks"}`)
	if c := o.do(200, "POST", "/clients/"+id+"/disable", secret, ""); c["state"] != "disabled" {
		t.Errorf("disabled %v", c)
	}
	o.do(409, "POST", "/clients/"+id+"/disable", secret, "")
	o.do(200, "POST", "/clients/"+id+"/enable", secret, "")
	o.time = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	if c := o.do(200, "GET", "/clients/"+id, secret, ""); c["state"] != "expired" {
		t.Errorf("after its last day: %v", c)
	}
	if c := o.do(200, "POST", "/clients/"+id+"/revoke", "another-secret-of-more-than-32-characters", ""); c["state"] != "revoked" || c["keys"] != "none" {
		t.Errorf("revoked %v", c)
	}
	o.do(409, "POST", "/clients/"+id+"/enable", secret, "")
	o.do(409, "PATCH", "/clients/"+id, secret, `{"name":"x"}`)

	for path, status := range map[string]int{"/clients/nobody": 404, "/nothing": 404, "/clients": 200} {
		o.do(status, "GET", path, secret, "")
	}
	o.do(404, "POST", "/clients/nobody/disable", secret, "")
	for _, bad := range []string{`{"name":"x"`, `{"nmae":"x"}`, `[]`, `{} {}`} {
		o.do(400, "POST", "/clients", secret, bad)
	}
	text, _ := o.do(422, "POST", "/clients", secret, `{"name":"x","all_groups":true,"scopes":["system/Pateint.rs","x"],"purpose":"fun","view":"none","earliest_service_date":"soon","max_exports":-1}`)["error"].(string)
	for _, part := range []string{"Pateint", `scope "x"`, "fun", `view "none"`, `"soon"`, "negative", "either keys or a URL"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not told in %q", part, text)
		}
	}

	// Whose data a client may have is said, never meant.
	for _, groups := range []string{``, `,"all_groups":false`, `,"groups":["g1"],"all_groups":true`, `,"groups":null`} {
		text, _ := o.do(422, "POST", "/clients", secret, `{"name":"x","jwks":`+keys+`,"scopes":["system/*.rs"]`+groups+`}`)["error"].(string)
		if !strings.Contains(text, "all_groups") {
			t.Errorf("%q: %q", groups, text)
		}
	}
	if c := o.do(201, "POST", "/clients", secret, `{"name":"x","jwks":`+keys+`,"scopes":["system/*.rs"],"groups":[]}`); c["all_groups"] != false {
		t.Errorf("no group became all: %v", c)
	}

	o.do(422, "PATCH", "/clients/"+id, secret, `{"groups":["g1"],"all_groups":true}`)

	// Every act stands in the trail, with who did it.
	trail := o.do(200, "GET", "/audit?from=2026-01-01T00:00:00Z", secret, "")["text"].(string)
	for _, part := range []string{"client-add ok", "client-change ok", "client-rotate ok", "client-rotate refused", "client-disable ok", "client-revoke ok", `"altId":"bob"`, `"altId":"ann"`} {
		if !strings.Contains(trail, part) {
			t.Errorf("the trail lacks %s", part)
		}
	}
	if v := o.do(200, "GET", "/audit/verify", secret, ""); v["ok"] != true {
		t.Errorf("verify %v", v)
	}
	o.do(400, "GET", "/audit?from=yesterday", secret, "")
}

func TestAPI_Choices(t *testing.T) {
	t.Parallel()
	o := open(t)
	o.do(200, "PUT", "/member-choices/provider-access", secret, "member,choice\nm1,out\nm2,out\n")
	o.do(200, "PATCH", "/member-choices/provider-access", secret, "\ufeffMember,Choice,Client\nm2,in,acme\n")
	got := o.do(200, "GET", "/member-choices", secret, "")["choices"].([]any)
	if len(got) != 2 {
		t.Errorf("choices %v", got)
	}
	o.do(422, "PUT", "/member-choices/operations", secret, "member,choice\nm1,out\n")
	var invalid *auth.InvalidError
	twice := []control.Choice{{Member: "m1"}, {Member: "m1", In: true}} // as a warehouse may give it
	if err := o.api.desk.SetChoices(t.Context(), Actor{Name: "ann"}, "provider-access", twice, false); !errors.As(err, &invalid) {
		t.Errorf("a member twice: %v", err)
	}
	text, _ := o.do(422, "PUT", "/member-choices/provider-access", secret, "member,choice\nm1,perhaps\n")["error"].(string)
	if !strings.Contains(text, "line 2") || strings.Contains(text, "m1") {
		t.Errorf("fault %q", text)
	}
}

// Wrong credentials are refused alike, noted, and after a few of them met with
// silence for a minute.
func TestAPI_Credentials(t *testing.T) {
	t.Parallel()
	o := open(t)
	wrong := []string{"", "x", secret + "x", secret[1:], strings.ToUpper(secret), "ann:" + secret, "bob"}
	for _, credential := range wrong {
		o.do(401, "GET", "/clients", credential, "")
	}
	r := httptest.NewRequest("GET", "/admin/clients", nil)
	r.SetBasicAuth("ann", secret)
	w := httptest.NewRecorder()
	o.api.Handler().ServeHTTP(w, r)
	if w.Code != 401 || w.Header().Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("basic: %d", w.Code)
	}
	o.do(200, "GET", "/clients", secret, "")
	for range maxFailures - len(wrong) - 1 {
		o.do(401, "GET", "/clients", "x", "")
	}
	o.do(429, "GET", "/clients", secret, "")
	events, err := o.db.Events(t.Context(), time.Time{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != maxFailures || events[0].Action != "admin-login" || events[0].Outcome != "refused" || events[0].Remote == "" {
		t.Errorf("%d events, the first is %+v", len(events), events[0])
	}
	o.time = o.time.Add(time.Minute)
	o.do(200, "GET", "/clients", secret, "")
}

func TestParseCredentials(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "# nothing\n", "ann:short", ":" + secret, "short", "ann:" + secret + "\nbob:short"} {
		if _, err := ParseCredentials([]byte(bad)); err == nil || strings.Contains(err.Error(), "short") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if got, err := ParseCredentials([]byte(secret)); err != nil || len(got) != 1 || got[0].Name != "admin" {
		t.Errorf("a secret alone: %v, %v", got, err)
	}
}

func TestReadChoices(t *testing.T) {
	t.Parallel()
	got, err := ReadChoices(strings.NewReader("choice,member,client\nout,\"a,b\",\nyes, c ,acme\nOpt-Out,d,\n"))
	want := []control.Choice{{Member: "a,b"}, {Member: " c ", ClientID: "acme", In: true}, {Member: "d"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for in, part := range map[string]string{
		"":                                   "the list is empty",
		"member\nx\n":                        "column choice is missing",
		"member,choice,colour\n":             "unknown column 3",
		"member,member,choice\n":             "stands there twice",
		"member,choice\nx\n":                 "line 2: 1 columns, the header has 2",
		"member,choice\n\"x,out\n":           "line 2",
		"member,choice\n ,out\n":             "line 2: no member",
		"member,choice\nx,out\ny,in\nx,in\n": "line 4: the member of line 2 again",
	} {
		if _, err := ReadChoices(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v, want %q", in, err, part)
		}
	}
	if _, err := ReadChoices(io.LimitReader(strings.NewReader("member,choice\n"+strings.Repeat("secretmember,perhaps\n", 100)), 1<<20)); err == nil ||
		strings.Count(err.Error(), "\n") != maxComplaints || strings.Contains(err.Error(), "secretmember") {
		t.Errorf("many faults: %v", err)
	}
}

// A fault of the store is none of the asker's mistakes, and nothing of it is told.
func TestFaults(t *testing.T) {
	t.Parallel()
	o := open(t)
	id, _ := o.do(201, "POST", "/clients", secret, `{"name":"Acme","jwks":`+keys+`,"scopes":["system/*.rs"],"all_groups":true}`)["id"].(string)
	if err := o.db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, r := range [][3]string{
		{"GET", "/clients", ""}, {"GET", "/clients/" + id, ""},
		{"POST", "/clients", `{"name":"Other","jwks":` + keys + `,"scopes":["system/*.rs"],"all_groups":true}`},
		// What is wrong with it is not told either, since the trail cannot tell that it was refused.
		{"POST", "/clients", `{"name":"Other","scopes":["x"],"all_groups":true}`},
		{"PATCH", "/clients/" + id, `{"name":"New"}`},
		{"PUT", "/clients/" + id + "/keys", `{"drop":["k1"]}`},
		{"POST", "/clients/" + id + "/disable", ""}, {"POST", "/clients/" + id + "/enable", ""}, {"POST", "/clients/" + id + "/revoke", ""}, {"POST", "/clients/" + id + "/test", ""},
		{"GET", "/member-choices", ""}, {"PUT", "/member-choices/provider-access", "member,choice\nm1,out\n"}, {"PATCH", "/member-choices/provider-access", "member,choice\nm1,out\n"},
		{"GET", "/audit/verify", ""},
	} {
		if got := o.do(503, r[0], r[1], secret, r[2])["error"]; got != "the request cannot be answered now" {
			t.Errorf("%s %s tells %q", r[0], r[1], got)
		}
	}
}
