package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"remit/sql/source"
)

// copyReader turns a stream of rows into the text format of COPY (PostgreSQL
// 15, COPY, Text Format). It holds one row at a time.
type copyReader struct {
	stream source.RowStream
	plan   *plan
	row    func() // told of each row
	rows   int64
	buf    []byte
	at     int
	err    error // what stopped it, nil at a plain end
	ended  bool
}

// Read fills p with whole and partial rows.
func (r *copyReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if r.at == len(r.buf) {
			if r.ended || !r.next() {
				break
			}
		}
		copied := copy(p[n:], r.buf[r.at:])
		n += copied
		r.at += copied
	}
	switch {
	case n > 0:
		return n, nil
	case r.err != nil:
		// The server is told that the copy failed, and no more than that.
		return 0, errors.New("stopped")
	}
	return 0, io.EOF
}

// next writes the next row into the buffer.
func (r *copyReader) next() bool {
	r.buf, r.at = r.buf[:0], 0
	if !r.stream.Next() {
		r.ended, r.err = true, r.stream.Err()
		return false
	}
	r.rows++
	for i, v := range r.stream.Row() {
		if i > 0 {
			r.buf = append(r.buf, '\t')
		}
		if v.IsNull() {
			r.buf = append(r.buf, '\\', 'N')
			continue
		}
		text := v.Bytes()
		if err := storable(text, r.plan.columns[i].kind); err != nil {
			r.ended = true
			r.err = fmt.Errorf("row %d, column %s: %w", r.rows, r.plan.columns[i].name, err)
			r.buf = r.buf[:0]
			return false
		}
		r.buf = appendEscaped(r.buf, text)
	}
	r.buf = append(r.buf, '\n')
	r.row()
	return true
}

// storable refuses what the server would refuse with the value in its message,
// or would change in silence.
func storable(text []byte, kind source.Kind) error {
	switch kind {
	case source.KindText, source.KindComposite:
		if bytes.IndexByte(text, 0) >= 0 || kind == source.KindComposite && bytes.Contains(text, []byte(`\u0000`)) {
			return errors.New("a NUL character, which PostgreSQL cannot keep")
		}
	case source.KindTimestamp, source.KindInstant:
		dot := bytes.IndexByte(text, '.')
		if dot < 0 {
			return nil
		}
		if fraction := bytes.TrimRight(bytes.TrimRight(text[dot+1:], "Z"), "0"); len(fraction) > 6 {
			return errors.New("a timestamp finer than a microsecond, which PostgreSQL would round")
		}
	}
	return nil
}

// appendEscaped writes a value of COPY's text format.
func appendEscaped(dst, text []byte) []byte {
	for _, c := range text {
		switch c {
		case '\\':
			dst = append(dst, '\\', '\\')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
