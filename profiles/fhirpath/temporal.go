package fhirpath

import (
	"strings"
	"time"
)

// Dates and times are held as civil (local) ticks of 100 ns since the first
// instant of year 0, with the precision to which they were written and their
// zone. Fractions of a second finer than a tick are not told apart.

// precision is how far a date or time is stated. A second and its fraction are
// one precision (FHIRPath 2.0.0, section 6.1.1).
type precision uint8

const (
	toYear precision = iota + 1
	toMonth
	toDay
	toHour
	toMinute
	toSecond
	toFraction // a second written with its fraction
)

const (
	noZone int32 = -1 << 31

	second int64 = 10_000_000
	minute       = 60 * second
	hour         = 60 * minute
	day          = 24 * hour
)

// level is p with seconds and fractions as one.
func (p precision) level() precision { return min(p, toSecond) }

// daysOf counts days since 0000-01-01 in the proleptic Gregorian calendar.
func daysOf(y, m, d int) int64 {
	if m <= 2 {
		y--
		m += 12
	}
	era := floorDiv(int64(y), 400)
	yoe := int64(y) - era*400
	doy := int64((153*(m-3)+2)/5 + d - 1)
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy + 60
}

// civil is the inverse of daysOf.
func civil(days int64) (y, m, d int) {
	z := days - 60
	era := floorDiv(z, 146097)
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	d = int(doy - (153*mp+2)/5 + 1)
	m = int(mp + 3)
	y = int(yoe + era*400)
	if m > 12 {
		m -= 12
		y++
	}
	return y, m, d
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

func daysIn(y, m int) int {
	switch m {
	case 2:
		if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// two reads two digits at the front of s.
func two(s string) (int, bool) {
	if len(s) < 2 || !isDigit(s[0]) || !isDigit(s[1]) {
		return 0, false
	}
	return int(s[0]-'0')*10 + int(s[1]-'0'), true
}

// datePart reads YYYY[-MM[-DD]] and what follows it.
func datePart(s string) (ticks int64, p precision, rest string, ok bool) {
	if len(s) < 4 {
		return 0, 0, "", false
	}
	hi, ok1 := two(s)
	lo, ok2 := two(s[2:])
	if !ok1 || !ok2 {
		return 0, 0, "", false
	}
	y, m, d := hi*100+lo, 1, 1
	p, s = toYear, s[4:]
	if len(s) > 0 && s[0] == '-' {
		if m, ok = two(s[1:]); !ok || m < 1 || m > 12 {
			return 0, 0, "", false
		}
		p, s = toMonth, s[3:]
		if len(s) > 0 && s[0] == '-' {
			if d, ok = two(s[1:]); !ok || d < 1 || d > daysIn(y, m) {
				return 0, 0, "", false
			}
			p, s = toDay, s[3:]
		}
	}
	return daysOf(y, m, d) * day, p, s, true
}

// clockPart reads hh[:mm[:ss[.fff]]] and what follows it.
func clockPart(s string) (ticks int64, p precision, rest string, ok bool) {
	h, ok := two(s)
	if !ok || h > 23 {
		return 0, 0, "", false
	}
	ticks, p, s = int64(h)*hour, toHour, s[2:]
	if len(s) > 0 && s[0] == ':' {
		m, ok := two(s[1:])
		if !ok || m > 59 {
			return 0, 0, "", false
		}
		ticks, p, s = ticks+int64(m)*minute, toMinute, s[3:]
		if len(s) > 0 && s[0] == ':' {
			sec, ok := two(s[1:])
			if !ok || sec > 60 { // 60: a leap second
				return 0, 0, "", false
			}
			ticks, p, s = ticks+int64(sec)*second, toSecond, s[3:]
			if len(s) > 1 && s[0] == '.' && isDigit(s[1]) {
				unit := second
				i := 1
				for ; i < len(s) && isDigit(s[i]); i++ {
					unit /= 10
					ticks += int64(s[i]-'0') * unit
				}
				p, s = toFraction, s[i:]
			}
		}
	}
	return ticks, p, s, true
}

// parseDate reads a date: YYYY, YYYY-MM or YYYY-MM-DD.
func parseDate(s string) (Value, bool) {
	t, p, rest, ok := datePart(s)
	if !ok || rest != "" {
		return Value{}, false
	}
	return Value{kind: KindDate, prec: p, zone: noZone, num: t, text: s}, true
}

// parseDateTime reads a dateTime of any precision; a bare date is one too, and
// so is a date that ends in "T".
func parseDateTime(s string) (Value, bool) {
	t, p, rest, ok := datePart(s)
	if !ok {
		return Value{}, false
	}
	v := Value{kind: KindDateTime, prec: p, zone: noZone, num: t, text: s}
	if rest == "" {
		return v, true
	}
	if rest[0] != 'T' {
		return Value{}, false
	}
	if rest == "T" {
		v.text = s[:len(s)-1]
		return v, true
	}
	if p != toDay {
		return Value{}, false
	}
	clock, p, rest, ok := clockPart(rest[1:])
	if !ok {
		return Value{}, false
	}
	v.num += clock
	v.prec = p
	switch {
	case rest == "":
	case rest == "Z":
		v.zone = 0
	case len(rest) == 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':':
		h, ok1 := two(rest[1:])
		m, ok2 := two(rest[4:])
		if !ok1 || !ok2 || h > 14 || m > 59 {
			return Value{}, false
		}
		v.zone = int32(h*60 + m)
		if rest[0] == '-' {
			v.zone = -v.zone
		}
	default:
		return Value{}, false
	}
	return v, true
}

// parseDateLiteral reads what follows "@": with a T it is a DateTime.
func parseDateLiteral(s string) (Value, bool) {
	if strings.IndexByte(s, 'T') >= 0 {
		return parseDateTime(s)
	}
	return parseDate(s)
}

// parseTime reads a time of day: hh, hh:mm, hh:mm:ss or hh:mm:ss.fff.
func parseTime(s string) (Value, bool) {
	t, p, rest, ok := clockPart(s)
	if !ok || rest != "" {
		return Value{}, false
	}
	return Value{kind: KindTime, prec: p, zone: noZone, num: t, text: s}, true
}

// truncate cuts ticks down to precision p.
func truncate(ticks int64, p precision) int64 {
	switch p {
	case toYear, toMonth:
		y, m, _ := civil(floorDiv(ticks, day))
		if p == toYear {
			m = 1
		}
		return daysOf(y, m, 1) * day
	case toDay:
		return floorDiv(ticks, day) * day
	case toHour:
		return floorDiv(ticks, hour) * hour
	case toMinute:
		return floorDiv(ticks, minute) * minute
	}
	return ticks
}

// compareTemporal compares two dates, dateTimes or times: -1, 0 or 1. ok is
// false where their precision or zones leave it open (FHIRPath 2.0.0, sections
// 6.1.1 and 6.2).
func compareTemporal(a, b *Value) (order int, ok bool) {
	p := min(a.prec.level(), b.prec.level())
	x, y := a.num, b.num
	if p >= toHour && a.kind != KindTime {
		switch {
		case a.zone != noZone && b.zone != noZone:
			x -= int64(a.zone) * minute
			y -= int64(b.zone) * minute
		case a.zone != b.zone:
			// One has no zone: only a distance beyond any zone decides.
			if d := x - y; d > 26*hour {
				return 1, true
			} else if d < -26*hour {
				return -1, true
			}
			return 0, false
		}
	}
	x, y = truncate(x, p), truncate(y, p)
	switch {
	case x < y:
		return -1, true
	case x > y:
		return 1, true
	}
	return 0, a.prec.level() == b.prec.level()
}

// format writes the text of a date or time from its ticks. digits is the
// number of fraction digits.
func (v *Value) format(digits int) {
	b := make([]byte, 0, 32)
	if v.kind != KindTime {
		y, m, d := civil(floorDiv(v.num, day))
		b = appendDigits(b, int64(y), 4)
		if v.prec >= toMonth {
			b = appendDigits(append(b, '-'), int64(m), 2)
		}
		if v.prec >= toDay {
			b = appendDigits(append(b, '-'), int64(d), 2)
		}
		if v.prec > toDay {
			b = append(b, 'T')
		}
	}
	if v.prec > toDay {
		clock := v.num - floorDiv(v.num, day)*day
		b = appendDigits(b, clock/hour, 2)
		if v.prec >= toMinute {
			b = appendDigits(append(b, ':'), clock/minute%60, 2)
		}
		if v.prec >= toSecond {
			b = appendDigits(append(b, ':'), clock/second%60, 2)
		}
		if v.prec == toFraction {
			digits = min(max(digits, 1), 7)
			f := clock % second
			for i := digits; i < 7; i++ {
				f /= 10
			}
			b = appendDigits(append(b, '.'), f, digits)
		}
		switch z := v.zone; {
		case z == noZone:
		case z == 0:
			b = append(b, 'Z')
		default:
			sign := byte('+')
			if z < 0 {
				sign, z = '-', -z
			}
			b = appendDigits(append(b, sign), int64(z/60), 2)
			b = appendDigits(append(b, ':'), int64(z%60), 2)
		}
	}
	v.text = string(b)
}

func appendDigits(b []byte, n int64, width int) []byte {
	var buf [20]byte
	for i := width - 1; i >= 0; i-- {
		buf[i] = byte('0' + n%10)
		n /= 10
	}
	return append(b, buf[:width]...)
}

// fractionDigits counts the digits after the second in v's text.
func (v *Value) fractionDigits() int {
	i := strings.IndexByte(v.text, '.')
	if i < 0 {
		return 0
	}
	n := 0
	for i++; i < len(v.text) && isDigit(v.text[i]); i++ {
		n++
	}
	return n
}

// instantOf is the dateTime of a clock's instant, to the millisecond.
func instantOf(t time.Time) Value {
	_, offset := t.Zone()
	y, m, d := t.Date()
	v := Value{kind: KindDateTime, prec: toFraction, zone: int32(offset / 60)}
	v.num = daysOf(y, int(m), d)*day + int64(t.Hour())*hour + int64(t.Minute())*minute +
		int64(t.Second())*second + int64(t.Nanosecond()/1_000_000)*(second/1000)
	v.format(3)
	return v
}

// dateOf and timeOf are the date and the time of day of a dateTime.
func dateOf(v Value) Value {
	v.kind, v.prec, v.zone = KindDate, min(v.prec, toDay), noZone
	v.num = truncate(v.num, v.prec)
	v.format(0)
	return v
}

func timeOf(v Value) Value {
	digits := v.fractionDigits()
	v.kind, v.zone = KindTime, noZone
	v.num -= floorDiv(v.num, day) * day
	v.format(digits)
	return v
}

// duration is an amount of a calendar unit.
type duration struct {
	months int64 // years and months
	ticks  int64 // weeks and finer
}

// add adds d to v: section 6.6.7 of FHIRPath 2.0.0. Months stop at the last day
// of the month; a date stated less finely than the amount takes only its whole
// units.
func (v Value) add(d duration) (Value, bool) {
	digits := v.fractionDigits()
	switch v.kind {
	case KindTime:
		if d.months != 0 {
			return Value{}, false
		}
		if v.prec == toSecond && d.ticks%second != 0 {
			v.prec, digits = toFraction, 3
		}
		t := v.num + d.ticks
		v.num = t - floorDiv(t, day)*day
		v.num = truncate(v.num, v.prec)
		v.format(digits)
		return v, true
	case KindDate, KindDateTime:
	default:
		return Value{}, false
	}
	months, ticks := d.months, d.ticks
	switch v.prec {
	case toYear: // 365 days are a year here
		months += ticks / (365 * day) * 12
		months -= months % 12
		ticks = 0
	case toMonth: // and 30 days a month
		months += ticks / (30 * day)
		ticks = 0
	case toDay:
		ticks -= ticks % day
	case toHour:
		ticks -= ticks % hour
	case toMinute:
		ticks -= ticks % minute
	case toSecond:
		if ticks%second != 0 {
			v.prec, digits = toFraction, 3
		}
	}
	if months != 0 {
		days := floorDiv(v.num, day)
		clock := v.num - days*day
		y, m, dom := civil(days)
		total := int64(y)*12 + int64(m-1) + months
		y, m = int(floorDiv(total, 12)), int(total-floorDiv(total, 12)*12)+1
		if y < 1 || y > 9999 {
			return Value{}, false
		}
		v.num = daysOf(y, m, min(dom, daysIn(y, m)))*day + clock
	}
	v.num += ticks
	if y, _, _ := civil(floorDiv(v.num, day)); y < 1 || y > 9999 {
		return Value{}, false
	}
	v.format(digits)
	return v, true
}

// digitsOf is the precision of v as FHIRPath counts it: digits of its text.
func (v *Value) digitsOf() int {
	if v.kind == KindTime {
		return [...]int{toHour: 2, toMinute: 4, toSecond: 6, toFraction: 9}[v.prec]
	}
	return [...]int{toYear: 4, toMonth: 6, toDay: 8, toHour: 10, toMinute: 12, toSecond: 14, toFraction: 17}[v.prec]
}

// boundary is the first (low) or last instant that v may stand for, to digits
// of precision.
func (v Value) boundary(low bool, digits int) (Value, bool) {
	var p precision
	dates := map[int]precision{4: toYear, 6: toMonth, 8: toDay, 10: toHour, 12: toMinute, 14: toSecond, 17: toFraction}
	times := map[int]precision{2: toHour, 4: toMinute, 6: toSecond, 9: toFraction}
	if v.kind == KindTime {
		p = times[digits]
	} else {
		p = dates[digits]
	}
	if p == 0 {
		return Value{}, false
	}
	if !low {
		v.num = v.end()
	}
	if v.prec < toSecond || v.kind == KindDate {
		if p > toDay && v.kind == KindDate {
			v.kind = KindDateTime
		}
		if p > toDay && v.kind == KindDateTime && v.zone == noZone {
			v.zone = 14 * 60 // the zone where the day begins first
			if !low {
				v.zone = -12 * 60
			}
		}
	} else if v.kind == KindDateTime && v.zone == noZone && p > toDay {
		v.zone = 14 * 60
		if !low {
			v.zone = -12 * 60
		}
	}
	v.prec = p
	v.num = truncate(v.num, p)
	if p <= toDay {
		v.zone = noZone
	}
	v.format(3)
	return v, true
}

// end is the last millisecond of what v states.
func (v *Value) end() int64 {
	const milli = second / 1000
	switch v.prec {
	case toYear:
		y, _, _ := civil(floorDiv(v.num, day))
		return daysOf(y+1, 1, 1)*day - milli
	case toMonth:
		y, m, _ := civil(floorDiv(v.num, day))
		return daysOf(y, m, daysIn(y, m))*day + day - milli
	case toDay:
		return v.num + day - milli
	case toHour:
		return v.num + hour - milli
	case toMinute:
		return v.num + minute - milli
	case toSecond:
		return v.num + second - milli
	}
	return v.num
}
