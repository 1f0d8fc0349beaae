// Package source is the language of rows: what a claims warehouse is to the
// rest of Remit. It names the contract ([Source], [Snapshot], [RowStream]) that
// every adapter meets, the [Query] that the mapper asks, and the canonical text
// form in which values travel ([Value]).
//
// The room knows rows and SQL. It must not know FHIR, mappings or drivers.
package source

import (
	"context"
	"errors"
	"time"
)

// Source is one claims warehouse, read-only.
//
// A Source is safe for concurrent use. Errors that lie in the SQL of a query
// are *SQLError; everything else is the adapter's own, wrapped with the
// operation and free of row values.
type Source interface {
	// Dialect names the SQL dialect, "duckdb" or "postgres": it chooses
	// between claim.sql and claim.postgres.sql.
	Dialect() string

	// Catalog lists the tables and views that a mapping may read.
	Catalog(ctx context.Context) (*Catalog, error)

	// Columns tells names and types of a relation's columns, in order, as
	// expressions over it will see them. Error: *SQLError where the relation's
	// own SQL does not prepare.
	Columns(ctx context.Context, rel *Relation) ([]Column, error)

	// Describe prepares every expression of q (columns, then where) without
	// reading a row. It returns one Described for each, in that order: all
	// faults at once. The error is for faults outside the expressions.
	Describe(ctx context.Context, q *Query) ([]Described, error)

	// Snapshot opens one consistent view of the whole warehouse.
	Snapshot(ctx context.Context) (Snapshot, error)

	// Close releases the warehouse. Open snapshots become unusable.
	Close() error
}

// ErrNotShared: there is no snapshot of that token, or none any more.
var ErrNotShared = errors.New("no such shared snapshot")

// Snapshot is one consistent view of the warehouse. It is safe for concurrent
// use; several streams may be open at once (a merge join needs one per source).
type Snapshot interface {
	// AsOf is the instant of the view, UTC, truncated to milliseconds: the
	// transactionTime of an export that reads it.
	AsOf() time.Time

	// Loaded is the warehouse's declared load instant, or the zero time where
	// none is declared (mapping language, rule 29).
	Loaded() time.Time

	// Stream runs q and yields its rows in key order. Cancelling ctx stops the
	// running SQL. Error: *SQLError where the SQL is at fault.
	Stream(ctx context.Context, q *Query) (RowStream, error)

	// Explain returns the SQL that Stream would run for q, the engine's plan
	// as text, and its estimate of the rows (-1 where it has none).
	Explain(ctx context.Context, q *Query) (*Explanation, error)

	// Close ends the view. It may be called twice.
	Close() error
}

// Sharer is a Snapshot that other processes may join while it is open, so that
// several workers read one view. Not every engine offers it.
type Sharer interface {
	// Share returns the token that a Joiner takes: plain text, no secret, of no
	// use once the snapshot is closed.
	Share() string

	// Alive says why the snapshot cannot be joined any more, nil where it can:
	// a server that was restarted has forgotten it.
	Alive(ctx context.Context) error
}

// Joiner is a Source that joins a snapshot which another process shares.
type Joiner interface {
	// Join opens a further hold on the snapshot of that token: the same rows,
	// the same AsOf. What is joined outlives the snapshot it was joined from,
	// and may be shared in turn. Error: ErrNotShared.
	Join(ctx context.Context, token string) (Snapshot, error)
}

// RowStream yields rows one at a time.
//
//	for s.Next() { use(s.Row()) }
//	if err := s.Err(); err != nil { ... }
//
// It is used by one goroutine. Close may be called at any time, and twice.
type RowStream interface {
	// Next moves to the next row; false at the end and on error.
	Next() bool
	// Row is the current row: the caller may read it until the next call of
	// Next or Close and must not keep it or its bytes.
	Row() Row
	// Err is the error that ended the stream, nil at a plain end.
	Err() error
	Close() error
}

// Row holds one value for each of the query's columns, in the query's order,
// followed by nothing else.
type Row []Value

// Catalog is what a warehouse offers.
type Catalog struct {
	Tables []Table
}

// Table is a table or view. Name is as a mapping writes it (with the schema
// only where it is not on the search path).
type Table struct {
	Schema, Name  string
	Columns       []Column
	Comment       string
	EstimatedRows int64 // -1 where the engine has no figure
	View          bool
}

// Column is a column of a table or relation.
type Column struct {
	Name    string
	Type    Type
	NotNull bool // trustworthy for base tables only (mapping language, rule 24)
	Comment string
}

// Kind is the canonical kind of a value, whatever the engine calls its type.
type Kind uint8

// The kinds, each with its canonical text form.
const (
	KindUnknown   Kind = iota
	KindText           // as stored; char(n) right-trimmed
	KindInteger        // 123, -4
	KindDecimal        // exact, the engine's scale kept: 12.50
	KindFloat          // shortest form that reads back equal
	KindBoolean        // true, false
	KindDate           // 2018-11-02
	KindTimestamp      // naive: 2018-11-02T10:20:30.123456 (fraction only where not zero)
	KindInstant        // with zone: the same followed by Z, always UTC
	KindUUID           // lower case
	KindComposite      // record, struct, list, array, JSON, blob: never scalar
)

// Type is a column's or expression's type.
type Type struct {
	Kind             Kind
	Name             string // the engine's own name, for messages
	Precision, Scale int    // of KindDecimal where known, else 0
	Padded           bool   // char(n)
}

// Described is the outcome of preparing one expression.
type Described struct {
	Type Type
	Err  *SQLError // nil where the expression prepares
}

// Explanation answers "what would run".
type Explanation struct {
	SQL           string
	Plan          string
	EstimatedRows int64
}

// Expr is one SQL scalar expression as a mapping wrote it. Adapters never
// quote or change it; they set it between newlines in parentheses.
type Expr struct {
	SQL string
}

// Relation is where rows come from: exactly one of Table, SQL and Unpivot.
type Relation struct {
	// Name is the alias under which expressions see the relation.
	Name string
	// Table is a catalogue name, optionally schema.table.
	Table string
	// SQL is a query text (no semicolon), set as (SQL) AS Name.
	SQL string
	// Unpivot turns repeated columns of another relation into rows.
	Unpivot *Unpivot

	// Owned are the parts of SQL whose rows belong to patients, in the order of
	// the text and apart from each other: Narrow.Owners reaches into them.
	Owned []Owned

	// Trim and Empty wrap every column not named in Keep before an expression
	// sees it (mapping language, rule 26). They need Columns.
	Trim  bool
	Empty Empty
	// Keep lists the columns left as they are (the keys), lower case.
	Keep []string
	// Columns as told by Source.Columns for the unwrapped relation; an adapter
	// uses it to render Trim and Empty. Nil while unknown.
	Columns []Column
}

// Owned is a query within a relation's SQL (the named one of a WITH, say), from
// byte Start to End, whose rows belong to the patient in one of its columns.
type Owned struct {
	Start, End int
	Patient    KeyColumn
}

// Empty lists the tokens that mean "no value" in a relation's columns.
type Empty struct {
	Text []string // compared after trimming where Trim is set
	Date []string // ISO dates; they apply to date and timestamp columns
}

// Unpivot makes one row for each number From..To of each row of Of: the number
// as column "n", and for each Columns entry the column of Of whose name is the
// pattern with {n} replaced. It sees all columns of Of as well.
type Unpivot struct {
	Of *Relation
	// From and To as written, so that 01..25 gives 01, 02 ...
	From, To string
	Columns  []UnpivotColumn
}

// UnpivotColumn is one output column of an Unpivot.
type UnpivotColumn struct {
	Name    string
	Pattern string // "diagnosis_code_{n}"
}

// KeyColumn is a column by which rows are ordered and joined: ascending, NULLs
// do not occur, text by bytes (COLLATE "C").
type KeyColumn struct {
	Name string
	Type Type
}

// Query asks for ordered rows of one relation.
//
// Expressions see the relation under its name and, where they name it, the
// one-row relation snapshot(as_of timestamptz, as_of_date date).
type Query struct {
	From    *Relation
	Columns []Expr
	// Where conditions are joined by AND; a row is kept where all are true.
	Where []Expr
	// Key then Order is the order of the rows, NULLs behind everything. A row
	// with a NULL key part is delivered only with NullKeys.
	Key, Order []KeyColumn
	// NullKeys delivers rows with a NULL key part, too, so that the reader can
	// count them (mapping language, rule 20).
	NullKeys bool
	// Narrow limits the rows by the relation's own columns.
	Narrow Narrow
	// Parent, where not nil, keeps only rows for which a row of the parent
	// query exists with equal leading Key columns (its Columns and Order are
	// not used). Set it only where the parent is narrowed by more than a key
	// range (mapping language, rule 28).
	Parent *Query
	// Distinct removes equal rows of Columns; Key must then be among Columns.
	Distinct bool
	// Limit, where above 0, ends the stream after that many rows, so that the
	// engine need not sort what nobody reads.
	Limit int
}

// Narrow limits a query. The zero value limits nothing. All values are bound,
// never written into SQL text; each is in canonical text form and is compared
// as the named column's type.
type Narrow struct {
	// Patient names the column that tells whose data a row is; needed by
	// those that follow.
	Patient KeyColumn
	// PatientAfter and PatientUpTo bound a half-open range (after, upTo] in
	// key order; nil means unbounded.
	PatientAfter, PatientUpTo *string
	// Patients, where not nil, lists the only patients wanted.
	Patients []string
	// PatientsNot lists patients whose rows are left out; rows without a
	// patient stay.
	PatientsNot []string
	// PatientNull asks for the rows without a patient alone, which no range
	// and no list holds.
	PatientNull bool
	// Owners, where not nil, lists the only patients whose rows the relation's
	// Owned parts, and those of the relation that it unpivots, are to yield. It
	// needs no Patient, and leaves a relation without such parts as it is.
	Owners []string

	// KeyAfter and KeyUpTo bound a range (after, upTo] of the leading key
	// columns; nil means unbounded. They may name fewer parts than the key has.
	KeyAfter, KeyUpTo []string
	// Keys, where not nil, lists the only full keys wanted.
	Keys [][]string

	// Any, where not nil, keeps the rows of which one of these columns has one
	// of its values.
	Any []ColumnValues

	// Updated names the column of the last change; Since and Until bound it:
	// Since < updated, updated <= Until where UntilInclusive, else < Until.
	// A NULL updated passes both.
	Updated        KeyColumn
	Since, Until   time.Time
	UntilInclusive bool
	// SinceAlso are child queries any of whose rows later than Since also
	// selects the row (mapping language, rule 29).
	SinceAlso []*Query
}

// ColumnValues are values of a column in canonical text form.
type ColumnValues struct {
	Column KeyColumn
	Values []string
}
