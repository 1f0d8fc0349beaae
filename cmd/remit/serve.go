package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"remit/server"
)

type serveCmd struct {
	config
	NoWorkers    bool          `help:"Accept and finish exports, and leave their chunks to remit worker; needs a PostgreSQL warehouse and control store."`
	Watch        time.Duration `help:"Look at the mapping set's files this often, and reload it between jobs where they changed; 0 is never." placeholder:"INTERVAL"`
	PublishEvery time.Duration `help:"Publish what belongs to nobody ($bulk-publish) this often; 0 is never." placeholder:"INTERVAL"`
	PublishEpoch time.Duration `help:"Begin the publication anew this often, where increments are added in between; 0 is never." placeholder:"INTERVAL"`
}

// Help shows a worked line.
func (serveCmd) Help() string {
	return "Example: remit serve --warehouse duckdb:fixtures/tuva --mappings tuva --addr 127.0.0.1:8080 --data remit-data"
}

// Run serves until the context ends, then lets what is under way finish.
func (c *serveCmd) Run(ctx context.Context, a *app) error {
	if err := c.resolve(a); err != nil {
		return err
	}
	log := c.logger(a.stderr)
	l, err := c.listen()
	if err != nil {
		return err
	}
	defer l.Close()
	if c.NoWorkers {
		if err := c.shared(); err != nil {
			return err
		}
		c.Workers = -1
	}
	n, err := openNode(ctx, a, &c.config, log)
	if err != nil {
		return err
	}
	if err := n.warnIndexes(ctx); err != nil {
		return errors.Join(err, n.Close())
	}
	face, err := n.face(ctx, a, &c.config)
	if err != nil {
		return errors.Join(err, n.Close())
	}
	stopAdmin, err := n.serveAdmin(a, &c.config)
	if err != nil {
		return errors.Join(err, n.Close())
	}
	defer stopAdmin()
	var watching sync.WaitGroup
	watch, stop := context.WithCancel(ctx)
	defer stop()
	if c.Watch > 0 {
		ticker := time.NewTicker(c.Watch)
		defer ticker.Stop()
		watching.Go(func() { n.reloader.Watch(watch, ticker.C) })
	}
	if c.PublishEvery > 0 {
		watching.Go(func() { n.publishing(watch, c.PublishEvery, c.PublishEpoch) })
	}
	if c.AuditDays > 0 {
		watching.Go(func() { n.trimAudit(watch, a.now, c.AuditDays) })
	}
	err = n.watched(ctx, c.OpsAddr, func(ctx context.Context) error {
		fmt.Fprintf(a.stdout, "serving %s\n", face.Base())
		return serveUntil(ctx, face, l)
	})
	stop()
	watching.Wait()
	return errors.Join(err, n.Close())
}

// serveUntil serves on l until ctx ends, and then stops the server gently.
func serveUntil(ctx context.Context, face *server.Server, l net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return face.Serve(l) })
	group.Go(func() error {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		return face.Stop(stop)
	})
	return group.Wait()
}
