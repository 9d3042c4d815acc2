package domain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const redacted = "[redacted]"

// Personal is a personal datum of an event: a phone number, a user name, an
// address. It is either clear (on its way into the ledger) or sealed (as
// stored: ciphertext under the subject's data key). Only the sealed form can
// be encoded; printing shows neither. A logger ends up at one of MarshalJSON,
// Format and String, so at most the ciphertext gets into a log.
type Personal struct {
	clear  string
	sealed string
}

// Clear wraps a datum that is not sealed yet.
func Clear(s string) Personal { return Personal{clear: s} }

// Sealed wraps the ciphertext text read from, or bound for, an event.
func Sealed(s string) Personal { return Personal{sealed: s} }

// IsZero reports whether there is no datum at all.
func (p Personal) IsZero() bool { return p == Personal{} }

// ClearText is the datum, or "" if this value holds ciphertext.
func (p Personal) ClearText() string { return p.clear }

// SealedText is the ciphertext, or "" if this value is clear.
func (p Personal) SealedText() string { return p.sealed }

var errNotSealed = errors.New("personal datum must be sealed before it is encoded")

// MarshalJSON writes the ciphertext and refuses a clear datum.
func (p Personal) MarshalJSON() ([]byte, error) {
	if p.clear != "" {
		return nil, errNotSealed
	}
	return json.Marshal(p.sealed)
}

// UnmarshalJSON reads ciphertext.
func (p *Personal) UnmarshalJSON(b []byte) error {
	*p = Personal{}
	return json.Unmarshal(b, &p.sealed)
}

// String redacts.
func (p Personal) String() string { return redacted }

// Format redacts under every verb and flag.
func (p Personal) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, redacted) }

// Secret is what a user typed or an app signed: it is checked outside this
// package, never decided on, never stored in clear, and prints as redacted.
type Secret string

// String redacts.
func (s Secret) String() string { return redacted }

// Format redacts under every verb and flag.
func (s Secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, redacted) }

// MarshalJSON redacts.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }
