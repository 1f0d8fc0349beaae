package export

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"remit/mapping/program"
	"remit/sql/control"
)

// organizedParts is how many times smaller than others the chunks of an
// organized export are: their resources wait in memory for the rest of their
// block.
const organizedParts = 8

// block is one owner with all that refers to it (Bulk Data 3.0.0, Organized
// Output; BE-145).
type block struct {
	owner  []byte   // the owner's own line, nil where it is not exported
	others [][]byte // in the order made
}

// header is the line that begins a block.
type header struct {
	ResourceType string            `json:"resourceType"`
	Parameter    []headerParameter `json:"parameter"`
}

type headerParameter struct {
	Name  string          `json:"name"`
	Value headerReference `json:"valueReference"`
}

type headerReference struct {
	Reference string `json:"reference"`
}

func headerLine(typ, id string) ([]byte, error) {
	return json.Marshal(header{"Parameters", []headerParameter{{"header", headerReference{typ + "/" + id}}}})
}

// findOwner finds whose block the resource belongs to; ok is false where it is
// nobody's (BE-147: it is left out).
func (r *run) findOwner(m *program.Emitted) (ok bool) {
	link := r.shape.links[m.Type]
	if link == nil {
		return false
	}
	r.owner, ok = link.ID(m.Resource)
	return ok
}

// place keeps the line just made for its owner's block.
func (r *run) place(m *program.Emitted) {
	if r.blocks == nil {
		r.blocks = map[string]*block{}
	}
	b := r.blocks[string(r.owner)]
	if b == nil {
		b = &block{}
		r.blocks[string(r.owner)] = b
	}
	line := bytes.Clone(r.line)
	if m.Type == r.shape.organize {
		b.owner = line
	} else {
		b.others = append(b.others, line)
	}
}

// writeBlocks writes the chunk's blocks in the order of their owners' ids. No
// block is split over files (BE-146).
func (r *run) writeBlocks(ctx context.Context) error {
	ids := make([]string, 0, len(r.blocks))
	for id := range r.blocks {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b := r.blocks[id]
		head, err := headerLine(r.shape.organize, id)
		if err != nil {
			return err
		}
		lines := b.others
		if b.owner != nil {
			lines = slices.Insert(lines, 0, b.owner)
		}
		if err := r.set.WriteBlock(ctx, seriesOf(control.KindOutput, r.shape.organize), head, lines); err != nil {
			return err
		}
	}
	return nil
}

// organizedCuts turns the cuts of single passes into cuts of all of them: by the
// patients of the pass that was cut most often, so that a chunk holds whole
// blocks.
func organizedCuts(cuts []program.Request) []program.Request {
	byPass := map[int][]program.Request{}
	best := 0
	for _, c := range cuts {
		if c.Unowned {
			continue // of no patient, and so of no block
		}
		byPass[c.Pass] = append(byPass[c.Pass], c)
		if len(byPass[c.Pass]) > len(byPass[best]) {
			best = c.Pass
		}
	}
	out := slices.Clone(byPass[best])
	for i := range out {
		out[i].Pass = 0
	}
	return out
}
