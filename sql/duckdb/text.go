package duckdb

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	bindings "github.com/duckdb/duckdb-go-bindings"

	"remit/sql/source"
)

// openText opens a text file, unpacked where its name ends in .gz, without a
// byte order mark.
func openText(path string) (io.Reader, func() error, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	var in io.Reader = f
	if strings.HasSuffix(strings.ToLower(path), ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("unpack: %w", err), f.Close())
		}
		in = z
	}
	b := bufio.NewReaderSize(in, 1<<16)
	if mark, err := b.Peek(3); err == nil && bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = b.Discard(3)
	}
	return b, f.Close, nil
}

// records opens the file as CSV (RFC 4180) and reads its header.
func (l *loader) records() (r *csv.Reader, closer func() error, err error) {
	in, closer, err := openText(l.file.path)
	if err != nil {
		return nil, nil, err
	}
	b := bufio.NewReaderSize(in, 1<<16)
	comma := l.file.delimiter
	if comma == "" {
		comma = guessDelimiter(b)
	}
	l.file.delimiter = comma
	r = csv.NewReader(b)
	r.Comma = rune(comma[0])
	r.FieldsPerRecord = -1
	r.ReuseRecord = true
	first, err := r.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is empty; a header line is expected")
		} else {
			err = fmt.Errorf("header: %w", plainCSVError(err))
		}
		return nil, nil, errors.Join(err, closer())
	}
	l.header = append([]string(nil), first...)
	seen := map[string]int{}
	for i, name := range l.header {
		if name == "" {
			err = fmt.Errorf("column %d has no name in the header", i+1)
		} else if j, twice := seen[strings.ToLower(name)]; twice {
			err = fmt.Errorf("columns %d and %d are both named %q", j, i+1, name)
		} else if !utf8.ValidString(name) {
			err = fmt.Errorf("the name of column %d is not UTF-8", i+1)
		}
		if err != nil {
			return nil, nil, errors.Join(err, closer())
		}
		seen[strings.ToLower(name)] = i + 1
	}
	return r, closer, nil
}

// guessDelimiter takes the most frequent of the usual delimiters in the first
// line, outside of quotes.
func guessDelimiter(b *bufio.Reader) string {
	head, _ := b.Peek(1 << 16)
	counts := map[byte]int{}
	quoted := false
scan:
	for _, c := range head {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '\n':
			break scan
		default:
			counts[c]++
		}
	}
	best := byte(',')
	for _, c := range []byte{'|', '\t', ';'} {
		if counts[c] > counts[best] {
			best = c
		}
	}
	return string(best)
}

func plainCSVError(err error) error {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return fmt.Errorf("line %d, column %d: %w", parse.Line, parse.Column, parse.Err)
	}
	return err
}

// loadCSV stages a CSV file with every column as text (or, where types are
// sniffed, as the engine finds them). The engine's reader does the work; where
// it stumbles, ours goes through the file to say what is wrong, and reads rows
// that are only ragged.
func (l *loader) loadCSV(ctx context.Context, stage string) error {
	_, closer, err := l.records()
	if err != nil {
		return err
	}
	if err := closer(); err != nil {
		return err
	}
	sql, err := l.readCSV(stage)
	if err != nil {
		return err
	}
	err = l.conn.exec(ctx, sql)
	if err == nil || context.Cause(ctx) != nil {
		return err
	}
	if l.file.types == "sniff" {
		return fmt.Errorf("read as CSV with types found by the engine: %w", err)
	}
	if err := l.conn.exec(ctx, "DROP TABLE IF EXISTS "+stage); err != nil {
		return err
	}
	return l.loadRagged(ctx, stage, err)
}

func (l *loader) readCSV(stage string) (string, error) {
	var options []string
	literal := func(text string) string {
		s, err := source.QuoteLiteral(text)
		if err != nil {
			// Names and paths with NUL or invalid UTF-8 are refused before.
			return "''"
		}
		return s
	}
	nulls := make([]string, len(l.file.nulls))
	for i, n := range l.file.nulls {
		nulls[i] = literal(n)
	}
	options = append(options, literal(l.file.path), "header = true", "delim = "+literal(l.file.delimiter),
		`quote = '"'`, `escape = '"'`, "max_line_size = 16777216")
	if len(nulls) > 0 {
		options = append(options, "nullstr = ["+strings.Join(nulls, ", ")+"]")
	}
	if strings.HasSuffix(strings.ToLower(l.file.path), ".gz") {
		options = append(options, "compression = 'gzip'")
	}
	columns := make([]string, len(l.header))
	for i, name := range l.header {
		columns[i] = literal(name) + ": 'VARCHAR'"
	}
	if l.file.types == "sniff" {
		options = append(options, "sample_size = -1")
		var typed []string
		for _, d := range l.file.columns {
			for _, name := range l.header {
				if strings.EqualFold(name, d.name) {
					typed = append(typed, literal(name)+": 'VARCHAR'")
				}
			}
		}
		if len(typed) > 0 {
			options = append(options, "types = {"+strings.Join(typed, ", ")+"}")
		}
	} else {
		options = append(options, "auto_detect = false", "columns = {"+strings.Join(columns, ", ")+"}")
	}
	return "CREATE TABLE " + stage + " AS SELECT * FROM read_csv(" + strings.Join(options, ", ") + ")", nil
}

// loadRagged reads the file by our own reader: a row that ends early has NULL
// in the columns it lacks, empty fields behind the last column are dropped,
// and anything else there is a fault, counted. because is the engine's fault.
func (l *loader) loadRagged(ctx context.Context, stage string, because error) error {
	r, closer, err := l.records()
	if err != nil {
		return err
	}
	defer func() { _ = closer() }() // only read
	null := map[string]bool{}
	for _, n := range l.file.nulls {
		null[n] = true
	}
	tooLong, firstLong := 0, 0
	var short, padded ragged
	a, err := newAppender(ctx, l.conn, stage, l.header)
	if err != nil {
		return err
	}
	defer a.close()
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return plainCSVError(err)
		}
		line, _ := r.FieldPos(0)
		if len(record) < len(l.header) {
			short.add(line)
		} else if len(record) > len(l.header) {
			padded.add(line)
		}
		for _, extra := range record[min(len(record), len(l.header)):] {
			if !null[extra] && strings.TrimSpace(extra) != "" {
				if tooLong++; tooLong == 1 {
					firstLong = line
				}
				break
			}
		}
		for i := range l.header {
			if i >= len(record) || null[record[i]] {
				a.null(i)
				continue
			}
			if !utf8.ValidString(record[i]) {
				return fmt.Errorf("line %d: column %q is not UTF-8", line, l.header[i])
			}
			a.text(i, record[i])
		}
		if err := a.next(ctx); err != nil {
			return err
		}
	}
	if tooLong > 0 {
		return fmt.Errorf("%d rows have more fields than the header names columns, the first in line %d", tooLong, firstLong)
	}
	if short.rows+padded.rows == 0 {
		return fmt.Errorf("read as CSV: %w", because)
	}
	if err := a.finish(); err != nil {
		return err
	}
	file := filepath.Base(l.file.path)
	if padded.rows > 0 {
		l.warnings = append(l.warnings, fmt.Sprintf("%s: %s empty fields behind the last column, which were dropped; the first is line %d", file, padded.tell("has", "have"), padded.first))
	}
	if short.rows > 0 {
		l.warnings = append(l.warnings, fmt.Sprintf("%s: %s before the last column, and the columns that are lacking are NULL; the first is line %d", file, short.tell("ends", "end"), short.first))
	}
	return nil
}

// ragged counts rows of another length than the header.
type ragged struct{ rows, first int }

func (r *ragged) add(line int) {
	if r.rows++; r.rows == 1 {
		r.first = line
	}
}

func (r *ragged) tell(one, many string) string {
	if r.rows == 1 {
		return "1 row " + one
	}
	return fmt.Sprintf("%d rows %s", r.rows, many)
}

// loadNDJSON stages a file with one JSON object in each line: a column for
// each key that occurs, numbers as they are written (exact), objects and
// arrays as their JSON text.
func (l *loader) loadNDJSON(ctx context.Context, stage string) error {
	var columns []string
	index := map[string]int{}
	err := eachObject(l.file.path, func(_ int, key string, _ []byte, _ bool) error {
		if _, ok := index[key]; !ok {
			index[key] = len(columns)
			columns = append(columns, key)
		}
		return nil
	}, func() error { return nil })
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, c := range columns {
		if seen[strings.ToLower(c)] {
			return fmt.Errorf("two keys differ only in case: %q", c)
		}
		seen[strings.ToLower(c)] = true
	}
	if len(columns) == 0 {
		return errors.New("the file holds no object")
	}
	l.header = columns
	null := map[string]bool{}
	for _, n := range l.file.nulls {
		null[n] = true
	}
	a, err := newAppender(ctx, l.conn, stage, columns)
	if err != nil {
		return err
	}
	defer a.close()
	set := make([]bool, len(columns))
	err = eachObject(l.file.path, func(_ int, key string, value []byte, isNull bool) error {
		i := index[key]
		if !isNull && !null[string(value)] {
			a.text(i, string(value))
			set[i] = true
		}
		return nil
	}, func() error {
		for i := range set {
			if !set[i] {
				a.null(i)
			}
			set[i] = false
		}
		return a.next(ctx)
	})
	if err != nil {
		return err
	}
	return a.finish()
}

// eachObject calls field for each key of each object and row at its end.
func eachObject(path string, field func(line int, key string, value []byte, isNull bool) error, row func() error) error {
	in, closer, err := openText(path)
	if err != nil {
		return err
	}
	defer func() { _ = closer() }() // only read
	b := bufio.NewReaderSize(in, 1<<16)
	for line := 1; ; line++ {
		text, err := b.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("line %d: %w", line, err)
		}
		if len(bytes.TrimSpace(text)) > 0 {
			if err := oneObject(line, text, field); err != nil {
				return err
			}
			if err := row(); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

func oneObject(line int, text []byte, field func(line int, key string, value []byte, isNull bool) error) error {
	if !utf8.Valid(text) {
		return fmt.Errorf("line %d: not UTF-8", line)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("line %d: a JSON object is expected", line)
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return fmt.Errorf("line %d: not JSON", line)
		}
		if seen[key] {
			return fmt.Errorf("line %d: key %q stands here twice", line, key)
		}
		seen[key] = true
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return fmt.Errorf("line %d: the value of %q is not JSON", line, key)
		}
		value := []byte(raw)
		switch raw[0] {
		case '"':
			var s string
			if err := json.Unmarshal(raw, &s); err != nil {
				return fmt.Errorf("line %d: the value of %q is not JSON", line, key)
			}
			value = []byte(s)
		case '{', '[':
			var compact bytes.Buffer
			if err := json.Compact(&compact, raw); err != nil {
				return fmt.Errorf("line %d: the value of %q is not JSON", line, key)
			}
			value = compact.Bytes()
		}
		if err := field(line, key, value, raw[0] == 'n'); err != nil {
			return err
		}
	}
	if t, err := d.Token(); err != nil || t != json.Delim('}') {
		return fmt.Errorf("line %d: the object is not closed", line)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("line %d: text after the object", line)
	}
	return nil
}

// appender fills a table whose columns are all text, a chunk at a time.
type appender struct {
	handle  bindings.Appender
	chunk   bindings.DataChunk
	vectors []bindings.Vector
	row     int
	size    int
}

func newAppender(ctx context.Context, c *conn, table string, columns []string) (*appender, error) {
	list := make([]string, len(columns))
	for i, name := range columns {
		quoted, err := source.QuoteIdent(name)
		if err != nil {
			return nil, err
		}
		list[i] = quoted + " VARCHAR"
	}
	if err := c.exec(ctx, "CREATE TABLE "+table+"("+strings.Join(list, ", ")+")"); err != nil {
		return nil, err
	}
	a := &appender{size: int(bindings.VectorSize())}
	types := make([]bindings.LogicalType, len(columns))
	for i := range types {
		types[i] = bindings.CreateLogicalType(bindings.TypeVarchar)
	}
	a.chunk = bindings.CreateDataChunk(types)
	for i := range types {
		bindings.DestroyLogicalType(&types[i])
	}
	a.vectors = make([]bindings.Vector, len(columns))
	a.look()
	schema, name := unquoteTable(table)
	if bindings.AppenderCreate(c.handle, schema, name, &a.handle) == bindings.StateError {
		message := bindings.AppenderError(a.handle)
		a.close()
		return nil, fmt.Errorf("fill table: %w", newEngineError(message))
	}
	return a, nil
}

// unquoteTable undoes the quoting of a schema-qualified table.
func unquoteTable(quoted string) (schema, table string) {
	schema, table, err := source.SplitTable(quoted)
	if err != nil {
		return "", quoted
	}
	return schema, table
}

// look finds the chunk's vectors, which move when it is reset.
func (a *appender) look() {
	for i := range a.vectors {
		a.vectors[i] = bindings.DataChunkGetVector(a.chunk, bindings.IdxT(i))
		bindings.VectorEnsureValidityWritable(a.vectors[i])
	}
}

func (a *appender) text(column int, value string) {
	bindings.VectorAssignStringElementLen(a.vectors[column], bindings.IdxT(a.row), []byte(value))
}

func (a *appender) null(column int) {
	bindings.ValiditySetRowInvalid(bindings.VectorGetValidity(a.vectors[column]), bindings.IdxT(a.row))
}

// next ends a row.
func (a *appender) next(ctx context.Context) error {
	if a.row++; a.row < a.size {
		return nil
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return a.flush()
}

func (a *appender) flush() error {
	bindings.DataChunkSetSize(a.chunk, bindings.IdxT(a.row))
	if bindings.AppendDataChunk(a.handle, a.chunk) == bindings.StateError {
		return fmt.Errorf("fill table: %w", newEngineError(bindings.AppenderError(a.handle)))
	}
	bindings.DataChunkReset(a.chunk)
	a.look()
	a.row = 0
	return nil
}

// finish writes what is left.
func (a *appender) finish() error {
	if a.row > 0 {
		if err := a.flush(); err != nil {
			return err
		}
	}
	if bindings.AppenderClose(a.handle) == bindings.StateError {
		return fmt.Errorf("fill table: %w", newEngineError(bindings.AppenderError(a.handle)))
	}
	return nil
}

func (a *appender) close() {
	bindings.DestroyDataChunk(&a.chunk)
	if a.handle.Ptr != nil {
		bindings.AppenderDestroy(&a.handle)
	}
}
