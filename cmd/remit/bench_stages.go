package main

import (
	"context"
	_ "embed" // the hand-written query
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"remit/mapping/library"
	"remit/mapping/program"
	"remit/profiles"
	"remit/server/export"
	"remit/sql/postgres"
	"remit/sql/source"
)

// bench measures one size.
type bench struct {
	cmd     *benchCmd
	app     *app
	dir     string
	address string
	run     *benchRun

	node   *node
	snap   source.Snapshot
	chunks []program.Request
	rows   int64 // of all queries of the plan
}

func (b *bench) measure(ctx context.Context) (err error) {
	if b.node, err = b.open(ctx, "tuva", b.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.node.Close()) }()
	if b.snap, err = b.node.loaded.warehouse.Snapshot(ctx); err != nil {
		return err
	}
	began := b.app.now()
	b.chunks, err = b.node.loaded.program.Split(ctx, b.snap, program.Request{}, b.cmd.ChunkSize)
	if err != nil {
		return errors.Join(err, b.snap.Close())
	}
	b.run.Chunks, b.run.Cut = len(b.chunks), b.app.now().Sub(began).Seconds()
	err = b.stages(ctx)
	if err = errors.Join(err, b.snap.Close()); err != nil {
		return err
	}
	if err := b.export(ctx); err != nil {
		return err
	}
	if err := b.professional(ctx); err != nil {
		return err
	}
	b.run.rate()
	return nil
}

// open makes a node of a mapping set, its stores in dir.
func (b *bench) open(ctx context.Context, mappings, dir string) (*node, error) {
	c := config{
		Warehouse: b.address, Mappings: mappings, Workers: b.cmd.Workers,
		Control: "sqlite:" + filepath.Join(dir, "control.db"), Store: "file:" + filepath.Join(dir, "files"),
	}
	c.defaults()
	return openNode(ctx, b.app, &c, slog.New(slog.DiscardHandler))
}

// each runs do for every chunk, as many at once as there are workers.
func (b *bench) each(ctx context.Context, do func(context.Context, program.Request) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(b.cmd.Workers)
	for _, r := range b.chunks {
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return do(ctx, r)
		})
	}
	return group.Wait()
}

// several measures a stage as often as asked for, and keeps the median.
func (b *bench) several(name string, work func(*benchStage) error) error {
	fmt.Fprintf(b.app.stderr, "measuring %s\n", name)
	var all []benchStage
	for range b.cmd.Repeat {
		var counted benchStage
		s, err := clockwork(b.app.now, func() error { return work(&counted) })
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.Name, s.Rows, s.Resources, s.Bytes, s.plan, s.raw = name, counted.Rows, counted.Resources, counted.Bytes, counted.plan, counted.raw
		if s.plan {
			b.rows = max(b.rows, s.Rows)
			s.Rows = b.rows // a stage above the raw reads counts parents alone
		}
		all = append(all, s)
	}
	b.run.stage(all)
	return nil
}

// copier is a snapshot that can be read by COPY; *postgres.Snapshot is one.
type copier interface {
	Copy(ctx context.Context, q *source.Query) (postgres.Copied, error)
	CopySQL(ctx context.Context, sql string) (postgres.Copied, error)
}

func (b *bench) stages(ctx context.Context) error {
	prog := b.node.loaded.program
	if c, ok := b.snap.(copier); ok {
		err := b.several("raw COPY", func(s *benchStage) error {
			var rows, bytes atomic.Int64
			err := b.each(ctx, func(ctx context.Context, r program.Request) error {
				for _, q := range prog.Queries(r) {
					n, err := c.Copy(ctx, q.Query)
					if err != nil {
						return err
					}
					rows.Add(n.Rows)
					bytes.Add(n.Bytes)
				}
				return nil
			})
			s.Rows, s.Bytes, s.plan, s.raw = rows.Load(), bytes.Load(), true, true
			return err
		})
		if err != nil {
			return err
		}
		for _, q := range []struct{ stage, sql string }{{handWrittenStage, handWritten}, {tunedStage, handTuned}} {
			err = b.several(q.stage, func(s *benchStage) error {
				n, err := c.CopySQL(ctx, q.sql)
				s.Resources, s.Bytes = n.Rows, n.Bytes
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	err := b.several("raw read", func(s *benchStage) error {
		var rows, bytes atomic.Int64
		err := b.each(ctx, func(ctx context.Context, r program.Request) error {
			for _, q := range prog.Queries(r) {
				n, size, err := drain(ctx, b.snap, q.Query)
				if err != nil {
					return err
				}
				rows.Add(n)
				bytes.Add(size)
			}
			return nil
		})
		s.Rows, s.Bytes, s.plan, s.raw = rows.Load(), bytes.Load(), true, true
		return err
	})
	if err != nil {
		return err
	}
	_, judge := b.node.reloader.Program()
	for _, stage := range []struct {
		name string
		hand func() hand
	}{
		{"read, map", func() hand { return hand{} }},
		{"+ validate", func() hand { return hand{judge: judge} }},
		{"+ encode", func() hand { return hand{judge: judge, encode: true} }},
		{"+ gzip", func() hand { return hand{judge: judge, encode: true, zip: true} }},
	} {
		err := b.several(stage.name, func(s *benchStage) error {
			var rows, resources, bytes atomic.Int64
			err := b.each(ctx, func(ctx context.Context, r program.Request) error {
				h := stage.hand()
				report, err := prog.Run(ctx, b.snap, r, h.take)
				if err != nil {
					return err
				}
				rows.Add(report.Rows)
				resources.Add(h.resources)
				bytes.Add(h.bytes)
				return h.close()
			})
			s.Rows, s.Resources, s.Bytes, s.plan = rows.Load(), resources.Load(), bytes.Load(), true
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// drain reads a query's rows and makes nothing of them.
func drain(ctx context.Context, snap source.Snapshot, q *source.Query) (rows, bytes int64, err error) {
	s, err := snap.Stream(ctx, q)
	if err != nil {
		return 0, 0, err
	}
	defer s.Close()
	for s.Next() {
		rows++
		for _, v := range s.Row() {
			bytes += int64(len(v.Bytes()))
		}
	}
	return rows, bytes, s.Err()
}

// hand takes what a program emits as far as its stage goes. It is used by one
// goroutine.
type hand struct {
	judge  export.Validator
	encode bool
	zip    bool

	findings  []profiles.Finding
	line      []byte
	writers   map[string]*gzip.Writer
	resources int64
	bytes     int64
}

func (h *hand) take(m *program.Emitted) error {
	if h.judge != nil {
		h.findings = h.judge.Validate(m.Resource, h.findings[:0])
		for i := range h.findings {
			if h.findings[i].Severity == profiles.Error {
				return nil // withheld
			}
		}
	}
	h.resources++
	if !h.encode {
		return nil
	}
	h.line = append(m.Resource.AppendJSON(h.line[:0]), '\n')
	h.bytes += int64(len(h.line))
	if !h.zip {
		return nil
	}
	w := h.writers[m.Type]
	if w == nil {
		var err error
		if w, err = gzip.NewWriterLevel(io.Discard, gzip.BestSpeed); err != nil {
			return err
		}
		if h.writers == nil {
			h.writers = map[string]*gzip.Writer{}
		}
		h.writers[m.Type] = w
	}
	_, err := w.Write(h.line)
	return err
}

func (h *hand) close() error {
	var errs []error
	for _, w := range h.writers {
		errs = append(errs, w.Close())
	}
	return errors.Join(errs...)
}

// export measures the engine itself: everything, and one member.
func (b *bench) export(ctx context.Context) error {
	request := export.Request{Level: export.LevelSystem, URL: "bench"}
	if err := chooseTypes(b.node, &request); err != nil {
		return err
	}
	err := b.several("whole export, synced files", func(s *benchStage) (err error) {
		s.plan = true
		b.run.Files, err = s.export(ctx, b.node.engine, request)
		return err
	})
	if err != nil {
		return err
	}
	eobs := request
	eobs.Types = []string{"ExplanationOfBenefit"}
	err = b.several("whole export of EOBs", func(s *benchStage) error {
		_, err := s.export(ctx, b.node.engine, eobs)
		return err
	})
	if err != nil {
		return err
	}
	id, err := b.oneMember(ctx)
	if err != nil {
		return err
	}
	one := request
	one.Level, one.Patients, one.Types = export.LevelPatient, []string{id}, nil
	for _, t := range b.node.loaded.program.Types() {
		if t.Reach != program.Roster {
			one.Types = append(one.Types, t.Name)
		}
	}
	err = b.several("one member, all types", func(s *benchStage) error {
		_, err := s.export(ctx, b.node.engine, one)
		return err
	})
	if err != nil {
		return err
	}
	b.run.OneMember = b.run.Stages[len(b.run.Stages)-1].Seconds
	return nil
}

// export runs one export, counts what it wrote in how many files, and deletes
// it.
func (s *benchStage) export(ctx context.Context, engine *export.Engine, r export.Request) (files int, err error) {
	status, err := engine.Run(ctx, r, nil)
	if err != nil {
		return 0, err
	}
	report, err := engine.Report(ctx, status.ID)
	if err != nil {
		return 0, err
	}
	m, err := engine.Manifest(ctx, status.ID, "", false)
	if err != nil {
		return 0, err
	}
	s.Resources, s.Bytes = total(report.Exported), total(report.Bytes)
	return len(m.Output), engine.Delete(ctx, status.ID)
}

// professional measures the engine on what the hand-written query makes.
func (b *bench) professional(ctx context.Context) (err error) {
	dir := filepath.Join(b.dir, "professional")
	set := filepath.Join(dir, "set")
	if err := writeProfessional(set); err != nil {
		return fmt.Errorf("write the set of professional EOBs: %w", err)
	}
	n, err := b.open(ctx, set, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	request := export.Request{Level: export.LevelSystem, URL: "bench", Types: []string{"ExplanationOfBenefit"}}
	return b.several(professionalStage, func(s *benchStage) error {
		_, err := s.export(ctx, n.engine, request)
		return err
	})
}

// writeProfessional writes the shipped set with the professional EOB as its only
// one, on the professional claim lines alone. The mapping itself stays as it is,
// and so do those that it refers to.
func writeProfessional(dir string) error {
	shipped, ok := library.Set("tuva")
	if !ok {
		return errors.New("no set tuva is shipped")
	}
	if err := os.CopyFS(dir, shipped); err != nil {
		return err
	}
	others, err := filepath.Glob(filepath.Join(dir, "eob-*.yaml"))
	if err != nil {
		return err
	}
	for _, path := range others {
		if filepath.Base(path) != "eob-professional.yaml" {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	lines := filepath.Join(dir, "medical_claim.sql")
	text, err := os.ReadFile(lines)
	if err != nil {
		return err
	}
	return os.WriteFile(lines, append(text, "WHERE m.claim_type = 'professional'\n"...), 0o600)
}

// errFound ends a run early.
var errFound = errors.New("found")

// oneMember is the id of the first Patient of the set.
func (b *bench) oneMember(ctx context.Context) (id string, err error) {
	snap, err := b.node.loaded.warehouse.Snapshot(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	_, err = b.node.loaded.program.Run(ctx, snap, program.Request{Types: []string{"Patient"}}, func(m *program.Emitted) error {
		id = string(m.ID)
		return errFound
	})
	if !errors.Is(err, errFound) {
		return "", errors.Join(errors.New("no member found"), err)
	}
	return id, nil
}

// handWritten is the query that a payer's analyst would write by hand for the
// professional EOBs: one column, one row each, the same as the mapping makes.
//
//go:embed bench_professional.sql
var handWritten string

// handTuned is handWritten with what makes it faster: literals for what is the
// same in all claims, and the lacks of a claim taken out where there are some.
//
//go:embed bench_professional_tuned.sql
var handTuned string
