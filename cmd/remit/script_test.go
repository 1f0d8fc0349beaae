package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"remit/server/client"
	"remit/sql/postgres/postgrestest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"remit": main,
	})
}

// TestScripts tells each verb and each exchange as a story. UPDATE=1 rewrites
// what the stories expect.
func TestScripts(t *testing.T) {
	fixtures, err := filepath.Abs("../../fixtures")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("UPDATE") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("FIXTURES", fixtures)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve":    scriptServe,
			"work":     scriptWork,
			"keygen":   scriptKeygen,
			"http":     scriptHTTP,
			"poll":     scriptPoll,
			"take":     scriptTake,
			"lines":    scriptLines,
			"splitset": scriptSplitSet,
			"subst":    scriptSubst,
			"receiver": scriptReceiver,

			"postgres": scriptPostgres,
		},
		Condition: func(cond string) (bool, error) {
			if cond != "postgres" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			_, err := postgrestest.Database(t.Context())
			if errors.Is(err, postgrestest.ErrAbsent) && os.Getenv(postgrestest.RequireEnv) != "1" {
				return false, nil
			}
			return err == nil, err
		},
	})
}

// scriptServe starts `remit serve` with the given flags, in this process,
// waits until it serves, and sets BASE. It stops with the script.
//
//	serve --warehouse duckdb:$FIXTURES/tuva --mappings tuva --data data
func scriptServe(ts *testscript.TestScript, neg bool, args []string) {
	line := scriptRun(ts, neg, "serve", append([]string{"--addr", "127.0.0.1:0"}, args...))
	ts.Setenv("BASE", strings.TrimPrefix(line, "serving "))
}

// scriptWork starts `remit worker` in the same way.
func scriptWork(ts *testscript.TestScript, neg bool, args []string) {
	scriptRun(ts, neg, "worker", args)
}

// scriptRun starts a verb that runs until it is stopped, with its log in
// VERB.log, and returns the first line that it prints.
func scriptRun(ts *testscript.TestScript, neg bool, verb string, args []string) string {
	if neg {
		ts.Fatalf("%s cannot be negated; use: ! exec remit %s ...", verb, verb)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	log, err := os.Create(ts.MkAbs(verb + ".log"))
	ts.Check(err)
	// The script's own folder is where relative paths lead.
	for i, a := range args {
		if a == "--data" || a == "--config" {
			args[i+1] = ts.MkAbs(args[i+1])
		}
		if a == "--store" {
			args[i+1] = "file:" + ts.MkAbs(strings.TrimPrefix(args[i+1], "file:"))
		}
	}
	a := &app{stdin: strings.NewReader(""), stdout: w, stderr: log, getenv: ts.Getenv, now: time.Now}
	done := make(chan int, 1)
	go func() {
		code := a.run(ctx, append([]string{verb}, args...))
		_ = w.Close()
		done <- code
	}()
	ts.Defer(func() {
		cancel()
		code := <-done
		_ = log.Close()
		if code != exitFine {
			ts.Logf("%s ended with %d", verb, code)
		}
	})
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		ts.Fatalf("%s did not come up:\n%s", verb, ts.ReadFile(verb+".log"))
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	return strings.TrimSpace(line)
}

// scriptKeygen makes a key pair: NAME.json and NAME-jwks.json.
//
//	keygen ES384 acme
func scriptKeygen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: keygen ALG NAME")
	}
	key, err := client.GenerateKey(args[0])
	ts.Check(err)
	private, err := key.PrivateJWK()
	ts.Check(err)
	public, err := key.PublicJWKS()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]+".json"), private, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]+"-jwks.json"), public, 0o600))
}

// scriptHTTP sends one request and writes the answer to the file "response":
// the status, the headers by name, an empty line, the body. TOKEN goes along
// where it is set. The request must be answered with the given status.
//
//	http 202 GET $BASE/$export?_type=Patient Prefer:respond-async
//	http 400 POST $BASE/auth/token body.txt Content-Type:application/x-www-form-urlencoded
func scriptHTTP(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: http STATUS METHOD URL [BODYFILE] [NAME:VALUE ...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	response := request(ts, args[1], args[2], args[3:])
	if response.StatusCode != want {
		ts.Fatalf("%s %s: %d, want %d\n%s", args[1], args[2], response.StatusCode, want, ts.ReadFile("response"))
	}
	if l := response.Header.Get("Content-Location"); l != "" {
		ts.Setenv("STATUS", l)
	}
}

func request(ts *testscript.TestScript, method, url string, rest []string) *http.Response {
	var body io.Reader
	if len(rest) > 0 && !strings.Contains(rest[0], ":") {
		body = strings.NewReader(ts.ReadFile(rest[0]))
		rest = rest[1:]
	}
	req, err := http.NewRequest(method, url, body)
	ts.Check(err)
	if token := ts.Getenv("TOKEN"); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for _, h := range rest {
		name, value, _ := strings.Cut(h, ":")
		req.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	ts.Check(err)
	var b bytes.Buffer
	fmt.Fprintln(&b, response.StatusCode)
	names := make([]string, 0, len(response.Header))
	for n := range response.Header {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintf(&b, "%s: %s\n", n, strings.Join(response.Header[n], ", "))
	}
	fmt.Fprintf(&b, "\n%s\n", data)
	ts.Check(os.WriteFile(ts.MkAbs("response"), b.Bytes(), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("body"), data, 0o600))
	return response
}

// scriptPoll asks for $STATUS until it is no longer 202, as its Retry-After
// says, and leaves the last answer in "response".
func scriptPoll(ts *testscript.TestScript, neg bool, args []string) {
	for range 600 {
		response := request(ts, http.MethodGet, ts.Getenv("STATUS"), args)
		if response.StatusCode != http.StatusAccepted {
			if neg == (response.StatusCode == http.StatusOK) {
				ts.Fatalf("poll ended with %d\n%s", response.StatusCode, ts.ReadFile("response"))
			}
			return
		}
		seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
		if err != nil || seconds < 1 {
			ts.Fatalf("no usable Retry-After\n%s", ts.ReadFile("response"))
		}
		<-time.After(min(time.Duration(seconds)*time.Second, time.Second))
	}
	ts.Fatalf("the export does not end")
}

// scriptTake sets a variable to the trimmed text of a file or of stdout, or to
// what follows a mark in it up to a quote or blank.
//
//	take CLIENT stdout
//	take FILE body "url":"
func scriptTake(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: take NAME FILE [MARK]")
	}
	text := strings.TrimSpace(ts.ReadFile(args[1]))
	if len(args) == 3 {
		_, rest, ok := strings.Cut(text, args[2])
		if !ok {
			ts.Fatalf("%s holds no %q:\n%s", args[1], args[2], text)
		}
		if end := strings.IndexAny(rest, "\" \n"); end >= 0 {
			rest = rest[:end]
		}
		text = rest
	}
	ts.Setenv(args[0], text)
}

// scriptLines counts the lines of a file.
//
//	lines 100 out/Patient.1.ndjson
func scriptLines(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: lines COUNT FILE")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := strings.Count(ts.ReadFile(args[1]), "\n"); (got == want) == neg {
		ts.Fatalf("%s has %d lines, want %d", args[1], got, want)
	}
}

// scriptPostgres makes a database and sets a variable to its address; a script
// that uses it starts with: [!postgres] skip 'no PostgreSQL'
//
//	postgres DSN
func scriptPostgres(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: postgres NAME")
	}
	dsn, err := postgrestest.Database(context.Background())
	ts.Check(err)
	ts.Setenv(args[0], dsn)
}

// scriptSplitSet writes the Tuva set with its payer's members split in the
// rosters "even" and "odd".
//
//	splitset split
func scriptSplitSet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: splitset DIR")
	}
	ts.Check(splitSet(ts.MkAbs(args[0])))
}

// scriptSubst writes a file with the variables in it replaced by their values.
//
//	subst template.json body.json
func scriptSubst(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: subst FROM TO")
	}
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}
