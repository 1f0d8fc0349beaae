//go:build !race

package search_test

import (
	"testing"

	"remit/profiles/search"
)

// Out of the race detector's run: there a sync.Pool drops what it is given now
// and then, so that its users are not left without one.
//
// A filter is shared by the chunks of an export.
func TestMatchAllocatesNothing(t *testing.T) {
	f, problems := bundled(t).Parse("ExplanationOfBenefit?service-date=ge2024-01-01&type=oral,pharmacy&patient=p1&_lastUpdated=gt2020", search.Options{})
	if problems != nil {
		t.Fatal(problems)
	}
	r := parse(t, eob)
	if n := testing.AllocsPerRun(100, func() { f.Match(r) }); n > 0 {
		t.Errorf("%v allocations a match", n)
	}
}
