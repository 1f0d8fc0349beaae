// Package agreement holds what a mapping set exports against the resources
// that the publisher of a warehouse expects of the same rows, leaf by leaf. It
// is a tool of tests: a dataset brings one file of rules, and its golden is the
// printed table. It knows JSON trees only, no FHIR definitions, no mappings
// and no warehouse, so that it stays an opinion of its own.
//
// The denominator is every leaf of the expected resources, but those that the
// publisher tells to ignore and those that the rules exclude; both are counted
// and listed with their reason, and more than a tenth excluded is an error.
// Rules speak of paths, never of one resource or one row.
package agreement

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Rules say how the resources of one dataset are compared.
type Rules struct {
	// Dataset names the expected resources in the table.
	Dataset string `yaml:"dataset"`
	// Source says who published them, where, and under which licence.
	Source string `yaml:"source"`
	// Draft says that the publisher follows another version of the guides, and
	// which: values are compared, but not code systems, URLs and profiles.
	Draft string `yaml:"draft"`
	// Pair says by resource type how an expected resource finds ours. A type
	// without an entry is not compared, unless it is inlined.
	Pair map[string]Pairing `yaml:"pair"`
	// Inline lists the types that are compared where they are referenced, so
	// that a contained resource equals one that is exported beside. Contained
	// resources are always inlined.
	Inline []string `yaml:"inline"`
	// Refs gives by type the path of our resources whose value stands in an
	// expected reference, for targets that are not among the expected
	// resources. Without an entry the id is compared.
	Refs map[string]string `yaml:"refs"`
	// NotThere gives by type the path without which an expected resource says
	// that there must be none of its id.
	NotThere map[string]string `yaml:"not_there"`
	// Keys tell the entries of a list apart where their codes do not.
	Keys []Key `yaml:"keys"`
	// Doubles are lists in which the publisher says the same again: a further
	// entry of a key that occurred is not compared. It counts as excluded.
	Doubles []Skip `yaml:"doubles"`
	// Links are numbers that point to entries of a list of the same resource;
	// what they point to is compared.
	Links []Link `yaml:"links"`
	// Rename replaces values of the expected resources.
	Rename []Rename `yaml:"rename"`
	// Move puts leaves of the expected resources where we write them.
	Move []Move `yaml:"move"`
	// Values says which texts mean the same.
	Values []Reading `yaml:"values"`
	// Ignore lists what the publisher, or the description of the dataset, says
	// not to compare.
	Ignore []Skip `yaml:"ignore"`
	// Exclude lists what we do not compare by our own decision.
	Exclude []Skip `yaml:"exclude"`
}

// Pairing lists paths whose values must meet. A path with several values meets
// where one of them is equal; of several that meet, the one with most equal
// values is taken.
type Pairing struct {
	By   []string `yaml:"by"`
	Ours []string `yaml:"ours"` // By, where absent
}

// Key names the paths in an entry that tell it apart. Entries of equal key are
// compared as one.
type Key struct {
	At string   `yaml:"at"` // type and path of the list
	By []string `yaml:"by"`
	// Show keeps the key in the table; without it, entries are folded.
	Show bool `yaml:"show"`
}

// Link says that the numbers at At are those of Number in the list To, whose
// entries are told apart by By.
type Link struct {
	At     string   `yaml:"at"`     // type and path of the numbers
	To     string   `yaml:"to"`     // path of the list, from the resource
	Number string   `yaml:"number"` // sequence, where absent
	By     []string `yaml:"by"`
}

// Rename replaces From by To at the leaves that At matches, everywhere where
// it is empty.
type Rename struct {
	At     string `yaml:"at"`
	From   string `yaml:"from"`
	To     string `yaml:"to"`
	Reason string `yaml:"reason"`
}

// Move takes the leaves at From to To, unless ours has leaves at From; keys of
// lists stay where the paths share their beginning.
type Move struct {
	From   string `yaml:"from"`
	To     string `yaml:"to"`
	Reason string `yaml:"reason"`
}

// Reading says how the texts at a path are read before they are compared:
// date (the day of an instant), undotted (codes without dots and dashes),
// digits (without leading zeros), cents (amounts rounded to them), folded (case and blanks).
type Reading struct {
	At     string `yaml:"at"`
	As     string `yaml:"as"`
	Reason string `yaml:"reason"`
}

// Skip leaves the leaves that At matches out of the comparison.
type Skip struct {
	At     string `yaml:"at"`
	Reason string `yaml:"reason"`
}

// readings are the ways of Reading.As.
var readings = map[string]func(string) string{
	"date":     func(s string) string { return s[:min(len(s), len("2006-01-02"))] },
	"undotted": func(s string) string { return strings.NewReplacer(".", "", "-", "").Replace(s) },
	"digits":   func(s string) string { return strings.TrimLeft(s, "0") },
	"cents":    cents,
	"folded":   func(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) },
}

// cents rounds an amount to two places, half away from zero: what is left of it
// when a binary tail is cut off.
func cents(s string) string {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return s
	}
	rounded, _ := new(big.Rat).SetString(r.FloatString(2))
	return rounded.RatString()
}

// ReadRules reads a rules file: YAML with known keys only. Every rule that
// takes something out or changes it needs its reason.
func ReadRules(data []byte) (*Rules, error) {
	var r Rules
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&r); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	return &r, r.check()
}

func (r *Rules) check() error {
	var errs []error
	complain := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if r.Dataset == "" || r.Source == "" {
		complain("rules without dataset or source")
	}
	if len(r.Pair) == 0 {
		complain("rules that pair no type")
	}
	for name, p := range r.Pair {
		if len(p.By) == 0 || len(p.Ours) > 0 && len(p.Ours) != len(p.By) {
			complain("pair %s: by and ours need equally many paths, and one at least", name)
		}
	}
	reason := func(kind, at, why string) {
		if at == "" || why == "" {
			complain("%s %q without path or reason", kind, at)
		}
	}
	for _, s := range r.Ignore {
		reason("ignore", s.At, s.Reason)
	}
	for _, s := range r.Doubles {
		reason("doubles", s.At, s.Reason)
		if !slices.ContainsFunc(r.Keys, func(k Key) bool { return k.At == s.At }) {
			complain("doubles %q: the list has no key", s.At)
		}
	}
	for _, s := range r.Exclude {
		reason("exclude", s.At, s.Reason)
	}
	for _, m := range r.Rename {
		reason("rename", m.From, m.Reason)
	}
	for _, m := range r.Move {
		reason("move", m.From, m.Reason)
		if strings.Contains(m.To, "*") || m.To == "" {
			complain("move to %q: one path is needed", m.To)
		}
	}
	for _, v := range r.Values {
		reason("values", v.At, v.Reason)
		if readings[v.As] == nil {
			complain("values as %q: date, undotted, digits, cents or folded is needed", v.As)
		}
	}
	for _, k := range r.Keys {
		if k.At == "" || len(k.By) == 0 {
			complain("a key without at or by")
		}
	}
	for _, l := range r.Links {
		if l.At == "" || l.To == "" || len(l.By) == 0 {
			complain("a link without at, to or by")
		}
	}
	return errors.Join(errs...)
}
