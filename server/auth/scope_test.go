package auth

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSB070ParseScope shows SB-070, SB-071 and SB-073.
func TestSB070ParseScope(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   string
		want Scope
		ok   bool
	}{
		{"system/*.rs", Scope{Resource: "*", Permissions: Read | Search}, true},
		{"system/Patient.cruds", Scope{Resource: "Patient", Permissions: Create | Read | Update | Delete | Search}, true},
		{"system/Patient.r", Scope{Resource: "Patient", Permissions: Read}, true},
		{"system/*.read", Scope{Resource: "*", Permissions: Read | Search, Legacy: true}, true},
		{"system/*.write", Scope{Resource: "*", Permissions: Create | Update | Delete, Legacy: true}, true},
		{"system/*.*", Scope{Resource: "*", Permissions: Create | Read | Update | Delete | Search, Legacy: true}, true},
		{"system/ExplanationOfBenefit.rs?type=pharmacy", Scope{Resource: "ExplanationOfBenefit", Permissions: Read | Search, Query: "type=pharmacy"}, true},
		{in: "system/*.sr"}, {in: "system/*.dus"}, {in: "system/*.rr"}, {in: "system/*.x"}, {in: "system/*."}, {in: "system/*"},
		{in: "system/patient.rs"}, {in: "System/Patient.rs"}, {in: "patient/*.read"}, {in: "user/*.rs"}, {in: "launch"},
		{in: "openid"}, {in: "offline_access"}, {in: "system/Patient.read?x=y"}, {in: "system/Patient.rs?"}, {in: "system/Patient.RS"}, {in: ""},
	} {
		got, ok := ParseScope(tc.in)
		if diff := cmp.Diff(tc.want, got); ok != tc.ok || diff != "" {
			t.Errorf("%q: ok %v (-want +got):\n%s", tc.in, ok, diff)
		}
		if ok && got.String() != tc.in {
			t.Errorf("%q is written %q", tc.in, got)
		}
	}
}

// TestSB072Intersect grants what is both asked for and allowed.
func TestSB072Intersect(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, allowed, requested, want string }{
		{"all of all", "system/*.rs", "system/*.rs", "system/*.rs"},
		{"SB-071 v1 stays v1", "system/*.rs", "system/*.read", "system/*.read"},
		{"SB-071 v1 star is cut to read", "system/*.rs", "system/*.*", "system/*.read"},
		{"SB-071 v1 write is not granted", "system/*.cruds", "system/*.write", ""},
		{"SB-062 cruds is cut to rs", "system/*.cruds", "system/Patient.cruds", "system/Patient.rs"},
		{"SB-062 one of all", "system/*.read", "system/Patient.rs", "system/Patient.rs"},
		{"SB-072 wildcard becomes a list", "system/Patient.rs system/Coverage.rs", "system/*.rs", "system/Coverage.rs system/Patient.rs"},
		{"SB-071 wildcard v1 becomes a list", "system/Patient.rs system/Coverage.rs", "system/*.read", "system/Coverage.read system/Patient.read"},
		{"SB-071 read alone does not fit v1", "system/Group.r", "system/Group.read", "system/Group.r"},
		{"wildcard and more for one", "system/*.r system/Patient.rs", "system/*.rs", "system/*.r system/Patient.rs"},
		{"SB-072 partial", "system/Patient.rs", "system/Patient.rs system/Claim.rs", "system/Patient.rs"},
		{"SB-071 mixed v1 and v2", "system/*.rs", "system/Patient.read system/Claim.rs patient/*.read", "system/Patient.read system/Claim.rs"},
		{"SB-075 granular is not widened", "system/*.rs", "system/Claim.rs?use=claim system/Patient.rs", "system/Claim.rs?use=claim system/Patient.rs"},
		{"granular policy grants nothing wide", "system/Claim.rs?use=claim", "system/*.rs", "system/Claim.rs?use=claim"},
		{"granular policy is not v1", "system/Claim.rs?use=claim", "system/Claim.read", "system/Claim.rs?use=claim"},
		{"both sides' queries", "system/Claim.rs?use=claim", "system/Claim.rs?type=pharmacy", "system/Claim.rs?use=claim&type=pharmacy"},
		{"the same query twice", "system/Claim.rs?use=claim", "system/Claim.rs?use=claim", "system/Claim.rs?use=claim"},
		{"two policies", "system/Claim.rs?a=1 system/Claim.rs?b=2", "system/Claim.rs", "system/Claim.rs?a=1 system/Claim.rs?b=2"},
		{"read freely, search by query", "system/Claim.r system/Claim.s?a=1", "system/Claim.rs", "system/Claim.r system/Claim.rs?a=1"},
		{"unfiltered wins", "system/*.rs system/Claim.rs?a=1", "system/*.rs", "system/*.rs"},
		{"a query on everything means nothing", "system/*.rs", "system/*.rs?a=1", ""},
		{"SB-072 nothing", "system/Patient.rs", "system/Claim.rs", ""},
		{"plus and repeated spaces", "system/*.rs", "system/Patient.rs+system/Claim.rs   system/Patient.rs", "system/Patient.rs system/Claim.rs"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := scopes(tc.allowed).Intersect(scopes(tc.requested), Read|Search).String(); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestSB074Allows(t *testing.T) {
	t.Parallel()
	s := scopes("system/Patient.r system/Patient.s system/Claim.r system/Coverage.rs?status=active")
	for resource, want := range map[string]bool{"Patient": true, "Claim": false, "Coverage": false, "Group": false} {
		if got := s.Allows(resource, Read|Search); got != want {
			t.Errorf("%s: %v, want %v", resource, got, want)
		}
	}
}

// A query is what an export must pass; an unfiltered scope wins.
func TestSB075Queries(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		set, resource string
		want          []string
		ok            bool
	}{
		{"system/*.rs", "Claim", nil, true},
		{"system/Claim.rs?a=1", "Claim", []string{"a=1"}, true},
		{"system/Claim.rs?a=1 system/Claim.rs?b=2", "Claim", []string{"a=1", "b=2"}, true},
		{"system/Claim.rs?a=1 system/Claim.rs", "Claim", nil, true},
		{"system/Claim.r system/Claim.s?a=1", "Claim", []string{"a=1"}, true},
		{"system/Claim.r?a=1 system/Claim.s?b=2", "Claim", nil, false},
		{"system/Claim.r?a=1", "Claim", nil, false},
		{"system/Claim.rs?a=1", "Patient", nil, false},
		{"", "Claim", nil, false},
	} {
		got, ok := scopes(tc.set).Queries(tc.resource, Read|Search)
		if diff := cmp.Diff(tc.want, got); diff != "" || ok != tc.ok {
			t.Errorf("%q on %s: ok %v (-want +got):\n%s", tc.set, tc.resource, ok, diff)
		}
	}
}

func TestSB076Within(t *testing.T) {
	t.Parallel()
	got := scopes("system/*.rs system/Group.r system/Claim.rs?a=1").Within([]string{"Claim", "Patient"}).String()
	if want := "system/Claim.rs system/Patient.rs system/Claim.rs?a=1"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzScope(f *testing.F) {
	for _, s := range []string{"system/*.rs", "system/Patient.read", "system/A.cruds?x=y&z", "a b+c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parsed, _ := ParseScopes(s)
		again, dropped := ParseScopes(parsed.String())
		if diff := cmp.Diff(parsed, again); diff != "" || len(dropped) > 0 {
			t.Errorf("written and read again (-want +got):\n%s", diff)
		}
	})
}
