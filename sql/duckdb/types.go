package duckdb

import (
	"encoding/json"
	"fmt"

	bindings "github.com/duckdb/duckdb-go-bindings"

	"remit/sql/source"
)

// engineColumn is a column as the engine declares it.
type engineColumn struct {
	name     string
	id       bindings.Type
	kind     source.Type
	internal bindings.Type // storage of a DECIMAL
	// native is false for a type that is read as text by a CAST in SQL.
	native bool
}

// newEngineColumn sorts a logical type of the engine.
func newEngineColumn(name string, t bindings.LogicalType) engineColumn {
	c := engineColumn{name: name, id: bindings.GetTypeId(t), native: true}
	c.kind.Name = typeNames[c.id]
	switch c.id {
	case bindings.TypeBoolean:
		c.kind.Kind = source.KindBoolean
	case bindings.TypeTinyInt, bindings.TypeSmallInt, bindings.TypeInteger, bindings.TypeBigInt,
		bindings.TypeUTinyInt, bindings.TypeUSmallInt, bindings.TypeUInteger, bindings.TypeUBigInt,
		bindings.TypeHugeInt, bindings.TypeUHugeInt:
		c.kind.Kind = source.KindInteger
	case bindings.TypeFloat, bindings.TypeDouble:
		c.kind.Kind = source.KindFloat
	case bindings.TypeDecimal:
		c.kind.Kind = source.KindDecimal
		c.kind.Precision = int(bindings.DecimalWidth(t))
		c.kind.Scale = int(bindings.DecimalScale(t))
		c.kind.Name = fmt.Sprintf("DECIMAL(%d,%d)", c.kind.Precision, c.kind.Scale)
		c.internal = bindings.DecimalInternalType(t)
	case bindings.TypeVarchar:
		c.kind.Kind = source.KindText
		if alias := bindings.LogicalTypeGetAlias(t); alias == "JSON" {
			c.kind.Kind, c.kind.Name, c.native = source.KindComposite, alias, false
		}
	case bindings.TypeDate:
		c.kind.Kind = source.KindDate
	case bindings.TypeTimestamp, bindings.TypeTimestampS, bindings.TypeTimestampMS, bindings.TypeTimestampNS:
		c.kind.Kind = source.KindTimestamp
	case bindings.TypeTimestampTZ:
		c.kind.Kind = source.KindInstant
	case bindings.TypeUUID:
		c.kind.Kind = source.KindUUID
	case bindings.TypeEnum, bindings.TypeTime, bindings.TypeTimeTZ, bindings.TypeInterval, bindings.TypeBigNum:
		c.kind.Kind, c.native = source.KindText, false
		if c.id == bindings.TypeBigNum {
			c.kind.Kind = source.KindInteger
		}
	case bindings.TypeSQLNull, bindings.TypeInvalid:
		// A bare NULL: text, as PostgreSQL has it.
		c.kind.Kind, c.native = source.KindText, false
	default:
		c.kind.Kind, c.native = source.KindComposite, false
	}
	if c.kind.Name == "" {
		c.kind.Name = "composite"
	}
	return c
}

// typeNames are the engine's names, for messages.
var typeNames = map[bindings.Type]string{
	bindings.TypeBoolean: "BOOLEAN", bindings.TypeTinyInt: "TINYINT", bindings.TypeSmallInt: "SMALLINT",
	bindings.TypeInteger: "INTEGER", bindings.TypeBigInt: "BIGINT", bindings.TypeUTinyInt: "UTINYINT",
	bindings.TypeUSmallInt: "USMALLINT", bindings.TypeUInteger: "UINTEGER", bindings.TypeUBigInt: "UBIGINT",
	bindings.TypeHugeInt: "HUGEINT", bindings.TypeUHugeInt: "UHUGEINT", bindings.TypeFloat: "FLOAT",
	bindings.TypeDouble: "DOUBLE", bindings.TypeVarchar: "VARCHAR", bindings.TypeDate: "DATE",
	bindings.TypeTimestamp: "TIMESTAMP", bindings.TypeTimestampS: "TIMESTAMP_S", bindings.TypeTimestampMS: "TIMESTAMP_MS",
	bindings.TypeTimestampNS: "TIMESTAMP_NS", bindings.TypeTimestampTZ: "TIMESTAMP WITH TIME ZONE",
	bindings.TypeUUID: "UUID", bindings.TypeEnum: "ENUM", bindings.TypeTime: "TIME", bindings.TypeTimeTZ: "TIME WITH TIME ZONE",
	bindings.TypeInterval: "INTERVAL", bindings.TypeBigNum: "BIGNUM", bindings.TypeSQLNull: "NULL", bindings.TypeInvalid: "NULL",
	bindings.TypeBlob: "BLOB", bindings.TypeBit: "BIT", bindings.TypeList: "LIST", bindings.TypeStruct: "STRUCT",
	bindings.TypeMap: "MAP", bindings.TypeArray: "ARRAY", bindings.TypeUnion: "UNION",
}

// dialect is DuckDB's SQL for source's renderer. Two-sided row comparison gives
// wrong answers in 1.5, so bounds are written out; LATERAL over VALUES is
// planned as a join, so columns are unpivoted by lists.
var dialect = source.Dialect{
	Name: "duckdb",
	Param: func(n int, t source.Type) string {
		return fmt.Sprintf("CAST($%d AS %s)", n, paramType(t))
	},
	Rows: func(n int, types []source.Type) string {
		s := "SELECT"
		for i, t := range types {
			if i > 0 {
				s += ","
			}
			s += fmt.Sprintf(" CAST(unnest(from_json(CAST($%d AS JSON), '[\"VARCHAR\"]')) AS %s) AS v%d", n+i, paramType(t), i)
		}
		return s
	},
	Any: func(column string, n, length int, t source.Type) string {
		text := t.Kind == source.KindText && (t.Name == "VARCHAR" || t.Name == "") // no ENUM, no TIME
		if length > longestScanned || !text && t.Kind != source.KindInteger && t.Kind != source.KindUUID {
			return ""
		}
		return fmt.Sprintf("list_contains(CAST(from_json(CAST($%d AS JSON), '[\"VARCHAR\"]') AS %s[]), %s)", n, paramType(t), column)
	},
	UnpivotLists: true,
}

// longestScanned is the longest list that is compared with a column one by one:
// a thousand values cost a quarter of what a window over the same rows does. IN
// with a query is a join, which the engine does above all windows and groups.
const longestScanned = 1024

// paramType is the type under which a bound value meets a column of type t.
func paramType(t source.Type) string {
	switch t.Kind {
	case source.KindInteger:
		switch t.Name {
		case "HUGEINT", "UHUGEINT", "UBIGINT":
			return t.Name
		}
		return "BIGINT"
	case source.KindDecimal:
		if t.Precision > 0 {
			return fmt.Sprintf("DECIMAL(%d,%d)", t.Precision, t.Scale)
		}
		return "DECIMAL(38,10)"
	case source.KindFloat:
		return "DOUBLE"
	case source.KindBoolean:
		return "BOOLEAN"
	case source.KindDate:
		return "DATE"
	case source.KindTimestamp:
		return "TIMESTAMP"
	case source.KindInstant:
		return "TIMESTAMPTZ"
	case source.KindUUID:
		return "UUID"
	}
	return "VARCHAR"
}

// listText is the form in which a list is bound: a JSON array of strings.
func listText(list []string) (string, error) {
	b, err := json.Marshal(list)
	return string(b), err
}
