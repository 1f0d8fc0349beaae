package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestValidateHostileFile has a file judged that is made to hurt: lines of 100 MB
// and more, of every kind that might be taken in whole. Each gets its finding by
// its line number, the resources between them are judged, and memory stays far
// below what was read.
func TestValidateHostileFile(t *testing.T) {
	const (
		huge = 100 << 20
		good = `{"resourceType":"Patient","id":"a","gender":"female"}` + "\n"
	)
	line := func(head, unit, tail string) io.Reader {
		return io.MultiReader(strings.NewReader(head), io.LimitReader(&repeated{unit: unit}, int64(huge/len(unit)*len(unit))), strings.NewReader(tail+"\n"))
	}
	in := io.MultiReader(
		strings.NewReader(good),
		line(`{"resourceType":"Patient","name":[{"family":"`, "x", `"}]}`),
		strings.NewReader(good),
		line(`{"resourceType":"Patient","extension":`, "[", ""),
		line(`{"resourceType":"Patient","name":[{"given":[`, `"a",`, `"a"]}]}`),
		line(`{"resourceType":"Observation","valueQuantity":{"value":`, "9", `}}`),
		line("", "\xff", ""),
		strings.NewReader(`{"resourceType":"Patient","id":"b","gender":"x"}`+"\n"),
		strings.NewReader(`{"resourceType":"Patient","active":true,"active":false}`+"\n"),
		strings.NewReader("{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"\xff\"}]}\n"),
		strings.NewReader(`{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1e99999999999}}`+"\n"),
	)
	var peak atomic.Uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapInuse))
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	var out, talk bytes.Buffer
	a := &app{stdin: in, stdout: &out, stderr: &talk, getenv: os.Getenv, now: time.Now}
	code := a.run(context.Background(), []string{"validate", "-j", "2", "--level", "error", "-"})
	close(stop)
	<-done
	if code != exitFindings {
		t.Errorf("exit code %d: %s", code, talk.String())
	}
	// The first line is looked at to tell one resource from many.
	if !strings.HasPrefix(talk.String(), "11 resources: ") {
		t.Errorf("stderr %q", talk.String())
	}
	for _, want := range []string{
		"-:2: error: ", "[too-large]", "-:4: error: ", "-:5: error: ", "-:6: error: ", "-:7: error: ", "-:8: error: Patient.gender: ",
		"-:9: error: Patient.active: ", "[duplicate-key]", "-:10: error: Patient.name[0].family: ", "[invalid-utf8]",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q among the findings:\n%s", want, out.String())
		}
	}
	// R4's decimal may have any exponent.
	for _, sound := range []string{"-:1: ", "-:3: ", "-:11: "} {
		if strings.Contains(out.String(), sound) {
			t.Errorf("a finding at %s", sound)
		}
	}
	t.Logf("500 MB read, at most %d MB of heap in use", peak.Load()>>20)
	if peak.Load() > 768<<20 {
		t.Errorf("%d MB of heap in use", peak.Load()>>20)
	}
}

// repeated is one text again and again.
type repeated struct {
	unit string
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.unit[r.at]
		if r.at++; r.at == len(r.unit) {
			r.at = 0
		}
	}
	return len(p), nil
}

// BenchmarkValidateFile is `remit validate -j 2` on an NDJSON file of 100,000
// explanations of benefit: the fixture's, exported and repeated.
func BenchmarkValidateFile(b *testing.B) {
	dir := b.TempDir()
	a := benchApp()
	if code := a.run(b.Context(), []string{
		"export", "--warehouse", "duckdb:../../fixtures/tuva", "--mappings", "tuva", "--type", "ExplanationOfBenefit", "--out", dir,
	}); code != exitFine {
		b.Fatalf("export: exit code %d", code)
	}
	parts, err := filepath.Glob(filepath.Join(dir, "ExplanationOfBenefit.*.ndjson"))
	if err != nil || len(parts) == 0 {
		b.Fatalf("%d files: %v", len(parts), err)
	}
	var text []byte
	for _, part := range parts {
		raw, err := os.ReadFile(part)
		if err != nil {
			b.Fatal(err)
		}
		text = append(text, raw...)
	}
	const resources = 100_000
	file := filepath.Join(dir, "all.ndjson")
	f, err := os.Create(file)
	if err != nil {
		b.Fatal(err)
	}
	size := 0
	for left := resources; left > 0; {
		part := text
		if n := bytes.Count(text, []byte("\n")); n > left {
			part = bytes.Join(bytes.SplitAfterN(text, []byte("\n"), left+1)[:left], nil)
		}
		if _, err := f.Write(part); err != nil {
			b.Fatal(err)
		}
		left -= bytes.Count(part, []byte("\n"))
		size += len(part)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(size))
	for b.Loop() {
		if code := a.run(b.Context(), []string{"validate", "-j", "2", "--summary", file}); code != exitFine {
			b.Fatalf("exit code %d", code)
		}
	}
	b.ReportMetric(float64(b.N)*resources/b.Elapsed().Seconds(), "resources/s")
	b.ReportMetric(float64(size)/resources, "bytes")
}

// BenchmarkColdStart is `remit validate` on one Patient as a user runs it: a
// process of its own, from start to exit. cpu-ms is what it spends on processors,
// which neighbours on the machine do not change as much as the time.
func BenchmarkColdStart(b *testing.B) {
	binary := filepath.Join(b.TempDir(), "remit")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	const patient = "../../profiles/testdata/examples/carin-bb-2.1.0/Patient-Patient1.json"
	for _, verb := range [][]string{{"version"}, {"validate", patient}} {
		b.Run(verb[0], func(b *testing.B) {
			var cpu time.Duration
			for b.Loop() {
				cmd := exec.CommandContext(b.Context(), binary, verb...)
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v: %s", err, out)
				}
				cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			}
			b.ReportMetric(float64(cpu.Milliseconds())/float64(b.N), "cpu-ms")
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms")
		})
	}
}
