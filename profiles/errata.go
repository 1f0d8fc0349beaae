package profiles

import "strings"

// erratum is a rule that is known to be wrong as published.
type erratum struct {
	canonical string // of the definition that has it: url, or url|version
	key       string
	// expression stands for the published one; with an empty one a broken rule
	// is a note.
	expression string
	reason     string
}

// errata lists them, each with its reason and our reading. The list is short on
// purpose: a rule belongs here only if the publisher has mended it since, or if
// as written it fails what the same specification calls valid.
func errata() []erratum {
	return []erratum{
		{
			canonical: coreURL + "Reference", key: "ref-1",
			expression: "reference.exists() implies (reference.startsWith('#').not() or (reference.substring(1).trace('url') in %rootResource.contained.id.trace('ids')) or reference = '#')",
			reason:     "as written the expression is empty for a Reference by identifier or display alone, which Reference allows; R5 begins it with reference.exists() implies, and allows '#'",
		},
		{
			canonical: coreURL + "Bundle", key: "bdl-8",
			expression: "fullUrl.exists() implies fullUrl.contains('/_history/').not()",
			reason:     "as written the expression is empty for an entry without fullUrl, which the section Bundle.entry.fullUrl allows; R4B mends it so",
		},
		{
			canonical: "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Pharmacy|2.1.0", key: "EOB-pharm-careTeam-practitioner",
			reason: "demands that the primary or prescribing member of the care team is an Organization; its own text says practitioner, and 2.2.0 mends it so",
		},
		{
			canonical: "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Pharmacy-Basis|2.1.0", key: "EOB-pharm-careTeam-practitioner",
			reason: "as in C4BB-ExplanationOfBenefit-Pharmacy 2.1.0",
		},
	}
}

// mend applies the errata of a definition to one of its constraints.
func mend(p *Profile, k *Constraint) {
	for _, e := range errata() {
		url, version, _ := strings.Cut(e.canonical, "|")
		if e.key != k.Key || p.URL != url && k.Source != url || version != "" && p.Version != version {
			continue
		}
		if e.expression != "" {
			k.Expression = e.expression
		} else {
			k.BestPractice = true
		}
	}
}
