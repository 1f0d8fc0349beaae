package mapping_test

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"remit/mapping/library"
)

// unmappedSet maps little of a practitioner; reasons stand behind it.
const unmappedSet = `resource: Practitioner
profile: C4BB-Practitioner|2.1.0
from: clinician
id: {key: [npi, =npi]}
set:
  identifier[NPI]: {value: =npi}
  name: {family: {absent: unknown}}
unmapped:
`

// TestRule39_Unmapped: a reason is told for its element and for all below, and
// an element without one has none.
func TestRule39_Unmapped(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	set := base(t)
	set["practitioner.yaml"] = &fstest.MapFile{Data: []byte(unmappedSet + "  telecom: no column\n  address: \"not yet: ask the network team\"\n")}
	p, diags := load(t, w, set)
	silent(t, diags)
	got := map[string]string{}
	for _, u := range p.Lineage(nil).MustSupport {
		if u.Mapping == "practitioner" {
			got[u.Path] = u.Reason
		}
	}
	for path, want := range map[string]string{
		"Practitioner.telecom": "no column", "Practitioner.address": "not yet: ask the network team", "Practitioner.identifier[tax]": "",
	} {
		if why, ok := got[path]; !ok || why != want {
			t.Errorf("%s: %q, told %v; want %q", path, why, ok, want)
		}
	}
}

// TestRule39_Below: one reason covers the slices of an element that is not
// written, and a reason at the slice goes before it. A reason may speak of what
// only a view's profile demands.
func TestRule39_Below(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	set := base(t)
	set["organization.yaml"] = &fstest.MapFile{Data: []byte(`resource: Organization
from: insurer
id: {key: [payer, =payer]}
set: {active: true, name: =payer}
views:
  judged: {profile: C4BB-Organization|2.1.0}
unmapped:
  identifier: no number
  telecom: no column
  address: no column
`)}
	p := must(t, w, set)
	seen := 0
	for _, u := range p.Lineage(nil).MustSupport {
		if u.Mapping != "organization" {
			continue
		}
		seen++
		want := "no column"
		if strings.HasPrefix(u.Path, "Organization.identifier") {
			want = "no number"
		}
		if u.Reason != want || u.View != "judged" {
			t.Errorf("%s in view %q: %q", u.Path, u.View, u.Reason)
		}
	}
	if seen < 3 {
		t.Errorf("%d elements", seen)
	}
}

// TestRule39_Mistakes: a reason that explains nothing is told with its place.
func TestRule39_Mistakes(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	for _, tc := range []struct{ name, reasons, want string }{
		{"an element that is not there", "  telecoms: no column\n", `practitioner.yaml:9:3: no profile of the mapping has telecoms; did you mean "telecom"? [unknown-element]`},
		{"a deeper one", "  address.towm: no column\n", `practitioner.yaml:9:11: no profile of the mapping has address.towm [unknown-element]`},
		{"a slice that is not there", "  identifier[tex]: no column\n", `practitioner.yaml:9:3: no profile of the mapping has identifier[tex]; did you mean "tax"? [unknown-element]`},
		{"one that is written", "  identifier[NPI].value: no column\n", `practitioner.yaml:9:3: warning: the mapping writes identifier[NPI].value, which has a reason why it does not [stale-reason]`},
		{"one that is written below", "  name: no column\n", `practitioner.yaml:9:3: warning: the mapping writes name, which has a reason why it does not [stale-reason]`},
		{"one that nobody asks for", "  photo: no column\n", `practitioner.yaml:9:3: warning: nothing at or below photo is a must-support element that waits for a reason [needless-reason]`},
		{"one below a topmost", "  telecom.system: no column\n", `practitioner.yaml:9:3: warning: nothing at or below telecom.system is a must-support element that waits for a reason [needless-reason]`},
		{"no path", "  \"a b\": no column\n", `practitioner.yaml:9:5: path "a b" has " " where . or the end is expected [bad-path]`},
		{"no reason", "  telecom:\n", `practitioner.yaml:9:11: expected a reason, found nothing [empty-value]`},
		{"a list", "  telecom: [no, column]\n", `practitioner.yaml:9:12: expected a reason, found a list [wrong-kind]`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set := base(t)
			set["practitioner.yaml"] = &fstest.MapFile{Data: []byte(unmappedSet + tc.reasons)}
			_, diags := load(t, w, set)
			var b strings.Builder
			if err := diags.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(b.String(), tc.want) || strings.Count(b.String(), "practitioner.yaml:9") != 1 {
				t.Errorf("%s\nwant %s", b.String(), tc.want)
			}
		})
	}
}

// TestRule39_Shipped: each must-support element that a shipped set does not map,
// in full and in each view, has a reason, and no reason is in vain.
func TestRule39_Shipped(t *testing.T) {
	t.Parallel()
	sets := shipped(t)
	if len(sets) != len(library.Names()) {
		t.Errorf("%d of %d sets have a fixture", len(sets), len(library.Names()))
	}
	for _, s := range sets {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			w := warehouse(t, s.fixture)
			p, diags := load(t, w, s.files)
			if p == nil {
				t.Fatal(diags.Err())
			}
			for _, d := range diags.All() {
				if strings.HasSuffix(d.Code, "-reason") {
					t.Error(d)
				}
			}
			catalog, err := w.Catalog(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			l := p.Lineage(catalog)
			for _, u := range l.MustSupport {
				if u.Reason == "" {
					t.Errorf("%s: %s (view %q) has no reason", u.Mapping, u.Path, u.View)
				}
			}
			if len(l.MustSupport) < 50 {
				t.Errorf("only %d elements are told as not mapped", len(l.MustSupport))
			}
		})
	}
}
