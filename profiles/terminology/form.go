package terminology

// Well says whether a code of a licensed system at least has the form of one,
// where the form is fixed by the system's owner: digits and their number, dots,
// check digits. Unknown where no form is known here. A code of wrong form is
// surely no code; one of right form may still not exist.
//
// Sources: ICD-10-CM and ICD-10-PCS Official Guidelines (CMS, CDC); ICD-9-CM;
// HCPCS Level II and CPT (five characters); NUBC UB-04 (revenue code four
// digits, type of bill three or four with a leading zero); NDC in eleven
// digits without hyphens (HIPAA, 5-4-2) or ten with them (FDA); NPI check digit
// by ISO 7812 Luhn with the prefix 80840 (45 CFR 162.406); LOINC check digit
// (mod 10); SNOMED CT check digit (Verhoeff).
//
// It does not allocate.
func Well(system, code []byte) Tri {
	form := forms(system)
	if form == nil {
		return Unknown
	}
	if form(code) {
		return Yes
	}
	return No
}

func forms(system []byte) func([]byte) bool {
	switch string(system) {
	case "http://hl7.org/fhir/sid/icd-10-cm":
		return icd10cm
	case "http://www.cms.gov/Medicare/Coding/ICD10", "http://hl7.org/fhir/sid/icd-10-pcs":
		return icd10pcs
	case "http://hl7.org/fhir/sid/icd-9-cm":
		return icd9
	case "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "http://terminology.hl7.org/CodeSystem/HCPCS":
		return hcpcs
	case "http://www.ama-assn.org/go/cpt":
		return cpt
	case "http://hl7.org/fhir/sid/ndc":
		return ndc
	case "http://hl7.org/fhir/sid/us-npi":
		return NPI
	case "https://www.nubc.org/CodeSystem/RevenueCodes":
		return func(c []byte) bool { return len(c) == 4 && digits(c) }
	case "https://www.nubc.org/CodeSystem/TypeOfBill":
		return billType
	case "https://www.nubc.org/CodeSystem/PatDischargeStatus":
		return func(c []byte) bool { return len(c) == 2 && digits(c) }
	case "http://loinc.org":
		return loinc
	case "http://snomed.info/sct":
		return snomed
	}
	return nil
}

func digits(c []byte) bool {
	for _, b := range c {
		if b < '0' || b > '9' {
			return false
		}
	}
	return len(c) > 0
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }
func isUpper(b byte) bool { return b >= 'A' && b <= 'Z' }

// icd10cm: letter, digit, digit or letter, then up to four characters after a
// dot: "E11.9", "S72.001A", "C7A.00". The dot is part of the code.
func icd10cm(c []byte) bool {
	if len(c) < 3 || !isUpper(c[0]) || !isDigit(c[1]) || !isDigit(c[2]) && !isUpper(c[2]) {
		return false
	}
	if len(c) == 3 {
		return true
	}
	if c[3] != '.' || len(c) < 5 || len(c) > 8 {
		return false
	}
	for _, b := range c[4:] {
		if !isDigit(b) && !isUpper(b) {
			return false
		}
	}
	return true
}

// icd10pcs: seven characters, digits and letters without I and O.
func icd10pcs(c []byte) bool {
	if len(c) != 7 {
		return false
	}
	for _, b := range c {
		if !isDigit(b) && (!isUpper(b) || b == 'I' || b == 'O') {
			return false
		}
	}
	return true
}

// icd9: diagnoses "250.00", "V10.3", "E812.0", procedures "45.13".
func icd9(c []byte) bool {
	if len(c) < 2 {
		return false
	}
	whole := 3
	if c[0] == 'E' {
		whole = 4
	} else if c[0] != 'V' && !isDigit(c[0]) {
		return false
	}
	if !isDigit(c[0]) && !digits(c[1:min(len(c), whole)]) {
		return false
	}
	dot := -1
	for i, b := range c {
		if b == '.' && dot < 0 {
			dot = i
		} else if i > 0 && !isDigit(b) {
			return false
		}
	}
	if dot < 0 {
		return len(c) == whole || len(c) == 2 && isDigit(c[0])
	}
	after := len(c) - dot - 1
	return (dot == whole || dot == 2 && isDigit(c[0])) && after >= 1 && after <= 2
}

// hcpcs: a level II code, a letter and four digits; level I codes (CPT) stand
// in claims under this system as well; a modifier is two characters.
func hcpcs(c []byte) bool {
	if len(c) == 5 && isUpper(c[0]) && digits(c[1:]) {
		return true
	}
	return cpt(c)
}

// cpt: five digits, or four and a letter (categories II and III, PLA), or a
// modifier of two characters.
func cpt(c []byte) bool {
	switch len(c) {
	case 2:
		return (isDigit(c[0]) || isUpper(c[0])) && (isDigit(c[1]) || isUpper(c[1]))
	case 5:
		return digits(c[:4]) && (isDigit(c[4]) || isUpper(c[4]))
	}
	return false
}

// ndc: eleven digits, or ten in three groups by hyphens (4-4-2, 5-3-2, 5-4-1),
// or eleven in 5-4-2.
func ndc(c []byte) bool {
	if len(c) == 11 && digits(c) {
		return true
	}
	var groups [3]int
	g := 0
	for _, b := range c {
		switch {
		case b == '-':
			if g++; g > 2 {
				return false
			}
		case isDigit(b):
			groups[g]++
		default:
			return false
		}
	}
	switch groups {
	case [3]int{4, 4, 2}, [3]int{5, 3, 2}, [3]int{5, 4, 1}, [3]int{5, 4, 2}:
		return true
	}
	return false
}

// NPI checks a National Provider Identifier: ten digits, the first 1 or 2, the
// last the Luhn check digit over 80840 and the first nine.
func NPI(c []byte) bool {
	if len(c) != 10 || !digits(c) || c[0] != '1' && c[0] != '2' {
		return false
	}
	sum := 24 // the prefix 80840's share
	for i, b := range c {
		d := int(b - '0')
		if i%2 == 0 { // counted from the right, the check digit is at odd place
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// billType: type of bill, three digits with or without the leading zero; the
// last (frequency) may be a letter.
func billType(c []byte) bool {
	if len(c) == 4 && c[0] == '0' {
		c = c[1:]
	}
	return len(c) == 3 && digits(c[:2]) && (isDigit(c[2]) || isUpper(c[2]))
}

// loinc: digits, a hyphen and a mod 10 check digit. Parts, answers, answer lists
// and groups begin with LP, LA, LL or LG; their digit is reckoned otherwise and
// not checked.
func loinc(c []byte) bool {
	other := len(c) > 2 && c[0] == 'L' && (c[1] == 'P' || c[1] == 'A' || c[1] == 'L' || c[1] == 'G')
	if other {
		c = c[2:]
	}
	n := len(c)
	if n < 3 || n > 10 || c[n-2] != '-' || !isDigit(c[n-1]) || !digits(c[:n-2]) {
		return false
	}
	if other {
		return true
	}
	sum := 0
	for i, j := n-3, 0; i >= 0; i, j = i-1, j+1 {
		d := int(c[i] - '0')
		if j%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return (10-sum%10)%10 == int(c[n-1]-'0')
}

// The Verhoeff tables: the dihedral group D5 and its permutation.
const (
	verhoeffD = "0123456789" + "1234067895" + "2340178956" + "3401289567" + "4012395678" +
		"5987604321" + "6598710432" + "7659821043" + "8765932104" + "9876543210"
	verhoeffP = "0123456789" + "1576283094" + "5803796142" + "8916043527" +
		"9453126870" + "4286573901" + "2793806415" + "7046913258"
)

// snomed: 6 to 18 digits, the last a Verhoeff check digit.
func snomed(c []byte) bool {
	if len(c) < 6 || len(c) > 18 || !digits(c) || c[0] == '0' {
		return false
	}
	sum := byte(0)
	for i := range c {
		d := c[len(c)-1-i] - '0'
		sum = verhoeffD[int(sum)*10+int(verhoeffP[i%8*10+int(d)]-'0')] - '0'
	}
	return sum == 0
}
