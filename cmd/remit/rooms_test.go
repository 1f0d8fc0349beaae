package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rooms is the house plan: what each room may import of the house. A room that
// is not housePackage, or an import that is not allowed, fails the test. Arrows run
// down only.
var rooms = map[string][]string{
	"fixtures": {},

	"sql/source":                {},
	"sql/source/sourcetest":     {"sql/source"},
	"sql/duckdb":                {"sql/source"},
	"sql/postgres":              {"sql/source"},
	"sql/postgres/postgrestest": {"sql/source"},
	// The one room that writes to a warehouse; apart, so that the adapter cannot.
	"sql/postgres/load":       {"sql/source"},
	"sql/control":             {},
	"sql/control/controltest": {"sql/control"},

	"profiles/r4":            {},
	"profiles/fhirpath":      {"profiles/r4"},
	"profiles/terminology":   {},
	"profiles/packages":      {},
	"profiles/packages/pack": {"profiles/packages"},
	"profiles/search":        {"profiles/r4", "profiles/fhirpath", "profiles/packages"},
	"profiles/opinion":       {},
	"profiles":               {"profiles/r4", "profiles/fhirpath", "profiles/terminology", "profiles/packages"},

	"mapping/diag":    {},
	"mapping/syntax":  {"mapping/diag"},
	"mapping/check":   {"mapping/diag", "mapping/syntax", "sql/source", "profiles", "profiles/r4"},
	"mapping/plan":    {"mapping/diag", "mapping/check", "sql/source", "profiles", "profiles/r4"},
	"mapping/program": {"mapping/diag", "mapping/check", "mapping/plan", "sql/source", "profiles", "profiles/r4"},
	"mapping/library": {},
	// A tool of tests, apart from everything that it judges.
	"mapping/library/agreement": {},
	"mapping/workbook":          {"mapping/diag", "mapping/syntax", "mapping/check", "profiles"},
	"mapping":                   {"mapping/diag", "mapping/syntax", "mapping/check", "mapping/plan", "mapping/program", "sql/source", "profiles"},

	"server/files":           {},
	"server/files/filestest": {"server/files"},
	"server/jobs":            {},
	"server/jobs/jobstest":   {"server/jobs"},
	"server/ops":             {"sql/control"}, // metrics and health of a process, with or without the API
	"server/auth":            {"sql/control"},
	"server/client":          {},
	"server/export":          {"server/jobs", "server/files", "sql/control", "sql/source", "mapping/diag", "mapping/program", "profiles", "profiles/r4", "profiles/search"},
	"server/audit":           {"sql/control"},
	"server/admin":           {"server/auth", "server/audit", "sql/control"},
	"server":                 {"server/auth", "server/export", "server/files", "sql/control", "mapping/program", "profiles/search"},
}

// owners are the third-party libraries that live in one room each.
var owners = map[string][]string{
	"github.com/duckdb/":                   {"sql/duckdb"},
	"github.com/jackc/pgx/":                {"sql/postgres", "sql/postgres/load", "sql/postgres/postgrestest", "server/jobs"},
	"github.com/lib/pq":                    {"sql/postgres", "sql/control"},
	"github.com/jmoiron/sqlx":              {"sql/postgres", "sql/control"},
	"modernc.org/sqlite":                   {"sql/control", "server/jobs"},
	"github.com/riverqueue/":               {"server/jobs"},
	"gocloud.dev/":                         {"server/files", "server/files/filestest"},
	"github.com/lestrrat-go/jwx/":          {"server/auth", "server/client"},
	"github.com/go-chi/":                   {"server", "server/admin"},
	"github.com/xuri/excelize/":            {"mapping/workbook"},
	"github.com/google/fhir/go/jsonformat": {"profiles/opinion"},
	"github.com/google/fhir/go/proto":      {"profiles/r4", "profiles/opinion"},
	"go.yaml.in/yaml/":                     {"mapping/syntax", "sql/duckdb", "sql/postgres/postgrestest", "mapping/library/agreement", "cmd/remit"},
	"github.com/alecthomas/kong":           {"cmd/remit"},
	"github.com/vbauerster/mpb/":           {"cmd/remit"},
	"github.com/cockroachdb/apd/":          {"profiles/fhirpath"},
	"github.com/prometheus/client_golang/": {"server/ops"},
}

// Every real import of the tree is held against the plan, tests included only
// where they do not cross a wall that production code may not cross.
func TestRooms(t *testing.T) {
	for _, p := range listPackages(t) {
		room, inHouse := strings.CutPrefix(p.ImportPath, "remit/")
		if !inHouse {
			t.Errorf("package %s lies outside the house", p.ImportPath)
			continue
		}
		if room == "cmd/remit" {
			checkLibraries(t, room, p.Imports)
			continue // wires everything
		}
		allowed, known := rooms[room]
		if !known {
			t.Errorf("room %s is not on the plan", room)
			continue
		}
		for _, imp := range p.Imports {
			if to, ok := strings.CutPrefix(imp, "remit/"); ok && !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s, which the plan does not allow", room, to)
			}
		}
		checkLibraries(t, room, p.Imports)
	}
}

func checkLibraries(t *testing.T, room string, imports []string) {
	t.Helper()
	for _, imp := range imports {
		for prefix, in := range owners {
			if strings.HasPrefix(imp, prefix) && !slices.Contains(in, room) {
				t.Errorf("%s imports %s, which lives in %s alone", room, imp, strings.Join(in, " and "))
			}
		}
	}
}

type housePackage struct {
	ImportPath string
	Imports    []string
}

func listPackages(t *testing.T) []housePackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "remit/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []housePackage
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p housePackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
}
