package terminology

// Some code systems are grammars or short lists that everyone may know; they
// need no list from the user. A code that follows BCP 47 or the form of a media
// type counts as one, registered or not.
//
// Sources: R4 "Using Code Systems" (4.3.0): urn:ietf:bcp:47, urn:ietf:bcp:13;
// ISO 4217:2015 as amended, currency codes in use and those withdrawn since
// 2000, for old claims.
func grammar(system string) func([]byte) Tri {
	switch system {
	case "urn:ietf:bcp:47":
		return languageTag
	case "urn:ietf:bcp:13":
		return mediaType
	case "urn:iso:std:iso:4217":
		return currency
	}
	return nil
}

const currencies = " AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BYR BZD CAD CDF CHE CHF CHW" +
	" CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EEK EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR" +
	" ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LTL LVL LYD MAD MDL MGA MKD MMK MNT MOP MRO MRU MUR" +
	" MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SKK SLE SLL" +
	" SOS SRD SSP STD STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VEF VES VND VUV WST XAF XAG XAU XBA" +
	" XBB XBC XBD XCD XCG XDR XOF XPD XPF XPT XSU XTS XUA XXX YER ZAR ZMK ZMW ZWG ZWL GGP IMP JEP TVD "

func currency(c []byte) Tri {
	if len(c) != 3 {
		return No
	}
	for i := 1; i < len(currencies); i += 4 {
		if currencies[i] == c[0] && currencies[i+1] == c[1] && currencies[i+2] == c[2] {
			return Yes
		}
	}
	// The standard is amended now and then: three letters may be a new one.
	if isUpper(c[0]) && isUpper(c[1]) && isUpper(c[2]) {
		return Unknown
	}
	return No
}

// languageTag checks a tag's form: a language of two to eight letters, then
// parts of one to eight letters or digits (RFC 5646, 2.1).
func languageTag(c []byte) Tri {
	part, first := 0, true
	for i, b := range c {
		switch {
		case b == '-':
			if part == 0 || first && part == 1 && c[0] != 'x' && c[0] != 'i' {
				return No
			}
			part, first = 0, false
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', isDigit(b) && !first:
			part++
		default:
			return No
		}
		if part > 8 || i > 100 {
			return No
		}
	}
	if part == 0 || first && part == 1 {
		return No
	}
	return Yes
}

// mediaType checks for type "/" subtype, perhaps with parameters (RFC 2045, 5.1).
func mediaType(c []byte) Tri {
	slash := -1
	for i, b := range c {
		switch {
		case b == '/':
			if slash >= 0 {
				return No
			}
			slash = i
		case b == ';' && slash > 0 && i > slash+1:
			return Yes
		case b <= ' ' || b >= 0x7f || b == '(' || b == ')' || b == '<' || b == '>' || b == '@' || b == ',' || b == '"' || b == '[' || b == ']' || b == '?' || b == '=':
			return No
		}
	}
	if slash <= 0 || slash == len(c)-1 {
		return No
	}
	return Yes
}
