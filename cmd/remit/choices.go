package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"remit/mapping/check"
	"remit/server/admin"
	"remit/sql/control"
	"remit/sql/source"
)

type choicesCmd struct {
	Load  choicesLoadCmd  `cmd:"" help:"Load the choices of a purpose from a CSV file or the warehouse."`
	List  choicesListCmd  `cmd:"" help:"Count the choices; members are not printed."`
	Clear choicesClearCmd `cmd:"" help:"Forget all choices of a purpose."`
}

type choicesLoadCmd struct {
	controlFlags
	Purpose   string `help:"provider-access (members opt out) or payer-to-payer (members opt in)." placeholder:"PURPOSE" required:""`
	CSV       string `help:"CSV file with the columns member, choice and, where a choice is for one client only, client." placeholder:"FILE" name:"csv"`
	Warehouse string `help:"Warehouse that holds the choices, in place of a file." placeholder:"ADDRESS"`
	Table     string `help:"Its table with the columns member, choice and, with --by-client, client." placeholder:"TABLE"`
	SQL       string `help:"A query with these columns, in place of a table." placeholder:"SQL" name:"sql"`
	ByClient  bool   `help:"The table or query has the column client."`
	Add       bool   `help:"Keep the choices that are not in the list; without it the list is all there is."`
}

// Help shows a worked line.
func (choicesLoadCmd) Help() string {
	return "Example: remit member-choices load --data remit-data --purpose provider-access --csv optout.csv\n" +
		"A member is named by the warehouse's own patient value. Running exports heed the list from their next part on."
}

// Run loads the list whole or not at all.
func (c *choicesLoadCmd) Run(ctx context.Context, a *app) error {
	if (c.CSV == "") == (c.Warehouse == "") {
		return usagef("give either --csv or --warehouse")
	}
	if c.Warehouse != "" && (c.Table == "") == (c.SQL == "") {
		return usagef("--warehouse needs either --table or --sql")
	}
	var choices []control.Choice
	var err error
	if c.CSV != "" {
		choices, err = readChoiceFile(c.CSV)
	} else {
		choices, err = c.fromWarehouse(ctx)
	}
	if err != nil {
		return err
	}
	store, err := c.open(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := invalid((&keyRules{}).desk(a, store).SetChoices(ctx, a.operator(), c.Purpose, choices, !c.Add)); err != nil {
		return err
	}
	in := 0
	for _, choice := range choices {
		if choice.In {
			in++
		}
	}
	_, err = fmt.Fprintf(a.stdout, "%s: %d choices loaded, %d in, %d out\n", c.Purpose, len(choices), in, len(choices)-in)
	return err
}

func readChoiceFile(name string) ([]control.Choice, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, &usageError{fmt.Errorf("read choices: %w", err)}
	}
	defer f.Close()
	choices, err := admin.ReadChoices(f)
	if err != nil {
		return nil, &usageError{fmt.Errorf("%s: %w", name, err)}
	}
	return choices, nil
}

// fromWarehouse reads the list by one query.
func (c *choicesLoadCmd) fromWarehouse(ctx context.Context) (_ []control.Choice, err error) {
	w, err := openWarehouse(ctx, c.Warehouse)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	snap, err := w.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("read choices: %w", err)
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	q := &source.Query{From: &source.Relation{Name: "choices", Table: c.Table, SQL: c.SQL}, NullKeys: true}
	for _, name := range []string{"member", "choice", "client"} {
		if name == "client" && !c.ByClient {
			continue
		}
		q.Columns = append(q.Columns, source.Expr{SQL: "CAST(" + check.QuoteName(name) + " AS VARCHAR)"})
	}
	rows, err := snap.Stream(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("read choices: %w", err)
	}
	defer rows.Close()
	var all []control.Choice
	var faults []error
	for n := 1; rows.Next() && len(faults) < 20; n++ {
		var text [3]string
		for i := range q.Columns {
			if v := rows.Row()[i]; !v.IsNull() {
				text[i] = string(v.Bytes())
			}
		}
		choice, err := admin.ReadChoice(text[2], text[0], text[1])
		if err != nil {
			faults = append(faults, fmt.Errorf("row %d: %w", n, err))
			continue
		}
		all = append(all, choice)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read choices: %w", err)
	}
	if len(faults) > 0 {
		return nil, &usageError{errors.Join(faults...)}
	}
	return all, nil
}

type choicesListCmd struct {
	controlFlags
	JSON bool `help:"Print one JSON object a count."`
}

// Help shows a worked line.
func (choicesListCmd) Help() string { return "Example: remit member-choices list --data remit-data" }

// Run counts the choices by purpose, client and choice.
func (c *choicesListCmd) Run(ctx context.Context, a *app) error {
	store, err := c.openExisting(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	counts, err := store.ChoiceCounts(ctx)
	if err != nil {
		return fmt.Errorf("count choices: %w", err)
	}
	out := newListing(a.stdout, c.JSON, "PURPOSE", "CLIENT", "CHOICE", "MEMBERS", "CHANGED")
	for _, k := range counts {
		if err := out.add(struct {
			Purpose string    `json:"purpose"`
			Client  string    `json:"client,omitempty"`
			Choice  string    `json:"choice"`
			Members int64     `json:"members"`
			Changed time.Time `json:"changed"`
		}{k.Purpose, k.ClientID, k.Choice, k.Members, k.Changed},
			k.Purpose, orElse(k.ClientID, "all"), k.Choice, k.Members, k.Changed.Format(time.RFC3339)); err != nil {
			return err
		}
	}
	return out.close()
}

type choicesClearCmd struct {
	controlFlags
	Purpose string `arg:"" help:"The purpose."`
}

// Help shows a worked line.
func (choicesClearCmd) Help() string {
	return "Example: remit member-choices clear --data remit-data provider-access"
}

// Run forgets the choices; the rule of the purpose then holds for everybody.
func (c *choicesClearCmd) Run(ctx context.Context, a *app) error {
	store, err := c.openExisting(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := invalid((&keyRules{}).desk(a, store).SetChoices(ctx, a.operator(), c.Purpose, nil, true)); err != nil {
		return err
	}
	return nil
}
