package ocra

import (
	"crypto/hmac"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"strings"
)

// ErrInput marks a key or an input the suite cannot be computed over. Compare
// with errors.Is.
var ErrInput = errors.New("invalid OCRA input")

const (
	// minKey is the 128 bits RFC 4226 §4 (R6) demands of a shared secret.
	minKey = 16
	// questionBytes is the fixed width of Q in the data input (RFC 6287 §5.1).
	questionBytes = 128
)

// Input is what a response is computed over besides key and suite. Counter
// and Time are ignored by a suite that does not use them; a PIN hash or a
// session such a suite would ignore is an error, because its caller believes
// that it is being checked.
type Input struct {
	Counter  uint64
	Question string // 1 to QuestionLength characters of the suite's format
	Peer     string // second question of a mutual exchange (RFC 6287 §7.2); empty otherwise
	PINHash  []byte // digest of the PIN under the suite's PIN hash
	Session  []byte // at most SessionSize bytes, left-padded with zeros
	Time     uint64 // time steps since 1970 (Suite.TimeStep)
}

// Compute returns the response: Digits decimal digits, or the HMAC in
// lower-case hexadecimal for a suite without truncation. Errors wrap ErrInput.
func (s Suite) Compute(key []byte, in Input) (string, error) {
	m, err := s.message(key, in)
	if err != nil {
		return "", err
	}
	return m.response(in.Counter, in.Time), nil
}

// message is a data input whose counter and time can be replaced, so that a
// window costs one HMAC for each candidate and nothing else.
//
//	suite text
//	0x00
//	u64 counter        big-endian, when C
//	128 bytes question
//	PIN hash           when P
//	session            left-padded, when S
//	u64 time steps     big-endian, when T
type message struct {
	suite   Suite
	mac     hash.Hash
	data    []byte
	counter []byte // inside data; nil without C
	time    []byte // inside data; nil without T
	sum     []byte
}

func (s Suite) message(key []byte, in Input) (*message, error) {
	if err := s.check(key, in); err != nil {
		return nil, err
	}
	m := &message{suite: s, mac: hmac.New(s.hash.constructor(), key)}
	at := len(s.text) + 1
	m.data = make([]byte, at+8+questionBytes+s.pin.size()+s.session+8)
	copy(m.data, s.text)
	if s.counter {
		m.counter = m.data[at : at+8]
		at += 8
	}
	if err := s.encodeQuestion(m.data[at:at+questionBytes], in.Question+in.Peer); err != nil {
		return nil, err
	}
	at += questionBytes
	at += copy(m.data[at:], in.PINHash)
	copy(m.data[at+s.session-len(in.Session):], in.Session)
	at += s.session
	if s.step > 0 {
		m.time = m.data[at : at+8]
		at += 8
	}
	m.data = m.data[:at]
	return m, nil
}

func (m *message) response(counter, time uint64) string {
	if m.counter != nil {
		binary.BigEndian.PutUint64(m.counter, counter)
	}
	if m.time != nil {
		binary.BigEndian.PutUint64(m.time, time)
	}
	m.mac.Reset()
	m.mac.Write(m.data)
	m.sum = m.mac.Sum(m.sum[:0])
	return Truncate(m.sum, m.suite.digits)
}

// check tests everything but the characters of the question.
func (s Suite) check(key []byte, in Input) error {
	switch {
	case s.hash == none:
		return fmt.Errorf("%w: suite was not parsed", ErrInput)
	case len(key) < minKey:
		return fmt.Errorf("%w for %s: key of %d bytes, at least %d", ErrInput, s, len(key), minKey)
	case in.Question == "" || len(in.Question) > s.question || len(in.Peer) > s.question:
		return fmt.Errorf("%w for %s: question must have 1 to %d characters", ErrInput, s, s.question)
	case len(in.PINHash) != s.pin.size():
		return fmt.Errorf("%w for %s: PIN hash of %d bytes, want %d", ErrInput, s, len(in.PINHash), s.pin.size())
	case len(in.Session) > s.session:
		return fmt.Errorf("%w for %s: session of %d bytes, at most %d", ErrInput, s, len(in.Session), s.session)
	}
	return nil
}

// encodeQuestion writes the question into dst, which is all zeros. Text is
// written as its bytes. A number is written as its hexadecimal digits starting
// at the first nibble, however many there are: 22222222 = 0x153158e fills
// three and a half bytes. So a question and sixteen times that question encode
// alike (000001 and 000016); questions of a six-digit suite should therefore
// be drawn from 100000 to 999999, which all differ.
func (s Suite) encodeQuestion(dst []byte, question string) error {
	nibbles := question
	switch s.format {
	case 'A':
		if !only(question, isAlphanumeric) {
			return fmt.Errorf("%w for %s: question is not alphanumeric", ErrInput, s)
		}
		copy(dst, question)
		return nil
	case 'N':
		if !only(question, isDigit) {
			return fmt.Errorf("%w for %s: question is not decimal", ErrInput, s)
		}
		n, _ := new(big.Int).SetString(question, 10) // digits were checked above
		nibbles = n.Text(16)
	}
	if len(nibbles)%2 == 1 {
		nibbles += "0"
	}
	if _, err := hex.Decode(dst, []byte(nibbles)); err != nil {
		return fmt.Errorf("%w for %s: question is not hexadecimal", ErrInput, s)
	}
	return nil
}

func only(s string, in func(rune) bool) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !in(r) }) < 0
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

func isAlphanumeric(r rune) bool {
	return isDigit(r) || (r >= 'A' && r <= 'Z') || (r >= 'a' && r <= 'z')
}
