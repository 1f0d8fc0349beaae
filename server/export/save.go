package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// FailedError says that an export ended in failure.
type FailedError struct {
	ID      string
	Failure Failure
}

func (e *FailedError) Error() string { return "export failed: " + e.Failure.Detail }

// Run does a whole export and waits for its end; progress, where not nil, is
// told where it stands a few times a second. The engine must be started. Where
// ctx ends first, the export is deleted. Error: *FailedError, and those of
// Kickoff.
func (e *Engine) Run(ctx context.Context, r Request, progress func(*Status)) (*Status, error) {
	id, err := e.Kickoff(ctx, r, false)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := e.Status(ctx, id)
		if ctx.Err() != nil {
			return nil, errors.Join(context.Cause(ctx), e.Delete(context.WithoutCancel(ctx), id))
		}
		if err != nil {
			return nil, err
		}
		if progress != nil {
			progress(st)
		}
		switch st.State {
		case StateComplete:
			return st, nil
		case StateFailed:
			return st, &FailedError{ID: id, Failure: *st.Failure}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// Save writes a complete export into a folder: its files, decompressed or as
// NAME.gz, manifest.json and report.json, the manifest last. No file is seen
// half written. Errors: those of Manifest; ErrFull is not told apart here.
func (e *Engine) Save(ctx context.Context, id, dir string, gzip bool) (*Manifest, *Report, error) {
	suffix := ""
	if gzip {
		suffix = ".gz"
	}
	m, err := e.Manifest(ctx, id, "", false)
	if err != nil {
		return nil, nil, err
	}
	r, err := e.Report(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("save export: %w", err)
	}
	for _, list := range [][]ManifestFile{m.Output, m.Deleted, m.Error} {
		for i := range list {
			f, err := e.OpenFile(ctx, id, list[i].Name)
			if err != nil {
				return nil, nil, err
			}
			open := f.Identity
			if gzip {
				open = f.Gzip
			}
			list[i].URL += suffix
			if err := saveFile(ctx, filepath.Join(dir, list[i].URL), open); err != nil {
				return nil, nil, fmt.Errorf("save %s: %w", list[i].URL, err)
			}
		}
	}
	for _, doc := range []struct {
		name  string
		value any
	}{{"report.json", r}, {"manifest.json", m}} {
		text, err := json.MarshalIndent(doc.value, "", "  ")
		if err != nil {
			return nil, nil, fmt.Errorf("write %s: %w", doc.name, err)
		}
		err = saveFile(ctx, filepath.Join(dir, doc.name), func(context.Context) (io.ReadSeekCloser, error) {
			return nopCloser{strings.NewReader(string(text) + "\n")}, nil
		})
		if err != nil {
			return nil, nil, fmt.Errorf("save %s: %w", doc.name, err)
		}
	}
	return m, r, nil
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

// saveFile copies a file under a temporary name and renames it.
func saveFile(ctx context.Context, path string, open func(context.Context) (io.ReadSeekCloser, error)) (err error) {
	in, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.CreateTemp(filepath.Dir(path), ".part-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(out.Name()))
		}
	}()
	if _, err = io.Copy(out, in); err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), path)
}
