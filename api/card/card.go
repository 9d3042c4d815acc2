package card

import (
	"errors"
	"fmt"

	"github.com/authledger/authledger/domain/ocra"
)

// Suites of the cards that are made: one mixes the PIN into every response, the
// other checks it by itself.
const (
	SuitePINMixed = "OCRA-1:HOTP-SHA256-8:C-QN06-PSHA1"
	SuitePINLocal = "OCRA-1:HOTP-SHA256-8:C-QN06"
)

// What a card, or its holder, can do wrong; compare with errors.Is.
var (
	ErrPIN       = errors.New("the PIN has four digits")
	ErrNoPIN     = errors.New("this card has no PIN yet; give it the one chosen with the order by `authledger card set-pin`")
	ErrChallenge = errors.New("the challenge is the six digits of the login page")
	ErrNoSeed    = errors.New("this is a code card; look up its cells with `authledger card cells`")
	ErrNoCells   = errors.New("this card has no cells; answer with `authledger card respond`")
	ErrIndex     = errors.New("the card has no cell of this index")
)

// Card is one simulated card. Its file is read at each call and written when
// something changed, so several processes may use it one after another.
type Card struct{ path string }

// Open uses the card in a file.
func Open(path string) *Card { return &Card{path: path} }

// Respond turns the six-digit challenge into the eight-digit response. The
// card's counter moves on with every response, used or not: a card cannot know.
// A wrong PIN gives a wrong response.
func (c *Card) Respond(pin, challenge string) (string, error) {
	s, err := load(c.path)
	if err != nil {
		return "", err
	}
	switch {
	case len(s.Seed) == 0:
		return "", ErrNoSeed
	case !digits(pin, 4):
		return "", ErrPIN
	case !digits(challenge, 6):
		return "", ErrChallenge
	}
	suite, err := s.unlocked(pin)
	if err != nil {
		return "", err
	}
	in := ocra.Input{Question: challenge, Counter: s.Counter, PINHash: suite.HashPIN([]byte(pin))}
	response, err := suite.Compute(s.Seed, in)
	if err != nil {
		return "", fmt.Errorf("compute the response: %w", err)
	}
	s.Counter++ // on file before anybody sees the response: none is given twice
	return response, s.save(c.path)
}

// unlocked is the suite the card computes with for a PIN: its own; but after a
// wrong PIN on a card that checks it, the other one, whose response is as good
// as random.
func (s *state) unlocked(pin string) (ocra.Suite, error) {
	text := s.Suite
	suite, err := ocra.Parse(text)
	if err == nil && suite.PINHashSize() == 0 {
		switch {
		case s.PIN == "":
			return suite, ErrNoPIN
		case s.PIN != pin:
			suite, err = ocra.Parse(text + "-PSHA1")
		}
	}
	if err != nil {
		return suite, fmt.Errorf("the card's suite: %w", err)
	}
	return suite, nil
}

// SetPIN gives the card another PIN. Where the suite mixes the PIN in, the card
// keeps none and has nothing to change: the new PIN is the one typed from then
// on.
func (c *Card) SetPIN(pin string) error {
	s, err := load(c.path)
	if err != nil {
		return err
	}
	suite, err := ocra.Parse(s.Suite)
	switch {
	case len(s.Seed) == 0:
		return ErrNoSeed
	case !digits(pin, 4):
		return ErrPIN
	case err != nil:
		return fmt.Errorf("the card's suite: %w", err)
	case suite.PINHashSize() > 0:
		return nil
	}
	s.PIN = pin
	return s.save(c.path)
}

// Cells are the two cells of a code card that a login asks for, as they are
// typed: one behind the other. Indices begin with 1.
func (c *Card) Cells(a, b int) (string, error) {
	s, err := load(c.path)
	if err != nil {
		return "", err
	}
	if len(s.Cells) == 0 {
		return "", ErrNoCells
	}
	for _, i := range []int{a, b} {
		if i < 1 || i > len(s.Cells) {
			return "", fmt.Errorf("%w: %d; it has 1 to %d", ErrIndex, i, len(s.Cells))
		}
	}
	return s.Cells[a-1] + s.Cells[b-1], nil
}

func digits(s string, n int) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) == n
}
