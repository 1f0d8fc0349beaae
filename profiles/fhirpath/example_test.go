package fhirpath_test

import (
	"fmt"

	"remit/profiles/fhirpath"
	"remit/profiles/r4"
)

func Example() {
	var p r4.Parser
	var patient r4.Resource
	p.Parse([]byte(`{"resourceType":"Patient","active":true,"birthDate":"1974-12-25","name":[{"given":["Ann","Bea"]}]}`), &patient)

	x, err := fhirpath.Compile("name.given | birthDate + 1 month", fhirpath.Options{Type: patient.Type(), Strict: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	items, err := x.Eval(&fhirpath.Env{}, &patient, r4.Root)
	fmt.Println(string(items.AppendJSON(nil)), err)

	_, err = fhirpath.Compile("name.nickname", fhirpath.Options{Type: patient.Type(), Strict: true})
	fmt.Println(err)
	// Output:
	// ["Ann","Bea","1975-01-25"] <nil>
	// 1:6: HumanName has no element "nickname" [semantic]
}

func ExampleExpression_Check() {
	var p r4.Parser
	var eob r4.Resource
	p.Parse([]byte(`{"resourceType":"ExplanationOfBenefit","provider":{"reference":"Practitioner/1"}}`), &eob)

	env := &fhirpath.Env{}
	for _, text := range []string{
		"provider.resolve() is Practitioner",
		"provider.resolve() is Organization",
		"provider.resolve().active",
	} {
		x, err := fhirpath.Compile(text, fhirpath.Options{})
		if err != nil {
			fmt.Println(err)
			return
		}
		outcome, _ := x.Check(env, &eob, r4.Root)
		fmt.Println(outcome)
	}
	// Output:
	// true
	// false
	// undecidable
}
