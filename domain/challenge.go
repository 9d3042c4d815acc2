package domain

import "time"

// Challenges (domain.md 6.5): which authenticator is asked and how, falling back
// from a push, sending a code again, giving up.

// IssueChallenge asks an authenticator in an open transaction. Without an
// authenticator the only active one is meant.
type IssueChallenge struct {
	TxnID           string
	AuthenticatorID string
}

// RequestFallback turns an unanswered push into challenge/response.
type RequestFallback struct {
	ChallengeID string
	Cause       FallbackCause
}

// ResendLoginCode sends a new SMS code for an open SMS challenge (D-44).
type ResendLoginCode struct{ ChallengeID string }

// CancelChallenge ends the challenge's transaction, and whichever challenge is
// open in it, at the user's wish.
type CancelChallenge struct{ ChallengeID string }

// SecondFactorSelected says which authenticator is asked.
type SecondFactorSelected struct {
	TxnID           string `json:"txn_id"`
	AuthenticatorID string `json:"authenticator_id"`
	By              string `json:"by"` // user, only_one
}

// SelectionRefused records a choice that was not possible.
type SelectionRefused struct {
	TxnID           string `json:"txn_id"`
	AuthenticatorID string `json:"authenticator_id,omitempty"`
	Reason          Code   `json:"reason"`
}

// ChallengeIssued opens a challenge. The digits shown to the user (the
// six-digit challenge, or the number to type into the app) are derived from
// Kid; SMS codes have kids of their own in LoginCodeIssued.
type ChallengeIssued struct {
	ChallengeID     string    `json:"challenge_id"`
	TxnID           string    `json:"txn_id"`
	AuthenticatorID string    `json:"authenticator_id"`
	Kind            Kind      `json:"kind"`
	Mode            Mode      `json:"mode"`
	InstallationID  string    `json:"installation_id,omitempty"`
	Kid             string    `json:"kid,omitempty"`
	ChallengeLen    int       `json:"challenge_len,omitempty"`
	ResponseLen     int       `json:"response_len,omitempty"`
	NumberMatching  bool      `json:"number_matching"`
	MaxAttempts     int       `json:"max_attempts"`
	ExpiresAt       time.Time `json:"expires_at"`
}

// ChallengeRefused records a challenge that was not issued.
type ChallengeRefused struct {
	TxnID  string `json:"txn_id"`
	Mode   Mode   `json:"mode,omitempty"`
	Reason Code   `json:"reason"`
}

// ChallengeFallbackRequested records that the push did not help, and why.
type ChallengeFallbackRequested struct {
	ChallengeID string        `json:"challenge_id"`
	Cause       FallbackCause `json:"cause"`
}

// FallbackRefused records a fallback that was not possible.
type FallbackRefused struct {
	ChallengeID string `json:"challenge_id"`
	Reason      Code   `json:"reason"`
}

// ChallengeCancelled ends a challenge without an answer.
type ChallengeCancelled struct {
	ChallengeID string `json:"challenge_id"`
	Reason      string `json:"reason"` // fallback, superseded, user, locked, txn_ended
}

// LoginCodeIssued names a derived login code; the highest seq counts.
type LoginCodeIssued struct {
	ChallengeID string    `json:"challenge_id"`
	Seq         int       `json:"seq"`
	Via         string    `json:"via"` // sms
	Kid         string    `json:"kid"`
	CodeLen     int       `json:"code_len"`
	ExpiresAt   time.Time `json:"expires_at"`
}

func (d *decision) ask(t *Transaction, a *Authenticator, by string) {
	d.emit(SecondFactorSelected{TxnID: t.ID, AuthenticatorID: a.ID, By: by})
	if a.Kind == KindSMS {
		d.askSMS(t, a)
		return
	}
	if refusal := d.pushRefusal(t); refusal != "" {
		d.emit(ChallengeRefused{TxnID: t.ID, Mode: ModePush, Reason: refusal})
		d.challenge(t, a, ModeChallengeResponse)
		return
	}
	d.challenge(t, a, ModePush)
}

// pushRefusal is why the user is not asked by push (D-15, K-22).
func (d *decision) pushRefusal(t *Transaction) Code {
	if !d.u.seamless {
		return ReasonSeamlessOff
	}
	recent := 0
	for _, at := range d.u.pushes {
		if d.now.Sub(at) < time.Hour {
			recent++
		}
	}
	if t.Pushes >= int(d.p.Int(pPushPerTxn, d.now)) || recent >= int(d.p.Int(pPushPerHour, d.now)) {
		return ReasonPushRate
	}
	return ""
}

// challenge issues one to an app, in the given mode, and returns its id.
func (d *decision) challenge(t *Transaction, a *Authenticator, mode Mode) string {
	c := ChallengeIssued{
		ChallengeID: d.newID(PrefixChallenge), TxnID: t.ID, AuthenticatorID: a.ID, Kind: a.Kind, Mode: mode,
		InstallationID: a.InstallationID, Kid: d.f.Kid, MaxAttempts: int(d.p.Int(pMaxAttempts, d.now)),
	}
	ttl := pPushTTL
	if mode == ModePush {
		c.NumberMatching = d.p.Int(pNumberMatching, d.now) == 1
	} else {
		ttl = pChallengeTTL
		c.ChallengeLen, c.ResponseLen = int(d.p.Int(pChallengeLen, d.now)), int(d.p.Int(pResponseLen, d.now))
	}
	c.ExpiresAt = earlier(d.now.Add(d.seconds(ttl)), t.ExpiresAt)
	d.emit(c)
	return c.ChallengeID
}

func (d *decision) askSMS(t *Transaction, a *Authenticator) {
	c := ChallengeIssued{
		ChallengeID: d.newID(PrefixChallenge), TxnID: t.ID, AuthenticatorID: a.ID, Kind: KindSMS, Mode: ModeSMSCode,
		ResponseLen: int(d.p.Int(pSMSLen, d.now)), MaxAttempts: int(d.p.Int(pMaxAttempts, d.now)),
		ExpiresAt: earlier(d.now.Add(d.seconds(pSMSTTL)), t.ExpiresAt),
	}
	d.emit(c)
	d.sendLoginCode(c.ChallengeID, a, 1, t.ExpiresAt)
}

// sendLoginCode issues the next code of an SMS challenge and requests the
// message, or records why not.
func (d *decision) sendLoginCode(challengeID string, a *Authenticator, seq int, limit time.Time) {
	p := d.u.phones[a.PhoneID]
	if p == nil {
		d.emit(SMSRequestRefused{PhoneID: a.PhoneID, Purpose: PurposeLogin, Reason: ReasonPhoneUnverified})
		return
	}
	if refusal := d.smsRefusal(p, PurposeLogin); refusal != nil {
		d.emit(*refusal)
		return
	}
	d.emit(LoginCodeIssued{
		ChallengeID: challengeID, Seq: seq, Via: "sms", Kid: d.f.Kid, CodeLen: int(d.p.Int(pSMSLen, d.now)),
		ExpiresAt: earlier(d.now.Add(d.seconds(pSMSTTL)), limit),
	})
	d.requestSMS(p, PurposeLogin, challengeID, seq, "login_code@1")
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// txnRefusal is why nothing more can happen in a transaction.
func (d *decision) txnRefusal(t *Transaction) Code {
	switch {
	case d.now.Before(d.u.lockedUntil):
		return ReasonUserLocked
	case t == nil || t.Closed:
		return ReasonTxnClosed
	case !t.PrimaryOK:
		return ReasonPrimaryMissing
	case !d.now.Before(t.ExpiresAt):
		return ReasonTxnExpired
	}
	return ""
}

func (d *decision) issueChallenge(c IssueChallenge) ([]Event, error) {
	t := d.u.transactions.get(c.TxnID)
	if t == nil && !d.u.known(c.TxnID, PrefixTransaction) {
		return nil, unknown("authentication")
	}
	if reason := d.txnRefusal(t); reason != "" {
		return []Event{ChallengeRefused{TxnID: c.TxnID, Reason: reason}}, nil
	}
	last := d.u.challenges.get(t.LastChallenge)
	switch {
	case t.EnrollOnly:
		return []Event{ChallengeRefused{TxnID: t.ID, Reason: ReasonNotActive}}, nil
	case last != nil && last.Open(d.now):
		return []Event{ChallengeRefused{TxnID: t.ID, Reason: ReasonChallengeOpen}}, nil
	case last != nil && last.Mode == ModeChallengeResponse:
		// It has expired, and with it the transaction, whether or not
		// anyone tried to answer it.
		return []Event{
			ChallengeRefused{TxnID: t.ID, Mode: last.Mode, Reason: ReasonChallengeExpired},
			AuthenticationFailed{TxnID: t.ID, Reason: ReasonChallengeExpired},
		}, nil
	}
	return d.selectAuthenticator(t, c.AuthenticatorID)
}

func (d *decision) selectAuthenticator(t *Transaction, chosen string) ([]Event, error) {
	id, by := chosen, "user"
	if list := d.u.Authenticators(); id == "" && len(list) == 1 {
		id, by = list[0].ID, "only_one"
	}
	a, active := d.u.Authenticator(id)
	switch {
	case !t.mayChoose(id):
		return []Event{SelectionRefused{TxnID: t.ID, AuthenticatorID: chosen, Reason: ReasonNotOffered}}, nil
	case !active:
		return []Event{SelectionRefused{TxnID: t.ID, AuthenticatorID: chosen, Reason: ReasonNotActive}}, nil
	}
	d.ask(t, &a, by)
	return d.events, nil
}

// mayChoose reports whether an authenticator was offered in the transaction.
// Where there was no choice, nothing was offered and nothing is ruled out.
func (t *Transaction) mayChoose(id string) bool {
	for _, o := range t.Offered {
		if o.AuthenticatorID == id {
			return true
		}
	}
	return len(t.Offered) == 0
}

// find returns a challenge with its transaction.
func (d *decision) find(challengeID string) (*Challenge, *Transaction, error) {
	c := d.u.challenges.get(challengeID)
	if c == nil {
		return nil, nil, unknown("challenge, or it was closed long ago; start again with the password")
	}
	return c, d.u.transactions.get(c.TxnID), nil
}

func (d *decision) requestFallback(cmd RequestFallback) ([]Event, error) {
	c, t, err := d.find(cmd.ChallengeID)
	if err != nil {
		return nil, err
	}
	reason := d.txnRefusal(t)
	a, active := d.u.Authenticator(c.AuthenticatorID)
	switch {
	case reason != "":
	case c.Mode != ModePush || c.ID != t.LastChallenge:
		reason = ReasonNoFallback
	case !active:
		reason = ReasonNotActive
	}
	if reason != "" {
		return []Event{FallbackRefused{ChallengeID: c.ID, Reason: reason}}, nil
	}
	d.emit(
		ChallengeFallbackRequested{ChallengeID: c.ID, Cause: cmd.Cause},
		ChallengeCancelled{ChallengeID: c.ID, Reason: "fallback"},
	)
	d.challenge(t, &a, ModeChallengeResponse)
	return d.events, nil
}

func (d *decision) resendLoginCode(cmd ResendLoginCode) ([]Event, error) {
	c, t, err := d.find(cmd.ChallengeID)
	if err != nil {
		return nil, err
	}
	if c.Mode != ModeSMSCode {
		return nil, invalid("challengeId", "only an SMS challenge can be sent again")
	}
	if reason, _ := d.answerable(c, t, ""); reason != "" {
		return []Event{ChallengeRefused{TxnID: c.TxnID, Mode: c.Mode, Reason: reason}}, nil
	}
	a, _ := d.u.Authenticator(c.AuthenticatorID)
	d.sendLoginCode(c.ID, &a, nextSeq(c.Codes), t.ExpiresAt)
	return d.events, nil
}

func (d *decision) cancelChallenge(cmd CancelChallenge) ([]Event, error) {
	_, t, err := d.find(cmd.ChallengeID)
	if err != nil {
		return nil, err
	}
	if t == nil || t.Closed {
		return nil, nil
	}
	return []Event{ChallengeCancelled{ChallengeID: t.LastChallenge, Reason: "user"}, AuthenticationAbandoned{TxnID: t.ID}}, nil
}
