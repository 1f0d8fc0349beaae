package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"remit/profiles"
	"remit/profiles/r4"
)

type validateCmd struct {
	Profile []string `help:"Profile to judge by (canonical, with |version where wanted); without it meta.profile decides." placeholder:"URL|VERSION" sep:"none"`
	Package []string `help:"FHIR package of your own (folder or .tgz)." placeholder:"DIR" sep:"none"`
	JSON    bool     `help:"Print one JSON object a finding."`
	Level   string   `help:"Least severity to print: error, warning or note." enum:"error,warning,note" default:"warning"`
	Jobs    int      `short:"j" help:"Resources judged at the same time; 0 is one for each processor." default:"0"`
	File    []string `arg:"" help:"Files to read: .json, .ndjson, either as .gz, or - for standard input."`
}

// Help shows a worked line.
func (validateCmd) Help() string {
	return "Example: remit validate --json remit-demo/ExplanationOfBenefit.1.ndjson"
}

// Run judges every resource of the files. Exit code 1 says that an error was found.
func (c *validateCmd) Run(ctx context.Context, a *app) error {
	set, err := openProfiles(c.Package)
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
	run := &validation{
		cmd: c, validator: validator, out: out,
		level: map[string]profiles.Severity{"error": profiles.Error, "warning": profiles.Warning, "note": profiles.Note}[c.Level],
	}
	for _, name := range c.File {
		if err := run.file(ctx, a, name); err != nil {
			_ = out.Flush()
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write findings: %w", err)
	}
	fmt.Fprintf(a.stderr, "%d resources: %d errors, %d warnings, %d notes\n",
		run.resources, run.counts[profiles.Error], run.counts[profiles.Warning], run.counts[profiles.Note])
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

	resources int
	counts    [3]int
}

// file judges the resources of one file, in order.
func (v *validation) file(ctx context.Context, a *app, name string) error {
	var in io.Reader = a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		defer f.Close()
		in = f
	}
	r := bufio.NewReaderSize(in, 1<<20)
	if magic, _ := r.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(r)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		r = bufio.NewReaderSize(z, 1<<20)
	}
	if oneResource(name, r) {
		data, err := io.ReadAll(r)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		return v.batches(ctx, name, func(yield func(batch) error) error {
			return yield(batch{lines: [][]byte{data}, first: 1})
		})
	}
	return v.batches(ctx, name, func(yield func(batch) error) error { return readLines(r, name, yield) })
}

// oneResource tells a file that holds one resource, maybe over many lines,
// from one that holds a resource a line.
func oneResource(name string, r *bufio.Reader) bool {
	name = strings.TrimSuffix(name, ".gz")
	switch filepath.Ext(name) {
	case ".ndjson", ".jsonl":
		return false
	case ".json":
		return true
	}
	head, _ := r.Peek(r.Size())
	line, _, whole := bytes.Cut(head, []byte("\n"))
	return !whole || !json.Valid(line)
}

// batch is some lines of a file on their way through a worker.
type batch struct {
	lines [][]byte
	first int // line number of lines[0]
}

// batchBytes is about how much text one batch holds.
const batchBytes = 1 << 20

// readLines cuts r into batches of whole lines. Blank lines are kept, so that
// line numbers stay true.
func readLines(r *bufio.Reader, name string, yield func(batch) error) error {
	b, size, number := batch{first: 1}, 0, 0
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			number++
			b.lines = append(b.lines, bytes.TrimRight(line, "\r\n"))
			size += len(line)
		}
		if size >= batchBytes || (err != nil && len(b.lines) > 0) {
			if err := yield(b); err != nil {
				return err
			}
			b, size = batch{first: number + 1}, 0
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
}

// judged is what a worker made of a batch.
type judged struct {
	text      []byte
	resources int
	counts    [3]int
}

// batches runs the batches of one file through the workers and writes their
// findings in the order of the file.
func (v *validation) batches(ctx context.Context, name string, read func(yield func(batch) error) error) error {
	workers := v.cmd.Jobs
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	type task struct {
		batch
		done chan judged
	}
	tasks := make(chan task)
	ordered := make(chan chan judged, workers*2)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(ordered)
		defer close(tasks)
		return read(func(b batch) error {
			t := task{batch: b, done: make(chan judged, 1)}
			select {
			case ordered <- t.done:
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
			w := &judge{validation: v, file: name}
			for t := range tasks {
				t.done <- w.batch(t.batch)
			}
			return nil
		})
	}
	group.Go(func() error {
		for done := range ordered {
			select {
			case j := <-done:
				v.resources += j.resources
				for i, n := range j.counts {
					v.counts[i] += n
				}
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

// judge is one worker: it keeps its parser and arena.
type judge struct {
	*validation
	file     string
	parser   r4.Parser
	resource r4.Resource
	findings []profiles.Finding
}

func (w *judge) batch(b batch) judged {
	var j judged
	var text bytes.Buffer
	for i, line := range b.lines {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		j.resources++
		w.findings = w.findings[:0]
		for _, p := range w.parser.Parse(line, &w.resource) {
			w.findings = append(w.findings, profiles.Finding{
				Severity: profiles.Error, Code: p.Code, Path: p.Path, Node: r4.None, Message: p.Message,
			})
		}
		if w.resource.Type() != nil {
			w.findings = w.validator.Validate(&w.resource, w.findings)
		}
		for k := range w.findings {
			f := &w.findings[k]
			j.counts[f.Severity]++
			if f.Severity <= w.level {
				w.write(&text, b.first+i, f)
			}
		}
	}
	j.text = text.Bytes()
	return j
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
			Code: f.Code, Path: f.Path, Profile: f.Profile, Constraint: f.Constraint, Message: f.Message,
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

// packageFS opens a user's package: an unpacked folder, or the folder around a
// .tgz narrowed to that one file.
func packageFS(path string) (fs.FS, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &usageError{fmt.Errorf("package: %w", err)}
	}
	if info.IsDir() {
		return os.DirFS(path), nil
	}
	return singleFile{dir: os.DirFS(filepath.Dir(path)), name: filepath.Base(path)}, nil
}

// singleFile is a folder in which only one file shows.
type singleFile struct {
	dir  fs.FS
	name string
}

// Open opens the file, or the folder that lists it alone.
func (s singleFile) Open(name string) (fs.File, error) {
	if name != "." && name != s.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return s.dir.Open(name)
}

// ReadDir lists the one file.
func (s singleFile) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	info, err := fs.Stat(s.dir, s.name)
	if err != nil {
		return nil, err
	}
	return []fs.DirEntry{fs.FileInfoToDirEntry(info)}, nil
}
