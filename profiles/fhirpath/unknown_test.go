package fhirpath

import (
	"testing"

	"remit/profiles/r4"
)

// stubbed is a Resolver that answers by the reference alone.
type stubbed map[string]Target

func (s stubbed) Resolve(_ *r4.Resource, _ r4.Node, ref string) Target { return s[ref] }

// profiled is a Conformance that knows some profiles.
type profiled map[string]Tri

func (p profiled) Conforms(_ *r4.Resource, _ r4.Node, profile string) Tri { return p[profile] }

// valueSets answers by value set; what it does not name is unknown.
type valueSets map[string]Tri

func (v valueSets) Member(vs, system, code string) Tri {
	if vs == "by-code" { // http://s|a is in, http://s|b is not
		switch {
		case system != "" && system != "http://s":
			return Unknown
		case code == "a":
			return Yes
		}
		return No
	}
	return v[vs]
}

// TestUndecidable holds how what is unknown goes through the logic: only an
// outcome that hangs on it is undecidable.
func TestUndecidable(t *testing.T) {
	t.Parallel()
	r := parsed(t, []byte(`{"resourceType":"Observation","id":"o1","status":"final",
		"category":[{"coding":[{"system":"http://s","code":"b"},{"system":"http://s","code":"a"}]},{"text":"words"}],
		"code":{"coding":[{"system":"http://s","code":"b"},{"system":"http://t","code":"z"}]},
		"subject":{"reference":"Patient/1"},
		"performer":[{"reference":"Practitioner/2"},{"reference":"urn:uuid:3"},{"identifier":{"value":"x"}}]}`))
	env := &Env{
		Membership:  valueSets{"yes": Yes, "no": No},
		Conformance: profiled{"yes": Yes, "no": No},
		Resolver:    stubbed{"known": {Type: r4.Lookup("Device")}},
	}
	for text, want := range map[string]Outcome{
		"status.memberOf('yes')":                                    True,
		"status.memberOf('no')":                                     False,
		"status.memberOf('?')":                                      Undecidable,
		"status.memberOf('?').not()":                                Undecidable,
		"status.memberOf('?') or true":                              True,
		"true or status.memberOf('?')":                              True,
		"status.memberOf('?') or false":                             Undecidable,
		"status.memberOf('?') and false":                            False,
		"status.memberOf('?') and true":                             Undecidable,
		"status.memberOf('?') and {}":                               Undecidable,
		"status.memberOf('?') xor true":                             Undecidable,
		"status.memberOf('?') implies true":                         True,
		"status.memberOf('?') implies false":                        Undecidable,
		"false implies status.memberOf('?')":                        True,
		"true implies status.memberOf('?')":                         Undecidable,
		"status.memberOf('?') = true":                               Undecidable,
		"status.memberOf('?') = {}":                                 False,
		"(status.memberOf('?') xor {}).empty()":                     True,
		"status.memberOf('?').exists()":                             True,
		"status.memberOf('?').empty()":                              False,
		"status.memberOf('?').count() = 1":                          True,
		"status.memberOf('?') is Boolean":                           Undecidable,
		"iif(status.memberOf('?'), true, true)":                     Undecidable,
		"category.where(memberOf('?')).exists()":                    Undecidable,
		"category.where(memberOf('?')).empty()":                     Undecidable,
		"category.where(memberOf('by-code')).exists()":              True,
		"category.coding.where($index = 1 and code = 'a').exists()": True,
		"category.coding.where($index = 0 and code = 'a').exists()": False,
		"category.coding.where({}).exists()":                        False,
		"category.coding.exists(memberOf('?') and code = 'c')":      False,
		"category.coding.exists(memberOf('?') and code = 'a')":      Undecidable,
		"category.coding.exists(memberOf('?') or code = 'a')":       True,
		"status.value.where($this.length() > 0).exists()":           True,
		"category.select(coding.where(code = %context.code.coding.first().code).exists()).first()": True,
		"category.where(memberOf('?')).count() < 5":                                                Undecidable,
		"category.where(memberOf('?') or true).count() = 2":                                        True,
		"category.exists(memberOf('by-code'))":                                                     True,
		"category.all(memberOf('by-code'))":                                                        False,
		"category.all(memberOf('by-code') or text.exists())":                                       True,
		"category.where(memberOf('by-code')).count() = 1":                                          True,
		"code.memberOf('by-code')":                                                                 Undecidable,
		"code.coding.first().memberOf('by-code')":                                                  False,
		"code.coding.all(memberOf('by-code'))":                                                     False,
		"code.coding.last().memberOf('by-code')":                                                   Undecidable,
		"code.coding.select(memberOf('by-code')).anyTrue()":                                        Undecidable,
		"code.coding.select(memberOf('by-code')).allTrue()":                                        False,
		"code.coding.select(memberOf('?')).isDistinct()":                                           Undecidable,
		"code.memberOf('?') != status.memberOf('?')":                                               Undecidable,
		"(code.memberOf('?') | true).exists()":                                                     True,
		"subject.resolve() is Patient":                                                             True,
		"subject.resolve() is Practitioner":                                                        False,
		"subject.resolve() is Resource":                                                            True,
		"subject.all(resolve() is Patient)":                                                        True,
		"subject.resolve().exists()":                                                               True,
		"subject.resolve().name.exists()":                                                          Undecidable,
		"subject.resolve().ofType(Patient).exists()":                                               True,
		"subject.resolve().ofType(Device).exists()":                                                False,
		"subject.resolve().active = true":                                                          Undecidable,
		"subject.resolve().where(active).exists()":                                                 Undecidable,
		"performer.all(resolve() is Practitioner)":                                                 False,
		"performer[0].resolve() is Practitioner":                                                   True,
		"performer[1].resolve() is Practitioner":                                                   Undecidable,
		"performer[1].resolve().exists()":                                                          Undecidable,
		"performer[2].resolve().empty()":                                                           True,
		"performer.resolve().ofType(Practitioner).exists()":                                        True,
		"performer.resolve().ofType(Device).exists()":                                              Undecidable,
		"performer.resolve().count() = 2":                                                          Undecidable,
		"'known'.resolve() is Device":                                                              True,
		"conformsTo('yes')":                                                                        True,
		"conformsTo('no')":                                                                         False,
		"conformsTo('?')":                                                                          Undecidable,
		"now() > @2000":                                                                            Undecidable,
		"code.nothing.memberOf('?')":                                                               False,
		"status.elementDefinition().exists()":                                                      Undecidable,
		"descendants().where($this.memberOf('?')).exists()":                                        Fault,
		"category.select(memberOf('?')).first() or category.exists()":                              True,
	} {
		x, err := Compile(text, Options{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := x.Check(env, r, r4.Root)
		if got != want || (err != nil) != (want == Fault) {
			t.Errorf("%s: got %v (%v), want %v", text, got, err, want)
		}
		if want != Undecidable && want != Fault {
			continue
		}
		if c, err := x.Eval(env, r, r4.Root); err == nil && !c.Undecided() {
			t.Errorf("%s: the collection %s does not say that it is undecided", text, c.AppendJSON(nil))
		}
	}
}

// TestLocal_2_3_References holds what can be resolved without help.
func TestLocal_2_3_References(t *testing.T) {
	t.Parallel()
	r := parsed(t, []byte(`{"resourceType":"Bundle","type":"collection","entry":[
		{"fullUrl":"http://x/fhir/Patient/1","resource":{"resourceType":"Patient","id":"1",
			"contained":[{"resourceType":"Organization","id":"in","partOf":{"reference":"#"},"endpoint":[{"reference":"#in"}]}],
			"managingOrganization":{"reference":"#in"},
			"generalPractitioner":[{"reference":"#gone"},{"reference":"Practitioner/2"},{"reference":"Practitioner/3"},
				{"reference":"urn:uuid:4"},{"reference":"http://y/Organization/5/_history/2"},
				{"reference":"Practitioner/2/_history/1"},{"reference":"urn:uuid:none","type":"Device"}]}},
		{"fullUrl":"http://x/fhir/Practitioner/2","resource":{"resourceType":"Practitioner","id":"2"}},
		{"fullUrl":"http://z/fhir/Practitioner/3","resource":{"resourceType":"Practitioner","id":"3"}},
		{"fullUrl":"urn:uuid:4","resource":{"resourceType":"Organization","id":"four"}}]}`))
	env := &Env{}
	for text, want := range map[string]string{
		"entry[0].resource.managingOrganization.resolve().id":                `["in"]`,
		"entry[0].resource.contained.partOf.resolve().id":                    `["1"]`,
		"entry[0].resource.contained.endpoint.resolve().id":                  `["in"]`,
		"entry[0].resource.generalPractitioner[0].resolve()":                 `[]`,
		"entry[0].resource.generalPractitioner[1].resolve().id":              `["2"]`,
		"entry[0].resource.generalPractitioner[2].resolve()":                 `[{"resourceType":"Practitioner"}]`, // another server's
		"entry[0].resource.generalPractitioner[3].resolve().id":              `["four"]`,
		"entry[0].resource.generalPractitioner[4].resolve() is Organization": `[true]`,
		"entry[0].resource.generalPractitioner[5].resolve().id":              `["2"]`,
		"entry[0].resource.generalPractitioner[6].resolve() is Device":       `[true]`,
		"'http://x/fhir/Patient/1'.resolve().id":                             `["1"]`,
		"%resource.type":                                                     `["collection"]`,
	} {
		if got := outcome(t, env, r, text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// TestEnvironment_ResourceAndRoot holds %resource and %rootResource below a
// contained resource.
func TestEnvironment_ResourceAndRoot(t *testing.T) {
	t.Parallel()
	r := parsed(t, []byte(`{"resourceType":"Patient","id":"outer","contained":[{"resourceType":"Organization","id":"inner","name":"n"}]}`))
	x, err := Compile("%resource.id | %rootResource.id | %context", Options{})
	if err != nil {
		t.Fatal(err)
	}
	name := r4.None
	for n := range r4.Node(r.Len()) {
		if el := r.ElementOf(n); el != nil && el.Name() == "name" {
			name = n
		}
	}
	c, err := x.Eval(nil, r, name)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(c.AppendJSON(nil)), `["inner","outer","n"]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestHTMLChecks_2_4_Narrative holds txt-1 and txt-2.
func TestHTMLChecks_2_4_Narrative(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`<div xmlns="http://www.w3.org/1999/xhtml">Seen</div>`:                           true,
		`<div xmlns="http://www.w3.org/1999/xhtml"><p class="a">&nbsp;x<br/></p></div>`:  true,
		`<div xmlns="http://www.w3.org/1999/xhtml"><img src="#a" alt="b"/></div>`:        true,
		`<div xmlns="http://www.w3.org/1999/xhtml"> </div>`:                              false,
		`<div xmlns="http://www.w3.org/1999/xhtml"><script>x</script></div>`:             false,
		`<div xmlns="http://www.w3.org/1999/xhtml"><p onclick="x">y</p></div>`:           false,
		`<div xmlns="http://www.w3.org/1999/xhtml"><a href="javascript:x()">y</a></div>`: false,
		`<div xmlns="http://www.w3.org/1999/xhtml"><p>y</div>`:                           false,
		`<p xmlns="http://www.w3.org/1999/xhtml">y</p>`:                                  false,
		`<div xmlns="http://www.w3.org/1999/xhtml">a</div><div>b</div>`:                  false,
		`<div xmlns="http://other">a</div>`:                                              false,
		`words`:                                                                          false,
		``:                                                                               false,
	} {
		if got := narrative(text); got != want {
			t.Errorf("%s: got %v", text, got)
		}
	}
}
