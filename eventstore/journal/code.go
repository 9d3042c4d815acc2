package journal

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/domain/ocra"
	"github.com/authledger/authledger/eventstore/keyring"
)

// Purposes of derivation. Each code is HMAC over purpose, subject and seq, so
// a code for one thing is never right for another.
const (
	deriveConfirm    = "confirm"    // of a phone verification
	deriveActivation = "activation" // of an enrolment
	deriveLogin      = "login"      // of an SMS challenge
	deriveChallenge  = "challenge"  // the question of a challenge/response, seq 1
	deriveMatch      = "match"      // the number to type into the app, seq 1
)

// Names of dated parameters this package derives by.
const (
	parameterCodeLength = "code.sms.len"
	// ocraWindow is how many time steps a response may be off (D-49).
	ocraWindow = 2
	// ocraSecretSize is the size of a generated OCRA key in bytes, that of the
	// suite's hash.
	ocraSecretSize = 32
)

// code checks what the user typed.
func (g *gathering) code(ctx context.Context, u *domain.User, c domain.Command) (err error) {
	switch c := c.(type) {
	case domain.ConfirmPhone:
		v, _ := u.Verification(c.VerificationID)
		g.facts.Code, err = g.digits(ctx, deriveConfirm, v.ID, v.Codes, string(c.Code))
	case domain.SubmitActivationCode:
		e, _ := u.Enrollment(c.EnrollmentID)
		g.facts.Code, err = g.activation(ctx, e, string(c.Code))
	case domain.SubmitResponse:
		challenge, _ := u.Challenge(c.ChallengeID)
		switch challenge.Mode {
		case domain.ModeSMSCode:
			g.facts.Code, err = g.digits(ctx, deriveLogin, challenge.ID, challenge.Codes, string(c.Response))
		case domain.ModeChallengeResponse:
			g.facts.Code, err = g.response(ctx, u, challenge, string(c.Response))
		}
	}
	return err
}

// digits compares a decimal code with every one issued, always all of them, so
// that the time taken tells nothing.
func (g *gathering) digits(ctx context.Context, purpose, subject string, issued []domain.Issued, typed string) (domain.CodeEvidence, error) {
	length := int(g.j.policy.Int(parameterCodeLength, g.now))
	if n := len(issued); n > 0 {
		length = g.j.codeLength(issued[n-1])
	}
	e := domain.CodeEvidence{LenOK: len(typed) == length, CharsetOK: decimal(typed)}
	if !e.CharsetOK {
		return e, nil
	}
	var err error
	e.MatchedSeq, err = match(issued, typed, func(i domain.Issued) (string, error) {
		return g.j.keys.Digits(ctx, i.Kid, purpose, subject, i.Seq, g.j.codeLength(i))
	})
	return e, err
}

// codeLength is the length of a code that was issued: the one in force while
// it was valid.
func (j *Journal) codeLength(i domain.Issued) int {
	return int(j.policy.Int(parameterCodeLength, i.ExpiresAt))
}

func (g *gathering) activation(ctx context.Context, enrollment domain.Enrollment, typed string) (domain.CodeEvidence, error) {
	code, ok := keyring.NormalizeActivation(typed)
	if !ok {
		bare := len(strings.NewReplacer("-", "", " ", "").Replace(typed))
		return domain.CodeEvidence{LenOK: bare == 8, CharsetOK: false}, nil
	}
	seq, err := match(enrollment.Codes, code, func(i domain.Issued) (string, error) {
		return g.j.keys.Activation(ctx, i.Kid, deriveActivation, enrollment.ID, i.Seq)
	})
	return domain.CodeEvidence{LenOK: true, CharsetOK: true, MatchedSeq: seq}, err
}

// match is the highest seq whose code equals the one typed, 0 for none. A code
// whose key was destroyed can no longer be right.
func match(issued []domain.Issued, typed string, derive func(domain.Issued) (string, error)) (int, error) {
	matched := 0
	for _, i := range issued { // in ascending order of seq
		code, err := derive(i)
		if gone(err) {
			continue
		}
		if err != nil {
			return 0, err
		}
		matched = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare([]byte(code), []byte(typed)), i.Seq, matched)
	}
	return matched, nil
}

func decimal(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// response verifies an OCRA response (RFC 6287) to the challenge's question.
func (g *gathering) response(ctx context.Context, u *domain.User, c domain.Challenge, typed string) (domain.CodeEvidence, error) {
	a, ok := u.Authenticator(c.AuthenticatorID)
	if !ok {
		return domain.CodeEvidence{}, nil // revoked since; the rules refuse it
	}
	suite, err := ocra.Parse(a.Suite)
	if err != nil {
		return domain.CodeEvidence{}, fmt.Errorf("suite of %s: %w", a.ID, err)
	}
	e := domain.CodeEvidence{LenOK: len(typed) == suite.Digits(), CharsetOK: decimal(typed)}
	if !e.LenOK || !e.CharsetOK {
		return e, nil
	}
	question, err := g.question(ctx, c)
	if err != nil || question == "" {
		return e, err
	}
	key, err := g.j.keys.Secret(ctx, g.slot.stream, a.ID)
	if gone(err) {
		return e, nil
	}
	if err != nil {
		return e, err
	}
	defer clear(key)
	in := ocra.Input{Question: question, Time: suite.TimeStep(g.now)}
	m, err := ocra.Verify(suite, key, in, typed, ocra.Window{Steps: ocraWindow})
	if err != nil {
		return e, fmt.Errorf("verify response of %s: %w", a.ID, err)
	}
	if !m.OK {
		return e, nil
	}
	e.OCRAStep = uint64(int64(in.Time) + int64(m.StepOffset))
	used, err := g.usedBefore(ctx, u, question, e.OCRAStep)
	e.Matched = !used
	return e, err
}

// question is the six digits the login page shows; "" when their key is gone.
func (g *gathering) question(ctx context.Context, c domain.Challenge) (string, error) {
	q, err := g.j.keys.Challenge(ctx, c.Kid, deriveChallenge, c.ID, 1)
	if gone(err) {
		return "", nil
	}
	return q, err
}

// usedBefore reports whether the same response was accepted in the last
// minutes: the same question in the same time step, be it that of another
// challenge whose digits happen to be equal.
func (g *gathering) usedBefore(ctx context.Context, u *domain.User, question string, step uint64) (bool, error) {
	for id, used := range u.RecentSteps(g.now) {
		if used != step {
			continue
		}
		other, ok := u.Challenge(id)
		if !ok {
			continue
		}
		q, err := g.question(ctx, other)
		if err != nil {
			return false, err
		}
		if keyring.Equal(q, question) {
			return true, nil
		}
	}
	return false, nil
}

// provision makes the OCRA key of an authenticator durable before the event
// that binds it: an authenticator without its key could never be used. A key
// that is there already, of an attempt that did not get as far as its event,
// stays: replacing it could break a binding that did.
func (j *Journal) provision(ctx context.Context, stream string, events []domain.Event) error {
	for _, e := range events {
		bound, ok := e.(domain.AuthenticatorEnrolled)
		if !ok || bound.Kind != domain.KindIBKey {
			continue
		}
		_, err := j.keys.Secret(ctx, stream, bound.AuthenticatorID)
		if err == nil {
			continue
		}
		if !errors.Is(err, keyring.ErrSecretNotFound) && !errors.Is(err, keyring.ErrKeyNotFound) {
			return fmt.Errorf("provision %s: %w", bound.AuthenticatorID, err)
		}
		secret := make([]byte, ocraSecretSize)
		_, _ = rand.Read(secret) // never fails; see crypto/rand
		if err := j.keys.PutSecret(ctx, stream, bound.AuthenticatorID, secret); err != nil {
			return fmt.Errorf("provision %s: %w", bound.AuthenticatorID, err)
		}
		clear(secret)
	}
	return nil
}
