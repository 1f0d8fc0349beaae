package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"remit/server/export"
	"remit/sql/control"
)

type jobCmd struct {
	List   jobListCmd   `cmd:"" help:"List exports, newest first."`
	Show   jobShowCmd   `cmd:"" help:"Tell where one export stands, chunk by chunk."`
	Cancel jobCancelCmd `cmd:"" help:"End an export as if its client had deleted it."`
	Retry  jobRetryCmd  `cmd:"" help:"Let a failed export begin anew under the same id."`
}

// jobLine is an export as list and show print it. It names no patient and no
// group.
type jobLine struct {
	ID        string          `json:"id"`
	Client    string          `json:"client_id"`
	State     control.State   `json:"state"`
	Level     export.Level    `json:"level"`
	Types     []string        `json:"types"`
	Percent   int64           `json:"percent"`
	Chunks    int64           `json:"chunks"`
	Done      int64           `json:"chunks_done"`
	Resources int64           `json:"resources"`
	Restarts  int64           `json:"restarts"`
	Node      string          `json:"node,omitempty"`
	Created   time.Time       `json:"created"`
	Finished  time.Time       `json:"finished,omitzero"`
	Failure   *export.Failure `json:"failure,omitempty"`
}

func jobLineOf(x *control.Export) (jobLine, error) {
	var r export.Request
	if err := json.Unmarshal(x.Request, &r); err != nil {
		return jobLine{}, fmt.Errorf("read request of export %s: %w", x.ID, err)
	}
	l := jobLine{ID: x.ID, Client: x.ClientID, State: x.State, Level: r.Level, Types: r.Types, Percent: x.Percent, Chunks: x.ChunksTotal,
		Done: x.ChunksDone, Resources: x.Resources, Restarts: max(0, x.Generation-1), Node: x.Owner, Created: x.Created, Finished: x.Finished}
	if len(x.Failure) > 0 {
		l.Failure = new(export.Failure)
		if err := json.Unmarshal(x.Failure, l.Failure); err != nil {
			return jobLine{}, fmt.Errorf("read failure of export %s: %w", x.ID, err)
		}
	}
	return l, nil
}

type jobListCmd struct {
	controlFlags
	State string `help:"Only exports in this state: accepted, running, complete, failed, expired or deleted." placeholder:"STATE"`
	Limit int    `help:"At most this many." default:"50"`
	JSON  bool   `help:"Print one JSON object an export."`
}

// Help shows a worked line.
func (jobListCmd) Help() string {
	return "Example: remit job list --data remit-data --state failed"
}

// Run lists exports.
func (c *jobListCmd) Run(ctx context.Context, a *app) error {
	switch control.State(c.State) {
	case "", control.Accepted, control.Running, control.Complete, control.Failed, control.Expired, control.Deleted:
	default:
		return usagef("state %q: use accepted, running, complete, failed, expired or deleted", c.State)
	}
	store, err := c.openExisting(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	var all []*control.Export
	if c.State == "" {
		all, err = store.RecentExports(ctx, c.Limit)
	} else if all, err = store.Exports(ctx, control.State(c.State)); len(all) > c.Limit {
		all = all[:c.Limit]
	}
	if err != nil {
		return err
	}
	out := newListing(a.stdout, c.JSON, "id", "client", "state", "percent", "resources", "created")
	for _, x := range all {
		l, err := jobLineOf(x)
		if err != nil {
			return err
		}
		if err := out.add(l, l.ID, l.Client, l.State, l.Percent, l.Resources, l.Created.UTC().Format(time.RFC3339)); err != nil {
			return err
		}
	}
	return out.close()
}

type jobShowCmd struct {
	controlFlags
	JSON bool   `help:"Print one JSON object."`
	ID   string `arg:"" help:"The export's id."`
}

// Help shows a worked line.
func (jobShowCmd) Help() string {
	return "Example: remit job show --data remit-data 6m7ozqu3yqd4k2b5x3tq7v2r4e"
}

// jobDetail is one export with its chunks and the nodes that live.
type jobDetail struct {
	jobLine
	Open  []jobChunk `json:"open_chunks"`
	Nodes []jobNode  `json:"nodes"`
}

type jobChunk struct {
	N       int    `json:"chunk"`
	State   string `json:"state"`
	Attempt int    `json:"attempts"`
}

type jobNode struct {
	ID      string    `json:"id"`
	Version string    `json:"version"`
	Workers int       `json:"workers"`
	Seen    time.Time `json:"seen"`
}

// Run shows one export.
func (c *jobShowCmd) Run(ctx context.Context, a *app) error {
	store, err := c.openExisting(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	x, err := store.Export(ctx, c.ID)
	if err != nil {
		return unknownJob(err)
	}
	var d jobDetail
	if d.jobLine, err = jobLineOf(x); err != nil {
		return err
	}
	chunks, err := store.Chunks(ctx, c.ID)
	if err != nil {
		return err
	}
	for _, k := range chunks {
		if k.State != "done" {
			d.Open = append(d.Open, jobChunk{k.N, k.State, k.Attempt})
		}
	}
	nodes, err := store.Nodes(ctx)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		d.Nodes = append(d.Nodes, jobNode{n.ID, n.Version, n.Workers, n.Seen})
	}
	if c.JSON {
		return json.NewEncoder(a.stdout).Encode(d)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "id\t%s\nclient\t%s\nstate\t%s\nlevel\t%s\ntypes\t%d\nprogress\t%d%%, %d of %d chunks, %d resources\nrestarts\t%d\nnode\t%s\ncreated\t%s\n",
		d.ID, d.Client, d.State, d.Level, len(d.Types), d.Percent, d.Done, d.Chunks, d.Resources, d.Restarts, d.Node, d.Created.UTC().Format(time.RFC3339))
	if !d.Finished.IsZero() {
		fmt.Fprintf(w, "finished\t%s\n", d.Finished.UTC().Format(time.RFC3339))
	}
	if d.Failure != nil {
		fmt.Fprintf(w, "failure\t%s\ndetail\t%s\n", d.Failure.Text, d.Failure.Detail)
	}
	for _, k := range d.Open {
		fmt.Fprintf(w, "chunk %d\t%s, attempts %d\n", k.N, k.State, k.Attempt)
	}
	for _, n := range d.Nodes {
		fmt.Fprintf(w, "seen node %s\t%s, version %s, %d chunks at once\n", n.ID, n.Seen.UTC().Format(time.RFC3339), n.Version, n.Workers)
	}
	return w.Flush()
}

func unknownJob(err error) error {
	if errors.Is(err, control.ErrNotFound) {
		return usagef("there is no export of that id")
	}
	return err
}

type jobCancelCmd struct {
	controlFlags
	ID string `arg:"" help:"The export's id."`
}

// Help shows a worked line.
func (jobCancelCmd) Help() string {
	return "Example: remit job cancel --data remit-data 6m7ozqu3yqd4k2b5x3tq7v2r4e"
}

// Run takes an export out of sight; the nodes that work on it stop within
// seconds, and its files are removed.
func (c *jobCancelCmd) Run(ctx context.Context, a *app) error {
	return c.change(ctx, a, c.ID, "cancel", (*control.Store).DeleteExport, "the export is deleted already, or there is none of that id")
}

type jobRetryCmd struct {
	controlFlags
	ID string `arg:"" help:"The export's id."`
}

// Help shows a worked line.
func (jobRetryCmd) Help() string {
	return "Example: remit job retry --data remit-data 6m7ozqu3yqd4k2b5x3tq7v2r4e"
}

// Run lets a failed export begin anew, on a new snapshot.
func (c *jobRetryCmd) Run(ctx context.Context, a *app) error {
	return c.change(ctx, a, c.ID, "retry", (*control.Store).RetryExport, "only a failed export can be retried")
}

// change does one step of an operator, and notes it in the audit trail.
func (f *controlFlags) change(ctx context.Context, a *app, id, action string, step func(*control.Store, context.Context, string) error, refusal string) error {
	store, err := f.openExisting(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	x, err := store.Export(ctx, id)
	if err != nil {
		return unknownJob(err)
	}
	if err := step(store, ctx, id); errors.Is(err, control.ErrConflict) {
		return usagef("%s", refusal)
	} else if err != nil {
		return err
	}
	err = store.AddEvent(ctx, control.Event{At: a.now(), ClientID: x.ClientID, ExportID: id, Action: "job-" + action, Outcome: "ok"})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s: %s\n", id, action)
	return err
}
