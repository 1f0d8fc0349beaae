package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

type workerCmd struct {
	config
}

// Help shows a worked line.
func (workerCmd) Help() string {
	return "Example: remit worker --warehouse postgres://claims@db/claims --mappings tuva --control postgres://remit@db/remit --store s3://remit-files\n\n" +
		"Any number of workers may run beside any number of servers (remit serve, with or without --no-workers). They share a PostgreSQL control store, a PostgreSQL warehouse, whose snapshots they join, and a file store."
}

// Run works until the context ends, then lets running chunks end.
func (c *workerCmd) Run(ctx context.Context, a *app) error {
	if err := c.resolve(a); err != nil {
		return err
	}
	if err := c.shared(); err != nil {
		return err
	}
	n, err := openNode(ctx, a, &c.config, c.logger(a.stderr))
	if err != nil {
		return err
	}
	err = n.watched(ctx, c.OpsAddr, func(ctx context.Context) error {
		fmt.Fprintf(a.stdout, "working as %s, %d chunks at once\n", n.engine.Node, n.engine.Workers)
		<-ctx.Done()
		return nil
	})
	return errors.Join(err, n.Close())
}

// shared refuses settings under which several processes cannot work on one
// export.
func (c *config) shared() error {
	for _, s := range []struct{ name, address string }{{"warehouse", c.Warehouse}, {"control store", c.Control}} {
		if !strings.HasPrefix(s.address, "postgres://") && !strings.HasPrefix(s.address, "postgresql://") {
			return usagef("several processes work on one export only over a PostgreSQL %s, whose snapshots and rows they share; %s is none",
				s.name, scheme(s.address))
		}
	}
	return nil
}

// scheme is what may be told of an address.
func scheme(address string) string {
	s, _, _ := strings.Cut(address, ":")
	if s == "" {
		return "an empty address"
	}
	return s + ":"
}
