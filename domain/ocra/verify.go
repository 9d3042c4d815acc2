package ocra

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"math"
)

// ErrResponse marks text that cannot be a response of the suite. Compare with
// errors.Is.
var ErrResponse = errors.New("malformed OCRA response")

// ErrWindow marks a window that is negative or too large. Compare with
// errors.Is.
var ErrWindow = errors.New("invalid OCRA window")

// maxCandidates bounds the responses one Verify accepts. Each multiplies the
// chance of a guess, so a larger window is a mistake, not a need.
const maxCandidates = 1000

// Window says how far a device's clock and counter may be off. The zero value
// accepts the exact step and counter only. Parts the suite does not use are
// ignored.
type Window struct {
	Steps     int // accepted on either side of Input.Time
	LookAhead int // accepted after Input.Counter, which is the next expected value
}

// Match tells whether and where a response matched. When OK, StepOffset is in
// [-Steps, Steps] and CounterOffset in [0, LookAhead]; a caller stores
// Input.Counter+CounterOffset+1 as the next counter and refuses the step
// Input.Time+StepOffset for the same question from then on.
type Match struct {
	OK            bool
	StepOffset    int
	CounterOffset int
}

// CheckResponse returns an error wrapping ErrResponse unless text has the form
// of a response: exactly Digits decimal digits, or the lower-case hexadecimal
// HMAC. The error does not contain the text.
func (s Suite) CheckResponse(text string) error {
	want, digit, form := s.digits, isDigit, "decimal digits"
	if want == 0 {
		want, digit, form = 2*s.hash.size(), isHex, "lower-case hexadecimal digits"
	}
	if len(text) != want || want == 0 || !only(text, digit) {
		return fmt.Errorf("%w: want %d %s", ErrResponse, want, form)
	}
	return nil
}

// Verify compares the response with every candidate of the window. It computes
// all of them and compares in constant time, so neither the time it takes nor
// its order of work tells whether, where or how nearly a response matched.
// Should two candidates match, the nearest in time, then in counter, wins; an
// earlier step before a later one. Candidates that would lie before step zero
// or beyond the last counter or step do not exist.
//
// A response that does not match is not an error. Errors wrap ErrResponse,
// ErrInput or ErrWindow, and mean that nothing was compared.
func Verify(s Suite, key []byte, in Input, response string, w Window) (Match, error) {
	if !s.counter {
		w.LookAhead = 0
	}
	if !s.UsesTime() {
		w.Steps = 0
	}
	if err := w.check(); err != nil {
		return Match{}, err
	}
	m, err := s.message(key, in)
	if err != nil {
		return Match{}, err
	}
	if err := s.CheckResponse(response); err != nil {
		return Match{}, err
	}
	found, step, counter := 0, 0, 0
	for i := range 2*w.Steps + 1 {
		ds := spiral(i)
		t, ok := shift(in.Time, ds)
		if !ok {
			continue
		}
		for dc := range w.LookAhead + 1 {
			c, ok := shift(in.Counter, dc)
			if !ok {
				break
			}
			equal := subtle.ConstantTimeCompare([]byte(m.response(c, t)), []byte(response))
			first := equal &^ found
			step = subtle.ConstantTimeSelect(first, ds, step)
			counter = subtle.ConstantTimeSelect(first, dc, counter)
			found |= equal
		}
	}
	return Match{OK: found == 1, StepOffset: step, CounterOffset: counter}, nil
}

func (w Window) check() error {
	if w.Steps < 0 || w.LookAhead < 0 || w.Steps > maxCandidates || w.LookAhead > maxCandidates ||
		(2*w.Steps+1)*(w.LookAhead+1) > maxCandidates {
		return fmt.Errorf("%w: %d steps, look-ahead %d, at most %d candidates", ErrWindow, w.Steps, w.LookAhead, maxCandidates)
	}
	return nil
}

// spiral maps 0, 1, 2, 3, 4 … to 0, -1, +1, -2, +2 …
func spiral(i int) int {
	if i%2 == 1 {
		return -(i + 1) / 2
	}
	return i / 2
}

// shift returns v+d and whether that is a number a device can hold.
func shift(v uint64, d int) (uint64, bool) {
	if d < 0 {
		return v - uint64(-d), v >= uint64(-d)
	}
	return v + uint64(d), uint64(d) <= math.MaxUint64-v
}

func isHex(r rune) bool { return isDigit(r) || (r >= 'a' && r <= 'f') }
