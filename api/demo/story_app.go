package demo

import (
	"time"

	"github.com/authledger/authledger/api/delivery"
	"github.com/authledger/authledger/domain"
)

// Stories of IB Key and the app it lives in.

// tellIOS: IB Key on an iPhone, by push and without one.
func tellIOS(t *tale, cast []*person) {
	p := cast[0]
	i := t.buyPhone(p, domain.IOS)
	txn := t.begin(p, domain.PurposeActivation)
	issued := need[domain.ActivationCodeIssued](t, t.do(domain.StartEnrollment{
		UserID: p.userID, Kind: domain.KindIBKey, InstallationID: i.id, TxnID: txn,
	}))
	code := t.activationCode(domain.PurposeActivation, issued)
	need[domain.ActivationCodeRejected](t, t.as(app, domain.SubmitActivationCode{EnrollmentID: issued.SubjectID, Code: slip(code)}))
	t.enterCode(p, i, issued)
	need[domain.EnrollmentRefused](t, t.do(domain.StartEnrollment{UserID: p.userID, Kind: domain.KindSMS, TxnID: txn}))
	t.login(p, domain.ClientPortal)
	t.sleep(2 * day)

	// Push off: straight to challenge and response; nothing to call about.
	need[domain.SeamlessDisabled](t, t.do(domain.SetSeamless{UserID: p.userID}))
	c, _ := t.asked(p, t.open(p, domain.TWS, true))
	need[domain.FallbackRefused](t, t.do(domain.RequestFallback{ChallengeID: c.ChallengeID, Cause: domain.CauseUnspecified}))
	need[domain.VoiceCallRefused](t, t.do(domain.RequestVoiceCall{ChallengeID: c.ChallengeID}))
	need[domain.AuthenticationSucceeded](t, t.answer(p, c))
	need[domain.SeamlessEnabled](t, t.do(domain.SetSeamless{UserID: p.userID, Enabled: true}))
	t.sleep(2 * day)

	// A push that cannot be sent, the fallback, and the token renewed.
	t.Network.fail(p, delivery.Push, delivery.Result{Outcome: delivery.Rejected, Code: "token_invalid"})
	c, _ = t.asked(p, t.open(p, domain.WebTrader, true))
	next := need[domain.ChallengeIssued](t, t.do(domain.RequestFallback{ChallengeID: c.ChallengeID, Cause: domain.CauseNoNotification}))
	need[domain.AuthenticationSucceeded](t, t.answer(p, next))
	t.as(app, domain.RegisterPushToken{InstallationID: i.id, Service: "apns", TokenMAC: "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"})
	t.login(p, domain.WebTrader)
	t.sleep(day)

	// It was not the user who logged in.
	c, _ = t.asked(p, t.open(p, domain.ClientPortal, true))
	need[domain.AnomalyFlagged](t, t.decide(p, i, c, ""))
	// Nobody answered this one; by the next login somebody noted that it expired.
	t.open(p, domain.IBKRMobileIOS, true)
	t.sleep(day)
	t.login(p, domain.IBKRMobileIOS)
}

// tellAndroid: an app PIN that broke the policy, one entered differently the
// second time, one that held.
func tellAndroid(t *tale, cast []*person) {
	p := cast[0]
	i := t.install(p, domain.AppIBKRMobile, domain.Android, "handset-android")
	start := func() domain.ActivationCodeIssued {
		return need[domain.ActivationCodeIssued](t, t.do(domain.StartEnrollment{
			UserID: p.userID, Kind: domain.KindIBKey, InstallationID: i.id, TxnID: t.begin(p, domain.PurposeActivation),
		}))
	}
	need[domain.EnrollmentAbandoned](t, t.do(domain.AbandonEnrollment{EnrollmentID: start().SubjectID}))
	t.sleep(2 * time.Hour)
	start() // and nothing more: it expires
	t.sleep(2 * time.Hour)

	issued := start()
	t.as(app, domain.SubmitActivationCode{EnrollmentID: issued.SubjectID, Code: t.activationCode(domain.PurposeActivation, issued)})
	for _, violation := range []domain.Code{domain.ReasonPINPolicy, domain.ReasonPINMismatch} {
		t.refusePIN(i, violation)
		need[domain.EnrollmentRefused](t, t.as(app, domain.CompleteEnrollment{EnrollmentID: issued.SubjectID, UV: domain.UVAppPIN}))
	}
	need[domain.AppPINSet](t, t.as(app, domain.AttestPIN{InstallationID: i.id, PINPolicyVersion: 1}))
	e := need[domain.AuthenticatorEnrolled](t, t.as(app, domain.CompleteEnrollment{EnrollmentID: issued.SubjectID, UV: domain.UVAppPIN}))
	t.provision(p, i, e.AuthenticatorID)
	t.login(p, domain.IBKRMobileAndroid)
	t.sleep(9 * day)
	need[domain.AppPINChanged](t, t.as(app, domain.AttestPIN{InstallationID: i.id, PINPolicyVersion: 1}))
}

// refusePIN says that a PIN was not set on an Android phone, and why.
func (t *tale) refusePIN(i *installation, violation domain.Code) {
	need[domain.AppPINRefused](t, t.as(app, domain.AttestPIN{InstallationID: i.id, PINPolicyVersion: 1, Violation: violation}))
}

// tellAddUser: two users on one phone; the second is taken off it again.
func tellAddUser(t *tale, cast []*person) {
	first, second := cast[0], cast[1]
	i := t.buyPhone(first, domain.IOS)
	add := func() domain.StartEnrollment {
		return domain.StartEnrollment{
			UserID: second.userID, Kind: domain.KindIBKey, Flow: "add_user", InstallationID: i.id, TxnID: t.begin(second, domain.PurposeActivation),
		}
	}
	need[domain.EnrollmentRefused](t, t.do(add())) // nobody's IB Key is here yet
	t.activate(first, i, t.begin(first, domain.PurposeActivation), "")
	t.sleep(day)
	t.enterCode(second, i, need[domain.ActivationCodeIssued](t, t.do(add())))
	t.login(second, domain.ClientPortal)
	t.login(first, domain.TWS)
}

// tellRemoval: a user leaves a phone that another one keeps using.
func tellRemoval(t *tale, cast []*person) {
	stays, leaves := cast[0], cast[1]
	i := t.buyPhone(stays, domain.Android)
	t.activate(stays, i, t.begin(stays, domain.PurposeActivation), "")
	t.activate(leaves, i, t.begin(leaves, domain.PurposeActivation), "add_user")
	t.login(leaves, domain.TWS)
	t.sleep(6 * day)
	need[domain.AuthenticatorRevoked](t, t.do(domain.RemoveUserFromInstallation{UserID: leaves.userID, InstallationID: i.id}))
	leaves.app = nil
	t.login(leaves, domain.ClientPortal) // by SMS again
	t.login(stays, domain.ClientPortal)
}

// tellBlockedPIN: ten wrong PINs block an Android app for both its users; each
// comes back by recovery.
func tellBlockedPIN(t *tale, cast []*person) {
	i := t.buyPhone(cast[0], domain.Android)
	t.activate(cast[0], i, t.begin(cast[0], domain.PurposeActivation), "")
	t.activate(cast[1], i, t.begin(cast[1], domain.PurposeActivation), "add_user")
	t.sleep(4 * day)
	need[domain.AppPINBlocked](t, t.as(app, domain.ReportPINBlocked{InstallationID: i.id, WrongEntries: 10}))
	for _, p := range cast {
		need[domain.EnrollmentRequired](t, t.open(p, domain.ClientPortal, true))
	}
	t.sleep(3 * time.Hour)
	for _, p := range cast {
		t.as(app, domain.AttestPIN{InstallationID: i.id, PINPolicyVersion: 1}) // a new one
		t.recover(p, i, "os_upgraded", "")
		t.login(p, domain.ClientPortal)
	}
}

// tellSession: a step-up inside a session, a choice that was not offered, a
// login given up.
func tellSession(t *tale, cast []*person) {
	p := cast[0]
	var sms string
	t.user(p, func(u *domain.User, now time.Time) {
		for _, a := range u.Authenticators(now) {
			sms = a.ID
		}
	})
	t.activate(p, t.buyPhone(p, domain.IOS), t.begin(p, domain.PurposeActivation), "")
	t.login(p, domain.ClientPortal)
	c := need[domain.ChallengeIssued](t, t.do(domain.StartAuthentication{
		UserID: p.userID, Purpose: domain.PurposeStepUp, Platform: domain.ClientPortal, PrimaryVerified: true,
	}))
	need[domain.AuthenticationSucceeded](t, t.answer(p, c))
	t.sleep(day)

	// SMS ended when IB Key came.
	txn := need[domain.PrimaryFactorVerified](t, t.do(domain.StartAuthentication{
		UserID: p.userID, Purpose: domain.PurposeLogin, Platform: domain.WebTrader, PrimaryVerified: true, Defer: true,
	})).TxnID
	need[domain.SelectionRefused](t, t.do(domain.IssueChallenge{TxnID: txn, AuthenticatorID: sms}))
	c = need[domain.ChallengeIssued](t, t.do(domain.IssueChallenge{TxnID: txn}))
	need[domain.AuthenticationAbandoned](t, t.do(domain.CancelChallenge{ChallengeID: c.ChallengeID}))
}
