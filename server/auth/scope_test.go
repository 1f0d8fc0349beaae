package auth

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

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

func TestSB072Intersect(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, allowed, requested, want string }{
		{"all of all", "system/*.rs", "system/*.rs", "system/*.rs"},
		{"v1 stays v1", "system/*.rs", "system/*.read", "system/*.read"},
		{"v1 star is cut to read", "system/*.rs", "system/*.*", "system/*.read"},
		{"v1 write is not granted", "system/*.cruds", "system/*.write", ""},
		{"cruds is cut to rs", "system/*.cruds", "system/Patient.cruds", "system/Patient.rs"},
		{"one of all", "system/*.read", "system/Patient.rs", "system/Patient.rs"},
		{"wildcard becomes a list", "system/Patient.rs system/Coverage.rs", "system/*.rs", "system/Coverage.rs system/Patient.rs"},
		{"wildcard v1 becomes a list", "system/Patient.rs system/Coverage.rs", "system/*.read", "system/Coverage.read system/Patient.read"},
		{"read alone does not fit v1", "system/Group.r", "system/Group.read", "system/Group.r"},
		{"wildcard and more for one", "system/*.r system/Patient.rs", "system/*.rs", "system/*.r system/Patient.rs"},
		{"partial", "system/Patient.rs", "system/Patient.rs system/Claim.rs", "system/Patient.rs"},
		{"mixed v1 and v2", "system/*.rs", "system/Patient.read system/Claim.rs patient/*.read", "system/Patient.read system/Claim.rs"},
		{"granular is not widened", "system/*.rs", "system/ExplanationOfBenefit.rs?type=pharmacy system/Patient.rs", "system/Patient.rs"},
		{"granular policy grants nothing wide", "system/ExplanationOfBenefit.rs?type=pharmacy", "system/*.rs", ""},
		{"nothing", "system/Patient.rs", "system/Claim.rs", ""},
		{"plus and repeated spaces", "system/*.rs", "system/Patient.rs+system/Claim.rs   system/Patient.rs", "system/Patient.rs system/Claim.rs"},
	} {
		if got := scopes(tc.allowed).Intersect(scopes(tc.requested), Read|Search).String(); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
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
