package source

import (
	"math"
	"strconv"
)

// AppendFloat appends the canonical text of a float of 32 or 64 bits: the
// shortest digits that read back equal, plain between 1e-6 and 1e21 and with an
// exponent outside, NaN, Infinity and -Infinity by name.
func AppendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, bits)
}

// AppendDecimal appends the canonical text of an unscaled integer given as
// decimal digits (with a sign where negative) at a scale: exact, all places
// of the scale written.
func AppendDecimal(dst, digits []byte, scale int) []byte {
	if scale <= 0 {
		return append(dst, digits...)
	}
	if len(digits) > 0 && digits[0] == '-' {
		dst = append(dst, '-')
		digits = digits[1:]
	}
	if whole := len(digits) - scale; whole > 0 {
		dst = append(dst, digits[:whole]...)
		digits = digits[whole:]
	} else {
		dst = append(dst, '0')
	}
	dst = append(dst, '.')
	for i := len(digits); i < scale; i++ {
		dst = append(dst, '0')
	}
	return append(dst, digits...)
}

const microsPerDay = 24 * 60 * 60 * 1_000_000

// AppendDate appends the canonical text of a day counted from 1970-01-01 in
// the proleptic Gregorian calendar. Years before 1 are written as PostgreSQL
// does, "0044-03-15 BC".
func AppendDate(dst []byte, days int64) []byte {
	year, month, day, bc := civil(days)
	dst = appendDay(dst, year, month, day)
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst
}

// AppendTimestamp appends the canonical text of an instant counted in
// microseconds from 1970-01-01T00:00:00; nanos are the further nanoseconds
// (0..999). zone is true for a timestamp with time zone, which then ends in Z.
func AppendTimestamp(dst []byte, micros int64, nanos int, zone bool) []byte {
	days := micros / microsPerDay
	rest := micros % microsPerDay
	if rest < 0 {
		rest += microsPerDay
		days--
	}
	year, month, day, bc := civil(days)
	dst = append(appendDay(dst, year, month, day), 'T')
	second := rest / 1_000_000
	dst = append(appendTwo(dst, int(second/3600)), ':')
	dst = append(appendTwo(dst, int(second/60%60)), ':')
	dst = appendTwo(dst, int(second%60))
	if fraction := rest%1_000_000*1000 + int64(nanos); fraction != 0 {
		var buf [9]byte
		n := 9
		for i := 8; i >= 0; i-- {
			buf[i] = byte('0' + fraction%10)
			fraction /= 10
		}
		for buf[n-1] == '0' {
			n--
		}
		dst = append(append(dst, '.'), buf[:n]...)
	}
	if zone {
		dst = append(dst, 'Z')
	}
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst
}

// civil turns days since 1970-01-01 into a date (Howard Hinnant,
// "chrono-Compatible Low-Level Date Algorithms", civil_from_days).
func civil(days int64) (year int64, month, day int, bc bool) {
	days += 719468
	era := days / 146097
	if days < 0 {
		era = (days - 146096) / 146097
	}
	doe := days - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = int(doy - (153*mp+2)/5 + 1)
	month = int(mp + 3)
	if month > 12 {
		month -= 12
	}
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	if year <= 0 {
		return 1 - year, month, day, true
	}
	return year, month, day, false
}

func appendDay(dst []byte, year int64, month, day int) []byte {
	if year < 1000 {
		dst = append(dst, "000"[:3-len(strconv.Itoa(int(year)))+1]...)
	}
	dst = append(strconv.AppendInt(dst, year, 10), '-')
	dst = append(appendTwo(dst, month), '-')
	return appendTwo(dst, day)
}

func appendTwo(dst []byte, n int) []byte {
	return append(dst, byte('0'+n/10), byte('0'+n%10))
}
