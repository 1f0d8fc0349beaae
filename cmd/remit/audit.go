package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"remit/server/audit"
	"remit/sql/control"
)

type auditCmd struct {
	List   auditListCmd   `cmd:"" help:"List the events of the audit trail."`
	Export auditExportCmd `cmd:"" help:"Write the trail as FHIR AuditEvents, one a line."`
	Verify auditVerifyCmd `cmd:"" help:"Check that no event was changed or removed."`
	Trim   auditTrimCmd   `cmd:"" help:"Remove old events; what stays can still be verified."`
}

// sinceFlag bounds what is listed.
type sinceFlag struct {
	Since string `help:"Only events from this date or instant on." placeholder:"DATE"`
}

func (f *sinceFlag) time() (time.Time, error) {
	if f.Since == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.DateOnly, f.Since); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, f.Since)
	if err != nil {
		return time.Time{}, usagef("--since %q: use a date like 2026-01-31, or an instant with its zone", f.Since)
	}
	return t, nil
}

type auditListCmd struct {
	controlFlags
	sinceFlag
	Client string `help:"Only events of this client." placeholder:"ID"`
	Action string `help:"Only events of this action: token, kick-off, download ..." placeholder:"ACTION"`
	JSON   bool   `help:"Print one JSON object an event."`
}

// Help shows a worked line.
func (auditListCmd) Help() string {
	return "Example: remit audit list --data remit-data --since 2026-11-01 --action download"
}

// Run lists the events, chain by chain.
func (c *auditListCmd) Run(ctx context.Context, a *app) error {
	from, err := c.time()
	if err != nil {
		return err
	}
	store, err := c.openExisting(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	out := newListing(a.stdout, c.JSON, "AT", "SERVER", "SEQ", "ACTION", "OUTCOME", "CLIENT", "BY", "FROM", "EXPORT", "DETAIL")
	err = audit.Events(ctx, store, from, func(e *control.Event) error {
		if c.Client != "" && e.ClientID != c.Client || c.Action != "" && e.Action != c.Action {
			return nil
		}
		return out.add(struct {
			At      time.Time `json:"at"`
			Server  string    `json:"server"`
			Seq     int64     `json:"seq"`
			Action  string    `json:"action"`
			Outcome string    `json:"outcome"`
			Client  string    `json:"client,omitempty"`
			Actor   string    `json:"actor,omitempty"`
			Remote  string    `json:"remote,omitempty"`
			Export  string    `json:"export,omitempty"`
			Detail  string    `json:"detail,omitempty"`
			Hash    string    `json:"hash"`
		}{e.At, e.Server, e.Seq, e.Action, e.Outcome, e.ClientID, e.Actor, e.Remote, e.ExportID, e.Detail, e.Hash},
			e.At.Format(time.RFC3339), e.Server, e.Seq, e.Action, e.Outcome,
			orElse(e.ClientID, "-"), orElse(e.Actor, "-"), orElse(e.Remote, "-"), orElse(e.ExportID, "-"), e.Detail)
	})
	if err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	return out.close()
}

type auditExportCmd struct {
	controlFlags
	sinceFlag
	Out string `help:"File to write; standard output where none is given." placeholder:"FILE"`
}

// Help shows a worked line.
func (auditExportCmd) Help() string {
	return "Example: remit audit export --data remit-data --since 2026-11-01 --out audit.ndjson"
}

// Run writes AuditEvents as NDJSON.
func (c *auditExportCmd) Run(ctx context.Context, a *app) error {
	from, err := c.time()
	if err != nil {
		return err
	}
	store, err := c.openExisting(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	if c.Out == "" {
		_, err := audit.Write(ctx, store, a.stdout, from)
		return err
	}
	f, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return &usageError{fmt.Errorf("write audit trail: %w", err)}
	}
	n, err := audit.Write(ctx, store, f, from)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write audit trail: %w", err)
	}
	_, err = fmt.Fprintf(a.stdout, "%d events\n", n)
	return err
}

type auditVerifyCmd struct {
	controlFlags
	File string `help:"Compare this file of AuditEvents (of --audit-log or audit export) with the trail, too." placeholder:"FILE"`
	Head string `help:"Check that the trail still holds a head that an earlier run printed: SERVER/SEQ/HASH." placeholder:"HEAD"`
}

// Help shows a worked line.
func (auditVerifyCmd) Help() string {
	return "Example: remit audit verify --data remit-data --file audit.ndjson"
}

// Run recomputes every chain and prints its head, which is worth keeping
// elsewhere: whoever may write the whole store could make it anew.
func (c *auditVerifyCmd) Run(ctx context.Context, a *app) error {
	store, err := c.openExisting(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	v, err := store.VerifyEvents(ctx)
	if err != nil {
		return fmt.Errorf("verify audit trail: %w", err)
	}
	fine := len(v.Breaks) == 0
	for _, ch := range v.Chains {
		fmt.Fprintf(a.stdout, "chain %s: events %d to %d, head %s/%d/%s\n", ch.Server, ch.BaseSeq+1, ch.HeadSeq, ch.Server, ch.HeadSeq, ch.HeadHash)
	}
	for _, b := range v.Breaks {
		fmt.Fprintf(a.stdout, "BROKEN %s: event %d %s\n", b.Server, b.Seq, map[string]string{
			"missing": "is missing", "changed": "was changed", "head": "is not the one that the anchor names"}[b.What])
	}
	if v.Unchained > 0 {
		fmt.Fprintf(a.stdout, "%d events stand in no chain: they were written before there were chains, or their anchor is gone\n", v.Unchained)
	}
	if c.Head != "" {
		same, err := holds(ctx, store, v, c.Head)
		if err != nil {
			return err
		}
		if !same {
			fine = false
			fmt.Fprintf(a.stdout, "BROKEN: the trail no longer holds %s\n", c.Head)
		}
	}
	if c.File != "" {
		ok, err := c.compare(ctx, a, store)
		if err != nil {
			return err
		}
		fine = fine && ok
	}
	if !fine {
		return exitCode(exitFindings)
	}
	_, err = fmt.Fprintf(a.stdout, "verified: %d events in %d chains\n", v.Events, len(v.Chains))
	return err
}

func (c *auditVerifyCmd) compare(ctx context.Context, a *app, store *control.Store) (bool, error) {
	f, err := os.Open(c.File)
	if err != nil {
		return false, &usageError{fmt.Errorf("read audit file: %w", err)}
	}
	defer f.Close()
	compared, trimmed, wrong, err := audit.Compare(ctx, store, f)
	if err != nil {
		return false, fmt.Errorf("compare %s: %w", c.File, err)
	}
	for _, m := range wrong {
		fmt.Fprintf(a.stdout, "%s:%d: %s\n", c.File, m.Line, m.What)
	}
	_, err = io.WriteString(a.stdout, fmt.Sprintf("%s: %d events compared, %d of trimmed parts\n", c.File, compared, trimmed))
	return len(wrong) == 0, err
}

// holds says whether the trail holds the event of a head with its hash, or one
// that was trimmed since.
func holds(ctx context.Context, store *control.Store, v *control.Verified, head string) (bool, error) {
	rest, hash, ok1 := cutLast(head, "/")
	server, number, ok2 := cutLast(rest, "/")
	var seq int64
	if _, err := fmt.Sscanf(number, "%d", &seq); !ok1 || !ok2 || err != nil {
		return false, usagef("--head %q is not SERVER/SEQ/HASH", head)
	}
	for _, c := range v.Chains {
		if c.Server == server && seq <= c.BaseSeq {
			return seq < c.BaseSeq || hash == c.BaseHash, nil
		}
	}
	events, err := store.EventsAfter(ctx, server, seq-1, 1)
	if err != nil {
		return false, err
	}
	return len(events) == 1 && events[0].Seq == seq && events[0].Hash == hash, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

type auditTrimCmd struct {
	controlFlags
	Before string `help:"Remove the events before this date." placeholder:"DATE" required:""`
}

// Help shows a worked line.
func (auditTrimCmd) Help() string {
	return "Example: remit audit trim --data remit-data --before 2017-01-01"
}

// Run removes events from the beginning of each chain. The trail notes that.
func (c *auditTrimCmd) Run(ctx context.Context, a *app) error {
	before, err := time.Parse(time.DateOnly, c.Before)
	if err != nil {
		return usagef("--before %q: use a date like 2017-01-01", c.Before)
	}
	store, err := c.openExisting(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	n, err := store.TrimEvents(ctx, before)
	if err != nil {
		return fmt.Errorf("trim audit trail: %w", err)
	}
	by := a.operator()
	err = store.AddEvent(ctx, control.Event{At: a.now(), Action: "audit-trim", Outcome: "ok", Actor: by.Name,
		Detail: fmt.Sprintf("%d events before %s", n, c.Before)})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%d events removed\n", n)
	return err
}
