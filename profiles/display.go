package profiles

import (
	"bytes"
	"maps"
	"unicode/utf8"

	"remit/profiles/r4"
	"remit/profiles/terminology"
)

// display warns where a Coding bears words that its code system does not have
// for the code. Case and white space do not count.
//
// Source: R4 Datatypes, Coding.display: "A representation of the meaning of the
// code in the system, following the rules of the system".
func (s *state) display(n r4.Node) {
	w := words()
	d := s.r.Find(n, w.codingDisplay)
	if d == r4.None || !s.r.HasValue(d) {
		return
	}
	sys, code := s.r.Find(n, w.codingSystem), s.r.Find(n, w.codingCode)
	if sys == r4.None || code == r4.None || !s.r.HasValue(sys) || !s.r.HasValue(code) {
		return
	}
	url := s.r.Value(sys)
	cs, ok := (*s.v.systems.Load())[string(url)]
	if !ok {
		cs = s.v.learnSystem(string(url))
	}
	if cs == nil || cs.Called(s.r.Value(code), s.r.Value(d), sameWords) != No {
		return
	}
	s.add(Warning, "display", d, s.v.coding, "is not what the code system calls the code")
}

// identifier warns where an Identifier says that it is an NPI and its value cannot
// be one.
//
// Source: R4, Identifier Systems, http://hl7.org/fhir/sid/us-npi; 45 CFR 162.406.
func (s *state) identifier(n r4.Node) {
	w := words()
	sys := s.r.Find(n, w.identifierSystem)
	if sys == r4.None || string(s.r.Value(sys)) != npiSystem {
		return
	}
	if value := s.r.Find(n, w.identifierValue); value != r4.None && s.r.HasValue(value) && !terminology.NPI(s.r.Value(value)) {
		s.add(Warning, "code-form", value, s.v.identified, "is no National Provider Identifier: ten digits with a check digit")
	}
}

const npiSystem = "http://hl7.org/fhir/sid/us-npi"

func (v *Validator) learnSystem(url string) *terminology.CodeSystem {
	cs := v.set.terms.CodeSystem(url)
	v.learnt.Lock()
	defer v.learnt.Unlock()
	if old := *v.systems.Load(); len(old) < maxLearnt {
		grown := maps.Clone(old)
		grown[url] = cs
		v.systems.Store(&grown)
	}
	return cs
}

// sameWords compares without regard to case and white space.
func sameWords(want string, got []byte) bool {
	if want == string(got) {
		return true
	}
	if len(want) > 2*len(got)+8 && utf8.Valid(got) {
		return false
	}
	return bytes.EqualFold(bytes.Join(bytes.Fields([]byte(want)), []byte(" ")), bytes.Join(bytes.Fields(got), []byte(" ")))
}
