package duckdb

import (
	"math"
	"math/bits"
	"strconv"
	"unsafe"

	bindings "github.com/duckdb/duckdb-go-bindings"

	"remit/sql/source"
)

// reader turns the engine's chunks into rows of canonical text. Texts borrow
// the chunk's memory, all else is written into one buffer per row: no
// allocation in steady state.
type reader struct {
	columns []engineColumn
	data    []unsafe.Pointer
	valid   []unsafe.Pointer // nil where a column holds no NULL
	values  []source.Value
	buf     []byte
	digits  []byte
}

func newReader(columns []engineColumn) *reader {
	return &reader{
		columns: columns,
		data:    make([]unsafe.Pointer, len(columns)),
		valid:   make([]unsafe.Pointer, len(columns)),
		values:  make([]source.Value, len(columns)),
	}
}

// chunk points the reader at a chunk, which must outlive the rows read.
func (r *reader) chunk(c bindings.DataChunk) {
	for i := range r.columns {
		v := bindings.DataChunkGetVector(c, bindings.IdxT(i))
		r.data[i] = bindings.VectorGetData(v)
		r.valid[i] = bindings.VectorGetValidity(v)
	}
}

// row reads row i of the chunk; the slice and its values are good until the
// next call.
func (r *reader) row(i int) source.Row {
	r.buf = r.buf[:0]
	for j := range r.columns {
		if mask := r.valid[j]; mask != nil && (*(*uint64)(unsafe.Add(mask, i/64*8))>>(i%64))&1 == 0 {
			r.values[j] = source.Value{}
			continue
		}
		c := &r.columns[j]
		if c.id == bindings.TypeVarchar {
			r.values[j] = source.Text(stringAt(r.data[j], i))
			continue
		}
		start := len(r.buf)
		r.append(c, r.data[j], i)
		r.values[j] = source.Text(r.buf[start:len(r.buf):len(r.buf)])
	}
	return r.values
}

// The layout of duckdb_string_t (duckdb.h): four bytes of length, then either
// twelve bytes of text, or four of prefix and a pointer.
const (
	stringSize   = 16
	stringInline = 12
)

func stringAt(data unsafe.Pointer, i int) []byte {
	p := unsafe.Add(data, i*stringSize)
	n := int(*(*uint32)(p))
	if n <= stringInline {
		return unsafe.Slice((*byte)(unsafe.Add(p, 4)), n)
	}
	return unsafe.Slice(*(**byte)(unsafe.Add(p, 8)), n)
}

func at[T any](data unsafe.Pointer, i int) T {
	var t T
	return *(*T)(unsafe.Add(data, uintptr(i)*unsafe.Sizeof(t)))
}

// hugeint is the engine's 128-bit integer: two's complement, low half first.
type hugeint struct {
	low  uint64
	high int64
}

func (r *reader) append(c *engineColumn, data unsafe.Pointer, i int) {
	switch c.id {
	case bindings.TypeBoolean:
		r.buf = strconv.AppendBool(r.buf, at[uint8](data, i) != 0)
	case bindings.TypeTinyInt:
		r.buf = strconv.AppendInt(r.buf, int64(at[int8](data, i)), 10)
	case bindings.TypeSmallInt:
		r.buf = strconv.AppendInt(r.buf, int64(at[int16](data, i)), 10)
	case bindings.TypeInteger:
		r.buf = strconv.AppendInt(r.buf, int64(at[int32](data, i)), 10)
	case bindings.TypeBigInt:
		r.buf = strconv.AppendInt(r.buf, at[int64](data, i), 10)
	case bindings.TypeUTinyInt:
		r.buf = strconv.AppendUint(r.buf, uint64(at[uint8](data, i)), 10)
	case bindings.TypeUSmallInt:
		r.buf = strconv.AppendUint(r.buf, uint64(at[uint16](data, i)), 10)
	case bindings.TypeUInteger:
		r.buf = strconv.AppendUint(r.buf, uint64(at[uint32](data, i)), 10)
	case bindings.TypeUBigInt:
		r.buf = strconv.AppendUint(r.buf, at[uint64](data, i), 10)
	case bindings.TypeHugeInt:
		h := at[hugeint](data, i)
		r.buf = appendHuge(r.buf, h.low, uint64(h.high), h.high < 0)
	case bindings.TypeUHugeInt:
		h := at[hugeint](data, i)
		r.buf = appendHuge(r.buf, h.low, uint64(h.high), false)
	case bindings.TypeFloat:
		r.buf = source.AppendFloat(r.buf, float64(at[float32](data, i)), 32)
	case bindings.TypeDouble:
		r.buf = source.AppendFloat(r.buf, at[float64](data, i), 64)
	case bindings.TypeDecimal:
		r.decimal(c, data, i)
	case bindings.TypeDate:
		days := at[int32](data, i)
		if !r.infinite(days == math.MaxInt32, days == -math.MaxInt32) {
			r.buf = source.AppendDate(r.buf, int64(days))
		}
	case bindings.TypeTimestamp, bindings.TypeTimestampTZ, bindings.TypeTimestampS, bindings.TypeTimestampMS, bindings.TypeTimestampNS:
		r.timestamp(c.id, at[int64](data, i))
	case bindings.TypeUUID:
		h := at[hugeint](data, i)
		r.buf = appendUUID(r.buf, uint64(h.high)^1<<63, h.low)
	}
}

func (r *reader) infinite(plus, minus bool) bool {
	switch {
	case plus:
		r.buf = append(r.buf, "infinity"...)
	case minus:
		r.buf = append(r.buf, "-infinity"...)
	default:
		return false
	}
	return true
}

func (r *reader) timestamp(id bindings.Type, t int64) {
	if r.infinite(t == math.MaxInt64, t == -math.MaxInt64) {
		return
	}
	nanos := 0
	switch id {
	case bindings.TypeTimestampS:
		t *= 1_000_000
	case bindings.TypeTimestampMS:
		t *= 1_000
	case bindings.TypeTimestampNS:
		nanos = int(t % 1000)
		t /= 1000
		if nanos < 0 {
			nanos += 1000
			t--
		}
	}
	r.buf = source.AppendTimestamp(r.buf, t, nanos, id == bindings.TypeTimestampTZ)
}

func (r *reader) decimal(c *engineColumn, data unsafe.Pointer, i int) {
	d := r.digits[:0]
	switch c.internal {
	case bindings.TypeSmallInt:
		d = strconv.AppendInt(d, int64(at[int16](data, i)), 10)
	case bindings.TypeInteger:
		d = strconv.AppendInt(d, int64(at[int32](data, i)), 10)
	case bindings.TypeBigInt:
		d = strconv.AppendInt(d, at[int64](data, i), 10)
	default:
		h := at[hugeint](data, i)
		d = appendHuge(d, h.low, uint64(h.high), h.high < 0)
	}
	r.digits = d
	r.buf = source.AppendDecimal(r.buf, d, c.kind.Scale)
}

// appendHuge appends a 128-bit integer in decimal. negative says that high and
// low are its two's complement.
func appendHuge(dst []byte, low, high uint64, negative bool) []byte {
	if negative {
		dst = append(dst, '-')
		low = ^low + 1
		high = ^high
		if low == 0 {
			high++
		}
	}
	if high == 0 {
		return strconv.AppendUint(dst, low, 10)
	}
	const e19 = 10_000_000_000_000_000_000
	var groups [2]uint64
	n := 0
	for high != 0 {
		var rem uint64
		q, rem := high/e19, high%e19
		low, rem = bits.Div64(rem, low, e19)
		high = q
		groups[n] = rem
		n++
	}
	dst = strconv.AppendUint(dst, low, 10)
	for n--; n >= 0; n-- {
		var buf [19]byte
		g := groups[n]
		for k := 18; k >= 0; k-- {
			buf[k] = byte('0' + g%10)
			g /= 10
		}
		dst = append(dst, buf[:]...)
	}
	return dst
}

func appendUUID(dst []byte, high, low uint64) []byte {
	const hex = "0123456789abcdef"
	for i := range 32 {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			dst = append(dst, '-')
		}
		half := high
		if i >= 16 {
			half = low
		}
		dst = append(dst, hex[half>>(60-4*(i%16))&15])
	}
	return dst
}
