package terminology

import "testing"

func TestWell(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		system, code string
		want         Tri
	}{
		{"http://hl7.org/fhir/sid/icd-10-cm", "E11.9", Yes},
		{"http://hl7.org/fhir/sid/icd-10-cm", "S72.001A", Yes},
		{"http://hl7.org/fhir/sid/icd-10-cm", "C7A.00", Yes},
		{"http://hl7.org/fhir/sid/icd-10-cm", "I10", Yes},
		{"http://hl7.org/fhir/sid/icd-10-cm", "E119", No},
		{"http://hl7.org/fhir/sid/icd-10-cm", "e11.9", No},
		{"http://hl7.org/fhir/sid/icd-10-cm", "E11.", No},
		{"http://hl7.org/fhir/sid/icd-10-cm", "S72.001AB", No},
		{"http://www.cms.gov/Medicare/Coding/ICD10", "0DTJ4ZZ", Yes},
		{"http://www.cms.gov/Medicare/Coding/ICD10", "0DTJ4Z", No},
		{"http://www.cms.gov/Medicare/Coding/ICD10", "ODTJ4ZZ", No},
		{"http://hl7.org/fhir/sid/icd-9-cm", "250.00", Yes},
		{"http://hl7.org/fhir/sid/icd-9-cm", "V10.3", Yes},
		{"http://hl7.org/fhir/sid/icd-9-cm", "E812.0", Yes},
		{"http://hl7.org/fhir/sid/icd-9-cm", "45.13", Yes},
		{"http://hl7.org/fhir/sid/icd-9-cm", "25000", No},
		{"http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "J1885", Yes},
		{"http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "99213", Yes},
		{"http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "J188", No},
		{"http://www.ama-assn.org/go/cpt", "0042T", Yes},
		{"http://www.ama-assn.org/go/cpt", "25", Yes},
		{"http://www.ama-assn.org/go/cpt", "A042T", No},
		{"http://hl7.org/fhir/sid/ndc", "00093505698", Yes},
		{"http://hl7.org/fhir/sid/ndc", "0093-5056-98", Yes},
		{"http://hl7.org/fhir/sid/ndc", "93505698", No},
		{"http://hl7.org/fhir/sid/us-npi", "1234567893", Yes},
		{"http://hl7.org/fhir/sid/us-npi", "1234567890", No},
		{"http://hl7.org/fhir/sid/us-npi", "3234567893", No},
		{"https://www.nubc.org/CodeSystem/RevenueCodes", "0450", Yes},
		{"https://www.nubc.org/CodeSystem/RevenueCodes", "450", No},
		{"https://www.nubc.org/CodeSystem/TypeOfBill", "0111", Yes},
		{"https://www.nubc.org/CodeSystem/TypeOfBill", "11G", Yes},
		{"https://www.nubc.org/CodeSystem/TypeOfBill", "1111", No},
		{"http://loinc.org", "85354-9", Yes},
		{"http://loinc.org", "8480-6", Yes},
		{"http://loinc.org", "8480-5", No},
		{"http://loinc.org", "LA27975-4", Yes},
		{"http://snomed.info/sct", "404684003", Yes},
		{"http://snomed.info/sct", "71388002", Yes},
		{"http://snomed.info/sct", "71388003", No},
		{"http://example.org/own", "anything", Unknown},
	} {
		if got := Well([]byte(c.system), []byte(c.code)); got != c.want {
			t.Errorf("Well(%s, %s) = %s, want %s", c.system, c.code, got, c.want)
		}
	}
}
