package journal

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/keyring"
)

// bent is a keyring that derives one number for everything, or fails.
type bent struct {
	*keyring.Keyring
	number string
	fail   error
}

func (k bent) CurrentKid(ctx context.Context) (string, error) {
	if k.fail != nil {
		return "", k.fail
	}
	return k.Keyring.CurrentKid(ctx)
}

func (k bent) Challenge(ctx context.Context, kid, purpose, subject string, seq int) (string, error) {
	if k.number != "" {
		return k.number, nil
	}
	return k.Keyring.Challenge(ctx, kid, purpose, subject, seq)
}

// Two challenges in a row may by chance ask the same question; the response to
// the first must then not open the second.
func TestResponseIsNotAcceptedTwiceForOneQuestionAndStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.reopen(func(c *Config) { c.Keyring = bent{Keyring: w.keys, number: "482913"} })
	w.register()
	w.bind()
	ask := func() string {
		out := w.do(domain.StartAuthentication{UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS, PrimaryVerified: true})
		push := event[domain.ChallengeIssued](t, out)
		return event[domain.ChallengeIssued](t, w.do(domain.RequestFallback{ChallengeID: push.ChallengeID, Cause: domain.CauseNoInternet})).ChallengeID
	}
	first := ask()
	response := w.ocraResponse(first, 0)
	event[domain.AuthenticationSucceeded](t, w.do(domain.SubmitResponse{ChallengeID: first, Response: response}))
	w.clock.advance(30 * time.Second)
	second := ask()
	if r := event[domain.ResponseRejected](t, w.do(domain.SubmitResponse{ChallengeID: second, Response: response})); r.Reason != domain.ReasonResponseWrong || !r.Counted {
		t.Errorf("the same response again: %+v", r)
	}
	w.clock.advance(time.Minute) // another step, another response
	event[domain.AuthenticationSucceeded](t, w.do(domain.SubmitResponse{ChallengeID: second, Response: w.ocraResponse(second, 0)}))
}

func TestKeyringThatFailsRecordsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	before := len(w.records())
	j := w.journal(func(c *Config) { c.Keyring = bent{Keyring: w.keys, fail: eventstore.ErrUnavailable} })
	_, err := j.Execute(t.Context(), w.request(domain.StartAuthentication{
		UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS, PrimaryVerified: true,
	}))
	if !errors.Is(err, eventstore.ErrUnavailable) || len(w.records()) != before {
		t.Errorf("got %v and %d records", err, len(w.records())-before)
	}
}

func TestActivationCodeForms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := gathering{j: w.j}
	for typed, want := range map[string]domain.CodeEvidence{
		"":               {},
		"ABCD":           {},
		"ABCD-EFG!":      {LenOK: true},
		"ABCD-EFGU":      {LenOK: true},
		"abcd efgh":      {LenOK: true, CharsetOK: true},
		"ABCD-EFGH-0000": {},
	} {
		got, err := g.activation(t.Context(), deriveActivation, "enr", nil, typed)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", typed, got, err, want)
		}
	}
}

func TestMatchTakesTheNewestCode(t *testing.T) {
	t.Parallel()
	issued := []domain.Issued{{Seq: 1, Kid: "a"}, {Seq: 2, Kid: "gone"}, {Seq: 3, Kid: "b"}, {Seq: 4, Kid: "c"}}
	derived := 0
	derive := func(i domain.Issued) (string, error) {
		derived++
		switch i.Kid {
		case "gone":
			return "", keyring.ErrKeyDestroyed
		case "c":
			return "222222", nil
		}
		return "111111", nil
	}
	for typed, want := range map[string]int{"111111": 3, "222222": 4, "333333": 0} {
		derived = 0
		if got, err := match(issued, typed, derive); got != want || err != nil || derived != len(issued) {
			t.Errorf("%s: seq %d after %d comparisons, %v; want %d", typed, got, derived, err, want)
		}
	}
	if _, err := match(issued, "1", func(domain.Issued) (string, error) { return "", errDisk }); !errors.Is(err, errDisk) {
		t.Errorf("a keyring that fails: %v", err)
	}
}
