package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"remit/fixtures"
	"remit/sql/duckdb"
	pgload "remit/sql/postgres/load"
	"remit/sql/source"
)

type benchCmd struct {
	Warehouse string `help:"PostgreSQL database to load the scaled claims into, postgres://...; the schema tuva must not be there and is dropped at the end, but for --keep. Without it the embedded engine reads them from files." placeholder:"ADDRESS"`
	Members   []int  `help:"Members to scale the shipped claims to, 35 claims each; several give a run each." placeholder:"N" default:"1000"`
	Workers   int    `help:"Chunks that run at the same time; all processors where it is not given." placeholder:"N"`
	ChunkSize int    `help:"About how many parent rows a chunk reads." placeholder:"ROWS" default:"20000"`
	Repeat    int    `help:"How often each stage is measured; the median is told." placeholder:"N" default:"3"`
	Dir       string `help:"Folder for the scaled claims and the exported files; a temporary one where it is not given." placeholder:"DIR"`
	Keep      bool   `help:"Leave the loaded schema in PostgreSQL, and measure on one that an earlier run left."`
	JSON      bool   `help:"Print one JSON object a run."`
}

// Help shows a worked line.
func (benchCmd) Help() string {
	return `Scales the shipped claims to N members and measures, one after the other in the same run: COPY of the plan's queries (PostgreSQL), Remit's own reading of them, a hand-written json_build_object query for the professional EOBs, plain and tuned (PostgreSQL), and Remit's stages, each with those before it: read, map, validate, encode, gzip, and the whole export with its synced files. All of them use the same snapshot, and all but the hand-written queries the same queries and chunks. After that come exports of EOBs: of all kinds, and of the professional ones alone, by the shipped set without its mappings of other EOBs and on their claim lines.

The hand-written queries make the same professional EOBs, value for value, in one session of the server; they judge nothing and write no file. Their rates are compared, those of the export with every check, gzip and synced files.

Example: remit bench --members 1000,3000`
}

// Run measures each size in turn.
func (c *benchCmd) Run(ctx context.Context, a *app) (err error) {
	for _, n := range c.Members {
		if n < fixtureMembers || n%fixtureMembers != 0 {
			return usagef("members %d: use a multiple of %d", n, fixtureMembers)
		}
	}
	if c.Repeat < 1 || c.ChunkSize < 1 || c.Workers < 0 {
		return usagef("--repeat and --chunk-size are 1 or more, --workers is not negative")
	}
	if c.Keep && (c.Warehouse == "" || len(c.Members) != 1) {
		return usagef("--keep leaves one size in a --warehouse")
	}
	if c.Workers == 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	dir, err := os.MkdirTemp(c.Dir, "remit-bench-")
	if err != nil {
		return fmt.Errorf("make bench folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for _, members := range c.Members {
		r, err := c.size(ctx, a, filepath.Join(dir, fmt.Sprint(members)), members)
		if err != nil {
			return fmt.Errorf("bench with %d members: %w", members, err)
		}
		if c.JSON {
			err = json.NewEncoder(a.stdout).Encode(r)
		} else {
			err = r.print(a.stdout)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fixtureMembers is how many members the shipped claims have.
const fixtureMembers = 100

// size measures one size in a folder and a schema of its own.
func (c *benchCmd) size(ctx context.Context, a *app, dir string, members int) (_ *benchRun, err error) {
	if err := roomFor(dir, members); err != nil {
		return nil, err
	}
	there := false
	if c.Keep {
		if there, err = kept(ctx, c.Warehouse, members); err != nil {
			return nil, err
		}
	}
	address := c.Warehouse
	if !there {
		claims := filepath.Join(dir, "claims")
		fmt.Fprintf(a.stderr, "scaling the claims to %d members\n", members)
		if err := fixtures.Replicate(claims, fixtures.Tuva(), members/fixtureMembers); err != nil {
			return nil, err
		}
		if address == "" {
			address = "duckdb:" + claims
		} else {
			fmt.Fprintln(a.stderr, "loading them into PostgreSQL")
			if err := c.load(ctx, a, claims); err != nil {
				return nil, err
			}
			if !c.Keep {
				defer func() {
					err = errors.Join(err, pgload.Drop(context.WithoutCancel(ctx), c.Warehouse, benchSchema))
				}()
			}
		}
	}
	b := &bench{cmd: c, app: a, dir: dir, address: address, run: &benchRun{Members: members, Workers: c.Workers, Engine: scheme(address)}}
	if err := b.measure(ctx); err != nil {
		return nil, err
	}
	return b.run, nil
}

// benchSchema is where the mapping set reads.
const benchSchema = "tuva"

// kept tells whether the schema of an earlier run is there. One of another size
// is refused, as its figures would be told of the wrong one.
func kept(ctx context.Context, address string, members int) (there bool, err error) {
	w, err := openWarehouse(ctx, address)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	catalog, err := w.Catalog(ctx)
	if err != nil {
		return false, err
	}
	if !slices.ContainsFunc(catalog.Tables, func(t source.Table) bool { return t.Schema == benchSchema }) {
		return false, nil
	}
	snap, err := w.Snapshot(ctx)
	if err != nil {
		return false, fmt.Errorf("open snapshot: %w", err)
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	c, ok := snap.(copier)
	if !ok {
		return false, usagef("--keep needs a PostgreSQL --warehouse")
	}
	n, err := c.CopySQL(ctx, "SELECT DISTINCT data_source, patient_id FROM "+benchSchema+".eligibility")
	if err != nil {
		return false, err
	}
	if n.Rows != int64(members) {
		return false, usagef("the schema %s that is there has %d members, not %d", benchSchema, n.Rows, members)
	}
	return true, nil
}

func (c *benchCmd) load(ctx context.Context, a *app, folder string) error {
	from, err := duckdb.Open(ctx, folder, duckdb.Options{})
	if err != nil {
		return err
	}
	defer from.Close()
	catalog, err := from.Catalog(ctx)
	if err != nil {
		return err
	}
	options := pgload.Options{Schema: benchSchema}
	l := loadCmd{Mappings: "tuva"}
	if options.Indexes, err = l.indexes(ctx, a, from, catalog); err != nil {
		return err
	}
	snap, err := from.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("open snapshot: %w", err)
	}
	defer snap.Close()
	_, err = pgload.Into(ctx, c.Warehouse, snap, catalog.Tables, options)
	if errors.Is(err, pgload.ErrSchemaExists) {
		return &usageError{err}
	}
	return err
}

// benchRun is what one size gave.
type benchRun struct {
	Engine  string `json:"engine"`
	Members int    `json:"members"`
	Workers int    `json:"workers"`
	Chunks  int    `json:"chunks"`
	// Cut is the time in which the rows were cut into chunks, once; every
	// export does it before its first chunk.
	Cut    float64      `json:"cut_seconds"`
	Stages []benchStage `json:"stages"`
	// Files are those of the whole export.
	Files int `json:"files"`
	// OneMember is the time of an export of one member with all types, kick-off to
	// manifest.
	OneMember float64 `json:"one_member_seconds"`
	// OfQuery is professional EOBs/s of their export, divided by those of the
	// hand-written query, 0 where the engine has none; OfTuned by those of the
	// query tuned. Both make the same resources in one session of the server,
	// judge none (so that they give the few that the export withholds, too) and
	// write no file.
	OfQuery float64 `json:"professional_eobs_of_json_build_object,omitempty"`
	OfTuned float64 `json:"professional_eobs_of_json_build_object_tuned,omitempty"`
}

// benchStage is the median run of a stage, by its time.
type benchStage struct {
	Name      string  `json:"stage"`
	Seconds   float64 `json:"seconds"`
	CPU       float64 `json:"cpu_seconds"` // of this process; the server's is not in it
	Rows      int64   `json:"rows,omitempty"`
	Resources int64   `json:"resources,omitempty"`
	Bytes     int64   `json:"bytes,omitempty"`
	PeakMB    float64 `json:"peak_mb,omitempty"` // resident, of this process
	// OfRead is the time of the faster raw read of the same rows, divided by
	// that of the stage.
	OfRead float64 `json:"of_read,omitempty"`

	plan bool // it reads the rows of all queries of the plan
	raw  bool // it only reads them
}

func (r *benchRun) print(w io.Writer) error {
	fmt.Fprintf(w, "%s %d members, %d chunks, %d at once; cut in %.2f s\n", r.Engine, r.Members, r.Chunks, r.Workers, r.Cut)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "stage\tseconds\tcpu s\trows/s\tresources/s\tbytes each\tMB/s\tpeak MB\tof raw read\t")
	rate := func(n int64, s float64, unit float64) string {
		if n == 0 {
			return "-"
		}
		return fmt.Sprintf("%.0f", float64(n)/s/unit)
	}
	for _, s := range r.Stages {
		ratio, peak, each := "-", "-", "-"
		if s.OfRead > 0 {
			ratio = fmt.Sprintf("%.2f", s.OfRead)
		}
		if s.PeakMB > 0 {
			peak = fmt.Sprintf("%.0f", s.PeakMB)
		}
		if s.Resources > 0 && s.Bytes > 0 {
			each = fmt.Sprint(s.Bytes / s.Resources)
		}
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%s\t%s\t%s\t%s\t%s\t%s\t\n", s.Name, s.Seconds, s.CPU, rate(s.Rows, s.Seconds, 1),
			rate(s.Resources, s.Seconds, 1), each, rate(s.Bytes, s.Seconds, 1e6), peak, ratio)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d files; one member's export takes %.3f s\n", r.Files, r.OneMember)
	if err == nil && r.OfQuery > 0 {
		_, err = fmt.Fprintf(w, "professional EOBs/s: %.2f times the json_build_object query, %.2f times that query tuned; both make the same resources\n", r.OfQuery, r.OfTuned)
	}
	return err
}

// stage adds the median of several measurements.
func (r *benchRun) stage(all []benchStage) {
	slices.SortFunc(all, func(a, b benchStage) int { return cmp.Compare(a.Seconds, b.Seconds) })
	peak := 0.0
	for _, s := range all {
		peak = max(peak, s.PeakMB)
	}
	median := all[len(all)/2]
	median.PeakMB = peak
	r.Stages = append(r.Stages, median)
}

// Names of stages that are compared with each other: all make the professional
// EOBs.
const (
	handWrittenStage  = "json_build_object"
	tunedStage        = "json_build_object, tuned"
	professionalStage = "whole export of professional EOBs"
)

// rate fills in what each stage is beside the faster raw read: by time, as all
// of the plan's stages read the same rows.
func (r *benchRun) rate() {
	fastest := 0.0
	perSecond := map[string]float64{}
	for _, s := range r.Stages {
		perSecond[s.Name] = float64(s.Resources) / s.Seconds
		if s.plan && s.raw && (fastest == 0 || s.Seconds < fastest) {
			fastest = s.Seconds
		}
	}
	for i := range r.Stages {
		if s := &r.Stages[i]; s.plan {
			s.OfRead = fastest / s.Seconds
		}
	}
	if query := perSecond[handWrittenStage]; query > 0 {
		r.OfQuery = perSecond[professionalStage] / query
	}
	if query := perSecond[tunedStage]; query > 0 {
		r.OfTuned = perSecond[professionalStage] / query
	}
}

// roomFor refuses where the disk cannot hold the run: the claims, the schema
// and the exported files, about 1 MB a member.
func roomFor(dir string, members int) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make bench folder: %w", err)
	}
	free, ok := freeSpace(dir)
	if need := uint64(members) << 20; ok && free < need {
		return usagef("%d members need about %d MB of disk, %d MB are free", members, need>>20, free>>20)
	}
	return nil
}

// clockwork measures time, processor and memory of one piece of work.
func clockwork(now func() time.Time, work func() error) (s benchStage, err error) {
	runtime.GC()
	peak := watchMemory()
	cpu, began := cpuTime(), now()
	err = work()
	s.Seconds, s.CPU = now().Sub(began).Seconds(), (cpuTime() - cpu).Seconds()
	s.PeakMB = float64(peak()) / (1 << 20)
	return s, err
}
