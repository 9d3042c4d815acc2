package journal

import (
	"context"
	"crypto/subtle"
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
	deriveMigration  = "migration"
	deriveRecovery   = "recovery"
	deriveTemporary  = "temporary" // a temporary passcode, by its authenticator, seq 1
)

const (
	// parameterCodeLength names the dated length of a code that was never
	// issued.
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
		g.facts.Code, err = g.activation(ctx, deriveActivation, e.ID, e.Codes, string(c.Code))
	case domain.ProveMigration:
		m, _ := u.Migration(c.MigrationID)
		g.facts.Code, err = g.activation(ctx, deriveMigration, m.ID, m.Codes, string(c.Code))
	case domain.ProveRecovery:
		r, _ := u.Recovery(c.RecoveryID)
		g.facts.Code, err = g.activation(ctx, deriveRecovery, r.ID, r.Codes, string(c.Code))
	case domain.SubmitResponse:
		challenge, _ := u.Challenge(c.ChallengeID)
		switch challenge.Mode {
		case domain.ModeSMSCode:
			g.facts.Code, err = g.digits(ctx, deriveLogin, challenge.ID, challenge.Codes, string(c.Response))
		case domain.ModeChallengeResponse:
			g.facts.Code, err = g.response(ctx, u, challenge, string(c.Response))
		case domain.ModeGrid:
			g.facts.Code, err = g.gridCells(ctx, u, challenge, string(c.Response))
		case domain.ModeStaticCode:
			g.facts.Code, err = g.passcode(ctx, u, challenge, string(c.Response))
		}
	}
	return err
}

// digits compares a decimal code with every one issued, always all of them, so
// that the time taken tells nothing.
func (g *gathering) digits(ctx context.Context, purpose, subject string, issued []domain.Issued, typed string) (domain.CodeEvidence, error) {
	length := int(g.policy.Int(parameterCodeLength, g.now))
	if n := len(issued); n > 0 {
		length = issued[n-1].Len
	}
	e := domain.CodeEvidence{LenOK: len(typed) == length, CharsetOK: decimal(typed)}
	if !e.CharsetOK {
		return e, nil
	}
	var err error
	e.MatchedSeq, err = match(issued, typed, func(i domain.Issued) (string, error) {
		return g.j.keys.Digits(ctx, i.Kid, purpose, subject, i.Seq, i.Len)
	})
	return e, err
}

func (g *gathering) activation(ctx context.Context, purpose, subject string, issued []domain.Issued, typed string) (domain.CodeEvidence, error) {
	code, ok := keyring.NormalizeActivation(typed)
	if !ok {
		bare := len(strings.NewReplacer("-", "", " ", "").Replace(typed))
		return domain.CodeEvidence{LenOK: bare == 8, CharsetOK: false}, nil
	}
	seq, err := match(issued, code, func(i domain.Issued) (string, error) {
		return g.j.keys.Activation(ctx, i.Kid, purpose, subject, i.Seq)
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
	text := g.suite(u, c)
	if text == "" {
		return domain.CodeEvidence{}, nil // revoked since; the rules refuse it
	}
	suite, err := ocra.Parse(text)
	if err != nil {
		return domain.CodeEvidence{}, fmt.Errorf("suite of %s: %w", c.AuthenticatorID, err)
	}
	e := domain.CodeEvidence{LenOK: len(typed) == suite.Digits(), CharsetOK: decimal(typed)}
	if !e.LenOK || !e.CharsetOK {
		return e, nil
	}
	question, err := g.question(ctx, c)
	if err != nil || question == "" {
		return e, err
	}
	if c.DeviceID != "" {
		return g.deviceResponse(ctx, u, c, suite, question, typed)
	}
	key, err := g.j.keys.Secret(ctx, g.slot.stream, c.AuthenticatorID)
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
		return e, fmt.Errorf("verify response of %s: %w", c.AuthenticatorID, err)
	}
	if !m.OK {
		return e, nil
	}
	e.OCRAStep = uint64(int64(in.Time) + int64(m.StepOffset))
	used, err := g.usedBefore(ctx, u, question, e.OCRAStep)
	e.Matched = !used
	return e, err
}

// suite is the OCRA suite fixed at the binding, or that of a unit that is about
// to be bound.
func (g *gathering) suite(u *domain.User, c domain.Challenge) string {
	if a, ok := u.Authenticator(c.AuthenticatorID); ok {
		return a.Suite
	}
	if g.facts.Device != nil {
		return g.facts.Device.Suite
	}
	return ""
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
