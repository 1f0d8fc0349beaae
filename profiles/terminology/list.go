package terminology

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
)

// List is what a user supplies about licensed code systems.
type List struct {
	systems []*CodeSystem
	sets    []json.RawMessage
}

// ReadList reads every .csv and .json file of a folder.
//
// A CSV file has the columns system, code and display, named in its first line
// in any order; display may be missing. All codes of one system in one folder
// are taken for the whole of that system: a code that is not among them is
// then not a code. A JSON file is a CodeSystem (whole if its content is
// "complete"), a ValueSet, or a Bundle of them.
//
// Errors: an unreadable file, a CSV without its columns, JSON of another kind.
// Errors name files and lines, not codes.
func ReadList(fsys fs.FS) (*List, error) {
	var l List
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch {
		case strings.HasSuffix(name, ".csv"):
			f, err := fsys.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			if err := l.readCSV(f); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		case strings.HasSuffix(name, ".json"):
			raw, err := fs.ReadFile(fsys, name)
			if err != nil {
				return err
			}
			if err := l.readJSON(raw); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read code list: %w", err)
	}
	if len(l.systems) == 0 && len(l.sets) == 0 {
		return nil, errors.New("read code list: no .csv or .json list found")
	}
	return &l, nil
}

func (l *List) readCSV(r io.Reader) error {
	cr := csv.NewReader(r)
	cr.FieldsPerRecord = -1
	cr.TrimLeadingSpace = true
	head, err := cr.Read()
	if err != nil {
		return fmt.Errorf("read first line: %w", err)
	}
	at := map[string]int{}
	for i, h := range head {
		at[strings.ToLower(strings.TrimSpace(strings.TrimPrefix(h, "\ufeff")))] = i
	}
	sys, ok1 := at["system"]
	code, ok2 := at["code"]
	if !ok1 || !ok2 {
		return errors.New("first line must name the columns system, code and display")
	}
	display, named := at["display"]
	for {
		rec, err := cr.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		line, _ := cr.FieldPos(0)
		if len(rec) <= max(sys, code) {
			return fmt.Errorf("line %d has %d fields, fewer than its columns", line, len(rec))
		}
		s, c := strings.TrimSpace(rec[sys]), strings.TrimSpace(rec[code])
		if s == "" || c == "" {
			return fmt.Errorf("line %d has no system or no code", line)
		}
		text := ""
		if named && display < len(rec) {
			text = strings.TrimSpace(rec[display])
		}
		l.system(s).add(c, text)
	}
}

func (l *List) system(url string) *CodeSystem {
	if i := slices.IndexFunc(l.systems, func(cs *CodeSystem) bool { return cs.URL == url }); i >= 0 {
		return l.systems[i]
	}
	cs := &CodeSystem{URL: url, Complete: true, byCode: map[string]int{}}
	l.systems = append(l.systems, cs)
	return cs
}

func (l *List) readJSON(raw []byte) error {
	var d struct {
		ResourceType string `json:"resourceType"`
		URL          string `json:"url"`
		Entry        []struct {
			Resource json.RawMessage `json:"resource"`
		} `json:"entry"`
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	switch d.ResourceType {
	case "CodeSystem":
		cs, err := parseCodeSystem(raw)
		if err != nil {
			return err
		}
		if cs.URL == "" {
			return errors.New("code system has no url")
		}
		l.systems = append(l.systems, cs)
	case "ValueSet":
		if d.URL == "" {
			return errors.New("value set has no url")
		}
		l.sets = append(l.sets, raw)
	case "Bundle":
		for i := range d.Entry {
			if err := l.readJSON(d.Entry[i].Resource); err != nil {
				return fmt.Errorf("entry %d: %w", i+1, err)
			}
		}
	default:
		return errors.New("not a CodeSystem, a ValueSet or a Bundle of them")
	}
	return nil
}
