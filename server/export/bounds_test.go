package export

import (
	"fmt"
	"testing"
)

// Dates of a filter become bounds that are never too narrow; whatever else it
// asks for is left to the filter itself.
func TestBE130_Bounds(t *testing.T) {
	t.Parallel()
	e := newBench(t, small()).engine()
	for query, want := range map[string]string{
		"Claim?created=2024-03-05":                           "map[Claim:[[{created 2024-03-04 2024-03-07}]]]",
		"Claim?created=ge2024-03-05&status=active":           "map[Claim:[[{created 2024-03-04 }]]]",
		"Claim?created=gt2024-03":                            "map[Claim:[[{created 2024-02-29 }]]]",
		"Claim?created=lt2024-03-05&created=ge2024":          "map[Claim:[[{created  2024-03-07} {created 2023-12-31 }]]]",
		"Claim?billable-period-start=sa2024-03-05T10:00:00Z": "map[Claim:[[{billablePeriod.start 2024-03-04 }]]]",
		"Claim?created=ne2024-03-05":                         "map[]",
		"Claim?created=2024-03-05,2024-03-06":                "map[]",
		"Claim?created:missing=true":                         "map[]",
		"Claim?service-date=ge2024":                          "map[]", // it also looks at lines
		"Claim?status=active":                                "map[]",
		"Claim?created=ge0001":                               "map[Claim:[[{created  }]]]",
	} {
		s, err := e.shape(&order{Request: Request{TypeFilters: map[string][]string{"Claim": {query}}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(s.bounds()); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	// A filter that cannot be told makes its alternatives useless; the grant's
	// bounds then count.
	s, err := e.shape(&order{Request: Request{
		TypeFilters: map[string][]string{"Claim": {"Claim?created=2024-03-05", "Claim?status=active"}},
		Restrict:    map[string][]string{"Claim": {"created=ge2020"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.bounds()); got != "map[Claim:[[{created 2019-12-31 }]]]" {
		t.Error(got)
	}
}
