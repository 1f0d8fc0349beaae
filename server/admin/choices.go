package admin

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"remit/sql/control"
)

// maxComplaints bounds the faults of a list that are told at once.
const maxComplaints = 20

// ReadChoices reads a list of members' choices as CSV with a header: the columns
// member (the warehouse's own patient value) and choice (in or out, also
// opt-in, opt-out, yes, no), and optionally client, which limits a choice to one
// client. Errors name lines and columns, never a member; many at once.
func ReadChoices(r io.Reader) ([]control.Choice, error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord = -1
	in.ReuseRecord = true
	header, err := in.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("line 1: the list is empty; its first line names the columns member and choice")
	}
	if err != nil {
		return nil, csvError(err)
	}
	columns := map[string]int{"member": -1, "choice": -1, "client": -1}
	width := len(header)
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))
		if at, ok := columns[name]; !ok {
			return nil, fmt.Errorf("line 1: unknown column %d; use member, choice and client", i+1)
		} else if at >= 0 {
			return nil, fmt.Errorf("line 1: column %s stands there twice", name)
		}
		columns[name] = i
	}
	for _, name := range []string{"member", "choice"} {
		if columns[name] < 0 {
			return nil, fmt.Errorf("line 1: column %s is missing", name)
		}
	}
	var all []control.Choice
	var errs []error
	lines := map[[2]string]int{}
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			return all, errors.Join(errs...)
		}
		if err != nil {
			return nil, errors.Join(append(errs, csvError(err))...)
		}
		line, _ := in.FieldPos(0)
		wrong := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("line %d: %s", line, fmt.Sprintf(format, args...)))
		}
		if len(errs) == maxComplaints {
			return nil, errors.Join(append(errs, errors.New("and perhaps more"))...)
		}
		if len(record) != width {
			wrong("%d columns, the header has %d", len(record), width)
			continue
		}
		var c control.Choice
		if at := columns["client"]; at >= 0 {
			c.ClientID = strings.TrimSpace(record[at])
		}
		c.Member = record[columns["member"]]
		in, known := choiceWord(record[columns["choice"]])
		if c.In = in; !known {
			wrong("the choice is neither in nor out")
			continue
		}
		if strings.TrimSpace(c.Member) == "" {
			wrong("no member")
			continue
		}
		key := [2]string{c.ClientID, c.Member}
		if first, twice := lines[key]; twice {
			wrong("the member of line %d again", first)
			continue
		}
		lines[key] = line
		all = append(all, c)
	}
}

func csvError(err error) error {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return fmt.Errorf("line %d, column %d: %w", parse.Line, parse.Column, parse.Err)
	}
	return err
}

// choiceWord reads a choice.
func choiceWord(word string) (in, known bool) {
	word = strings.ToLower(strings.TrimSpace(word))
	if slices.Contains([]string{"in", "opt-in", "yes", "true", "share"}, word) {
		return true, true
	}
	return false, slices.Contains([]string{"out", "opt-out", "no", "false", "withhold"}, word)
}

// ReadChoice is one row of a list that comes from elsewhere; client may be "".
func ReadChoice(client, member, choice string) (control.Choice, error) {
	in, known := choiceWord(choice)
	switch {
	case !known:
		return control.Choice{}, errors.New("the choice is neither in nor out")
	case strings.TrimSpace(member) == "":
		return control.Choice{}, errors.New("no member")
	}
	return control.Choice{ClientID: strings.TrimSpace(client), Member: member, In: in}, nil
}
