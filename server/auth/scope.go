package auth

import (
	"regexp"
	"slices"
	"strings"
)

// Permission is a set of the five SMART v2 permissions.
type Permission uint8

// The permissions, in the order in which a scope writes them.
const (
	Create Permission = 1 << iota
	Read
	Update
	Delete
	Search
)

// letters are the permissions' letters in the order of the constants.
const letters = "cruds"

// String writes the permissions as SMART v2 letters: "rs".
func (p Permission) String() string {
	var b strings.Builder
	for i, l := range letters {
		if p&(1<<i) != 0 {
			b.WriteRune(l)
		}
	}
	return b.String()
}

// Scope is one system scope.
type Scope struct {
	// Resource is a resource type, or "*" for all types.
	Resource    string
	Permissions Permission
	// Legacy says that the scope was written in SMART v1 form (read, write, *)
	// and is answered in that form where it still fits (SB-071).
	Legacy bool
	// Query is what follows "?" in a granular scope, "" without one (SB-075). A
	// resource of which it cannot be told does not pass: "type:not=pharmacy" takes
	// one that has a type with a code, and that is another one. Who means those
	// without a type as well gives a second scope, with "type:missing=true".
	Query string
}

var scopeForm = regexp.MustCompile(`^system/(\*|[A-Z][A-Za-z]{1,63})\.([a-z]+|\*)(?:\?(.+))?$`)

// ParseScope reads one scope. Letters out of order, twice or unknown are
// refused, never guessed (SB-070); only system scopes are known (SB-073).
//
// Source: SMART App Launch 2.2.0, Scopes and Launch Context.
func ParseScope(s string) (Scope, bool) {
	m := scopeForm.FindStringSubmatch(s)
	if m == nil {
		return Scope{}, false
	}
	scope := Scope{Resource: m[1], Query: m[3]}
	switch m[2] {
	case "read":
		scope.Permissions, scope.Legacy = Read|Search, true
	case "write":
		scope.Permissions, scope.Legacy = Create|Update|Delete, true
	case "*":
		scope.Permissions, scope.Legacy = Create|Read|Update|Delete|Search, true
	default:
		from := 0
		for _, l := range m[2] {
			i := strings.IndexRune(letters[from:], l)
			if i < 0 {
				return Scope{}, false
			}
			scope.Permissions |= 1 << (from + i)
			from += i + 1
		}
	}
	if scope.Legacy && strings.Contains(s, "?") {
		return Scope{}, false // v1 knows no queries
	}
	return scope, true
}

// String writes the scope in its own form. A legacy scope whose permissions no
// longer fit v1 is written in v2 form.
func (s Scope) String() string {
	out := "system/" + s.Resource + "."
	if s.Legacy {
		switch s.Permissions {
		case Read | Search:
			return out + "read"
		case Create | Update | Delete:
			return out + "write"
		case Create | Read | Update | Delete | Search:
			return out + "*"
		}
	}
	out += s.Permissions.String()
	if s.Query != "" {
		out += "?" + s.Query
	}
	return out
}

// Scopes is a set of scopes; a value of it is never changed.
type Scopes []Scope

// ParseScopes reads a space-separated list and leaves out what it cannot read;
// dropped lists those words. Repeated spaces and a plus sign left by form
// decoding separate as well (SB-077).
func ParseScopes(list string) (scopes Scopes, dropped []string) {
	for word := range strings.FieldsFuncSeq(list, func(c rune) bool { return c == ' ' || c == '+' }) {
		scope, ok := ParseScope(word)
		if !ok {
			dropped = append(dropped, word)
			continue
		}
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes, dropped
}

// String writes the set as the scope member of a token response.
func (s Scopes) String() string {
	words := make([]string, len(s))
	for i, scope := range s {
		words[i] = scope.String()
	}
	return strings.Join(words, " ")
}

// Allows says whether the set gives all of the permissions on a resource type
// without a query. Permissions may come from several scopes.
func (s Scopes) Allows(resource string, p Permission) bool {
	return s.permissions(resource)&p == p
}

// Queries says what the set gives of a resource type to somebody who needs all
// of the permissions at once: ok is false where nothing; otherwise queries are
// the filters of which a resource must pass one, none of them where every
// resource may be had (SB-075).
func (s Scopes) Queries(resource string, p Permission) (queries []string, ok bool) {
	free := s.permissions(resource)
	if free&p == p {
		return nil, true
	}
	// What is not given freely must come from one query alone: two queries
	// that give a permission each would need a resource that passes both.
	for _, scope := range s {
		if scope.Query != "" && scope.Resource == resource && (free|scope.Permissions)&p == p && !slices.Contains(queries, scope.Query) {
			queries = append(queries, scope.Query)
		}
	}
	return queries, queries != nil
}

// Within narrows the set to resource types: a wildcard becomes the list of
// them.
func (s Scopes) Within(types []string) Scopes {
	var out Scopes
	for _, scope := range s {
		if scope.Resource != "*" {
			if slices.Contains(types, scope.Resource) {
				out = append(out, scope)
			}
			continue
		}
		for _, t := range types {
			scope.Resource = t
			if !slices.Contains(out, scope) {
				out = append(out, scope)
			}
		}
	}
	return out
}

// Intersect grants of the requested scopes what the set allows, in the
// requested form, at most the permissions of ceiling. A wildcard is granted as
// such only where the set has one; otherwise it becomes the list of types that
// the set names (SB-072). Queries of the two sides add up, so that a grant is
// never wider than either (SB-075).
func (s Scopes) Intersect(requested Scopes, ceiling Permission) Scopes {
	var granted Scopes
	add := func(scope Scope) {
		if scope.Permissions == 0 {
			return
		}
		if scope.Query != "" {
			scope.Legacy = false // v1 knows no queries
		}
		if !slices.Contains(granted, scope) {
			granted = append(granted, scope)
		}
	}
	// grant gives one type, freely as far as the set does, and by the set's
	// queries what is left.
	grant := func(want Scope, p Permission) {
		free := s.permissions(want.Resource)
		add(Scope{Resource: want.Resource, Permissions: p & free, Legacy: want.Legacy, Query: want.Query})
		if want.Resource == "*" {
			return
		}
		for _, have := range s {
			if have.Query == "" || have.Resource != want.Resource {
				continue
			}
			// Reading and searching are of use together only, so the query's
			// scope repeats what is free besides.
			if more := p & have.Permissions &^ free; more != 0 {
				add(Scope{Resource: want.Resource, Permissions: p & (have.Permissions | free), Query: both(have.Query, want.Query)})
			}
		}
	}
	for _, want := range requested {
		p := want.Permissions & ceiling
		if want.Resource != "*" {
			grant(want, p)
			continue
		}
		if want.Query != "" {
			continue // one query cannot mean something on every type
		}
		all := p & s.permissions("*")
		add(Scope{Resource: "*", Permissions: all, Legacy: want.Legacy})
		var named []string
		for _, have := range s {
			if have.Resource != "*" && have.Permissions&p&^all != 0 && !slices.Contains(named, have.Resource) {
				named = append(named, have.Resource)
			}
		}
		slices.Sort(named)
		for _, resource := range named {
			grant(Scope{Resource: resource, Legacy: want.Legacy}, p)
		}
	}
	return granted
}

// both is the query that passes what a and b pass.
func both(a, b string) string {
	switch {
	case a == b || b == "":
		return a
	case a == "":
		return b
	}
	return a + "&" + b
}

// permissions are those that the set gives on a resource type without a query;
// for "*" only those that it gives on all types.
func (s Scopes) permissions(resource string) Permission {
	var p Permission
	for _, scope := range s {
		if scope.Query == "" && (scope.Resource == "*" || scope.Resource == resource) {
			p |= scope.Permissions
		}
	}
	return p
}

// grantable is what may be granted of a resource type: reading and searching,
// and of Group, which clients make themselves, everything (BE-265).
func grantable(resource string) Permission {
	if resource == "Group" {
		return Create | Read | Update | Delete | Search
	}
	return Read | Search
}

// Grant is Intersect with what may be granted at all.
func (s Scopes) Grant(requested Scopes) Scopes {
	granted := s.Intersect(requested, Read|Search)
	for _, want := range requested {
		if want.Query != "" || want.Resource != "*" && want.Resource != "Group" {
			continue
		}
		more := Scope{Resource: "Group", Permissions: want.Permissions & grantable("Group") &^ (Read | Search) & s.permissions("Group")}
		if more.Permissions != 0 && !slices.Contains(granted, more) {
			granted = append(granted, more)
		}
	}
	return granted
}
