package source_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"remit/sql/source"
)

func FuzzQuoteIdent(f *testing.F) {
	for _, seed := range []string{"a", "A b", `a"b`, `""`, "", "a\x00b", "é", "\xff", `"; DROP TABLE x; --`, "a.b", "'"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		quoted, err := source.QuoteIdent(name)
		if err != nil {
			if name != "" && !strings.Contains(name, "\x00") && utf8.ValidString(name) {
				t.Errorf("%q refused: %v", name, err)
			}
			return
		}
		inner := quoted[1 : len(quoted)-1]
		if quoted[0] != '"' || quoted[len(quoted)-1] != '"' || strings.Contains(strings.ReplaceAll(inner, `""`, ""), `"`) {
			t.Errorf("%q became %s, which ends early", name, quoted)
		}
		if got := strings.ReplaceAll(inner, `""`, `"`); got != name {
			t.Errorf("%q became %s, which reads %q", name, quoted, got)
		}
		if schema, table, err := source.SplitTable(quoted); err != nil || schema != "" || table != name {
			t.Errorf("%s splits into %q, %q, %v", quoted, schema, table, err)
		}
	})
}

func FuzzQuoteLiteral(f *testing.F) {
	for _, seed := range []string{"", "a", "it's", "''", `\'`, "\x00", "é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quoted, err := source.QuoteLiteral(text)
		if err != nil {
			return
		}
		if fault := source.CheckExpr(quoted, nil); fault != nil {
			t.Errorf("%q became %s: %v", text, quoted, fault)
		}
		inner := quoted[1 : len(quoted)-1]
		if strings.ReplaceAll(inner, "''", "'") != text || strings.Contains(strings.ReplaceAll(inner, "''", ""), "'") {
			t.Errorf("%q became %s", text, quoted)
		}
	})
}

// FuzzCheckExpr holds that no text makes the guard panic, that a fault lies in
// the text, and that what passes cannot close the bracket it stands in.
func FuzzCheckExpr(f *testing.F) {
	for _, seed := range []string{"a", "a + (b)", "a) OR (b", "'x", `"x`, "$$x$$", "$a$;$a$", "E'\\''", "/* a", "-- x", "now()", "a.now", "1;", "[1", "{'a': 1}", "\x00", "\xff", "e'", "$1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		fault := source.CheckExpr(sql, map[string]bool{"pg_read_file": true})
		if fault != nil {
			if fault.Offset < -1 || fault.Offset > len(sql) || fault.Message == "" || fault.Code != "syntax" && fault.Code != "volatile" {
				t.Errorf("%q: %+v", sql, fault)
			}
			return
		}
		if source.CheckExpr("(\n"+sql+"\n)", nil) != nil {
			t.Errorf("%q passes alone but not in brackets", sql)
		}
		if source.CheckExpr(sql+")", nil) == nil {
			t.Errorf("%q swallows the bracket behind it", sql)
		}
		_ = source.CheckRelation(sql, nil)
	})
}

func TestCheckExpr(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		"paid":                   "",
		"'a;b -- c (' || x":      "",
		"$$ it's ; $$":           "",
		"$q$ ) $q$":              "",
		`E'\'' || "a;b"`:         "",
		"claim.current_date":     "",
		`"current_date"`:         "",
		"now":                    "",
		"user_name":              "",
		"x[1]":                   "",
		"a; b":                   "1 syntax",
		"(a":                     "0 syntax",
		"a)":                     "1 syntax",
		"(a]":                    "2 syntax",
		"a -- b":                 "2 syntax",
		"'a":                     "0 syntax",
		"$q$ a":                  "0 syntax",
		"? + 1":                  "0 syntax",
		"":                       "0 syntax",
		"NOW ()":                 "0 volatile",
		`"now"()`:                "0 volatile",
		"pg_catalog.now()":       "11 volatile",
		"Current_Timestamp(3)":   "0 volatile",
		"a + pg_read_file('/x')": "4 volatile",
	} {
		got := ""
		if fault := source.CheckExpr(sql, map[string]bool{"pg_read_file": true}); fault != nil {
			got = fmt.Sprintf("%d %s", fault.Offset, fault.Code)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
}

func TestSplitTable(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"claim": "|claim", "tuva.claim": "tuva|claim", `"a.b".c`: "a.b|c", `a."b""c"`: `a|b"c`, `"A B"`: "|A B",
		"": "error", "a.": "error", ".a": "error", "a.b.c": "error", `"a`: "error", `"a"b`: "error",
	} {
		schema, table, err := source.SplitTable(name)
		got := schema + "|" + table
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

func FuzzAppendTimestamp(f *testing.F) {
	for _, seed := range []int64{0, -1, 1, 1e15, -1e15, -62135596800000000, 253402300799999999} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, micros int64) {
		at := time.UnixMicro(micros).UTC()
		if at.Year() < 1 || at.Year() > 9999 {
			return
		}
		if got, want := string(source.AppendTimestamp(nil, micros, 0, true)), at.Format("2006-01-02T15:04:05.999999Z"); got != want {
			t.Errorf("%d: %s, want %s", micros, got, want)
		}
		days := int64(math.Floor(float64(at.Unix()) / 86400))
		if got, want := string(source.AppendDate(nil, days)), at.Format("2006-01-02"); got != want {
			t.Errorf("day %d: %s, want %s", days, got, want)
		}
	})
}

func TestAppendDateBeforeChrist(t *testing.T) {
	t.Parallel()
	for days, want := range map[int64]string{-719528: "0001-01-01 BC", -719163: "0001-12-31 BC", -719162: "0001-01-01", 2932897: "10000-01-01"} {
		if got := string(source.AppendDate(nil, days)); got != want {
			t.Errorf("day %d: %s, want %s", days, got, want)
		}
	}
}

func FuzzDecimal(f *testing.F) {
	f.Add("0", 0)
	f.Add("-5", 2)
	f.Add("123456789012345678901234567890", 10)
	f.Fuzz(func(t *testing.T, digits string, scale int) {
		n, ok := new(big.Int).SetString(digits, 10)
		if !ok || scale < 0 || scale > 38 || n.String() != digits {
			return
		}
		got := string(source.AppendDecimal(nil, []byte(digits), scale))
		r, ok := new(big.Rat).SetString(got)
		want := new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
		if !ok || r.Cmp(want) != 0 {
			t.Errorf("%s at scale %d is %s", digits, scale, got)
		}
		if _, places, _ := strings.Cut(got, "."); len(places) != scale {
			t.Errorf("%s at scale %d is %s: %d places", digits, scale, got, len(places))
		}
	})
}

// TestValueHides holds that no way of printing a value shows it.
func TestValueHides(t *testing.T) {
	t.Parallel()
	row := source.Row{source.Text([]byte("SECRET")), {}}
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("row", "value", row[0], "row", row)
	encoded, err := json.Marshal(map[string]any{"row": row})
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprint(row, row[0], &row[0]) + fmt.Sprintf("%v %+v %#v %s %q %x %d", row, row, row, row[0], row[0], row[0], row[0])
	for name, text := range map[string]string{"slog": logged.String(), "JSON": string(encoded), "fmt": printed} {
		if strings.Contains(text, "SECRET") || strings.Contains(text, "534543524554") || strings.Contains(text, "83 69") {
			t.Errorf("%s shows the value: %s", name, text)
		}
	}
}

// TestWrapWritesWhatMayBeMeant asks of expressions over a wrapped table of the
// columns a and z whether the query writes z.
func TestWrapWritesWhatMayBeMeant(t *testing.T) {
	text := source.Type{Kind: source.KindText}
	claim := &source.Relation{Name: "claim", Table: "c", Trim: true, Columns: []source.Column{{Name: "a", Type: text}, {Name: "z", Type: text}}}
	child := &source.Query{From: &source.Relation{Name: "line", Table: "l"}, Key: []source.KeyColumn{{Name: "a", Type: text}}, Where: []source.Expr{{SQL: "n > 0"}}}
	for _, tc := range []struct {
		sql  string
		want bool
	}{
		{"a", false}, {"'z'", false}, {"claim.a", false}, {"upper(a) || '*'", false}, {"length(a) * 2", false}, {"snapshot.as_of_date", false}, {"1", false},
		{"z", true}, {"Z", true}, {`"z"`, true}, {"claim.z", true}, {"a.z", true}, {"z.upper()", true}, {"CASE WHEN a = '1' THEN z END", true},
		{"to_json(claim)", true}, {"claim IS NULL", true}, {"row(claim.*)", true}, {"count(*)", true}, {"coalesce(a, *COLUMNS('.*'))", true},
		{"(SELECT max(x) FROM (SELECT claim.*) AS r(x))", true}, {"EXISTS (TABLE other)", true},
	} {
		d := &source.Dialect{Param: func(int, source.Type) string { return "?" }}
		for name, q := range map[string]*source.Query{
			"column": {From: claim, Columns: []source.Expr{{SQL: tc.sql}}},
			"where":  {From: claim, Where: []source.Expr{{SQL: tc.sql}}},
			"parent": {From: child.From, Key: child.Key, Parent: &source.Query{From: claim, Key: child.Key, Where: []source.Expr{{SQL: tc.sql}}}},
		} {
			st, err := d.Select(q, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(st.SQL, `AS "z"`); got != tc.want {
				t.Errorf("%s %s: z is written: %v, want %v\n%s", name, tc.sql, got, tc.want, st.SQL)
			}
		}
	}
}
