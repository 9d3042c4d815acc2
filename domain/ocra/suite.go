package ocra

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"strings"
	"time"
)

// ErrSuite marks a suite text that RFC 6287 §6 does not allow. Compare with
// errors.Is.
var ErrSuite = errors.New("invalid OCRA suite")

// maxSuite bounds the text before it is taken apart; the longest valid suite,
// OCRA-1:HOTP-SHA512-10:C-QN64-PSHA512-S512-T59M, has 46 bytes.
const maxSuite = 64

// Suite is a parsed OCRA suite. It is an immutable value, comparable with ==;
// the zero value computes nothing and is rejected by Compute and Verify.
type Suite struct {
	text     string // hashed as it stands, so never rebuilt from the parts
	hash     algorithm
	digits   int  // 0 for the whole HMAC, otherwise 4 to 10
	counter  bool // C
	format   byte // A, N or H
	question int  // longest question of one party, 4 to 64
	pin      algorithm
	session  int           // bytes; 0 when the suite has no session
	step     time.Duration // 0 when the suite has no time
}

// algorithm names a hash function of RFC 6287 §6.1; none is the zero value.
type algorithm uint8

const (
	none algorithm = iota
	sha1Hash
	sha256Hash
	sha512Hash
)

func (a algorithm) size() int {
	switch a {
	case sha1Hash:
		return sha1.Size
	case sha256Hash:
		return sha256.Size
	case sha512Hash:
		return sha512.Size
	}
	return 0
}

// constructor returns the hash's New function. SHA-1 stays for legacy cards:
// HMAC does not rest on its collision resistance.
func (a algorithm) constructor() func() hash.Hash {
	switch a {
	case sha1Hash:
		return sha1.New
	case sha256Hash:
		return sha256.New
	case sha512Hash:
		return sha512.New
	}
	return nil
}

// Parse reads a suite such as OCRA-1:HOTP-SHA256-8:QN06-T1M. It is strict:
// upper case, no leading zero in digits and time, every part at most once and
// in the order C, Q, P, S, T of RFC 6287 §6.3, Q always present. Accepting a
// second spelling would be a second algorithm, because the text itself is part
// of what is hashed. Errors wrap ErrSuite.
func Parse(text string) (Suite, error) {
	if len(text) > maxSuite {
		return Suite{}, fmt.Errorf("%w: %d bytes, at most %d", ErrSuite, len(text), maxSuite)
	}
	fail := func(reason string) (Suite, error) {
		return Suite{}, fmt.Errorf("%w %q: %s", ErrSuite, text, reason)
	}
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return fail("want three parts separated by colons")
	}
	if parts[0] != "OCRA-1" {
		return fail("algorithm is not OCRA-1")
	}
	s := Suite{text: text}
	if reason := s.parseFunction(parts[1]); reason != "" {
		return fail(reason)
	}
	if reason := s.parseInput(parts[2]); reason != "" {
		return fail(reason)
	}
	return s, nil
}

// parseFunction reads HOTP-<hash>-<digits> and returns why it cannot.
func (s *Suite) parseFunction(text string) string {
	parts := strings.Split(text, "-")
	if len(parts) != 3 || parts[0] != "HOTP" {
		return "function is not HOTP-<hash>-<digits>"
	}
	if s.hash = parseHash(parts[1]); s.hash == none {
		return "hash is not SHA1, SHA256 or SHA512"
	}
	n, ok := number(parts[2])
	if !ok || n > 10 || (n > 0 && n < 4) {
		return "digits are not 0 or 4 to 10"
	}
	s.digits = n
	return ""
}

// parseInput reads [C-]Qfnn[-Phash][-Snnn][-Tnu] and returns why it cannot.
func (s *Suite) parseInput(text string) string {
	parts := strings.Split(text, "-")
	if parts[0] == "C" {
		s.counter, parts = true, parts[1:]
	}
	if len(parts) == 0 || !s.parseQuestion(parts[0]) {
		return "question is not QA, QN or QH with two digits 04 to 64"
	}
	parts = parts[1:]
	for _, take := range []func(string) bool{s.parsePIN, s.parseSession, s.parseStep} {
		if len(parts) > 0 && take(parts[0]) {
			parts = parts[1:]
		}
	}
	if len(parts) > 0 {
		return fmt.Sprintf("input %q is unknown, repeated or out of order", parts[0])
	}
	return ""
}

func (s *Suite) parseQuestion(p string) bool {
	if len(p) != 4 || p[0] != 'Q' || !strings.ContainsRune("ANH", rune(p[1])) {
		return false
	}
	n, ok := digits(p[2:])
	s.format, s.question = p[1], n
	return ok && n >= 4 && n <= 64
}

func (s *Suite) parsePIN(p string) bool {
	name, ok := strings.CutPrefix(p, "P")
	if !ok {
		return false
	}
	s.pin = parseHash(name)
	return s.pin != none
}

// parseSession accepts the four lengths of RFC 6287 §6.3.
func (s *Suite) parseSession(p string) bool {
	switch p {
	case "S064":
		s.session = 64
	case "S128":
		s.session = 128
	case "S256":
		s.session = 256
	case "S512":
		s.session = 512
	default:
		return false
	}
	return true
}

// parseStep accepts 1 to 59 seconds or minutes and 1 to 48 hours. RFC 6287
// §6.3 lists 0 hours as well, which no clock can count.
func (s *Suite) parseStep(p string) bool {
	if len(p) < 3 || p[0] != 'T' {
		return false
	}
	n, ok := number(p[1 : len(p)-1])
	if !ok || n == 0 {
		return false
	}
	unit, most := time.Second, 59
	switch p[len(p)-1] {
	case 'S':
	case 'M':
		unit = time.Minute
	case 'H':
		unit, most = time.Hour, 48
	default:
		return false
	}
	if n > most {
		return false
	}
	s.step = time.Duration(n) * unit
	return true
}

func parseHash(name string) algorithm {
	switch name {
	case "SHA1":
		return sha1Hash
	case "SHA256":
		return sha256Hash
	case "SHA512":
		return sha512Hash
	}
	return none
}

// number reads one or two decimal digits without a leading zero.
func number(s string) (int, bool) {
	if len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	return digits(s)
}

// digits reads one or two decimal digits.
func digits(s string) (int, bool) {
	if s == "" || len(s) > 2 {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

// String returns the text the suite was parsed from.
func (s Suite) String() string { return s.text }

// Digits is the length of a response in decimal digits; zero means that the
// response is the whole HMAC in hexadecimal.
func (s Suite) Digits() int { return s.digits }

// QuestionLength is the greatest number of characters of one party's question.
func (s Suite) QuestionLength() int { return s.question }

// UsesCounter reports whether Input.Counter is part of the computation.
func (s Suite) UsesCounter() bool { return s.counter }

// UsesTime reports whether Input.Time is part of the computation.
func (s Suite) UsesTime() bool { return s.step > 0 }

// PINHashSize is the required length of Input.PINHash in bytes: the digest
// size of the suite's PIN hash, or zero when the suite mixes no PIN in.
func (s Suite) PINHashSize() int { return s.pin.size() }

// HashPIN is the digest of a PIN as Input.PINHash takes it; nil for a suite
// without a PIN.
func (s Suite) HashPIN(pin []byte) []byte {
	if s.pin == none {
		return nil
	}
	h := s.pin.constructor()()
	h.Write(pin)
	return h.Sum(nil)
}

// SessionSize is the greatest length of Input.Session in bytes, zero when the
// suite has no session.
func (s Suite) SessionSize() int { return s.session }

// Step is the length of a time step, zero when the suite has no time.
func (s Suite) Step() time.Duration { return s.step }

// TimeStep is the number of whole steps from 1970-01-01T00:00:00Z to t (RFC
// 6287 §6.3). It is zero before 1970 and for a suite without time.
func (s Suite) TimeStep(t time.Time) uint64 {
	unix := t.Unix()
	if s.step == 0 || unix < 0 {
		return 0
	}
	return uint64(unix) / uint64(s.step/time.Second)
}
