package pskc

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/authledger/authledger/domain/ocra"
)

// Token is one card's key.
type Token struct {
	Manufacturer string
	Serial       string
	Model        string // may be empty
	Suite        string // OCRA suite with a counter
	Counter      uint64 // the next one the card uses
	Seed         Secret
}

const (
	maxText    = 100 // characters
	minSeed    = 16  // bytes, RFC 4226 §4 R6
	maxSeed    = 64  // bytes, the block of the hash
	maxCounter = 1<<63 - 1
	responses  = 8 // digits of a response
)

// check refuses a token that no card of the house could be.
func (t Token) check() error {
	switch {
	case !plain(t.Manufacturer) || t.Manufacturer == "", !plain(t.Serial) || t.Serial == "", !plain(t.Model):
		return ErrText
	case !usable(t.Suite):
		return ErrSuite
	case t.Counter > maxCounter:
		return ErrCounter
	case len(t.Seed) < minSeed || len(t.Seed) > maxSeed:
		return ErrSeed
	}
	return nil
}

// plain reports text that looks the same wherever it is shown.
func plain(s string) bool {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxText || strings.TrimSpace(s) != s {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// usable reports a suite of a card without a clock: a counter, a question of
// six decimal digits, perhaps the PIN, and eight digits of response (D-49).
func usable(text string) bool {
	s, err := ocra.Parse(text)
	if err != nil || !s.UsesCounter() || s.UsesTime() || s.SessionSize() > 0 || s.Digits() != responses {
		return false
	}
	return strings.Contains(text, ":C-QN06")
}
