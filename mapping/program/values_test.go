package program

import (
	"testing"
	"time"
)

func TestRule25_Timestamps(t *testing.T) {
	ny, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ in, want string }{
		{"2018-11-02T10:20:30", "2018-11-02T10:20:30-04:00"},
		{"2018-11-02T10:20:30.120000", "2018-11-02T10:20:30.12-04:00"},
		{"2018-01-02", "2018-01-02T00:00:00-05:00"},
		{"2023-11-05T01:30:00", "2023-11-05T01:30:00-04:00"}, // occurs twice: the earlier one
		{"2023-03-12T02:30:00", "2023-03-12T03:30:00-04:00"}, // does not occur
		{"2018-11-02T10:20:30Z", "2018-11-02T10:20:30+00:00"},
		{"infinity", ""}, {"-infinity", ""}, {"0044-03-15 BC", ""}, {"10000-01-01T00:00:00", ""}, {"", ""},
	} {
		got := ""
		if at, ok := parseTimestamp([]byte(tc.in), ny); ok {
			got = string(appendZoned(nil, at))
		}
		if got != tc.want {
			t.Errorf("%q gives %q, want %q", tc.in, got, tc.want)
		}
	}
}

func TestRule25_Decimals(t *testing.T) {
	for in, want := range map[string]string{
		"12.50": "12.50", "0012.50": "12.50", "+1": "1", "-0.10": "-0.10", ".5": "0.5", "000": "0",
		"": "!", "1.": "!", "1e3": "!", "1,000": "!", "$1": "!", "--1": "!", "-": "!",
	} {
		got, ok := appendDecimal(nil, []byte(in))
		if !ok {
			got = []byte("!")
		}
		if string(got) != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}

func TestRule20_CompareIntegers(t *testing.T) {
	ordered := []string{"-100", "-20", "-3", "0", "3", "20", "100", "123456789012345678901234567890"}
	for i, a := range ordered {
		for j, b := range ordered {
			want := 0
			switch {
			case i < j:
				want = -1
			case i > j:
				want = 1
			}
			if got := compareIntegers([]byte(a), []byte(b)); got != want {
				t.Errorf("compare %s with %s: %d, want %d", a, b, got, want)
			}
		}
	}
}

func FuzzDecimal(f *testing.F) {
	f.Add("12.50")
	f.Add("-.5")
	f.Fuzz(func(t *testing.T, s string) {
		once, ok := appendDecimal(nil, []byte(s))
		if !ok {
			return
		}
		if twice, ok := appendDecimal(nil, once); !ok || string(twice) != string(once) {
			t.Errorf("%q is not its own decimal", once)
		}
	})
}
