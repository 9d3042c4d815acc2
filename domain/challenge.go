package domain

import "time"

// Challenges (domain.md 6.5): which authenticator is asked and how, always after
// the password: IB Key by push while its prerequisites hold, a
// Digital Security Card+ by six digits that become eight, SMS
// users by code; falling back from a push, sending a code again, giving
// up.

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

// CancelChallenge ends the challenge's transaction, and whichever challenge
// waits in it, at the user's wish.
type CancelChallenge struct{ ChallengeID string }

// SecondFactorSelected says which authenticator is asked.
type SecondFactorSelected struct {
	TxnID           string `json:"txn_id"`
	AuthenticatorID string `json:"authenticator_id"`
	By              string `json:"by"` // user, only_one, default_unsupported_client
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
	SubjectID       string    `json:"subject_id,omitempty"` // the process the answer is for, when it is not the login
	Kind            Kind      `json:"kind"`
	Mode            Mode      `json:"mode"`
	InstallationID  string    `json:"installation_id,omitempty"`
	DeviceID        string    `json:"device_id,omitempty"`
	GridIndices     []int     `json:"grid_indices,omitempty"` // the two cells asked for, from 1
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

// ChallengeExpired notes that a challenge was not answered in time. It is
// housekeeping: expiry is computed from ExpiresAt (D-4).
type ChallengeExpired struct {
	ChallengeID string `json:"challenge_id"`
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
	Via         string    `json:"via"` // sms, voice
	Kid         string    `json:"kid"`
	CodeLen     int       `json:"code_len"`
	ExpiresAt   time.Time `json:"expires_at"`
}

// ask selects an authenticator and opens its challenge, in the way its kind
// is asked.
func (d *decision) ask(t *Transaction, a *Authenticator, by string) {
	d.emit(SecondFactorSelected{TxnID: t.ID, AuthenticatorID: a.ID, By: by})
	switch {
	case a.Kind == KindSMS:
		d.askSMS(t, a)
	case a.Kind == KindIBKey:
		d.askApp(t, a)
	default:
		d.challenge(t, a, modeOf(a.Kind), "")
	}
}

// modeOf is how a kind is asked when there is no choice.
func modeOf(k Kind) Mode {
	switch {
	case k.Grid():
		return ModeGrid
	case k == KindTempCode:
		return ModeStaticCode
	}
	return ModeChallengeResponse
}

func (d *decision) askApp(t *Transaction, a *Authenticator) {
	if refusal := d.pushRefusal(t); refusal != "" {
		d.emit(ChallengeRefused{TxnID: t.ID, Mode: ModePush, Reason: refusal})
		d.challenge(t, a, ModeChallengeResponse, "")
		return
	}
	d.challenge(t, a, ModePush, "")
}

// cells picks two different cells of a card, by the caller's dice. In one
// transaction a card is asked for the same ones again (domain.md 8), so that
// nobody can go on asking until two known cells come up.
func (d *decision) cells(t *Transaction, card *Authenticator) []int {
	if last := d.u.challenges.get(t.LastChallenge); last != nil && last.Mode == ModeGrid && last.AuthenticatorID == card.ID {
		return []int{last.Cells[0], last.Cells[1]}
	}
	first := int(d.f.Dice[0] % uint32(card.Cells))
	second := (first + 1 + int(d.f.Dice[1]%uint32(card.Cells-1))) % card.Cells
	return []int{first + 1, second + 1}
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

// challengeFor asks an authenticator on behalf of a process. Whatever is still
// open in the transaction makes way: one challenge is open at a time (D-45).
func (d *decision) challengeFor(t *Transaction, a *Authenticator, subject string) {
	if last := d.u.challenges.get(t.LastChallenge); last != nil && last.Open(d.now) {
		d.emit(ChallengeCancelled{ChallengeID: last.ID, Reason: "superseded"})
	}
	d.challenge(t, a, modeOf(a.Kind), subject)
}

// challenge issues one in a mode that needs no message. subject is the process
// the answer is for, empty for the transaction itself.
func (d *decision) challenge(t *Transaction, a *Authenticator, mode Mode, subject string) {
	c := ChallengeIssued{
		ChallengeID: d.newID(PrefixChallenge), TxnID: t.ID, AuthenticatorID: a.ID, SubjectID: subject, Kind: a.Kind, Mode: mode,
		InstallationID: a.InstallationID, DeviceID: a.DeviceID, MaxAttempts: int(d.p.Int(pMaxAttempts, d.now)),
	}
	ttl := pChallengeTTL
	switch mode {
	case ModePush:
		ttl, c.Kid = pPushTTL, d.f.Kid
		c.NumberMatching = d.p.Int(pNumberMatching, d.now) == 1
	case ModeGrid:
		c.GridIndices, c.ResponseLen = d.cells(t, a), 2*cellLength
	case ModeStaticCode:
		c.ResponseLen = int(d.p.Int(pActivationLen, d.now))
	default:
		c.Kid = d.f.Kid
		c.ChallengeLen, c.ResponseLen = int(d.p.Int(pChallengeLen, d.now)), int(d.p.Int(pResponseLen, d.now))
	}
	c.ExpiresAt = d.now.Add(d.seconds(ttl))
	if !t.Closed {
		c.ExpiresAt = earlier(c.ExpiresAt, t.ExpiresAt)
	}
	d.emit(c)
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
		d.emit(SMSRequestRefused{PhoneID: a.PhoneID, Purpose: PurposeLogin, SubjectID: challengeID, Reason: ReasonPhoneUnverified})
		return
	}
	if refusal := d.smsRefusal(p, PurposeLogin, challengeID); refusal != nil {
		d.emit(*refusal)
		return
	}
	d.emit(LoginCodeIssued{
		ChallengeID: challengeID, Seq: seq, Via: viaSMS, Kid: d.f.Kid, CodeLen: int(d.p.Int(pSMSLen, d.now)),
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
	case !t.Purpose.asks() && t.Proved != "":
		return []Event{ChallengeRefused{TxnID: t.ID, Reason: ReasonChallengeUsed}}, nil
	case t.EnrollOnly && !d.u.active(d.now, permanent):
		return []Event{ChallengeRefused{TxnID: t.ID, Reason: ReasonNotActive}}, nil
	case last != nil && last.Open(d.now):
		return []Event{ChallengeRefused{TxnID: t.ID, Reason: ReasonChallengeOpen}}, nil
	case last != nil && last.Mode.endsLogin() && last.SubjectID == "" && !last.Verified:
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
	list := d.answering(t)
	id, by := chosen, "user"
	if id == "" && len(list) == 1 {
		id, by = list[0].ID, "only_one"
	}
	refuse := func(reason Code) ([]Event, error) {
		return []Event{SelectionRefused{TxnID: t.ID, AuthenticatorID: chosen, Reason: reason}}, nil
	}
	if !t.mayChoose(id) {
		return refuse(ReasonNotOffered)
	}
	for i := range list {
		if list[i].ID == id {
			d.ask(t, &list[i], by)
			return d.events, nil
		}
	}
	if a := d.u.bound(id); a != nil && a.Active(d.now) {
		return refuse(ReasonNotOffered) // it may not answer for this purpose or on this platform
	}
	return refuse(ReasonNotActive)
}

// answering lists the authenticators that may answer in a transaction now,
// strongest first: in a process only permanent ones, and a temporary passcode
// only where its scope reaches (D-56).
func (d *decision) answering(t *Transaction) []Authenticator {
	var out []Authenticator
	for _, a := range d.u.Authenticators(d.now) {
		switch {
		case !t.Purpose.asks() && !a.Kind.Permanent():
		case a.Kind == KindTempCode && !d.admits(&a, t):
		default:
			out = append(out, a)
		}
	}
	return out
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
	a := d.u.bound(c.AuthenticatorID)
	switch {
	case reason != "":
	case c.Mode != ModePush || c.ID != t.LastChallenge || c.answered():
		reason = ReasonNoFallback
	case a == nil || !a.Active(d.now):
		reason = ReasonNotActive
	}
	if reason != "" {
		return []Event{FallbackRefused{ChallengeID: c.ID, Reason: reason}}, nil
	}
	d.emit(
		ChallengeFallbackRequested{ChallengeID: c.ID, Cause: cmd.Cause},
		ChallengeCancelled{ChallengeID: c.ID, Reason: "fallback"},
	)
	d.challenge(t, a, ModeChallengeResponse, "")
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
	d.sendLoginCode(c.ID, d.u.bound(c.AuthenticatorID), nextSeq(c.Codes), t.ExpiresAt)
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
	if last := d.u.challenges.get(t.LastChallenge); last != nil && !last.answered() {
		d.emit(ChallengeCancelled{ChallengeID: last.ID, Reason: "user"})
	}
	d.emit(AuthenticationAbandoned{TxnID: t.ID})
	return d.events, nil
}
