package check

// System is a code system under its short name (rule 15).
type System struct {
	Name string
	URL  string
	Form Form
}

// Form is a code system's canonical way of writing a code.
type Form uint8

// The canonical forms.
const (
	FormPlain Form = iota
	FormICD10CM
	FormICD9CM
	FormICD9PCS
	FormNDC11
)

// namedSystems is the table of well-known names. Sources: the CARIN and US Core
// guides, THO's NamingSystems, NUBC and X12 OIDs as THO publishes them.
func namedSystems() map[string]*System {
	out := map[string]*System{}
	add := func(name, url string, form Form) { out[name] = &System{name, url, form} }
	add("icd10cm", "http://hl7.org/fhir/sid/icd-10-cm", FormICD10CM)
	add("icd9cm", "http://hl7.org/fhir/sid/icd-9-cm", FormICD9CM)
	add("icd10pcs", "http://www.cms.gov/Medicare/Coding/ICD10", FormPlain)
	add("icd9pcs", "http://www.cms.gov/Medicare/Coding/ICD9", FormICD9PCS)
	add("hcpcs", "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", FormPlain)
	add("cpt", "http://www.ama-assn.org/go/cpt", FormPlain)
	add("cdt", "http://www.ada.org/cdt", FormPlain)
	add("hipps", "https://www.cms.gov/Medicare/Medicare-Fee-for-Service-Payment/ProspMedicareFeeSvcPmtGen/HIPPSCodes", FormPlain)
	add("ndc", "http://hl7.org/fhir/sid/ndc", FormNDC11)
	add("rxnorm", "http://www.nlm.nih.gov/research/umls/rxnorm", FormPlain)
	add("loinc", "http://loinc.org", FormPlain)
	add("sct", "http://snomed.info/sct", FormPlain)
	add("cvx", "http://hl7.org/fhir/sid/cvx", FormPlain)
	add("ucum", "http://unitsofmeasure.org", FormPlain)
	add("npi", "http://hl7.org/fhir/sid/us-npi", FormPlain)
	add("mbi", "http://hl7.org/fhir/sid/us-mbi", FormPlain)
	add("ssn", "http://hl7.org/fhir/sid/us-ssn", FormPlain)
	add("ein", "urn:oid:2.16.840.1.113883.4.4", FormPlain)
	add("naic", "urn:oid:2.16.840.1.113883.6.300", FormPlain)
	add("ccn", "http://terminology.hl7.org/NamingSystem/CCN", FormPlain)
	add("nucc", "http://nucc.org/provider-taxonomy", FormPlain)
	add("revenue", "https://www.nubc.org/CodeSystem/RevenueCodes", FormPlain)
	add("typeofbill", "https://www.nubc.org/CodeSystem/TypeOfBill", FormPlain)
	add("pointoforigin", "https://www.nubc.org/CodeSystem/PointOfOrigin", FormPlain)
	add("pointoforiginnewborn", "https://www.nubc.org/CodeSystem/PointOfOriginNewborn", FormPlain)
	add("admtype", "https://www.nubc.org/CodeSystem/PriorityTypeOfAdmitOrVisit", FormPlain)
	add("dischargestatus", "https://www.nubc.org/CodeSystem/PatDischargeStatus", FormPlain)
	add("conditioncodes", "https://www.nubc.org/CodeSystem/ConditionCodes", FormPlain)
	add("occurrencecodes", "https://www.nubc.org/CodeSystem/OccurrenceCodes", FormPlain)
	add("occurrencespancodes", "https://www.nubc.org/CodeSystem/OccurrenceSpanCodes", FormPlain)
	add("valuecodes", "https://www.nubc.org/CodeSystem/ValueCodes", FormPlain)
	add("poa", "https://www.cms.gov/Medicare/Medicare-Fee-for-Service-Payment/HospitalAcqCond/Coding", FormPlain)
	add("msdrg", "https://www.cms.gov/Medicare/Medicare-Fee-for-Service-Payment/AcuteInpatientPPS/MS-DRG-Classifications-and-Software", FormPlain)
	add("aprdrg", "http://uri.hddaccess.com/cs/aprdrg", FormPlain)
	add("apdrg", "http://uri.hddaccess.com/cs/apdrg", FormPlain)
	add("pos", "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set", FormPlain)
	add("carc", "https://x12.org/codes/claim-adjustment-reason-codes", FormPlain)
	add("rarc", "https://x12.org/codes/remittance-advice-remark-codes", FormPlain)
	add("ncpdp-reject", "http://terminology.hl7.org/CodeSystem/NCPDPRejectCode", FormPlain)
	add("ncpdp-daw", "http://terminology.hl7.org/CodeSystem/NCPDPDispensedAsWrittenOrProductSelectionCode", FormPlain)
	add("ncpdp-brandgeneric", "http://terminology.hl7.org/CodeSystem/NCPDPBrandGenericIndicator", FormPlain)
	add("ncpdp-origin", "http://terminology.hl7.org/CodeSystem/NCPDPPrescriptionOriginCode", FormPlain)
	add("ncpdp-compound", "http://terminology.hl7.org/CodeSystem/NCPDPCompoundCode", FormPlain)
	add("compound", "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBCompoundLiteral", FormPlain)
	add("cdcrec", "urn:oid:2.16.840.1.113883.6.238", FormPlain)
	add("us-state", "https://www.usps.com/", FormPlain)
	add("nullflavor", "http://terminology.hl7.org/CodeSystem/v3-NullFlavor", FormPlain)
	add("data-absent-reason", dataAbsentReason, FormPlain)
	add("v2-0203", "http://terminology.hl7.org/CodeSystem/v2-0203", FormPlain)
	add("claim-type", "http://terminology.hl7.org/CodeSystem/claim-type", FormPlain)
	add("sopt", "https://nahdo.org/sopt", FormPlain)
	add("currency", "urn:iso:std:iso:4217", FormPlain)
	add("language", "urn:ietf:bcp:47", FormPlain)
	return out
}

const (
	dataAbsentReason    = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
	dataAbsentExtension = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
)

// AppendCode appends the canonical form of code to dst. It changes only what
// certainly has another form, so that applying it again changes nothing.
func (f Form) AppendCode(dst, code []byte) []byte {
	switch f {
	case FormICD10CM:
		return dotted(dst, code, 3)
	case FormICD9CM:
		if len(code) > 0 && (code[0] == 'E' || code[0] == 'e') {
			return dotted(dst, code, 4)
		}
		return dotted(dst, code, 3)
	case FormICD9PCS:
		return dotted(dst, code, 2)
	case FormNDC11:
		return ndc(dst, code)
	}
	return append(dst, code...)
}

func dotted(dst, code []byte, after int) []byte {
	if len(code) <= after {
		return append(dst, code...)
	}
	for _, c := range code {
		if c == '.' {
			return append(dst, code...)
		}
	}
	dst = append(dst, code[:after]...)
	dst = append(dst, '.')
	return append(dst, code[after:]...)
}

// ndc writes 11 digits without dashes: a dashed 4-4-2, 5-3-2 or 5-4-1 code is
// filled up where its own dashes tell the place.
func ndc(dst, code []byte) []byte {
	var segments [3]int
	n, digits := 0, 0
	for _, c := range code {
		switch {
		case c == '-' && n < 2:
			n++
		case c >= '0' && c <= '9':
			segments[n]++
			digits++
		default:
			return append(dst, code...)
		}
	}
	if n != 2 {
		return append(dst, code...)
	}
	want := [3]int{5, 4, 2}
	for i, w := range want {
		if segments[i] > w || segments[i] == 0 {
			return append(dst, code...)
		}
	}
	at := 0
	for i, w := range want {
		for range w - segments[i] {
			dst = append(dst, '0')
		}
		dst = append(dst, code[at:at+segments[i]]...)
		at += segments[i] + 1
	}
	return dst
}
