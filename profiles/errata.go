package profiles

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"sync"
)

//go:embed errata/*.json
var errataFiles embed.FS

// Erratum is a rule that is known to be wrong as published, with what is made
// of it. A rule belongs here if the publisher has mended it since, if as written
// it fails what the same specification calls valid, or if it can never fail.
type Erratum struct {
	Guide string `json:"-"` // "hl7.fhir.us.carin-bb#2.1.0"
	Key   string `json:"key"`
	// Kind says what is done:
	//
	//	mended     Reading is judged in its place, with its severity
	//	note       it is judged, and breaking it is a note
	//	toothless  it can never fail; Reading, where there is one, is judged in its
	//	           place, and breaking that is a note
	//	extended   it is judged, and so is Reading; breaking Reading is a note
	Kind      string `json:"kind"`
	Published string `json:"published"` // the expression, white space made one
	Reading   string `json:"reading"`   // an expression of ours, or ""
	Reason    string `json:"reason"`
	Source    string `json:"source"`
}

// Errata lists the known errata, guide by guide. The caller may keep the slice.
// Error: the embedded files are damaged.
func Errata() ([]Erratum, error) {
	names, err := fs.Glob(errataFiles, "errata/*.json")
	if err != nil {
		return nil, err
	}
	var all []Erratum
	for _, name := range names {
		raw, err := errataFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var file struct {
			Guide  string    `json:"guide"`
			Errata []Erratum `json:"errata"`
		}
		if err := json.Unmarshal(raw, &file); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		for _, e := range file.Errata {
			e.Guide = file.Guide
			all = append(all, e)
		}
	}
	return all, nil
}

// errataByRule finds errata by key and expression. A guide repeats its rules in
// every profile, and other guides copy them: the same text is the same fault.
var errataByRule = sync.OnceValues(func() (map[string][]Erratum, error) {
	all, err := Errata()
	byKey := map[string][]Erratum{}
	for _, e := range all {
		byKey[e.Key] = append(byKey[e.Key], e)
	}
	return byKey, err
})

// mend applies the errata to a constraint. It gives the constraint as it is to
// be judged, or two of them.
func mend(k Constraint) ([]Constraint, error) {
	byKey, err := errataByRule()
	if err != nil {
		return nil, err
	}
	for _, e := range byKey[k.Key] {
		if e.Published != strings.Join(strings.Fields(k.Expression), " ") {
			continue
		}
		k.Erratum = e.Reason
		switch e.Kind {
		case "mended":
			k.Expression = e.Reading
		case "note":
			k.BestPractice = true
		case "toothless":
			if e.Reading != "" {
				k.Expression, k.BestPractice = e.Reading, true
			}
		case "extended":
			more := k
			more.Expression, more.BestPractice = e.Reading, true
			k.Erratum = ""
			return []Constraint{k, more}, nil
		}
		break
	}
	return []Constraint{k}, nil
}
