package postgres

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"remit/sql/source"
)

// Object ids of built-in types (PostgreSQL, src/include/catalog/pg_type.dat).
const (
	oidBool        = 16
	oidBytea       = 17
	oidChar        = 18
	oidName        = 19
	oidInt8        = 20
	oidInt2        = 21
	oidInt4        = 23
	oidText        = 25
	oidOID         = 26
	oidJSON        = 114
	oidFloat4      = 700
	oidFloat8      = 701
	oidUnknown     = 705
	oidBPChar      = 1042
	oidVarchar     = 1043
	oidDate        = 1082
	oidTime        = 1083
	oidTimestamp   = 1114
	oidTimestampTZ = 1184
	oidInterval    = 1186
	oidTimeTZ      = 1266
	oidNumeric     = 1700
	oidUUID        = 2950
	oidRecord      = 2249
	oidJSONB       = 3802
)

// typeOf tells a built-in type; ok is false for others, which the server's
// catalogue must tell.
func typeOf(oid uint32, typmod int32) (t source.Type, ok bool) {
	switch oid {
	case oidBool:
		return source.Type{Kind: source.KindBoolean, Name: "boolean"}, true
	case oidInt2:
		return source.Type{Kind: source.KindInteger, Name: "smallint"}, true
	case oidInt4:
		return source.Type{Kind: source.KindInteger, Name: "integer"}, true
	case oidInt8:
		return source.Type{Kind: source.KindInteger, Name: "bigint"}, true
	case oidOID:
		return source.Type{Kind: source.KindInteger, Name: "oid"}, true
	case oidNumeric:
		t = source.Type{Kind: source.KindDecimal, Name: "numeric"}
		if typmod >= 4 {
			t.Precision = int((typmod - 4) >> 16 & 0xffff)
			t.Scale = int((typmod - 4) & 0x7ff)
			t.Name = fmt.Sprintf("numeric(%d,%d)", t.Precision, t.Scale)
		}
		return t, true
	case oidFloat4:
		return source.Type{Kind: source.KindFloat, Name: "real"}, true
	case oidFloat8:
		return source.Type{Kind: source.KindFloat, Name: "double precision"}, true
	case oidText, oidUnknown:
		return source.Type{Kind: source.KindText, Name: "text"}, true
	case oidVarchar:
		return source.Type{Kind: source.KindText, Name: "character varying"}, true
	case oidName:
		return source.Type{Kind: source.KindText, Name: "name"}, true
	case oidChar:
		return source.Type{Kind: source.KindText, Name: `"char"`}, true
	case oidBPChar:
		return source.Type{Kind: source.KindText, Name: "character", Padded: true}, true
	case oidDate:
		return source.Type{Kind: source.KindDate, Name: "date"}, true
	case oidTimestamp:
		return source.Type{Kind: source.KindTimestamp, Name: "timestamp without time zone"}, true
	case oidTimestampTZ:
		return source.Type{Kind: source.KindInstant, Name: "timestamp with time zone"}, true
	case oidTime:
		return source.Type{Kind: source.KindText, Name: "time without time zone"}, true
	case oidTimeTZ:
		return source.Type{Kind: source.KindText, Name: "time with time zone"}, true
	case oidInterval:
		return source.Type{Kind: source.KindText, Name: "interval"}, true
	case oidUUID:
		return source.Type{Kind: source.KindUUID, Name: "uuid"}, true
	case oidJSON, oidJSONB, oidRecord, oidBytea:
		names := map[uint32]string{oidJSON: "json", oidJSONB: "jsonb", oidRecord: "record", oidBytea: "bytea"}
		return source.Type{Kind: source.KindComposite, Name: names[oid]}, true
	}
	return source.Type{}, false
}

// otherType sorts a type that is not built in by what pg_type tells of it
// (PostgreSQL 15, 53.64 pg_type: typtype, typcategory).
func otherType(name, kind, category string) source.Type {
	t := source.Type{Kind: source.KindComposite, Name: name}
	if kind == "e" || kind == "b" && (category == "S" || category == "I") {
		t.Kind = source.KindText
	}
	return t
}

// dialect is PostgreSQL's SQL for source's renderer.
var dialect = source.Dialect{
	Name:          "postgres",
	ByteOrder:     `COLLATE "C"`,
	RowComparison: true,
	Param: func(n int, t source.Type) string {
		return "$" + strconv.Itoa(n) + "::" + paramType(t)
	},
	Rows: func(n int, types []source.Type) string {
		lists := make([]string, len(types))
		names := make([]string, len(types))
		for i, t := range types {
			lists[i] = fmt.Sprintf("$%d::%s[]", n+i, paramType(t))
			names[i] = fmt.Sprintf("v%d", i)
		}
		return "SELECT * FROM unnest(" + strings.Join(lists, ", ") + ") AS u(" + strings.Join(names, ", ") + ")"
	},
	Any: func(column string, n, _ int, t source.Type) string {
		return fmt.Sprintf("%s = ANY($%d::%s[])", column, n, paramType(t))
	},
}

// paramType is the type under which a bound value meets a column of type t.
func paramType(t source.Type) string {
	switch t.Kind {
	case source.KindInteger:
		return "int8"
	case source.KindDecimal:
		return "numeric"
	case source.KindFloat:
		return "float8"
	case source.KindBoolean:
		return "bool"
	case source.KindDate:
		return "date"
	case source.KindTimestamp:
		return "timestamp"
	case source.KindInstant:
		return "timestamptz"
	case source.KindUUID:
		return "uuid"
	}
	return "text"
}

// listText is the form in which a list is bound: an array literal (PostgreSQL
// 15, 8.15.2 Array Value Input).
func listText(list []string) []byte {
	out := []byte{'{'}
	for i, s := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, '"')
		for j := range len(s) {
			if s[j] == '"' || s[j] == '\\' {
				out = append(out, '\\')
			}
			out = append(out, s[j])
		}
		out = append(out, '"')
	}
	return append(out, '}')
}

// canonical turns the server's text of a value into the canonical one. It
// returns text itself where they are the same, else it appends to buf.
func canonical(oid uint32, text, buf []byte) (value, rest []byte) {
	start := len(buf)
	switch oid {
	case oidBool:
		buf = strconv.AppendBool(buf, len(text) > 0 && text[0] == 't')
	case oidBPChar:
		return bytes.TrimRight(text, " "), buf
	case oidFloat4, oidFloat8:
		bits := 64
		if oid == oidFloat4 {
			bits = 32
		}
		f, err := strconv.ParseFloat(string(text), bits)
		if err != nil {
			return text, buf
		}
		buf = source.AppendFloat(buf, f, bits)
	case oidTimestamp, oidTimestampTZ:
		day, clock, found := bytes.Cut(text, []byte{' '})
		if !found {
			return text, buf // infinity
		}
		clock, era, bc := bytes.Cut(clock, []byte{' '})
		buf = append(append(buf, day...), 'T')
		if oid == oidTimestampTZ {
			// The session's zone is UTC, so that every offset is +00.
			buf = append(append(buf, bytes.TrimSuffix(clock, []byte("+00"))...), 'Z')
		} else {
			buf = append(buf, clock...)
		}
		if bc {
			buf = append(append(buf, ' '), era...)
		}
	default:
		return text, buf
	}
	return buf[start:len(buf):len(buf)], buf
}
