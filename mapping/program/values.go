package program

import (
	"bytes"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"remit/mapping/check"
	"remit/mapping/plan"
	"remit/profiles/r4"
)

// get reads a column of the current row of its stream; ok is false for NULL.
func (r *runner) get(s plan.Slot) (text []byte, ok bool) {
	if s.Stream == 0 {
		v := &r.row[s.Column]
		return v.Bytes(), !v.IsNull()
	}
	return r.streams[s.Stream].cell(s.Column)
}

// resolve reads a value: a column, or a map applied to some (rule 19). o and
// parent are for the finding that an unmapped key makes; o may be nil.
func (r *runner) resolve(o *op, v *value, parent r4.Node) (text []byte, ok bool) {
	if v.m == nil {
		return r.get(v.slot)
	}
	r.lastNull = false
	r.mapKey = r.mapKey[:0]
	for i, s := range v.of {
		t, ok := r.get(s)
		if !ok {
			r.lastNull = true
			return nil, false
		}
		if i > 0 {
			r.mapKey = append(r.mapKey, 0)
		}
		r.mapKey = append(r.mapKey, bytes.TrimSpace(t)...)
	}
	if row, ok := v.m.targets[string(r.mapKey)]; ok {
		return row[v.get], len(row[v.get]) > 0
	}
	if v.m.hasElse {
		return v.m.fallback[v.get], len(v.m.fallback[v.get]) > 0
	}
	r.unknownKey(v.m.index)
	switch v.m.missing {
	case check.Withhold:
		if o == nil {
			o = &r.unit.root
		}
		r.finding(o, parent, "unmapped-code", "map "+strconv.Quote(v.m.name)+" does not hold the key")
	case check.Fail:
		if r.err == nil {
			r.err = fmt.Errorf("map %q does not hold a key of row %d of source %q, and says missing: fail", v.m.name, r.rows, r.c.plan.From.Name)
		}
	}
	return nil, false
}

// unknownKey counts the key at hand, which a map does not hold.
func (r *runner) unknownKey(index int) {
	r.unmapped[index]++
	keys := r.unmappedKeys[index]
	if keys == nil {
		keys = map[string]*int64{}
		r.unmappedKeys[index] = keys
	}
	// A key already known is counted without being kept anew.
	n := keys[string(r.mapKey)]
	if n == nil && len(keys) < maxUnmappedKeys {
		n = new(int64)
		keys[string(r.mapKey)] = n
	}
	if n != nil {
		*n++
	}
}

// systemURL turns a named system into its URL.
func (r *runner) systemURL(o *op, text []byte, parent r4.Node) ([]byte, bool) {
	if s, ok := r.c.systems[string(text)]; ok {
		return s.url, true
	}
	if bytes.IndexByte(text, ':') >= 0 {
		return text, true
	}
	r.finding(o, parent, "unknown-system", "the system is neither a URL nor a known name")
	return nil, false
}

// appendKey appends the parts of a key, each with its length before it, so
// that no two keys read alike; ok is false where a part is NULL.
func (r *runner) appendKey(dst []byte, parts []part) (_ []byte, ok bool) {
	for i := range parts {
		text := parts[i].literal
		if v := &parts[i].value; !v.none() {
			if text, ok = r.resolve(nil, v, r4.Root); !ok {
				return dst, false
			}
		}
		dst = binary.AppendUvarint(dst, uint64(len(text)))
		dst = append(dst, text...)
	}
	return dst, true
}

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// hashBytes of the digest make an id of 32 characters.
const hashBytes = 20

// memo is the last key and id of one place: neighbours repeat themselves.
type memo struct{ key, id []byte }

// makeID makes an id (rule 22); it is valid until the next call for the same
// key.
func (r *runner) makeID(k *key) (id []byte, ok bool) {
	from := len(r.keys)
	keys, ok := r.appendKey(r.keys, k.parts)
	r.keys = keys[:from]
	if !ok {
		return nil, false
	}
	text, m := keys[from:], &r.memos[k.memo]
	if len(m.id) > 0 && bytes.Equal(m.key, text) {
		return m.id, true
	}
	m.key = append(m.key[:0], text...)
	m.id = m.id[:0]
	if k.plain {
		for len(text) > 0 {
			n, size := binary.Uvarint(text)
			if len(m.id) > 0 || size > 0 && len(m.key) > len(text) {
				m.id = append(m.id, '-')
			}
			m.id = append(m.id, text[size:size+int(n)]...)
			text = text[size+int(n):]
		}
		return m.id, len(m.id) > 0
	}
	r.hash.Reset()
	_, _ = r.hash.Write(text)
	r.sum = r.hash.Sum(r.sum[:0])
	m.id = idEncoding.AppendEncode(m.id, r.sum[:hashBytes])
	return m.id, true
}

// validID says that id is legal in FHIR: [A-Za-z0-9.-]{1,64}.
func validID(id []byte) bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for _, c := range id {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// coerce turns a value's canonical text into a primitive's (rule 25); fault
// says why it cannot.
func (r *runner) coerce(o *op, text []byte) (out []byte, fault string) {
	switch o.coerce {
	case check.AsIs, check.AsDate, check.AsInstant:
		return text, ""
	case check.AsTimestamp:
		t, ok := parseTimestamp(text, o.zone)
		if !ok {
			return nil, "the timestamp lies outside FHIR's years"
		}
		r.text = appendZoned(r.text[:0], t)
		return r.text, ""
	case check.AsParsedDate:
		return r.parsedDate(o, bytes.TrimSpace(text))
	case check.AsParsedBoolean:
		switch string(bytes.ToLower(bytes.TrimSpace(text))) {
		case "true", "t", "yes", "y", "1":
			return r.c.yes, ""
		case "false", "f", "no", "n", "0":
			return r.c.no, ""
		}
		return nil, "the text is no boolean"
	case check.AsInteger:
		d, ok := appendDecimal(r.text[:0], bytes.TrimSpace(text))
		r.text = d
		if i := bytes.IndexByte(d, '.'); ok && i >= 0 {
			ok = len(bytes.Trim(d[i+1:], "0")) == 0
			d = d[:i]
		}
		if !ok {
			return nil, "the value is no whole number"
		}
		return d, ""
	case check.AsMoney:
		for _, f := range o.money {
			if d, ok := f.Append(r.text[:0], text); ok {
				r.text = d
				return d, ""
			}
		}
		return nil, "the value is no amount of the declared formats"
	case check.AsDecimal:
		d, ok := appendDecimal(r.text[:0], bytes.TrimSpace(text))
		r.text = d
		if !ok {
			return nil, "the text is no decimal"
		}
		return d, ""
	}
	return text, ""
}

// appendDecimal appends a decimal in JSON form: no plus, no needless leading
// zeros, a digit before the point; the scale is kept.
func appendDecimal(dst, s []byte) ([]byte, bool) {
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		if s[0] == '-' {
			dst = append(dst, '-')
		}
		s = s[1:]
	}
	whole, fraction, point := bytes.Cut(s, []byte{'.'})
	if len(whole)+len(fraction) == 0 || point && len(fraction) == 0 {
		return dst, false
	}
	for _, c := range whole {
		if c < '0' || c > '9' {
			return dst, false
		}
	}
	for _, c := range fraction {
		if c < '0' || c > '9' {
			return dst, false
		}
	}
	for len(whole) > 1 && whole[0] == '0' {
		whole = whole[1:]
	}
	if len(whole) == 0 {
		dst = append(dst, '0')
	}
	dst = append(dst, whole...)
	if point {
		dst = append(dst, '.')
		dst = append(dst, fraction...)
	}
	return dst, true
}

func (r *runner) parsedDate(o *op, text []byte) ([]byte, string) {
	if len(text) == 0 {
		return nil, "the text is no date of the declared formats"
	}
	for _, f := range o.dates {
		year, month, day, hour, minute, second, ok := f.Parse(text)
		if !ok {
			continue
		}
		if f.Timed() && o.typ.Name() != "date" {
			t := zoned(year, month, day, hour, minute, second, 0, o.zone)
			r.text = appendZoned(r.text[:0], t)
			return r.text, ""
		}
		r.text = appendPadded(appendPadded(appendPadded(r.text[:0], year, 4, 0), month, 2, '-'), day, 2, '-')
		return r.text, ""
	}
	return nil, "the text is no date of the declared formats"
}

func appendPadded(dst []byte, n, width int, before byte) []byte {
	if before != 0 {
		dst = append(dst, before)
	}
	for limit := pow10(width - 1); limit > 1 && n < limit; limit /= 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

func pow10(n int) int {
	p := 1
	for range n {
		p *= 10
	}
	return p
}

// parseTimestamp reads the canonical naive form 2018-11-02T10:20:30.123456 in
// a zone, or with a Z behind it in UTC; a date alone is its midnight.
func parseTimestamp(text []byte, zone *time.Location) (time.Time, bool) {
	digits := func(from, to int) int {
		n := 0
		for _, c := range text[from:to] {
			if c < '0' || c > '9' {
				return -1
			}
			n = n*10 + int(c-'0')
		}
		return n
	}
	if len(text) < 10 || text[4] != '-' || text[7] != '-' {
		return time.Time{}, false
	}
	if zone == nil {
		zone = time.UTC
	}
	year, month, day := digits(0, 4), digits(5, 7), digits(8, 10)
	if year < 1 || month < 1 || day < 1 {
		return time.Time{}, false
	}
	if len(text) == 10 {
		return zoned(year, month, day, 0, 0, 0, 0, zone), true
	}
	if len(text) < 19 || text[10] != 'T' && text[10] != ' ' || text[13] != ':' || text[16] != ':' {
		return time.Time{}, false
	}
	hour, minute, second := digits(11, 13), digits(14, 16), digits(17, 19)
	if hour < 0 || minute < 0 || second < 0 {
		return time.Time{}, false
	}
	rest := text[19:]
	nanos, scale := 0, int(time.Second)
	if len(rest) > 0 && rest[0] == '.' {
		rest = rest[1:]
		for len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9' {
			scale /= 10
			nanos += int(rest[0]-'0') * scale
			rest = rest[1:]
		}
	}
	switch {
	case len(rest) == 0:
		return zoned(year, month, day, hour, minute, second, nanos, zone), true
	case len(rest) == 1 && rest[0] == 'Z':
		return time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC), true
	}
	return time.Time{}, false
}

// zoned places a wall clock time in a zone: where it occurs twice the earlier
// one, where it does not occur the instant reached without the change.
func zoned(year, month, day, hour, minute, second, nanos int, zone *time.Location) time.Time {
	wall := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	_, before := wall.Add(-24 * time.Hour).In(zone).Zone()
	_, after := wall.Add(24 * time.Hour).In(zone).Zone()
	first := wall.Add(-time.Duration(before) * time.Second).In(zone)
	if before == after {
		return first
	}
	if _, o := first.Zone(); o == before {
		return first
	}
	second2 := wall.Add(-time.Duration(after) * time.Second).In(zone)
	if _, o := second2.Zone(); o == after {
		return second2
	}
	return first
}

// appendZoned writes a dateTime with offset; a fraction only where there is one.
func appendZoned(dst []byte, t time.Time) []byte {
	if t.Nanosecond() != 0 {
		return t.AppendFormat(dst, "2006-01-02T15:04:05.999999999-07:00")
	}
	return t.AppendFormat(dst, "2006-01-02T15:04:05-07:00")
}
