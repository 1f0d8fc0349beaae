package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"remit/fixtures"
	"remit/server/client"
)

// secretsOf are the fixture's values that tell of members: who they are, their
// claims, their providers, drugs and diagnoses.
func secretsOf(t *testing.T, warehouse string) map[string]string {
	t.Helper()
	kept := regexp.MustCompile(`^(patient_id|member_id|birth_date|claim_id|.*npi|ndc_code|hcpcs_code|diagnosis_code_\d+|procedure_code_\d+)$`)
	out := map[string]string{}
	for _, table := range []string{"eligibility", "medical_claim", "pharmacy_claim"} {
		names, err := filepath.Glob(filepath.Join(warehouse, table+".csv*"))
		if err != nil || len(names) != 1 {
			t.Fatalf("table %s: %v, %v", table, names, err)
		}
		data, err := readMaybeGzip(names[0])
		if err != nil {
			t.Fatal(err)
		}
		in := csv.NewReader(strings.NewReader(string(data)))
		header, err := in.Read()
		if err != nil {
			t.Fatal(err)
		}
		header = slices.Clone(header)
		for {
			record, err := in.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range record {
				if kept.MatchString(header[i]) && len(v) >= 4 && header[i] != "diagnosis_code_type" {
					out[v] = table + "." + header[i]
				}
			}
		}
	}
	return out
}

// readMaybeGzip reads a file, decompressed where its name says so.
func readMaybeGzip(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !strings.HasSuffix(name, ".gz") {
		return io.ReadAll(f)
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// numbers are attributes of log lines that count; their values are nobody's.
var numbers = regexp.MustCompile(`\b(bytes|elapsed_ms|rows|resources|withheld|chunks?|attempt|files|generation|epoch|types|status|events)=\d+`)

var word = regexp.MustCompile(`[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*`)

// TestQuiet serves, exports, reads, searches, is refused and administers, with
// every log line that there is; and finds no member's data in log, audit trail
// or error texts.
func TestQuiet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	warehouse := filepath.Join(dir, "warehouse")
	if err := os.CopyFS(warehouse, fixtures.Tuva()); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const secret = "0123456789abcdef0123456789abcdef"
	write("admins", "ann:"+secret)
	said := &strings.Builder{} // what verbs print
	verb := func(want int, args ...string) string {
		t.Helper()
		code, stdout, stderr := runRemit(t, args...)
		if code != want {
			t.Fatalf("%v ended with %d: %s", args, code, stderr)
		}
		said.WriteString(stderr)
		return strings.TrimSpace(stdout)
	}
	verb(exitFine, "client", "keygen", at("acme"))
	verb(exitFine, "client", "keygen", at("stranger"))
	id := verb(exitFine, "client", "add", "--all-groups", "--data", at("data"), "--jwks", at("acme-jwks.json"), "--purpose", "provider-access", "Acme")
	narrow := verb(exitFine, "client", "add", "--all-groups", "--data", at("data"), "--jwks", at("acme-jwks.json"), "--scope", "system/Patient.rs?gender=male", "Narrow")

	log, err := os.Create(at("log"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	a := &app{stdin: strings.NewReader(""), stdout: w, stderr: log, getenv: func(string) string { return "" }, now: time.Now}
	done := make(chan int, 1)
	go func() {
		done <- a.run(ctx, []string{"serve", "--addr", "127.0.0.1:0", "--warehouse", "duckdb:" + warehouse, "--mappings", "tuva", "--data", at("data"),
			"--log-level", "debug", "--audit-log", at("audit.ndjson"), "--admin-addr", "127.0.0.1:0", "--admin-credentials", at("admins")})
		_ = w.Close()
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal("serve did not come up")
	}
	base := strings.TrimPrefix(strings.TrimSpace(line), "serving ")

	members := secretsOf(t, warehouse)
	var some []string
	for v, from := range members {
		if strings.HasSuffix(from, ".patient_id") {
			some = append(some, v)
		}
	}
	slices.Sort(some)
	write("out.csv", "member,choice\n"+some[0]+",out\n"+some[1]+",out\n")
	verb(exitFine, "member-choices", "load", "--data", at("data"), "--purpose", "provider-access", "--csv", at("out.csv"))
	write("bad.csv", "member,choice\n"+some[0]+",perhaps\n"+some[1]+",in\n"+some[1]+",in\n")
	verb(exitUsage, "member-choices", "load", "--data", at("data"), "--purpose", "provider-access", "--csv", at("bad.csv"))
	verb(exitFine, "pull", "--url", base, "--client-id", id, "--key", at("acme.json"), "--out", at("all"))
	verb(exitFault, "pull", "--url", base, "--client-id", id, "--key", at("stranger.json"), "--out", at("none"))

	patients, err := os.ReadFile(at("all/Patient.1.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for l := range strings.Lines(string(patients)) {
		var p struct{ ID string }
		if err := json.Unmarshal([]byte(l), &p); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, p.ID)
		members[p.ID] = "a Patient id"
	}
	if len(ids) != 98 {
		t.Errorf("%d patients, want all but two", len(ids))
	}
	keyFile, err := os.ReadFile(at("acme.json"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := client.ParseKey(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	token := func(id string) string {
		t.Helper()
		c, err := client.New(client.Options{BaseURL: base, ClientID: id, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		token, err := c.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	request := func(method, url, token, body string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		if body != "" {
			req.Header.Set("Content-Type", "application/fhir+json")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	mine, few := token(id), token(narrow)
	for _, path := range []string{
		"/Patient/" + ids[0], "/Patient/" + some[0], "/Patient?_id=" + ids[1], "/Patient?identifier=" + some[2], "/Claim?patient=Patient/" + ids[0],
		"/ExplanationOfBenefit?patient=" + ids[1], "/Coverage?beneficiary=Patient/" + ids[2], "/Patient?birthdate=1949-06-04",
		"/Patient/$export?_typeFilter=Patient%3Fidentifier%3D" + some[3], "/$export?patient=Patient/" + ids[0], "/$export?" + some[4] + "=x", "/" + some[5],
	} {
		for _, tok := range []string{mine, few, some[6]} {
			if status := request(http.MethodGet, base+path, tok, ""); status >= 500 {
				t.Errorf("%s: %d", path, status)
			}
		}
	}
	body := `{"resourceType":"Parameters","parameter":[{"name":"patient","valueReference":{"reference":"Patient/` + ids[0] + `"}},{"name":"patient","valueReference":{"reference":"Patient/` + some[7] + `"}}]}`
	request(http.MethodPost, base+"/Patient/$export", mine, body)
	verb(exitFine, "client", "disable", "--data", at("data"), id)
	request(http.MethodGet, base+"/Patient/"+ids[0], mine, "")
	verb(exitFine, "audit", "verify", "--data", at("data"), "--file", at("audit.ndjson"))
	trail := verb(exitFine, "audit", "list", "--data", at("data"))
	cancel()
	if code := <-done; code != exitFine {
		t.Errorf("serve ended with %d", code)
	}

	logged, err := os.ReadFile(at("log"))
	if err != nil {
		t.Fatal(err)
	}
	copied, err := os.ReadFile(at("audit.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	if len(logged) < 5000 || len(copied) < 5000 {
		t.Errorf("log of %d bytes, audit of %d: nothing much was looked at", len(logged), len(copied))
	}
	// The check can fail: it finds what a downloaded file is full of.
	if !slices.ContainsFunc(word.FindAllString(string(patients), -1), func(w string) bool { return members[w] != "" }) {
		t.Error("not even the exported patients are recognised")
	}
	lines := 0
	for what, text := range map[string]string{"log": string(logged), "audit file": string(copied), "audit list": trail, "error texts": said.String()} {
		for l := range strings.Lines(text) {
			lines++
			for _, w := range word.FindAllString(numbers.ReplaceAllString(l, ""), -1) {
				if from, secret := members[w]; secret {
					t.Errorf("%s holds a value of %s: %s", what, from, l)
				}
			}
		}
	}
	t.Logf("%d lines of log, audit trail and errors hold none of %d values", lines, len(members))
}
