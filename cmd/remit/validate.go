package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"text/tabwriter"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"remit/profiles"
	"remit/profiles/r4"
)

type validateCmd struct {
	Profile       []string `help:"Profile to judge by (canonical, with |version where wanted); without it meta.profile decides." placeholder:"URL|VERSION" sep:"none"`
	Package       []string `help:"FHIR package of your own (folder or .tgz)." placeholder:"DIR" sep:"none"`
	Codes         []string `help:"Folder of code lists of your own (.csv, .json) for licensed code systems." placeholder:"DIR" sep:"none"`
	JSON          bool     `help:"Print one JSON object a finding." xor:"form"`
	Outcome       bool     `help:"Print one OperationOutcome a resource, in their order." xor:"form"`
	Summary       bool     `help:"Print a table by profile element and rule, with counts, instead of the findings."`
	Level         string   `help:"Least severity to print: error, warning or note." enum:"error,warning,note" default:"warning"`
	SecondOpinion bool     `help:"Ask google/fhir/go as well, and print what it does not accept."`
	Jobs          int      `short:"j" help:"Resources judged at the same time; 0 is one for each processor." default:"0"`
	File          []string `arg:"" help:"Files to read: .json, .ndjson, either as .gz, or - for standard input."`
}

// Help shows a worked line.
func (validateCmd) Help() string {
	return "Example: remit validate --summary remit-demo/ExplanationOfBenefit.1.ndjson"
}

// Run judges every resource of the files. Exit code 1 says that an error was found.
func (c *validateCmd) Run(ctx context.Context, a *app) error {
	if c.Summary && c.Outcome {
		return usagef("--summary and --outcome cannot be used together")
	}
	level := map[string]profiles.Severity{"error": profiles.Error, "warning": profiles.Warning, "note": profiles.Note}[c.Level]
	// The definitions of a first resource make more garbage than all that follow.
	percent := debug.SetGCPercent(400)
	defer debug.SetGCPercent(percent)
	set, err := openDefinitions(c.Package, c.Codes)
	if err != nil {
		return err
	}
	validator, err := set.Validator(profiles.ValidatorOptions{Profiles: c.Profile})
	if err != nil {
		var unknown *profiles.UnknownError
		if errors.As(err, &unknown) {
			return &usageError{err}
		}
		return err
	}
	out := bufio.NewWriter(a.stdout)
	run := &validation{cmd: c, validator: validator, out: out, level: level}
	run.warm = sync.OnceFunc(func() { debug.SetGCPercent(percent) })
	for _, name := range c.File {
		if err := run.file(ctx, a, name); err != nil {
			_ = out.Flush()
			return err
		}
	}
	if c.Summary {
		if err := run.table(); err != nil {
			return fmt.Errorf("write summary: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write findings: %w", err)
	}
	fmt.Fprintf(a.stderr, "%d resources: %d errors, %d warnings, %d notes\n",
		run.resources, run.counts[profiles.Error], run.counts[profiles.Warning], run.counts[profiles.Note])
	if c.SecondOpinion {
		fmt.Fprintf(a.stderr, "second opinion: %d resources not accepted, %d of them without an error here; %d accepted that have one\n",
			run.refused, run.refusedAlone, run.acceptedAlone)
	}
	if run.counts[profiles.Error] > 0 {
		return exitCode(exitFindings)
	}
	return nil
}

// validation is one run over all files.
type validation struct {
	cmd       *validateCmd
	validator *profiles.Validator
	out       *bufio.Writer
	level     profiles.Severity

	tally
	warm  func()     // called after the first batch
	large sync.Mutex // held while a large resource has its tree
}

// tally is what was counted.
type tally struct {
	resources int
	counts    [3]int
	summary   profiles.Summary
	// Resources on which the second opinion is of another mind.
	refused, refusedAlone, acceptedAlone int
}

func (t *tally) add(o *tally) {
	t.resources += o.resources
	for i, n := range o.counts {
		t.counts[i] += n
	}
	t.summary.Merge(&o.summary)
	t.refused += o.refused
	t.refusedAlone += o.refusedAlone
	t.acceptedAlone += o.acceptedAlone
}

// inFlight bounds the bytes of text that are read but not yet judged.
const inFlight = 256 << 20

// largeResource is the size from which on resources are judged one at a time,
// whatever the number of workers: a tree takes up to sixteen times its text.
const largeResource = 8 << 20

// file judges the resources of one file and writes their findings in their
// order.
func (v *validation) file(ctx context.Context, a *app, name string) error {
	in, err := openResources(a.stdin, name)
	if err != nil {
		return err
	}
	defer in.Close()
	workers := v.cmd.Jobs
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	if in.single {
		workers = 1
	}
	type task struct {
		batch
		done chan judged
	}
	tasks := make(chan task)
	ordered := make(chan task, workers*2)
	room := semaphore.NewWeighted(inFlight)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(ordered)
		defer close(tasks)
		return in.each(func(b batch) error {
			if err := room.Acquire(ctx, int64(min(b.bytes, inFlight))); err != nil {
				return err
			}
			t := task{batch: b, done: make(chan judged, 1)}
			select {
			case ordered <- t:
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case tasks <- t:
			case <-ctx.Done():
				return ctx.Err()
			}
			return nil
		})
	})
	for range workers {
		group.Go(func() error {
			w := &judge{validation: v, file: name, parser: r4.Parser{MaxBytes: maxResource}}
			if v.cmd.SecondOpinion {
				second, err := newSecondOpinion()
				if err != nil {
					return err
				}
				w.second = second
			}
			for t := range tasks {
				t.done <- w.batch(t.batch)
			}
			return nil
		})
	}
	group.Go(func() error {
		for t := range ordered {
			select {
			case j := <-t.done:
				room.Release(int64(min(t.bytes, inFlight)))
				v.warm()
				v.add(&j.tally)
				if _, err := v.out.Write(j.text); err != nil {
					return fmt.Errorf("write findings: %w", err)
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return group.Wait()
}

// judged is what a worker made of a batch.
type judged struct {
	text []byte
	tally
}

// judge is one worker: it keeps its parser and arena.
type judge struct {
	*validation
	file     string
	second   *secondOpinion // nil if it is not asked
	parser   r4.Parser
	resource r4.Resource
	findings []profiles.Finding
}

func (w *judge) batch(b batch) judged {
	var j judged
	var text bytes.Buffer
	for i, line := range b.lines {
		if !b.demanded && len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		w.line(line, &j.tally)
		shown := w.findings[:0]
		for _, f := range w.findings {
			if f.Severity <= w.level {
				shown = append(shown, f)
			}
		}
		switch {
		case w.cmd.Summary:
		case w.cmd.Outcome:
			text.Write(profiles.AppendOutcome(text.AvailableBuffer(), shown))
			text.WriteByte('\n')
		default:
			for k := range shown {
				w.write(&text, b.first+i, &shown[k])
			}
		}
		if len(line) > largeResource {
			w.resource, w.findings = r4.Resource{}, nil
		}
	}
	j.text = text.Bytes()
	return j
}

// line judges one resource and counts it.
func (w *judge) line(line []byte, t *tally) {
	if len(line) > largeResource {
		w.warm()
		w.large.Lock()
		defer w.large.Unlock()
	}
	w.findings = w.findings[:0]
	for _, p := range w.parser.Parse(line, &w.resource) {
		w.findings = append(w.findings, profiles.Finding{
			Severity: profiles.Error, Code: p.Code, Path: p.Path, Node: r4.None, Message: p.Message + place(line, p),
		})
	}
	w.findings = w.validator.Validate(&w.resource, w.findings)
	if w.second != nil && len(line) <= largeResource {
		w.ask(line, t)
	}
	t.resources++
	for k := range w.findings {
		t.counts[w.findings[k].Severity]++
	}
	if w.cmd.Summary {
		t.summary.Add(w.findings)
	}
}

// place tells where in its text a fault of JSON shows, which no path does: by
// line and byte in the line, or by the byte alone where there is one line.
func place(text []byte, p r4.Problem) string {
	if p.Code != r4.CodeJSON && p.Path != "" || p.Code == r4.CodeTooLarge || p.Offset > len(text) {
		return ""
	}
	before := text[:p.Offset]
	if len(before) == 0 {
		return ""
	}
	if lines := bytes.Count(before, []byte("\n")); lines > 0 {
		return fmt.Sprintf(", at line %d, byte %d", lines+1, p.Offset-bytes.LastIndexByte(before, '\n'))
	}
	return fmt.Sprintf(", at byte %d", p.Offset+1)
}

// ask adds the second opinion to the findings. It is a warning: the engine's own
// errors decide.
func (w *judge) ask(line []byte, t *tally) {
	wrong := false
	for k := range w.findings {
		wrong = wrong || w.findings[k].Severity == profiles.Error
	}
	complaints := w.second.judge(line)
	if complaints == nil {
		if wrong {
			t.acceptedAlone++
		}
		return
	}
	t.refused++
	if !wrong {
		t.refusedAlone++
	}
	for _, c := range complaints {
		w.findings = append(w.findings, profiles.Finding{
			Severity: profiles.Warning, Code: "second-opinion", Path: c[0], Node: r4.None, Message: c[1],
		})
	}
}

// foundJSON is the form of a finding for machines.
type foundJSON struct {
	File         string `json:"file"`
	Line         int    `json:"line"`
	ResourceType string `json:"resourceType"`
	ID           string `json:"id"`
	Severity     string `json:"severity"`
	Code         string `json:"code"`
	Path         string `json:"path"`
	Profile      string `json:"profile"`
	Element      string `json:"element"`
	Constraint   string `json:"constraint"`
	Message      string `json:"message"`
}

func (w *judge) write(b *bytes.Buffer, line int, f *profiles.Finding) {
	typeName, id := "", ""
	if t := w.resource.Type(); t != nil {
		typeName, id = t.Name(), string(w.resource.ID())
	}
	if w.cmd.JSON {
		enc := json.NewEncoder(b)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(foundJSON{ // a bytes.Buffer takes everything
			File: w.file, Line: line, ResourceType: typeName, ID: id, Severity: f.Severity.String(),
			Code: f.Code, Path: f.Path, Profile: f.Profile, Element: f.Element, Constraint: f.Constraint, Message: f.Message,
		})
		return
	}
	fmt.Fprintf(b, "%s:%d: %s: ", w.file, line, f.Severity)
	if f.Path != "" {
		fmt.Fprintf(b, "%s: ", f.Path)
	}
	fmt.Fprintf(b, "%s [%s]", f.Message, f.Code)
	if f.Constraint != "" {
		fmt.Fprintf(b, " %s", f.Constraint)
	}
	if f.Profile != "" {
		fmt.Fprintf(b, " (%s)", f.Profile)
	}
	b.WriteByte('\n')
}

// ruleJSON is one line of the summary for machines.
type ruleJSON struct {
	Severity   string `json:"severity"`
	Findings   int    `json:"findings"`
	Resources  int    `json:"resources"`
	Profile    string `json:"profile"`
	Element    string `json:"element"`
	Code       string `json:"code"`
	Constraint string `json:"constraint"`
}

// table writes the summary: a line for each rule that was broken.
func (v *validation) table() error {
	if v.cmd.JSON {
		enc := json.NewEncoder(v.out)
		enc.SetEscapeHTML(false)
		for _, r := range v.summary.Rules() {
			if r.Severity > v.level {
				continue
			}
			if err := enc.Encode(ruleJSON{r.Severity.String(), r.Findings, r.Resources, r.Profile, r.Element, r.Code, r.Constraint}); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(v.out, 0, 0, 2, ' ', 0)
	rows := 0
	for _, r := range v.summary.Rules() {
		if r.Severity > v.level {
			continue
		}
		if rows++; rows == 1 {
			fmt.Fprintln(w, "SEVERITY\tFINDINGS\tRESOURCES\tRULE\tELEMENT\tPROFILE")
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\n",
			r.Severity, r.Findings, r.Resources, strings.TrimSpace(r.Code+" "+r.Constraint), or(r.Element), or(r.Profile))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(v.out, fmt.Sprintf("%d of %d resources without an error\n", v.summary.Clean, v.summary.Resources))
	return err
}

// or shows an empty cell.
func or(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
