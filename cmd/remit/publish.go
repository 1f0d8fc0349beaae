package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"remit/server/export"
	"remit/sql/control"
)

type publishCmd struct {
	config
	Type  []string      `help:"Resource types to publish; every type that holds no member's data where none is given." placeholder:"TYPE"`
	Full  bool          `help:"Begin anew, also where adding what changed would do."`
	Every time.Duration `help:"How often this is done: told to clients as updateCadence." placeholder:"INTERVAL"`
	JSON  bool          `help:"Print the publication as JSON."`
}

// Help shows a worked line.
func (publishCmd) Help() string {
	return "Example: remit publish --warehouse duckdb:fixtures/tuva --mappings tuva --data remit-data --type Organization --every 24h"
}

// Run publishes once, into the stores that a server shows.
func (c *publishCmd) Run(ctx context.Context, a *app) (err error) {
	setDefault(&c.LogLevel, "warn")
	if err := c.resolve(a); err != nil {
		return err
	}
	n, err := openNode(ctx, a, &c.config, c.logger(a.stderr))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	bar := startProgress(a.stderr, "publishing", a.now)
	p, err := n.engine.Publications().Publish(ctx, export.Publish{Types: c.Type, Full: c.Full, Cadence: c.Every},
		func(s *export.Status) { bar.set(s.Percent) })
	bar.done(err == nil)
	switch {
	case errors.Is(err, export.ErrNotPublic):
		return &usageError{err}
	case errors.Is(err, control.ErrConflict):
		return fmt.Errorf("publish: somebody else published meanwhile: %w", err)
	case err != nil:
		return explain(err, n.log)
	}
	if c.JSON {
		return json.NewEncoder(a.stdout).Encode(struct {
			Export          string    `json:"export"`
			Epoch           string    `json:"epoch"`
			N               int64     `json:"n"`
			Types           []string  `json:"types"`
			TransactionTime time.Time `json:"transactionTime"`
		}{p.ExportID, p.Epoch, p.N, p.Types, p.TransactionTime})
	}
	what := "full"
	if p.N > 0 {
		what = fmt.Sprintf("increment %d", p.N)
	}
	_, err = fmt.Fprintf(a.stdout, "published %s of %s as of %s\n", what, strings.Join(p.Types, ", "), p.TransactionTime.UTC().Format(time.RFC3339))
	return err
}

// publishing publishes when it is time to, until ctx ends.
func (n *node) publishing(ctx context.Context, every, epoch time.Duration) {
	all := n.engine.Publications()
	tick := time.NewTicker(min(every, time.Minute))
	defer tick.Stop()
	for {
		due, full, err := all.Due(ctx, every, epoch)
		if err == nil && due {
			_, err = all.Publish(ctx, export.Publish{Full: full, Cadence: every}, nil)
		}
		if err != nil && ctx.Err() == nil {
			n.log.ErrorContext(ctx, "not published", slog.String("error", err.Error()))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
