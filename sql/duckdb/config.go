package duckdb

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// configName is the file that declares a folder's tables.
const configName = "warehouse.yaml"

// config is what warehouse.yaml declares. Without the file every column of a
// text file is text, so that leading zeros survive.
type config struct {
	schema     string // "" means main
	searchPath []string
	loaded     time.Time
	timeZone   string // of texts read into TIMESTAMPTZ that name none
	tableConfig
	byTable map[string]*tableConfig
}

// tableConfig says how one table is read; the top level holds the defaults.
type tableConfig struct {
	file       string
	files      []string // patterns; all files that match one are one table
	fileColumn string   // name of a column that holds the file's name, "" for none
	rowColumn  string   // name of a column that holds the row's number, "" for none
	types      string   // "text" or "sniff"
	nulls      []string
	delimiter  string
	columns    []declaredColumn
	at         yamlPlace
}

type declaredColumn struct {
	name, kind string
	at         yamlPlace
}

// yamlPlace is a 1-based line and column in warehouse.yaml.
type yamlPlace struct{ line, column int }

func (p yamlPlace) fault(format string, args ...any) error {
	return fmt.Errorf("%s:%d:%d: %s", configName, p.line, p.column, fmt.Sprintf(format, args...))
}

// typeName is what a declared type may look like: it is written into SQL.
var typeName = regexp.MustCompile(`(?i)^(text|varchar|boolean|tinyint|smallint|integer|bigint|hugeint|utinyint|usmallint|uinteger|ubigint|float|double|date|time|timestamp|timestamptz|uuid|decimal\(\s*([0-9]+)\s*,\s*([0-9]+)\s*\))$`)

// readConfig reads warehouse.yaml of a folder; its absence is no fault. All
// faults of the file are joined in one error, one line each.
func readConfig(dir string) (*config, error) {
	cfg := &config{tableConfig: tableConfig{types: "text", nulls: []string{""}}, byTable: map[string]*tableConfig{}}
	text, err := os.ReadFile(filepath.Join(dir, configName))
	if errors.Is(err, fs.ErrNotExist) {
		return cfg, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", configName, err)
	}
	return cfg, cfg.parse(text)
}

func (cfg *config) parse(text []byte) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("%s: %s", configName, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 {
		return nil
	}
	p := &configParser{}
	p.fields(doc.Content[0], map[string]func(*yaml.Node){
		"schema":      func(n *yaml.Node) { cfg.schema = p.text(n) },
		"search_path": func(n *yaml.Node) { cfg.searchPath = p.list(n) },
		"loaded": func(n *yaml.Node) {
			t, err := time.Parse(time.RFC3339, p.text(n))
			if err != nil {
				p.fault(n, "loaded must be an instant such as 2023-05-09T00:00:00Z")
			}
			cfg.loaded = t.UTC()
		},
		"time_zone": func(n *yaml.Node) {
			cfg.timeZone = p.text(n)
			if _, err := time.LoadLocation(cfg.timeZone); err != nil {
				p.fault(n, "time_zone %q is not known", cfg.timeZone)
			}
		},
		"types":       func(n *yaml.Node) { p.types(n, &cfg.tableConfig) },
		"nulls":       func(n *yaml.Node) { cfg.nulls = p.list(n) },
		"delimiter":   func(n *yaml.Node) { p.delimiter(n, &cfg.tableConfig) },
		"file_column": func(n *yaml.Node) { cfg.fileColumn = p.text(n) },
		"row_column":  func(n *yaml.Node) { cfg.rowColumn = p.text(n) },
		"tables": func(n *yaml.Node) {
			p.each(n, func(key, value *yaml.Node) {
				t := cfg.tableConfig
				t.at = yamlPlace{key.Line, key.Column}
				cfg.byTable[strings.ToLower(key.Value)] = &t
				p.fields(value, map[string]func(*yaml.Node){
					"file":        func(n *yaml.Node) { t.file = p.file(n) },
					"files":       func(n *yaml.Node) { t.files = p.patterns(n) },
					"file_column": func(n *yaml.Node) { t.fileColumn = p.text(n) },
					"row_column":  func(n *yaml.Node) { t.rowColumn = p.text(n) },
					"types":       func(n *yaml.Node) { p.types(n, &t) },
					"nulls":       func(n *yaml.Node) { t.nulls = p.list(n) },
					"delimiter":   func(n *yaml.Node) { p.delimiter(n, &t) },
					"columns":     func(n *yaml.Node) { p.columns(n, &t) },
					"text": func(n *yaml.Node) {
						for i, name := range p.list(n) {
							t.columns = append(t.columns, declaredColumn{name: name, kind: "VARCHAR", at: yamlPlace{n.Content[i].Line, n.Content[i].Column}})
						}
					},
				})
				if t.file != "" && t.files != nil {
					p.fault(key, "table %q has both file and files", key.Value)
				}
				p.unique(&t)
			})
		},
	})
	return errors.Join(p.faults...)
}

// configParser walks the nodes by hand: every fault has its place, and all are
// told at once.
type configParser struct{ faults []error }

func (p *configParser) fault(n *yaml.Node, format string, args ...any) {
	p.faults = append(p.faults, yamlPlace{n.Line, n.Column}.fault(format, args...))
}

func (p *configParser) each(n *yaml.Node, f func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		p.fault(n, "a map is expected here")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if seen[strings.ToLower(key.Value)] {
			p.fault(key, "key %q stands here twice", key.Value)
			continue
		}
		seen[strings.ToLower(key.Value)] = true
		f(key, n.Content[i+1])
	}
}

func (p *configParser) fields(n *yaml.Node, fields map[string]func(*yaml.Node)) {
	// Defaults come before the tables that take them over.
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		if (names[i] == "tables") != (names[j] == "tables") {
			return names[j] == "tables"
		}
		return names[i] < names[j]
	})
	given := map[string]*yaml.Node{}
	p.each(n, func(key, value *yaml.Node) {
		if fields[key.Value] == nil {
			sorted := append([]string(nil), names...)
			sort.Strings(sorted)
			p.fault(key, "unknown key %q; expected %s", key.Value, strings.Join(sorted, ", "))
			return
		}
		given[key.Value] = value
	})
	for _, name := range names {
		if value := given[name]; value != nil {
			fields[name](value)
		}
	}
}

func (p *configParser) text(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		p.fault(n, "a text is expected here")
		return ""
	}
	return n.Value
}

func (p *configParser) list(n *yaml.Node) []string {
	if n.Kind != yaml.SequenceNode {
		p.fault(n, "a list is expected here")
		return nil
	}
	out := make([]string, len(n.Content))
	for i, c := range n.Content {
		out[i] = p.text(c)
	}
	return out
}

func (p *configParser) types(n *yaml.Node, t *tableConfig) {
	if t.types = p.text(n); t.types != "text" && t.types != "sniff" {
		p.fault(n, "types must be text or sniff")
	}
}

func (p *configParser) delimiter(n *yaml.Node, t *tableConfig) {
	if t.delimiter = p.text(n); len(t.delimiter) != 1 || strings.ContainsAny(t.delimiter, "\"\r\n") {
		p.fault(n, "delimiter must be one character, not a quote or line break")
	}
}

func (p *configParser) file(n *yaml.Node) string {
	name := p.text(n)
	if name != filepath.Base(name) || name == "." || name == ".." {
		p.fault(n, "file must be the name of a file in this folder")
	}
	return name
}

// patterns reads a list of file names, which may hold * and ?.
func (p *configParser) patterns(n *yaml.Node) []string {
	list := p.list(n)
	for i, pattern := range list {
		if _, err := filepath.Match(pattern, ""); err != nil || pattern != filepath.Base(pattern) || pattern == "." || pattern == ".." {
			p.fault(n.Content[i], "files must be names of files in this folder, with * and ? for what varies")
		}
	}
	if len(list) == 0 {
		p.fault(n, "files is an empty list")
	}
	return list
}

func (p *configParser) columns(n *yaml.Node, t *tableConfig) {
	p.each(n, func(key, value *yaml.Node) {
		kind := strings.ToUpper(p.text(value))
		m := typeName.FindStringSubmatch(kind)
		if m == nil {
			p.fault(value, "type %q is not known; expected text, boolean, integer, bigint, hugeint, decimal(p,s), double, date, time, timestamp, timestamptz or uuid", value.Value)
			return
		}
		if m[2] != "" {
			precision, _ := strconv.Atoi(m[2])
			scale, _ := strconv.Atoi(m[3])
			if precision < 1 || precision > 38 || scale > precision {
				p.fault(value, "type %q: the precision is at most 38, the scale at most the precision", value.Value)
				return
			}
			kind = fmt.Sprintf("DECIMAL(%d,%d)", precision, scale)
		}
		if kind == "TEXT" {
			kind = "VARCHAR"
		}
		t.columns = append(t.columns, declaredColumn{name: key.Value, kind: kind, at: yamlPlace{key.Line, key.Column}})
	})
}

func (p *configParser) unique(t *tableConfig) {
	seen := map[string]bool{}
	for _, c := range t.columns {
		if seen[strings.ToLower(c.name)] {
			p.faults = append(p.faults, c.at.fault("column %q has two types", c.name))
		}
		seen[strings.ToLower(c.name)] = true
	}
}

// dataFile is a table of the folder with the files that hold it.
type dataFile struct {
	table  string
	path   string   // of the first file
	more   []string // paths of further files of the table, by name
	format string   // csv, parquet, ndjson
	tableConfig
}

// formats are the endings of files that are tables.
var formats = map[string]string{
	".csv": "csv", ".csv.gz": "csv", ".tsv": "csv", ".tsv.gz": "csv",
	".parquet": "parquet",
	".ndjson":  "ndjson", ".ndjson.gz": "ndjson", ".jsonl": "ndjson", ".jsonl.gz": "ndjson",
}

// textEndings are the endings of files that are a table only where
// warehouse.yaml says so: they may as well be notes.
var textEndings = []string{".txt", ".txt.gz", ".psv", ".psv.gz"}

// owner finds the table that declares a file by name or pattern.
func (cfg *config) owner(file string) (table string) {
	for _, name := range slices.Sorted(maps.Keys(cfg.byTable)) {
		t := cfg.byTable[name]
		if t.file == file {
			return name
		}
		for _, pattern := range t.files {
			if ok, _ := filepath.Match(pattern, file); ok {
				return name
			}
		}
	}
	return ""
}

// tables lists the folder's tables by name. Errors: two files for one table
// that names no files, files of one table in two formats, a declared table
// without a file, no table at all.
func (cfg *config) tables(dir string) ([]dataFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list folder: %w", err)
	}
	byTable := map[string]dataFile{}
	var faults []error
	for _, e := range entries {
		if !e.Type().IsRegular() && e.Type()&fs.ModeSymlink == 0 {
			continue
		}
		stem, format := splitName(e.Name())
		owner := cfg.owner(e.Name())
		if format == "" && owner != "" && isText(e.Name()) {
			format = "csv"
		}
		if format == "" {
			continue
		}
		f := dataFile{table: stem, path: filepath.Join(dir, e.Name()), format: format, tableConfig: cfg.tableConfig}
		if owner != "" {
			f.table = owner
		}
		if t := cfg.byTable[strings.ToLower(f.table)]; t != nil {
			if owner == "" && (t.file != "" || t.files != nil) {
				continue
			}
			f.tableConfig = *t
		}
		if strings.HasPrefix(filepath.Ext(strings.TrimSuffix(e.Name(), ".gz")), ".tsv") && f.delimiter == "" {
			f.delimiter = "\t"
		}
		if other, ok := byTable[strings.ToLower(f.table)]; ok {
			switch {
			case f.files == nil:
				faults = append(faults, fmt.Errorf("%s and %s are both table %s", filepath.Base(other.path), e.Name(), f.table))
			case other.format != f.format:
				faults = append(faults, fmt.Errorf("%s and %s are both table %s, in two formats", filepath.Base(other.path), e.Name(), f.table))
			default:
				other.more = append(other.more, f.path)
				byTable[strings.ToLower(f.table)] = other
			}
			continue
		}
		byTable[strings.ToLower(f.table)] = f
	}
	out := make([]dataFile, 0, len(byTable))
	for _, f := range byTable {
		out = append(out, f)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].table < out[j].table })
	for name, t := range cfg.byTable {
		if _, ok := byTable[name]; !ok {
			faults = append(faults, t.at.fault("table %q has no file in this folder", name))
		}
	}
	if len(faults) == 0 && len(out) == 0 {
		faults = append(faults, errors.New("no table: the folder holds no .csv, .csv.gz, .tsv, .parquet or .ndjson file"))
	}
	sort.Slice(faults, func(i, j int) bool { return faults[i].Error() < faults[j].Error() })
	return out, errors.Join(faults...)
}

// isText says whether a file's name ends in one of textEndings.
func isText(name string) bool {
	lower := strings.ToLower(name)
	return slices.ContainsFunc(textEndings, func(ending string) bool { return strings.HasSuffix(lower, ending) })
}

func splitName(name string) (stem, format string) {
	if strings.HasPrefix(name, ".") {
		return "", ""
	}
	lower := strings.ToLower(name)
	for ending, format := range formats {
		if strings.HasSuffix(lower, ending) && len(name) > len(ending) {
			return name[:len(name)-len(ending)], format
		}
	}
	return "", ""
}
