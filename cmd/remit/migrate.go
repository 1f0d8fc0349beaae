package main

import (
	"context"
	"encoding/json"
	"fmt"

	"remit/server/jobs"
	"remit/sql/control"
)

type migrateCmd struct {
	controlFlags
	Status bool `help:"Only tell where the schema stands; exit with 1 where it is behind."`
	JSON   bool `help:"Print one JSON object."`
}

// Help shows a worked line.
func (migrateCmd) Help() string {
	return "Example: remit migrate --control postgres://remit@db/remit\n\n" +
		"Servers and workers migrate when they start, too: the verb is for doing it before, with other rights than theirs. A schema newer than the program is refused."
}

// Run migrates, or tells what it would do.
func (c *migrateCmd) Run(ctx context.Context, a *app) error {
	address, err := c.address(a)
	if err != nil {
		return err
	}
	before, newest, err := control.Version(ctx, address)
	if err != nil {
		return err
	}
	after := before
	if !c.Status {
		store, err := control.Open(ctx, address)
		if err != nil {
			return err
		}
		if err := store.Close(); err != nil {
			return err
		}
		if err := jobs.Migrate(ctx, jobs.Beside(address)); err != nil {
			return err
		}
		after = newest
	}
	if c.JSON {
		err = json.NewEncoder(a.stdout).Encode(map[string]int{"was": before, "is": after, "newest": newest})
	} else {
		switch {
		case after < newest:
			_, err = fmt.Fprintf(a.stdout, "schema version %d, this program's is %d\n", after, newest)
		case after == before:
			_, err = fmt.Fprintf(a.stdout, "schema version %d, up to date\n", after)
		default:
			_, err = fmt.Fprintf(a.stdout, "schema version %d, was %d\n", after, before)
		}
	}
	if err == nil && after < newest {
		return exitCode(exitFindings)
	}
	return err
}
