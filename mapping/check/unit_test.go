package check

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRule15_CanonicalForms(t *testing.T) {
	for _, tc := range []struct {
		form     Form
		in, want string
	}{
		{FormICD10CM, "E119", "E11.9"}, {FormICD10CM, "E11.9", "E11.9"}, {FormICD10CM, "I10", "I10"}, {FormICD10CM, "S72001A", "S72.001A"},
		{FormICD9CM, "25000", "250.00"}, {FormICD9CM, "E8500", "E850.0"}, {FormICD9CM, "E850", "E850"}, {FormICD9CM, "V270", "V27.0"},
		{FormICD9PCS, "3995", "39.95"}, {FormICD9PCS, "39", "39"},
		{FormNDC11, "0002-8215-01", "00002821501"}, {FormNDC11, "50242-040-62", "50242004062"}, {FormNDC11, "60575-4112-1", "60575411201"},
		{FormNDC11, "00002821501", "00002821501"}, {FormNDC11, "0002-8215", "0002-8215"}, {FormNDC11, "", ""},
		{FormPlain, "anything", "anything"},
	} {
		once := string(tc.form.AppendCode(nil, []byte(tc.in)))
		if once != tc.want {
			t.Errorf("%q gives %q, want %q", tc.in, once, tc.want)
		}
		if twice := string(tc.form.AppendCode(nil, []byte(once))); twice != once {
			t.Errorf("%q is not idempotent: %q", once, twice)
		}
	}
}

func TestRule25_DateFormats(t *testing.T) {
	type day struct{ Year, Month, Day, Hour, Minute, Second int }
	for _, tc := range []struct {
		format, text string
		want         day
		ok           bool
	}{
		{"ISO", "2020-02-29", day{2020, 2, 29, 0, 0, 0}, true},
		{"ISO", "2019-02-29", day{}, false},
		{"YYYYMMDD", "20201231", day{2020, 12, 31, 0, 0, 0}, true},
		{"YYYYMMDD", "2020123", day{}, false},
		{"YYYYMMDD", "202012311", day{}, false},
		{"DD-MON-YYYY", "01-Jan-2015", day{2015, 1, 1, 0, 0, 0}, true},
		{"DD-MON-YYYY", "31-DEC-2015", day{2015, 12, 31, 0, 0, 0}, true},
		{"DD-MON-YYYY", "31-XXX-2015", day{}, false},
		{"MM/DD/YYYY HH:MI:SS", "07/04/2021 23:59:01", day{2021, 7, 4, 23, 59, 1}, true},
		{"MM/DD/YYYY HH:MI:SS", "07/04/2021 24:00:00", day{}, false},
		{"ISO", "", day{}, false},
	} {
		f, err := ParseDateFormat(tc.format)
		if err != nil {
			t.Fatal(err)
		}
		var got day
		var ok bool
		got.Year, got.Month, got.Day, got.Hour, got.Minute, got.Second, ok = f.Parse([]byte(tc.text))
		if d := cmp.Diff(tc.want, got); d != "" || ok != tc.ok {
			t.Errorf("%s %q: %v %s", tc.format, tc.text, ok, d)
		}
	}
	for _, bad := range []string{"", "YYYY", "MM-DD", "YYYY-MM-DD-MM", "QQ"} {
		if _, err := ParseDateFormat(bad); err == nil {
			t.Errorf("format %q is taken", bad)
		}
	}
}

func TestScanSQL(t *testing.T) {
	for _, tc := range []struct {
		sql    string
		code   string // of the fault, "" for none
		offset int
	}{
		{"a + b", "", 0}, {"'it''s; -- fine'", "", 0}, {`"odd;name"`, "", 0}, {"$$;$$", "", 0}, {"$x$ -- $x$", "", 0}, {"a[1]", "", 0},
		{"a; b", "sql-semicolon", 1}, {"a -- b", "sql-comment", 2}, {"a /* b */", "sql-comment", 2},
		{"(a", "sql-parenthesis", 0}, {"a)", "sql-parenthesis", 1}, {"(a]", "sql-parenthesis", 2}, {"'a", "sql-quote", 0}, {`x "a`, "sql-quote", 2},
	} {
		_, fault := scanSQL(tc.sql)
		switch {
		case tc.code == "" && fault != nil:
			t.Errorf("%q: %s", tc.sql, fault.message)
		case tc.code != "" && (fault == nil || fault.code != tc.code || fault.offset != tc.offset):
			t.Errorf("%q: got %+v, want %s at %d", tc.sql, fault, tc.code, tc.offset)
		}
	}
}

func FuzzScanSQL(f *testing.F) {
	for _, s := range []string{"a.b + \"c\"", "CASE WHEN x THEN 'y' END", "$a$ $b$ $a$", "f(x)[1]", "--", "/*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tokens, fault := scanSQL(s)
		for _, k := range tokens {
			if k.offset < 0 || k.offset >= len(s) {
				t.Errorf("token at %d of %d", k.offset, len(s))
			}
		}
		if fault != nil && (fault.offset < 0 || fault.offset >= len(s)) {
			t.Errorf("fault at %d of %d", fault.offset, len(s))
		}
		_, _ = mentions(tokens)
	})
}

func FuzzDateFormat(f *testing.F) {
	f.Add("DD-MON-YYYY", "01-JAN-2015")
	f.Add("ISO", "2020-01-01")
	f.Fuzz(func(t *testing.T, format, text string) {
		if df, err := ParseDateFormat(format); err == nil {
			df.Parse([]byte(text))
		}
	})
}
