package delivery

import (
	"context"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
)

// Names from which the ids of the voice reactor's commands derive. They are
// fixed for ever: another name would dial again for old requests.
const (
	dispatchVoice  = "voice.dispatch"
	uncertainVoice = "voice.uncertain"
	placedVoice    = "voice.placed"
	failedVoice    = "voice.failed"
)

// Failures of a call in the words of the rule book. Busy lines and calls that
// nobody takes are reported by receipts.
const (
	voiceRejected = "rejected" // the provider did not take the call
	voiceUnknown  = "unknown"  // it was never handed over; the code says why
)

// caller makes the calls that VoiceCallRequested asks for.
type caller struct{ courier }

func (s *caller) act(ctx context.Context, d codec.Decoded) error {
	e := d.Event.(domain.VoiceCallRequested)
	failed := func(failure string) func(string) reported {
		return func(code string) reported {
			return reported{failedVoice, domain.RecordVoiceFailed{CallID: e.CallID, Failure: failure, ProviderCode: code}}
		}
	}
	return s.deliver(ctx, parcel{
		id: e.CallID, cause: d, sender: system("voice"),
		state: func(u *domain.User) (progress, bool) {
			c, ok := u.Call(e.CallID)
			return progress{dispatched: c.Dispatched, over: c.Placed || c.Answered || c.Failed || c.Uncertain}, ok
		},
		render:    func(ctx context.Context) (Message, string, error) { return s.render(ctx, e) },
		dispatch:  reported{dispatchVoice, domain.RecordVoiceDispatch{CallID: e.CallID, Gateway: s.c.Gateway.Name()}},
		uncertain: reported{uncertainVoice, domain.RecordVoiceUncertain{CallID: e.CallID}},
		accepted: func(_ Message, r Result) reported {
			return reported{placedVoice, domain.RecordVoicePlaced{
				CallID: e.CallID, Provider: s.c.Gateway.Name(), ProviderRef: r.Ref, PlacedAt: s.c.Journal.Now(),
			}}
		},
		refused: failed(voiceRejected),
		unsent:  failed(voiceUnknown),
	})
}

// render makes the call, unless the challenge was answered or cancelled
// meanwhile: a phone that rings for nothing looks like an attack.
func (s *caller) render(ctx context.Context, e domain.VoiceCallRequested) (Message, string, error) {
	code := issuedCode{
		userID: domain.UserOf(e.CallID), phoneID: e.PhoneID, purpose: domain.PurposeLogin, subjectID: e.ChallengeID, seq: e.CodeSeq,
	}
	open := false
	err := s.c.Journal.User(ctx, code.userID, func(u *domain.User, now time.Time) error {
		c, ok := u.Challenge(e.ChallengeID)
		open = !ok || c.Open(now) || !now.Before(c.ExpiresAt) // an expired one has a reason of its own
		return nil
	})
	if err != nil {
		return Message{}, "", err
	}
	if !open {
		return Message{}, codeClosed, nil
	}
	m, why, err := code.toPhone(ctx, s.c, e.TemplateID, e.Locale)
	m.ID, m.Kind = e.CallID, Voice
	return m, why, err
}
