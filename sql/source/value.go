package source

import (
	"fmt"
	"log/slog"
)

// Value is one value of a row in canonical text form, or NULL (the zero Value).
//
// It borrows the row's memory: it is valid until the stream's next row. It is
// health data, so every way of printing it yields [redacted]; Bytes alone
// gives the text.
type Value struct {
	text  []byte
	valid bool
}

// redacted stands wherever a value would be printed.
const redacted = "[redacted]"

// Text makes a value of canonical text; it keeps b and does not copy it.
func Text(b []byte) Value { return Value{text: b, valid: true} }

// IsNull says that the value is NULL.
func (v Value) IsNull() bool { return !v.valid }

// Bytes is the canonical text, empty for NULL. The caller must not change it
// nor keep it beyond the row.
func (v Value) Bytes() []byte { return v.text }

// String hides the value.
func (v Value) String() string { return redacted }

// GoString hides the value.
func (v Value) GoString() string { return redacted }

// Format hides the value under every verb.
func (v Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue hides the value from slog.
func (v Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON hides the value.
func (v Value) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
