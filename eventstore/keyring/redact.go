package keyring

import (
	"fmt"
	"log/slog"
)

// Secret is key material in clear. It prints, logs and marshals as
// "[redacted]"; convert it to []byte to use it, and do not keep it.
type Secret []byte

const redacted = "[redacted]"

// String returns a fixed text.
func (Secret) String() string { return redacted }

// GoString returns a fixed text.
func (Secret) GoString() string { return redacted }

// Format writes a fixed text for every verb; with String alone, %d would print
// the bytes.
func (Secret) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(redacted)) }

// LogValue is a fixed text.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON writes a fixed text.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText writes a fixed text.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
