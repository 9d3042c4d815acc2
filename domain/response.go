package domain

// Answers to challenges (domain.md 6.5): what counts, what comes too late, and
// what a right or wrong answer leads to.

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
