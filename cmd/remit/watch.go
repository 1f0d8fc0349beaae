package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"remit/mapping"
	"remit/mapping/diag"
	"remit/mapping/program"
	"remit/mapping/workbook"
	"remit/profiles"
	"remit/server/export"
	"remit/sql/source"
)

// reloader keeps the mapping set of a running server up to date: it looks at
// the set's files on every tick and, where they have changed and the new set is
// sound, hands it out from then on. Jobs ask once, when they start, so that a
// set changes between jobs and never inside one. A broken set is refused with
// its diagnostics in the log, and the old one keeps serving.
type reloader struct {
	files     fs.FS
	warehouse source.Source
	options   reloadOptions
	log       *slog.Logger
	current   atomic.Pointer[serving]
	seen      map[string]fileStamp
}

// reloadOptions are what a set is loaded with, as at start.
type reloadOptions struct {
	profiles      *profiles.Set
	idKey         []byte
	noAssumptions bool
	version       string // of this binary, for the set's fingerprint
	// validator makes the validator of a set, as at start.
	validator func(*program.Program) (*profiles.Validator, error)
}

// serving is a sound set and its validator.
type serving struct {
	program   marked
	validator *profiles.Validator
}

// fileStamp tells whether a file may have changed: its hash is taken only where
// size or time moved.
type fileStamp struct {
	size    int64
	changed time.Time
	hash    [sha256.Size]byte
}

// newReloader starts from a set that is loaded already. What its files looked
// like at that time is taken now: call it before anyone edits them.
func newReloader(l *loaded, validator *profiles.Validator, o reloadOptions, log *slog.Logger) (*reloader, error) {
	r := &reloader{files: l.files, warehouse: l.warehouse, options: o, log: log}
	var err error
	if r.seen, err = stamps(l.files, nil); err != nil {
		return nil, err
	}
	return r, r.serve(l.program, validator)
}

// serve hands a set out from now on, marked by its fingerprint.
func (r *reloader) serve(prog *program.Program, validator *profiles.Validator) error {
	mark, err := fingerprint(r.files, r.options.idKey, r.options.version, r.options.noAssumptions)
	if err != nil {
		return err
	}
	r.current.Store(&serving{program: marked{prog, mark}, validator: validator})
	return nil
}

// Program is the set to run, for export.Options.Program.
func (r *reloader) Program() (export.Runner, export.Validator) {
	s := r.current.Load()
	return s.program, s.validator
}

// Types are the resource types of the set, for the server's
// CapabilityStatement.
func (r *reloader) Types() []program.Type { return r.current.Load().program.Types() }

// Watch looks at the files on every tick until ctx ends or ticks are over. The
// caller owns the ticker.
func (r *reloader) Watch(ctx context.Context, ticks <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-ticks:
			if !ok {
				return
			}
			if err := r.look(ctx); err != nil && ctx.Err() == nil {
				r.log.Error("mapping set not reloaded", "error", err.Error())
			}
		}
	}
}

// look reloads the set where its files have changed. A set is tried once for
// each state of its files.
func (r *reloader) look(ctx context.Context) error {
	now, err := stamps(r.files, r.seen)
	if err != nil {
		return err
	}
	same := sameContent(r.seen, now)
	r.seen = now
	if same {
		return nil
	}
	prog, list, err := mapping.Load(ctx, r.files, mapping.Env{
		Warehouse: r.warehouse, Profiles: r.options.profiles, IDKey: r.options.idKey, NoAssumptions: r.options.noAssumptions,
		Sheets: workbook.Rows,
	})
	if err != nil {
		r.seen = nil // the warehouse may be back at the next tick
		return fmt.Errorf("load mappings: %w", err)
	}
	if prog == nil {
		r.refuse(list)
		return nil
	}
	validator, err := r.options.validator(prog)
	if err != nil {
		return fmt.Errorf("compile profiles: %w", err)
	}
	if err := r.serve(prog, validator); err != nil {
		return err
	}
	r.log.Info("mapping set reloaded", "files", len(now))
	return nil
}

// refuse logs why a set is not taken: diagnostics speak of the set, never of
// rows.
func (r *reloader) refuse(list *diag.List) {
	errs := 0
	for _, d := range list.All() {
		if d.Severity != diag.Error {
			continue
		}
		if errs++; errs <= diag.Max {
			r.log.Error("mapping set refused", "diagnostic", d.String())
		}
	}
	r.log.Error("the set loaded before keeps serving", "diagnostics", errs)
}

// stamps looks at all files of a set, subfolders included: SQL and CSV count
// as much as YAML. A file that vanishes meanwhile is left out.
func stamps(files fs.FS, before map[string]fileStamp) (map[string]fileStamp, error) {
	out := map[string]fileStamp{}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := fs.Stat(files, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		now := fileStamp{size: info.Size(), changed: info.ModTime()}
		if old, ok := before[name]; ok && old.size == now.size && old.changed.Equal(now.changed) {
			out[name] = old
			return nil
		}
		data, err := fs.ReadFile(files, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		now.hash = sha256.Sum256(data)
		out[name] = now
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at the mapping set: %w", err)
	}
	return out, nil
}

func sameContent(a, b map[string]fileStamp) bool {
	if len(a) != len(b) {
		return false
	}
	for name, x := range a {
		if y, ok := b[name]; !ok || x.hash != y.hash {
			return false
		}
	}
	return true
}
