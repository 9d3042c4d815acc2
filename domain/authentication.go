package domain

import "time"

// Authentication transactions (domain.md 6.5): from the verdict on the
// password to the verdict on the second factor.

// StartAuthentication opens a transaction with the verdict on the primary
// factor. When exactly one authenticator can answer, its challenge is issued
// in the same append unless Defer is set.
type StartAuthentication struct {
	UserID              string
	Purpose             Purpose
	Platform            Platform
	ClientVersion       string
	ReleaseChannel      ReleaseChannel
	InitiatingDeviceRef string
	PrimaryVerified     bool
	Defer               bool
}

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

// SubmitResponse answers with what the user typed; evidence in Facts.Code.
type SubmitResponse struct {
	ChallengeID string
	TxnID       string // optional; must match the challenge's (D-46)
	Response    Secret
}

// DecidePush answers a push with the app's signed decision; evidence in
// Facts.Push.
type DecidePush struct {
	ChallengeID    string
	InstallationID string
	Document       Secret // the exact bytes that were signed
	Signature      string // base64url
}

// RecordPushSent says that the push service accepted the push.
type RecordPushSent struct{ ChallengeID string }

// RecordPushFailed says that it did not.
type RecordPushFailed struct{ ChallengeID, Failure string }

// RecordPushOpened says that the app showed the challenge.
type RecordPushOpened struct{ ChallengeID, InstallationID string }

// AuthenticationStarted opens a transaction.
type AuthenticationStarted struct {
	TxnID               string         `json:"txn_id"`
	Purpose             Purpose        `json:"purpose"`
	Platform            Platform       `json:"platform"`
	PlatformClass       PlatformClass  `json:"platform_class"`
	ClientVersion       string         `json:"client_version,omitempty"`
	ReleaseChannel      ReleaseChannel `json:"release_channel,omitempty"`
	InitiatingDeviceRef string         `json:"initiating_device_ref,omitempty"`
}

// AuthenticationRefused records a login that was not even begun.
type AuthenticationRefused struct {
	Purpose     Purpose    `json:"purpose"`
	Platform    Platform   `json:"platform"`
	Reason      Code       `json:"reason"`
	LockedUntil *time.Time `json:"locked_until,omitempty"`
}

// PrimaryFactorVerified records the right password.
type PrimaryFactorVerified struct {
	TxnID     string    `json:"txn_id"`
	ExpiresAt time.Time `json:"expires_at"`
}

// PrimaryFactorRejected records a wrong one; it counts (D-20).
type PrimaryFactorRejected struct {
	TxnID        string `json:"txn_id"`
	FailureCount int    `json:"failure_count"`
}

// SecondFactorWaived lets a user in without a second factor because of an
// opt-out that is valid now.
type SecondFactorWaived struct {
	TxnID    string   `json:"txn_id"`
	OptOutID string   `json:"opt_out_id"`
	RuleIDs  []string `json:"rule_ids"`
	Decision Decision `json:"decision"`
}

// SecondFactorOffered lists what the user may choose from.
type SecondFactorOffered struct {
	TxnID   string   `json:"txn_id"`
	Options []Option `json:"options"`
}

// Option is one authenticator offered.
type Option struct {
	AuthenticatorID string `json:"authenticator_id"`
	Kind            Kind   `json:"kind"`
	Rank            int    `json:"rank"`
}

// EnrollmentRequired says that the user has nothing to answer with.
type EnrollmentRequired struct {
	TxnID string `json:"txn_id"`
}

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

// ResponseVerified means that the second factor was right. For a push,
// Document and Signature keep what the app signed, sealed, so that the
// signature can be checked again years later with the installation's key.
type ResponseVerified struct {
	ChallengeID             string   `json:"challenge_id"`
	TxnID                   string   `json:"txn_id"`
	AuthenticatorID         string   `json:"authenticator_id"`
	Mode                    Mode     `json:"mode"`
	UV                      UV       `json:"uv"`
	AttemptNo               int      `json:"attempt_no"`
	ElapsedMS               int64    `json:"elapsed_ms"`
	AnsweringInstallationID string   `json:"answering_installation_id,omitempty"`
	NumberMatched           bool     `json:"number_matched,omitempty"`
	OOBClass                string   `json:"oob_class,omitempty"`
	OCRAStep                uint64   `json:"ocra_step,omitempty"` // minutes since 1970, RFC 6287 T1M
	Document                Personal `json:"document,omitzero"`
	Signature               string   `json:"signature,omitempty"`
}

// ResponseRejected means that it was not. FailureCount is the user's count of
// consecutive failures after this one.
type ResponseRejected struct {
	ChallengeID  string   `json:"challenge_id"`
	TxnID        string   `json:"txn_id"`
	Reason       Code     `json:"reason"`
	AttemptNo    int      `json:"attempt_no"`
	AttemptsLeft int      `json:"attempts_left"`
	LenOK        bool     `json:"len_ok"`
	CharsetOK    bool     `json:"charset_ok"`
	Counted      bool     `json:"counted"`
	FailureCount int      `json:"failure_count"`
	Document     Personal `json:"document,omitzero"` // a declined push: what the app signed
	Signature    string   `json:"signature,omitempty"`
}

// ChallengeExhausted means that the last attempt was wrong.
type ChallengeExhausted struct {
	ChallengeID string `json:"challenge_id"`
}

// AnomalyFlagged marks something a person should look at.
type AnomalyFlagged struct {
	Kind  string `json:"kind"`
	TxnID string `json:"txn_id"`
}

// AuthenticationSucceeded ends a transaction well.
type AuthenticationSucceeded struct {
	TxnID             string `json:"txn_id"`
	Scope             string `json:"scope"` // full
	AuthenticatorKind Kind   `json:"authenticator_kind,omitempty"`
	ProtectionRank    int    `json:"protection_rank"`
	Factors           int    `json:"factors"`
	SessionRef        string `json:"session_ref"`
}

// AuthenticationFailed ends it badly.
type AuthenticationFailed struct {
	TxnID  string `json:"txn_id"`
	Reason Code   `json:"reason"`
}

// AuthenticationAbandoned ends it without a verdict.
type AuthenticationAbandoned struct {
	TxnID string `json:"txn_id"`
}

// PushSent means that the push service accepted the push.
type PushSent struct {
	PushID         string `json:"push_id"`
	ChallengeID    string `json:"challenge_id"`
	InstallationID string `json:"installation_id"`
}

// PushFailed means that it did not.
type PushFailed struct {
	PushID      string `json:"push_id"`
	ChallengeID string `json:"challenge_id"`
	Failure     string `json:"failure"` // token_invalid, service_error, throttled
}

// PushOpened is reported by the app.
type PushOpened struct {
	PushID      string    `json:"push_id,omitempty"` // absent when the app fetched it before the push was sent
	ChallengeID string    `json:"challenge_id"`
	OpenedAt    time.Time `json:"opened_at"`
}

func (d *decision) startAuthentication(c StartAuthentication) ([]Event, error) {
	if !c.Platform.Valid() {
		return nil, invalid("platform", "name a platform of the rule book such as client_portal")
	}
	if c.Purpose != PurposeLogin && c.Purpose != PurposeActivation {
		return nil, invalid("purpose", "want login or activation")
	}
	if d.now.Before(d.u.lockedUntil) {
		until := d.u.lockedUntil
		return []Event{AuthenticationRefused{Purpose: c.Purpose, Platform: c.Platform, Reason: ReasonUserLocked, LockedUntil: &until}}, nil
	}
	if d.u.lockOpen {
		d.emit(UserUnlocked{By: "elapsed"})
	}
	t := &Transaction{
		ID: d.newID(PrefixTransaction), Purpose: c.Purpose, Platform: c.Platform,
		ExpiresAt: d.now.Add(d.seconds(pTxnTTL)),
	}
	d.emit(AuthenticationStarted{
		TxnID: t.ID, Purpose: c.Purpose, Platform: c.Platform, PlatformClass: c.Platform.Class(),
		ClientVersion: c.ClientVersion, ReleaseChannel: c.ReleaseChannel, InitiatingDeviceRef: c.InitiatingDeviceRef,
	})
	if !c.PrimaryVerified {
		failures, lock := d.failure()
		d.emit(PrimaryFactorRejected{TxnID: t.ID, FailureCount: failures})
		if lock != nil {
			d.emit(*lock)
		}
		d.emit(AuthenticationFailed{TxnID: t.ID, Reason: ReasonPrimaryFailed})
		return d.events, nil
	}
	d.emit(PrimaryFactorVerified{TxnID: t.ID, ExpiresAt: t.ExpiresAt})
	if c.Purpose == PurposeActivation {
		return d.events, nil
	}
	if d.waive(t) {
		return d.events, nil
	}
	d.offer(t, c.Defer)
	return d.events, nil
}

// offer asks the only authenticator, lists several, or sends the user to
// enrolment.
func (d *decision) offer(t *Transaction, deferred bool) {
	switch list := d.u.Authenticators(); {
	case len(list) == 0:
		d.emit(EnrollmentRequired{TxnID: t.ID})
	case len(list) == 1 && !deferred:
		d.ask(t, &list[0], "only_one")
	default:
		options := make([]Option, len(list))
		for i, a := range list {
			options[i] = Option{AuthenticatorID: a.ID, Kind: a.Kind, Rank: a.Kind.Rank()}
		}
		d.emit(SecondFactorOffered{TxnID: t.ID, Options: options})
	}
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

// answerable is why an answer comes too late or at the wrong place; "" when it
// may be judged. ends reports whether the transaction ends with it.
func (d *decision) answerable(c *Challenge, t *Transaction, txnID string) (reason Code, ends bool) {
	_, active := d.u.Authenticator(c.AuthenticatorID)
	switch {
	case txnID != "" && txnID != c.TxnID:
		return ReasonTxnMismatch, false
	case d.now.Before(d.u.lockedUntil):
		return ReasonUserLocked, false
	case c.Verified:
		return ReasonChallengeUsed, false
	case c.Exhausted:
		return ReasonChallengeSpent, false
	case c.Cancelled != "":
		return ReasonChallengeOld, false
	case t == nil || t.Closed:
		return ReasonTxnClosed, false
	case !d.now.Before(c.ExpiresAt):
		return ReasonChallengeExpired, c.Mode == ModeChallengeResponse
	case !d.now.Before(t.ExpiresAt):
		return ReasonTxnExpired, true
	case !active:
		return ReasonNotActive, true
	}
	return "", false
}

// reject records an answer that was not judged right. Counted rejections use
// up attempts, move the user's failure count, and may exhaust the challenge,
// lock the user and end the transaction, all in one append.
func (d *decision) reject(c *Challenge, r ResponseRejected, ends bool) []Event {
	r.ChallengeID, r.TxnID, r.AttemptNo = c.ID, c.TxnID, c.Attempts
	r.FailureCount = len(d.counted())
	var lock *UserLocked
	if r.Counted {
		r.AttemptNo++
		r.FailureCount, lock = d.failure()
	}
	r.AttemptsLeft = c.MaxAttempts - r.AttemptNo
	d.emit(r)
	exhausted := r.Counted && r.AttemptsLeft <= 0
	if exhausted {
		d.emit(ChallengeExhausted{ChallengeID: c.ID})
	}
	if r.Reason == ReasonDeclined {
		d.emit(AnomalyFlagged{Kind: "push_declined", TxnID: c.TxnID})
	}
	if lock != nil {
		d.emit(*lock)
		if !exhausted && r.Reason != ReasonDeclined {
			d.emit(ChallengeCancelled{ChallengeID: c.ID, Reason: "locked"})
		}
	}
	switch {
	case r.Reason == ReasonDeclined || ends:
		d.emit(AuthenticationFailed{TxnID: c.TxnID, Reason: r.Reason})
	case lock != nil:
		d.emit(AuthenticationFailed{TxnID: c.TxnID, Reason: ReasonUserLocked})
	case exhausted:
		d.emit(AuthenticationFailed{TxnID: c.TxnID, Reason: ReasonChallengeSpent})
	}
	return d.events
}

func (d *decision) accept(c *Challenge, v ResponseVerified) []Event {
	v.ChallengeID, v.TxnID, v.AuthenticatorID, v.Mode = c.ID, c.TxnID, c.AuthenticatorID, c.Mode
	v.AttemptNo = c.Attempts + 1
	v.ElapsedMS = d.now.Sub(c.IssuedAt).Milliseconds()
	d.emit(v, AuthenticationSucceeded{
		TxnID: c.TxnID, Scope: "full", AuthenticatorKind: c.Kind, ProtectionRank: c.Kind.Rank(), Factors: 2,
		SessionRef: d.newID(PrefixSession),
	})
	return d.events
}

func (d *decision) submitResponse(cmd SubmitResponse) ([]Event, error) {
	c, t, err := d.find(cmd.ChallengeID)
	if err != nil {
		return nil, err
	}
	if c.Mode == ModePush {
		return nil, invalid("challengeId", "this challenge is answered in the app; request a fallback to type a response")
	}
	e := d.f.Code
	r := ResponseRejected{LenOK: e.LenOK, CharsetOK: e.CharsetOK}
	reason, ends := d.answerable(c, t, cmd.TxnID)
	if reason != "" {
		r.Reason = reason
		return d.reject(c, r, ends), nil
	}
	if c.Mode == ModeSMSCode {
		r.Reason, r.Counted = d.judgeCode(c.Codes, c.Attempts, c.MaxAttempts, false, false)
		if r.Reason == "" {
			return d.accept(c, ResponseVerified{UV: UVNone, OOBClass: oobPSTN}), nil
		}
		return d.reject(c, r, false), nil
	}
	switch {
	case !e.LenOK || !e.CharsetOK:
		r.Reason = ReasonMalformed
	case !e.Matched:
		r.Reason, r.Counted = ReasonResponseWrong, true
	default:
		return d.accept(c, ResponseVerified{UV: UVNone, AnsweringInstallationID: c.InstallationID, OCRAStep: e.OCRAStep}), nil
	}
	return d.reject(c, r, false), nil
}

func (d *decision) decidePush(cmd DecidePush) ([]Event, error) {
	c, t, err := d.find(cmd.ChallengeID)
	if err != nil {
		return nil, err
	}
	if c.Mode != ModePush {
		return nil, invalid("challengeId", "this challenge is answered on the login page")
	}
	e := d.f.Push
	a, _ := d.u.Authenticator(c.AuthenticatorID)
	r := ResponseRejected{LenOK: e.NumberGiven, CharsetOK: e.NumberGiven}
	signed := Clear(string(cmd.Document))
	if !e.Authentic || cmd.InstallationID != c.InstallationID {
		r.Reason = ReasonSignatureInvalid
		return d.reject(c, r, false), nil
	}
	reason, ends := d.answerable(c, t, "")
	switch {
	case reason != "":
		r.Reason = reason
	case !e.Approve:
		r.Reason, r.Counted, r.Document, r.Signature = ReasonDeclined, true, signed, cmd.Signature
	case c.NumberMatching && !e.NumberGiven:
		r.Reason = ReasonNumberMatch
	case c.NumberMatching && !e.NumberMatched:
		r.Reason, r.Counted = ReasonResponseWrong, true
	default:
		r.Reason = uvRefusal(a.OS, e.UV)
	}
	if r.Reason != "" {
		return d.reject(c, r, ends), nil
	}
	v := ResponseVerified{
		UV: e.UV, AnsweringInstallationID: cmd.InstallationID, NumberMatched: e.NumberMatched, OOBClass: oobApproveOnly,
		Document: signed, Signature: cmd.Signature,
	}
	if e.NumberMatched {
		v.OOBClass = oobNumber
	}
	return d.accept(c, v), nil
}

func (d *decision) recordPushSent(cmd RecordPushSent) ([]Event, error) {
	c, _, err := d.find(cmd.ChallengeID)
	if err != nil || c.PushID != "" || c.Mode != ModePush {
		return nil, err
	}
	return []Event{PushSent{PushID: d.newID(PrefixPush), ChallengeID: c.ID, InstallationID: c.InstallationID}}, nil
}

func (d *decision) recordPushFailed(cmd RecordPushFailed) ([]Event, error) {
	c, _, err := d.find(cmd.ChallengeID)
	if err != nil || c.PushFailed || c.Mode != ModePush {
		return nil, err
	}
	id := c.PushID
	if id == "" {
		id = d.newID(PrefixPush)
	}
	return []Event{PushFailed{PushID: id, ChallengeID: c.ID, Failure: cmd.Failure}}, nil
}

func (d *decision) recordPushOpened(cmd RecordPushOpened) ([]Event, error) {
	c, _, err := d.find(cmd.ChallengeID)
	if err != nil {
		return nil, err
	}
	if c.InstallationID != cmd.InstallationID || c.Mode != ModePush {
		return nil, unknown("challenge")
	}
	if !c.OpenedAt.IsZero() {
		return nil, nil
	}
	return []Event{PushOpened{PushID: c.PushID, ChallengeID: c.ID, OpenedAt: d.now}}, nil
}
