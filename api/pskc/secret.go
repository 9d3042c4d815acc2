package pskc

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
)

// Secret is a seed in clear. It prints, logs and marshals as "[redacted]";
// convert it to []byte to use it, and do not keep it.
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

// ParseKey reads a transport key as operators keep it in a file: 32, 48 or 64
// hexadecimal digits, which are an AES key of 16, 24 or 32 bytes. Errors wrap
// ErrKeyFormat and never quote the text.
func ParseKey(text string) (Secret, error) {
	key, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || !keySize(len(key)) {
		return nil, ErrKeyFormat
	}
	return key, nil
}

// keySize reports whether AES takes a key of n bytes.
func keySize(n int) bool { return n == 16 || n == 24 || n == 32 }
