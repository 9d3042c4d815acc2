package domain

import "time"

// Phone numbers and their verification (domain.md 6.2, R-42).

// AddPhone adds a number to the user; it is not usable before verification.
type AddPhone struct {
	UserID string
	CC     string   // ISO 3166-1 alpha-2 of the number
	Number Personal // E.164
	Line   Line
}

// StartPhoneVerification sends a confirm code. A verification of the same
// phone that is still open is superseded.
type StartPhoneVerification struct{ PhoneID string }

// ResendConfirmCode sends a new code for an open verification; it supersedes
// the earlier ones.
type ResendConfirmCode struct{ VerificationID string }

// ConfirmPhone answers a verification; the code itself never gets here, only
// the evidence in Facts.Code.
type ConfirmPhone struct {
	VerificationID string
	Code           Secret
}

// ReplacePhone moves the user's SMS to another verified phone.
type ReplacePhone struct{ OldPhoneID, NewPhoneID string }

// RemovePhone retires a phone.
type RemovePhone struct{ PhoneID, Reason string }

// PhoneNumberAdded adds a phone.
type PhoneNumberAdded struct {
	PhoneID string   `json:"phone_id"`
	CC      string   `json:"cc"`
	Number  Personal `json:"number"`
	Line    Line     `json:"line"`
}

// PhoneVerificationStarted opens a verification.
type PhoneVerificationStarted struct {
	VerificationID string `json:"verification_id"`
	PhoneID        string `json:"phone_id"`
}

// ConfirmCodeIssued names a derived confirm code; the highest seq counts.
type ConfirmCodeIssued struct {
	VerificationID string    `json:"verification_id"`
	Seq            int       `json:"seq"`
	Kid            string    `json:"kid"`
	CodeLen        int       `json:"code_len"`
	ExpiresAt      time.Time `json:"expires_at"`
}

// PhoneNumberVerified proves control of the number. Attempts counts the
// entries including the right one.
type PhoneNumberVerified struct {
	PhoneID        string `json:"phone_id"`
	VerificationID string `json:"verification_id"`
	Attempts       int    `json:"attempts"`
}

// PhoneVerificationRejected records a wrong or untimely confirm code.
type PhoneVerificationRejected struct {
	VerificationID string `json:"verification_id"`
	Reason         Code   `json:"reason"`
	AttemptNo      int    `json:"attempt_no"`
	AttemptsLeft   int    `json:"attempts_left"`
}

// PhoneNumberReplaced retires the old phone in favour of the new one.
type PhoneNumberReplaced struct {
	OldPhoneID string `json:"old_phone_id"`
	NewPhoneID string `json:"new_phone_id"`
}

// PhoneNumberRemoved retires a phone.
type PhoneNumberRemoved struct {
	PhoneID string `json:"phone_id"`
	Reason  string `json:"reason"`
}

func (d *decision) addPhone(c AddPhone) ([]Event, error) {
	if err := checkCC("cc", c.CC); err != nil {
		return nil, err
	}
	if len(d.u.phones) >= maxPhones {
		return nil, &Error{Code: Invalid, Detail: "this user has too many phones; contact support"}
	}
	return []Event{PhoneNumberAdded{PhoneID: d.newID(PrefixPhone), CC: c.CC, Number: c.Number, Line: c.Line}}, nil
}

// maxPhones bounds a user's state; nobody needs as many.
const maxPhones = 50

func (d *decision) phone(id string) (*Phone, error) {
	p := d.u.phones[id]
	if p == nil {
		return nil, unknown("phone")
	}
	if p.Retired {
		return nil, &Error{Code: Invalid, Field: "phoneId", Detail: "this phone was removed or replaced; use another one"}
	}
	return p, nil
}

func (d *decision) startVerification(c StartPhoneVerification) ([]Event, error) {
	p, err := d.phone(c.PhoneID)
	if err != nil {
		return nil, err
	}
	if p.Verified {
		return nil, &Error{Code: Exists, Detail: "this phone is verified already"}
	}
	if refusal := d.smsRefusal(p, PurposePhoneVerification, ""); refusal != nil {
		return []Event{*refusal}, nil
	}
	id := d.newID(PrefixVerification)
	d.emit(PhoneVerificationStarted{VerificationID: id, PhoneID: p.ID})
	d.issueConfirmCode(p, id, 1)
	return d.events, nil
}

func (d *decision) resendConfirmCode(c ResendConfirmCode) ([]Event, error) {
	v := d.u.verifications.get(c.VerificationID)
	if v == nil {
		return nil, unknown("phone verification")
	}
	p, err := d.phone(v.PhoneID)
	if err != nil {
		return nil, err
	}
	if v.Done || v.Replaced {
		return nil, &Error{Code: Invalid, Detail: "this verification has ended; start a new one"}
	}
	if refusal := d.smsRefusal(p, PurposePhoneVerification, v.ID); refusal != nil {
		return []Event{*refusal}, nil
	}
	d.issueConfirmCode(p, v.ID, nextSeq(v.Codes))
	return d.events, nil
}

func (d *decision) issueConfirmCode(p *Phone, verificationID string, seq int) {
	d.emit(ConfirmCodeIssued{
		VerificationID: verificationID, Seq: seq, Kid: d.f.Kid, CodeLen: int(d.p.Int(pSMSLen, d.now)),
		ExpiresAt: d.now.Add(d.seconds(pSMSTTL)),
	})
	d.requestSMS(p, PurposePhoneVerification, verificationID, seq, "confirm_code@1")
}

func (d *decision) confirmPhone(c ConfirmPhone) ([]Event, error) {
	v := d.u.verifications.get(c.VerificationID)
	if v == nil {
		return nil, unknown("phone verification")
	}
	if p := d.u.phones[v.PhoneID]; p == nil || p.Retired {
		return nil, &Error{Code: Invalid, Detail: "this phone was removed or replaced; use another one"}
	}
	limit := int(d.p.Int(pMaxAttempts, d.now))
	reason, counted := d.judgeCode(v.Codes, v.Attempts, limit, v.Done, v.Replaced)
	if reason == "" {
		return []Event{PhoneNumberVerified{PhoneID: v.PhoneID, VerificationID: v.ID, Attempts: v.Entries + 1}}, nil
	}
	no := v.Attempts
	if counted {
		no++
	}
	return []Event{PhoneVerificationRejected{VerificationID: v.ID, Reason: reason, AttemptNo: no, AttemptsLeft: max(0, limit-no)}}, nil
}

// judgeCode decides on a one-time code from the evidence: "" when it is right,
// otherwise the reason and whether the entry counts (D-12, D-17, D-20, D-44).
func (d *decision) judgeCode(codes []Issued, attempts, limit int, done, superseded bool) (reason Code, counted bool) {
	e := d.f.Code
	switch {
	case done:
		return ReasonCodeUsed, false
	case superseded:
		return ReasonCodeSuperseded, false
	case !e.LenOK || !e.CharsetOK:
		return ReasonMalformed, false
	case attempts >= limit:
		return ReasonCodeExhausted, false
	case len(codes) == 0:
		return ReasonCodeWrong, true
	}
	newest := codes[len(codes)-1]
	switch {
	case e.MatchedSeq != 0 && e.MatchedSeq < newest.Seq:
		return ReasonCodeSuperseded, false
	case !d.now.Before(newest.ExpiresAt):
		return ReasonCodeExpired, false
	case e.MatchedSeq == newest.Seq:
		return "", false
	}
	return ReasonCodeWrong, true
}

// replacePhone retires a phone for another verified one; SMS moves along (D-53).
func (d *decision) replacePhone(c ReplacePhone) ([]Event, error) {
	old, err := d.phone(c.OldPhoneID)
	if err != nil {
		return nil, err
	}
	next, err := d.phone(c.NewPhoneID)
	if err != nil {
		return nil, err
	}
	if old.ID == next.ID {
		return nil, invalid("newPhoneId", "name another phone")
	}
	if !next.Verified {
		return nil, &Error{Code: ReasonPhoneUnverified, Field: "newPhoneId", Detail: "verify the new phone first"}
	}
	d.emit(PhoneNumberReplaced{OldPhoneID: old.ID, NewPhoneID: next.ID})
	if a := d.u.smsOn(old.ID); a != nil {
		id := d.newID(PrefixAuthenticator)
		d.emit(
			AuthenticatorRevoked{AuthenticatorID: a.ID, Reason: "phone_replaced", SuccessorID: id},
			smsAuthenticator(id, next.ID),
		)
	}
	return d.events, nil
}

// removePhone retires a phone. SMS bound to it goes too; if that was the user's
// last authenticator it moves to the newest other verified phone, and without
// one the phone stays (D-43).
func (d *decision) removePhone(c RemovePhone) ([]Event, error) {
	p, err := d.phone(c.PhoneID)
	if err != nil {
		return nil, err
	}
	d.emit(PhoneNumberRemoved{PhoneID: p.ID, Reason: c.Reason})
	a := d.u.smsOn(p.ID)
	if a == nil {
		return d.events, nil
	}
	revoked := AuthenticatorRevoked{AuthenticatorID: a.ID, Reason: "client_request"}
	if d.u.active(d.now, func(other *Authenticator) bool { return other.ID != a.ID && lasting(other) }) {
		d.emit(revoked)
		return d.events, nil
	}
	next := d.u.newestVerified(func(other *Phone) bool { return other.ID != p.ID })
	if next == nil {
		return []Event{RevocationRefused{AuthenticatorID: a.ID, Reason: ReasonLastAuth}}, nil
	}
	revoked.SuccessorID = d.newID(PrefixAuthenticator)
	d.emit(revoked, smsAuthenticator(revoked.SuccessorID, next.ID))
	return d.events, nil
}

// newestVerified is the phone verified last among the usable ones that the
// caller accepts, or nil.
func (u *User) newestVerified(accept func(*Phone) bool) *Phone {
	var best *Phone
	for _, p := range u.phones {
		if !p.Verified || p.Retired || !accept(p) {
			continue
		}
		if best == nil || p.VerifiedAt.After(best.VerifiedAt) || p.VerifiedAt.Equal(best.VerifiedAt) && p.Order > best.Order {
			best = p
		}
	}
	return best
}

func (u *User) smsOn(phoneID string) *Authenticator {
	for _, a := range u.authenticators {
		if a.Kind == KindSMS && a.PhoneID == phoneID {
			return a
		}
	}
	return nil
}
