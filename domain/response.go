package domain

// Answers to challenges (domain.md 6.5): what counts, what comes too late or on
// another device than the one that showed the challenge, and what a
// right or wrong answer leads to.

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
	OCRAStep                uint64   `json:"ocra_step,omitempty"`    // minutes since 1970, RFC 6287 T1M
	NextCounter             uint64   `json:"next_counter,omitempty"` // OCRA counter expected next, RFC 6287 C
	DeviceID                string   `json:"device_id,omitempty"`    // physical unit that answered
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

// answerable is why an answer comes too late or at the wrong place; "" when it
// may be judged. ends reports whether the transaction ends with it.
func (d *decision) answerable(c *Challenge, t *Transaction, txnID string) (reason Code, ends bool) {
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
	case c.SubjectID != "":
		return d.answerableForProcess(c), false
	case t == nil || t.Closed:
		return ReasonTxnClosed, false
	case !d.now.Before(c.ExpiresAt):
		return ReasonChallengeExpired, c.Mode.endsLogin()
	case !d.now.Before(t.ExpiresAt):
		return ReasonTxnExpired, true
	}
	if a := d.u.bound(c.AuthenticatorID); a == nil || !a.Active(d.now) {
		return ReasonNotActive, true
	}
	return "", false
}

// answerableForProcess judges a challenge that proves something to a process.
// The transaction it began in may be over; the authenticator need not be bound
// yet when the answer is to bind it, or active when the answer is to resume it.
func (d *decision) answerableForProcess(c *Challenge) Code {
	ref, _ := ParseRef(c.SubjectID)
	switch {
	case !d.now.Before(c.ExpiresAt):
		return ReasonChallengeExpired
	case !d.processOpen(ref.Prefix, c):
		return ReasonProcessClosed
	case ref.Prefix == PrefixMigration || ref.Prefix == PrefixRecovery:
		if a := d.u.bound(c.AuthenticatorID); a == nil || !a.Active(d.now) {
			return ReasonNotActive // lost or revoked between question and answer
		}
	}
	return ""
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
	t := d.u.transactions.get(c.TxnID)
	switch {
	case t == nil || t.Closed: // nothing left to end
	case r.Reason == ReasonDeclined || ends:
		d.emit(AuthenticationFailed{TxnID: c.TxnID, Reason: r.Reason})
	case lock != nil:
		d.emit(AuthenticationFailed{TxnID: c.TxnID, Reason: ReasonUserLocked})
	case exhausted:
		d.emit(AuthenticationFailed{TxnID: c.TxnID, Reason: ReasonChallengeSpent})
	}
	return d.events
}

// accept records the right answer and what follows from it: the login, a proof
// for the process the transaction was begun for, or the next step of the
// process the challenge belongs to.
func (d *decision) accept(c *Challenge, t *Transaction, v ResponseVerified) []Event {
	v.ChallengeID, v.TxnID, v.AuthenticatorID, v.DeviceID = c.ID, c.TxnID, c.AuthenticatorID, c.DeviceID
	if v.Mode == "" {
		v.Mode = c.Mode
	}
	v.AttemptNo = c.Attempts + 1
	v.ElapsedMS = d.now.Sub(c.IssuedAt).Milliseconds()
	d.emit(v)
	switch {
	case c.SubjectID != "":
		d.proved(c, v)
	case t.Purpose.asks():
		d.emit(AuthenticationSucceeded{
			TxnID: c.TxnID, Scope: d.scope(c, t), AuthenticatorKind: c.Kind, ProtectionRank: c.Kind.Rank(), Factors: 2,
			SessionRef: d.newID(PrefixSession), Platform: t.Platform, InitiatingDeviceRef: t.DeviceRef,
		})
	}
	return d.events
}

// Scopes of a session.
const (
	scopeFull     = "full"
	scopeRecovery = "recovery_only"
	scopeStepUp   = "step_up"
)

func (d *decision) scope(c *Challenge, t *Transaction) string {
	switch {
	case c.Kind == KindTempCode && !d.fullScope(d.u.bound(c.AuthenticatorID)):
		return scopeRecovery
	case t.Purpose == PurposeStepUp:
		return scopeStepUp
	}
	return scopeFull
}

// proved does what the answer to a process's challenge was asked for.
func (d *decision) proved(c *Challenge, v ResponseVerified) {
	ref, _ := ParseRef(c.SubjectID)
	switch ref.Prefix {
	case PrefixEnrollment:
		d.activateDevice(d.u.enrollments.get(c.SubjectID), c.AuthenticatorID, v.NextCounter)
	case PrefixMigration:
		d.proveMigration(d.u.migrations.get(c.SubjectID), proofPhysical)
	case PrefixRecovery:
		d.emit(RecoveryProofAccepted{RecoveryID: c.SubjectID, Proof: proofPhysical})
	case PrefixSharing:
		d.deviceProved(d.u.sharings.get(c.SubjectID), c.AuthenticatorID, v.NextCounter)
	case PrefixAuthenticator:
		d.authenticatorProved(c)
	}
}

// processOpen reports whether the process a challenge belongs to still waits
// for its answer.
func (d *decision) processOpen(prefix string, c *Challenge) bool {
	switch prefix {
	case PrefixEnrollment:
		e, err := d.openEnrollment(c.SubjectID)
		return err == nil && d.notActivatable(e.DeviceID) == ""
	case PrefixMigration:
		m := d.u.migrations.get(c.SubjectID)
		return m != nil && m.open(d.now)
	case PrefixRecovery:
		r := d.u.recoveries.get(c.SubjectID)
		return r != nil && r.open(d.now)
	case PrefixSharing:
		s := d.u.sharings.get(c.SubjectID)
		return s != nil && s.Status == sharingRequested
	case PrefixAuthenticator:
		return d.authenticatorWaits(c)
	}
	return false
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
	if c.Kind == KindTempCode && !d.admits(d.u.bound(c.AuthenticatorID), t) {
		r.Reason = ReasonScopeRecovery // its full scope ended between question and answer
		return d.reject(c, r, true), nil
	}
	if c.Mode == ModeSMSCode {
		return d.submitCode(c, t, r), nil
	}
	switch {
	case !e.LenOK || !e.CharsetOK:
		r.Reason = ReasonMalformed
	case !e.Matched:
		r.Reason, r.Counted = ReasonResponseWrong, true
	default:
		return d.accept(c, t, ResponseVerified{
			UV: d.unlockedBy(c), AnsweringInstallationID: c.InstallationID, OCRAStep: e.OCRAStep, NextCounter: e.NextCounter,
		}), nil
	}
	return d.reject(c, r, false), nil
}

// submitCode judges the code of an SMS or a call.
func (d *decision) submitCode(c *Challenge, t *Transaction, r ResponseRejected) []Event {
	r.Reason, r.Counted = d.judgeCode(c.Codes, c.Attempts, c.MaxAttempts, false, false)
	if r.Reason != "" {
		return d.reject(c, r, false)
	}
	v := ResponseVerified{UV: UVNone, OOBClass: oobPSTN}
	if c.Codes[len(c.Codes)-1].Via == viaVoice {
		v.Mode = ModeVoiceCode
	}
	return d.accept(c, t, v)
}

// unlockedBy is the local check behind a typed response, where only one is
// possible; the server cannot see it otherwise.
func (d *decision) unlockedBy(c *Challenge) UV {
	a := d.u.bound(c.AuthenticatorID)
	switch {
	case c.Kind == KindDSCPlus:
		return UVDSCPIN
	case c.Kind == KindIBKey && a != nil && a.OS == Android:
		return UVAppPIN
	}
	return UVNone
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
	a := d.u.bound(c.AuthenticatorID)
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
	case e.InstallationBlocked:
		r.Reason = ReasonInstallBlocked
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
	return d.accept(c, t, v), nil
}
