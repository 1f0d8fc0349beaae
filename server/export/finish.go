package export

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"remit/mapping/program"
	"remit/server/files"
	"remit/server/jobs"
	"remit/sql/control"
)

// finish is the handler of finish jobs: all chunks are done; what is left are
// duplicates between chunks, the notes, the names of the files and the report.
func (e *Engine) finish(ctx context.Context, j jobs.Job) error {
	x, o, err := e.load(ctx, j.Args)
	if x == nil || err != nil {
		return err
	}
	done, free := e.enter(control.Attempt{ExportID: x.ID, N: finishing})
	if !free {
		return nil
	}
	defer done()
	err = e.finishExport(ctx, x, o, j.Attempt)
	return e.settle(ctx, x, j, "finish", err)
}

func (e *Engine) finishExport(ctx context.Context, x *control.Export, o *order, attempt int) (err error) {
	report := &newTally().Report
	chunks, err := e.Control.Chunks(ctx, x.ID)
	if err != nil {
		return because(ctx, err)
	}
	for _, c := range chunks {
		if c.State != "done" {
			return e.feed(ctx, x) // a job of an earlier look; the last chunk comes back here
		}
		counts := new(Report)
		if err := json.Unmarshal([]byte(c.Counts), counts); err != nil {
			return fmt.Errorf("read counts of chunk %d: %w", c.N, err)
		}
		report.merge(counts)
	}
	rows, err := e.Control.Files(ctx, x.ID)
	if err != nil {
		return because(ctx, err)
	}
	sortFiles(rows)

	base := fmt.Sprintf("%s/f%d-%d", folder(x.ID, x.Generation), x.Epoch, attempt)
	set := e.Files.NewSet(base, e.Limits)
	kept := false
	defer func() {
		if !kept {
			err = errors.Join(err, set.Abort(context.WithoutCancel(ctx)))
		}
	}()
	for _, n := range notes(x, o, e.typesOf(x, o.View)) {
		line, err := notice(n).line()
		if err != nil {
			return err
		}
		if err := set.Write(ctx, seriesOf(control.KindError, outcomeType), line); err != nil {
			return because(ctx, err)
		}
	}
	dedup := &deduper{store: e.Files, base: base, rows: rows, report: report, set: set, batch: e.digests, fan: e.fan, organized: o.Organize != ""}
	replaced, err := dedup.run(ctx)
	if err != nil {
		return because(ctx, fmt.Errorf("look for duplicates: %w", err))
	}
	undeleted, err := dedup.settle(ctx)
	if err != nil {
		return because(ctx, fmt.Errorf("settle deletions: %w", err))
	}
	unasked, err := dedup.associate(ctx, o.Associated)
	if err != nil {
		return because(ctx, fmt.Errorf("choose associated data: %w", err))
	}
	replaced = slices.Concat(replaced, undeleted, unasked)
	parts, err := set.Commit()
	if err != nil {
		return because(ctx, fmt.Errorf("commit notes: %w", err))
	}
	// What concerns the export as a whole comes before the chunks' own.
	rows = append(dedup.rows, fileRows(parts, -1)...)
	rows = slices.DeleteFunc(rows, func(f control.File) bool { return f.Kind == control.KindDigest })
	sortFiles(rows)
	name(rows)

	now := e.Clock().UTC()
	report.TransactionTime, report.Started, report.Finished = x.TransactionTime, x.Started, now
	report.View = o.View
	report.Restarts = max(0, int(x.Generation)-1)
	text, err := json.Marshal(report)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	detail := fmt.Sprintf("%d resources in %d files", total(report.Exported), len(rows))
	err = e.Control.CompleteExport(ctx, x, rows, total(report.Exported), text, e.ending(x, now, "ok", detail))
	if errors.Is(err, control.ErrConflict) {
		return nil // deleted, or finished by an earlier attempt
	}
	if err != nil {
		return because(ctx, err)
	}
	kept = true
	e.end(x.ID, errEnded)
	e.next(ctx)
	e.Log.InfoContext(ctx, "export complete", "job_id", x.ID, "client_id", x.ClientID, "chunks", len(chunks), "files", len(rows),
		"rows", report.Rows, "resources", total(report.Exported), "withheld", total(report.Withheld),
		"elapsed_ms", now.Sub(x.Created).Milliseconds())
	for _, object := range replaced {
		if err := e.Files.Remove(ctx, object); err != nil {
			e.Log.WarnContext(ctx, "replaced file remains", "job_id", x.ID, "error", err)
		}
	}
	return nil
}

// notes are the messages about the export as a whole.
func notes(x *control.Export, o *order, types []program.Type) []Note {
	all := slices.Clone(o.Notes)
	if x.Generation > 1 {
		all = append(all, Note{Severity: "information", Code: "informational", Text: fmt.Sprintf(
			"The export was interrupted and had to start over; its data are those of %s.", resumedAt(x.TransactionTime))})
	}
	if o.Since.IsZero() && o.Until.IsZero() {
		return all
	}
	wanted := o.request(types).Types
	for _, t := range types {
		if !t.Tracked && slices.Contains(wanted, t.Name) {
			all = append(all, Note{Severity: "information", Code: "informational", Expression: t.Name, Text: fmt.Sprintf(
				"%s: the warehouse does not track changes of all its rows, so resources are returned whatever _since and _until say.", t.Name)})
		}
		if t.Tracked && t.Directory && o.Limited && !o.Since.IsZero() && slices.Contains(wanted, t.Name) {
			all = append(all, Note{Severity: "information", Code: "informational", Expression: t.Name, Text: fmt.Sprintf(
				"%s: of an export of some patients it holds whom their records name, returned whatever _since says.", t.Name)})
		}
		// Whether somebody is left out is not told: the note is the same for all.
		if t.Ownerless && !o.Since.IsZero() && slices.Contains(wanted, t.Name) {
			all = append(all, Note{Severity: "information", Code: "informational", Expression: t.Name, Text: fmt.Sprintf(
				"%s: the warehouse does not tell whose removed rows were, so deletions may be missing.", t.Name)})
		}
	}
	return all
}

// sortFiles puts files in an order that does not depend on which chunk was done
// first: kind, type, chunk, sequence.
func sortFiles(rows []control.File) {
	slices.SortFunc(rows, func(a, b control.File) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Chunk, b.Chunk),
			cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Object, b.Object))
	})
}

// name numbers the files of each type, from 1.
func name(rows []control.File) {
	next := map[string]int{}
	for i := range rows {
		f := &rows[i]
		next[f.Type]++
		f.Name = fmt.Sprintf("%s.%d.ndjson", f.Type, next[f.Type])
	}
}

// deduper finds resources that two chunks exported under one id, which only a
// mapping with ids that are not one to one with its keys can bring about. The
// first in file order stays, the others are withheld (BE-234).
type deduper struct {
	store  *files.Store
	base   string
	rows   []control.File // sorted; replaced where a file is rewritten
	report *Report
	set    *files.Set
	batch  int // digests in memory at once
	fan    int // files of digests open at once
	// organized says that output files hold several types.
	organized bool
	rewritten int // files, so far
}

// run returns the objects that rewritten files replace.
func (d *deduper) run(ctx context.Context) (replaced []string, err error) {
	byType := map[string][]control.File{}
	for _, f := range d.rows {
		if f.Kind == control.KindDigest {
			byType[f.Type] = append(byType[f.Type], f)
		}
	}
	for _, typ := range slices.Sorted(maps.Keys(byType)) {
		if len(byType[typ]) == 1 {
			continue // within a run nothing is twice
		}
		twice := map[digest]struct{}{}
		rewrite := func() error {
			if len(twice) == 0 {
				return nil
			}
			objects, err := d.rewrite(ctx, typ, twice)
			replaced = append(replaced, objects...)
			clear(twice)
			return err
		}
		// Where the merge begins again, what was found once more is there only once
		// by now, and rewriting leaves it.
		var last digest
		begun := false
		m := &merger{store: d.store, base: d.base, fan: d.fan}
		err := m.each(ctx, byType[typ], func(g digest) error {
			if begun && g == last {
				twice[g] = struct{}{}
			}
			last, begun = g, true
			if len(twice) < d.batch {
				return nil
			}
			return rewrite()
		})
		if err == nil {
			err = rewrite()
		}
		if err != nil {
			return nil, err
		}
	}
	return replaced, nil
}

// rewrite writes the files of a type that hold a later occurrence anew.
func (d *deduper) rewrite(ctx context.Context, typ string, twice map[digest]struct{}) (replaced []string, err error) {
	seen := map[digest]struct{}{}
	for i := range d.rows {
		f := &d.rows[i]
		if f.Kind != control.KindOutput || f.Type != typ && !d.organized {
			continue
		}
		var drop []int64 // line numbers from 0
		var ids []string
		var n int64
		err := eachLine(ctx, d.store, *f, func(line []byte) error {
			defer func() { n++ }()
			var head struct {
				ResourceType string `json:"resourceType"`
				ID           string `json:"id"`
			}
			if err := json.Unmarshal(line, &head); err != nil {
				return errors.New("malformed line")
			}
			if head.ResourceType != typ {
				return nil // organized files hold several types
			}
			g := digestOf(typ, []byte(head.ID))
			if _, ok := twice[g]; !ok {
				return nil
			}
			if _, later := seen[g]; later {
				drop, ids = append(drop, n), append(ids, head.ID)
			}
			seen[g] = struct{}{}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if drop == nil {
			continue
		}
		for _, id := range ids {
			line, err := outcome(subject{typ: typ, id: id}, true, []reject{duplicate()}).line()
			if err != nil {
				return nil, err
			}
			if err := d.set.Write(ctx, seriesOf(control.KindError, outcomeType), line); err != nil {
				return nil, err
			}
		}
		gone := int64(len(drop))
		add(&d.report.Exported, typ, -gone)
		add(&d.report.Withheld, typ, gone)
		add(&d.report.Reasons, "duplicate-id", gone)
		before := f.Bytes
		replaced = append(replaced, f.Object)
		if err := d.without(ctx, f, drop); err != nil {
			return nil, err
		}
		if f.Count == 0 {
			f.Bytes = 0
		}
		add(&d.report.Bytes, typ, f.Bytes-before)
	}
	d.rows = slices.DeleteFunc(d.rows, func(f control.File) bool { return f.Kind == control.KindOutput && f.Count == 0 })
	return replaced, nil
}

// without replaces f by a file that lacks the lines of drop.
func (d *deduper) without(ctx context.Context, f *control.File, drop []int64) error {
	if f.Count -= int64(len(drop)); f.Count == 0 {
		return nil
	}
	// A file may be rewritten more than once: for several types, or batches.
	d.rewritten++
	object := fmt.Sprintf("%s/%s.%d.%d.%d.ndjson.gz", d.base, seriesOf(f.Kind, f.Type), f.Chunk, f.Seq, d.rewritten)
	w, err := d.store.Create(ctx, object)
	if err != nil {
		return err
	}
	defer w.Abort()
	var n int64
	err = eachLine(ctx, d.store, *f, func(line []byte) error {
		defer func() { n++ }()
		if _, found := slices.BinarySearch(drop, n); found {
			return nil
		}
		return w.Write(line)
	})
	if err != nil {
		return err
	}
	info, err := w.Commit()
	if err != nil {
		return err
	}
	f.Object, f.Bytes, f.Stored, f.SHA256 = object, info.Bytes, info.Stored, info.SHA256
	return nil
}

func add(m *map[string]int64, key string, n int64) {
	if *m == nil {
		*m = map[string]int64{}
	}
	(*m)[key] += n
}

// eachLine calls do for every line of a file; line is valid until it returns.
func eachLine(ctx context.Context, store *files.Store, f control.File, do func(line []byte) error) (err error) {
	r, err := store.Plain(ctx, f.Object, f.Bytes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, 64<<10), maxLine+2)
	for in.Scan() {
		if err := do(in.Bytes()); err != nil {
			return fmt.Errorf("read file: %w", err)
		}
	}
	if err := in.Err(); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read file: %w", err)
	}
	return nil
}
