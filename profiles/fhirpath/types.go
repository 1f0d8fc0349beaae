package fhirpath

import (
	"strings"

	"remit/profiles/r4"
)

const ucumSystem = "http://unitsofmeasure.org"

// displayName is the name by which type() and is know t: a backbone element of
// a resource is a BackboneElement, one of a datatype an Element.
func displayName(t *r4.Type) string {
	if t.Kind() != r4.KindBackbone {
		return t.Name()
	}
	owner, _, _ := strings.Cut(t.Name(), ".")
	if o := r4.Lookup(owner); o != nil && o.Kind() != r4.KindResource {
		return "Element"
	}
	return "BackboneElement"
}

// parentType is the type that a FHIR type derives from, by name; "" at the top
// (FHIR R4, datatypes and resource pages).
func parentType(name string) string {
	switch name {
	case "code", "id", "markdown":
		return "string"
	case "url", "canonical", "oid", "uuid":
		return "uri"
	case "positiveInt", "unsignedInt":
		return "integer"
	case "Age", "Count", "Distance", "Duration", "MoneyQuantity", "SimpleQuantity":
		return "Quantity"
	case "Dosage", "Timing", "ElementDefinition":
		return "BackboneElement"
	case "Bundle", "Binary", "Parameters", "DomainResource":
		return "Resource"
	case "Element", "Resource":
		return ""
	}
	if t := r4.Lookup(name); t != nil && t.Kind() == r4.KindResource {
		return "DomainResource"
	}
	return "Element"
}

// derives says that FHIR type t is, or derives from, the type called name.
func derives(t *r4.Type, name string) bool {
	if t == nil {
		return false
	}
	for have := displayName(t); have != ""; have = parentType(have) {
		if have == name {
			return true
		}
	}
	return false
}

// isQuantity says that t is Quantity or one of its kinds.
func isQuantity(t *r4.Type) bool {
	switch t.Name() {
	case "Quantity", "Age", "Count", "Distance", "Duration", "MoneyQuantity", "SimpleQuantity":
		return true
	}
	return false
}

var systemTypes = map[string]bool{
	"Boolean": true, "String": true, "Integer": true, "Decimal": true, "Date": true,
	"DateTime": true, "Time": true, "Quantity": true, "Any": true,
}

// knownType says that a type specifier names a type.
func knownType(t typeName) bool {
	if t.space != "FHIR" && systemTypes[t.name] {
		return true
	}
	if t.space == "System" {
		return false
	}
	switch t.name {
	case "Element", "BackboneElement", "Resource", "DomainResource", "MoneyQuantity", "SimpleQuantity":
		return true
	}
	found := r4.Lookup(t.name)
	return found != nil && found.Kind() != r4.KindBackbone
}

// isType says whether v is of type t. A name without a namespace is looked for
// in the namespace of the item.
func (v *Value) isType(t typeName) tri {
	switch v.kind {
	case KindUnknown:
		return isUnknown
	case KindNode, KindStub:
		if t.space == "System" {
			return isFalse
		}
		have := v.typ
		if v.kind == KindNode {
			have = v.res.TypeOf(v.node())
		}
		if have != nil && have.Name() == t.name { // by far the most common
			return isTrue
		}
		return truthOf(derives(have, t.name))
	}
	if t.space == "FHIR" {
		return isFalse
	}
	_, name := v.typeOf()
	return truthOf(name == t.name || t.name == "Any")
}
