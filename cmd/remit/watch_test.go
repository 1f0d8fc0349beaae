package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"remit/mapping/program"
	"remit/profiles"
)

// A changed set is taken at the next tick; a broken one is refused with its
// diagnostics and the old one stays; once it is mended it is taken.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("w/member.csv", "id,born\nm1,1970-01-01\n")
	write("set/sources.yaml", "sources:\n  person: {table: member, key: [id], patient: id}\n")
	write("set/patient.yaml", "resource: Patient\nfrom: person\nset: {gender: unknown}\n")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l, err := load(ctx, loadOptions{warehouse: "duckdb:" + filepath.Join(dir, "w"), mappings: filepath.Join(dir, "set")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := refused(l); err != nil {
		t.Fatal(err)
	}
	compile := func(*program.Program) (*profiles.Validator, error) {
		return l.profiles.Validator(profiles.ValidatorOptions{})
	}
	validator, err := compile(l.program)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	r, err := newReloader(l, validator, reloadOptions{profiles: l.profiles, validator: compile}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ticks := make(chan time.Time)
	done := make(chan struct{})
	go func() { r.Watch(ctx, ticks); close(done) }()
	// A tick is taken only when the one before has been dealt with.
	tick := func() {
		ticks <- time.Time{}
		ticks <- time.Time{}
	}
	types := func() []string {
		var out []string
		for _, t := range r.Types() {
			out = append(out, t.Name)
		}
		return out
	}
	is := func(what string, want ...string) {
		t.Helper()
		if got := types(); !slices.Equal(got, want) {
			t.Errorf("%s: types %v, want %v", what, got, want)
		}
	}
	first, _ := r.Program()
	tick()
	is("unchanged", "Patient")
	if again, _ := r.Program(); again != first {
		t.Error("a set that did not change was loaded again")
	}

	write("set/organization.yaml", "resource: Organization\nfrom: person\nset: {name: =id}\n")
	tick()
	is("a mapping more", "Organization", "Patient")
	second, _ := r.Program()

	write("set/organization.yaml", "resource: Organization\nfrom: person\nset: {name: =idd}\n")
	tick()
	is("a broken set", "Organization", "Patient")
	if now, _ := r.Program(); now != second {
		t.Error("a broken set was taken")
	}
	if want := `organization.yaml:3:14: column \"idd\" is not in source \"person\"`; !strings.Contains(log.String(), want) {
		t.Errorf("the log does not say %s:\n%s", want, log.String())
	}
	before := log.Len()
	tick()
	if log.Len() != before {
		t.Error("a broken set that did not change was tried again")
	}

	write("set/organization.yaml", "resource: Organization\nfrom: person\nset: {name: =id, alias: =born}\n")
	tick()
	if now, _ := r.Program(); now == second {
		t.Error("the mended set was not taken")
	}
	if err := os.Remove(filepath.Join(dir, "set", "organization.yaml")); err != nil {
		t.Fatal(err)
	}
	tick()
	is("a mapping less", "Patient")
	cancel()
	<-done
}
