package api

import (
	"context"
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
)

// sight is a challenge and what surrounds it, as of one moment.
type sight struct {
	userID     string
	challenge  domain.Challenge
	txn        domain.Transaction
	txnKnown   bool
	process    gen.ProcessStep // zero when the challenge is for a login
	message    domain.SMS
	hasMessage bool
	call       domain.Call
	phoneID    string
	now        time.Time
}

// look reads a challenge from its user's state; 404 when there is none.
func (s *Server) look(ctx context.Context, challengeID string) (sight, error) {
	v := sight{userID: domain.UserOf(challengeID)}
	err := s.journal.User(ctx, v.userID, func(u *domain.User, now time.Time) error {
		var ok bool
		if v.challenge, ok = u.Challenge(challengeID); !ok {
			return fault("not_found")
		}
		v.now = now
		v.txn, v.txnKnown = u.Transaction(v.challenge.TxnID)
		v.process = processOf(u, v.challenge, v.txn, now)
		v.message, v.hasMessage = u.Message(v.challenge.SMSID)
		v.call, _ = u.Call(v.challenge.CallID)
		v.phoneID = v.message.PhoneID
		if a, ok := u.Authenticator(v.challenge.AuthenticatorID); ok && v.phoneID == "" {
			v.phoneID = a.PhoneID
		}
		return nil
	})
	return v, err
}

func (s *Server) challenge(ctx context.Context, id string) (domain.Challenge, error) {
	v, err := s.look(ctx, id)
	return v.challenge, err
}

// alive reports whether the login or process around the challenge can still go
// on. A process may outlive the transaction it was begun in.
func (v *sight) alive() bool {
	if v.challenge.SubjectID != "" {
		return v.process.Step == gen.ProcessStepStepAwaitingProof
	}
	return v.txnAlive()
}

func (v *sight) txnAlive() bool {
	return v.txnKnown && !v.txn.Closed && v.now.Before(v.txn.ExpiresAt)
}

func (v *sight) status() gen.ChallengeStatus {
	c := &v.challenge
	switch {
	case c.Verified:
		return gen.ChallengeStatusApproved
	case c.DeclinedByUser:
		return gen.ChallengeStatusDenied
	case c.Exhausted:
		return gen.ChallengeStatusMaxAttempts
	case c.Cancelled == "fallback" || c.Cancelled == "superseded":
		return gen.ChallengeStatusSuperseded
	case c.Cancelled == "user":
		return gen.ChallengeStatusCanceled
	case c.Cancelled != "":
		return gen.ChallengeStatusDenied
	case !c.Open(v.now) || c.SubjectID == "" && v.txnKnown && !v.now.Before(v.txn.ExpiresAt):
		return gen.ChallengeStatusExpired
	case !v.alive():
		return gen.ChallengeStatusDenied
	}
	return v.progress()
}

// progress is how far an open challenge got on its way to the user.
func (v *sight) progress() gen.ChallengeStatus {
	c := &v.challenge
	switch {
	case !c.OpenedAt.IsZero():
		return gen.ChallengeStatusOpened
	case v.spoken() && v.call.Failed:
		return gen.ChallengeStatusUndeliverable
	case v.spoken() && v.call.Placed:
		return gen.ChallengeStatusDispatched
	case v.spoken():
		return gen.ChallengeStatusCreated
	case c.PushFailed, v.hasMessage && v.message.Failed:
		return gen.ChallengeStatusUndeliverable
	case !c.PushSentAt.IsZero(), v.hasMessage && v.message.Sent:
		return gen.ChallengeStatusDispatched
	}
	return gen.ChallengeStatusCreated
}

func (v *sight) result() gen.Result {
	switch v.status() {
	case gen.ChallengeStatusCreated, gen.ChallengeStatusDispatched, gen.ChallengeStatusOpened, gen.ChallengeStatusUndeliverable:
		return gen.ResultWaiting
	case gen.ChallengeStatusApproved:
		switch {
		case v.process.Id != "":
			return gen.ResultProved
		case v.txn.Succeeded:
			return gen.ResultAllow
		}
	}
	return gen.ResultDeny
}

// spoken reports whether the newest code of the challenge went by a call.
func (v *sight) spoken() bool {
	n := len(v.challenge.Codes)
	return n > 0 && v.challenge.Codes[n-1].Via == "voice"
}

// voice reports whether a call may be asked for, as far as it does not depend
// on how many there were.
func (v *sight) voice() bool {
	if v.challenge.Mode != domain.ModeSMSCode || v.txn.Purpose != domain.PurposeLogin || !v.challenge.SMSAsked {
		return false
	}
	switch v.txn.Platform {
	case domain.WebTrader:
		return false
	case domain.TWS:
		return v.txn.Channel == domain.Latest || v.txn.Channel == domain.Beta
	}
	return true
}

func (v *sight) actions() []gen.ChallengeActions {
	out := []gen.ChallengeActions{}
	c := &v.challenge
	if !v.alive() || c.Verified || c.Cancelled != "" || c.Exhausted || c.DeclinedByUser {
		return out
	}
	open := c.Open(v.now)
	if open && c.Mode != domain.ModePush {
		out = append(out, gen.ChallengeActionsRespond)
	}
	if open && c.Mode == domain.ModeSMSCode {
		out = append(out, gen.ChallengeActionsResend)
	}
	if open && v.voice() {
		out = append(out, gen.ChallengeActionsVoice)
	}
	if c.Mode == domain.ModePush { // also when it expired: R-22
		out = append(out, gen.ChallengeActionsFallback)
	}
	if v.txnAlive() {
		out = append(out, gen.ChallengeActionsCancel)
	}
	return out
}

func (v *sight) delivery() gen.Delivery {
	c := &v.challenge
	switch {
	case c.Mode == domain.ModePush:
		d := gen.Delivery{Channel: gen.DeliveryChannelPush, Status: gen.DeliveryStatusRequested}
		if c.PushFailed {
			d.Status = gen.DeliveryStatusFailed
		} else if !c.PushSentAt.IsZero() {
			d.Status = gen.DeliveryStatusSent
		}
		return d
	case v.spoken():
		return gen.Delivery{Channel: gen.DeliveryChannelVoice, Status: callStatus(v.call), CallId: c.CallID}
	case c.Mode == domain.ModeSMSCode && v.hasMessage:
		return gen.Delivery{Channel: gen.DeliveryChannelSms, Status: smsStatus(v.message), MessageId: v.message.ID}
	}
	return gen.Delivery{}
}

func smsStatus(m domain.SMS) gen.DeliveryStatus {
	switch {
	case m.Sent:
		return gen.DeliveryStatusSent
	case m.Failed:
		return gen.DeliveryStatusFailed
	case m.Uncertain:
		return gen.DeliveryStatusUncertain
	case m.Dispatched:
		return gen.DeliveryStatusDispatching
	}
	return gen.DeliveryStatusRequested
}

func callStatus(c domain.Call) gen.DeliveryStatus {
	switch {
	case c.Answered:
		return gen.DeliveryStatusAnswered
	case c.Failed:
		return gen.DeliveryStatusFailed
	case c.Placed:
		return gen.DeliveryStatusPlaced
	case c.Uncertain:
		return gen.DeliveryStatusUncertain
	case c.Dispatched:
		return gen.DeliveryStatusDispatching
	}
	return gen.DeliveryStatusRequested
}

// resource is the challenge as answered, without what must be derived or
// opened for it.
func (v *sight) resource() gen.Challenge {
	c := &v.challenge
	out := gen.Challenge{
		Id: c.ID, AuthenticationId: c.TxnID, UserId: v.userID, AuthenticatorId: c.AuthenticatorID, Kind: gen.Kind(c.Kind), Mode: gen.Mode(c.Mode),
		Status: v.status(), Result: v.result(), CreatedAt: c.IssuedAt, ExpiresAt: c.ExpiresAt,
		Attempts: c.Attempts, AttemptsLeft: max(0, c.MaxAttempts-c.Attempts), Delivery: v.delivery(),
		Supersedes: c.Supersedes, SupersededBy: c.SupersededBy, Actions: v.actions(), SubjectId: c.SubjectID, Process: v.process,
	}
	if out.Status == gen.ChallengeStatusExpired {
		out.ReasonCode = gen.ReasonCode(domain.ReasonChallengeExpired)
	}
	if out.Result == gen.ResultAllow {
		out.SessionRef, out.Scope = v.txn.SessionRef, gen.Scope(v.txn.Scope)
	}
	return out
}
