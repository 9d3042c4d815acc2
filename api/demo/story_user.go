package demo

import (
	"time"

	"github.com/authledger/authledger/domain"
)

// Stories of users themselves.

// tellLocked: ten wrong passwords; the right one does not help, an agent does.
func tellLocked(t *tale, cast []*person) {
	p := cast[0]
	for range 10 {
		t.open(p, domain.ClientPortal, false)
	}
	need[domain.AuthenticationRefused](t, t.open(p, domain.ClientPortal, true))
	t.wait(5 * time.Minute)
	need[domain.UnlockRefused](t, t.as(agent, domain.UnlockUser{UserID: p.userID}))
	t.identify(p)
	need[domain.UserUnlocked](t, t.as(agent, domain.UnlockUser{UserID: p.userID}))
	t.login(p, domain.ClientPortal)
	t.sleep(30 * day)

	// Again; this time the day passes.
	for range 10 {
		t.open(p, domain.TWS, false)
	}
	t.sleep(25 * time.Hour)
	t.login(p, domain.TWS)
}

// tellClosed: a user who left.
func tellClosed(t *tale, cast []*person) {
	p := cast[0]
	t.getIBKey(p, domain.IOS)
	t.sleep(20 * day)
	need[domain.UserClosed](t, t.do(domain.CloseUser{UserID: p.userID, Reason: "client_request"}))
	need[domain.AuthenticationRefused](t, t.open(p, domain.ClientPortal, true))
	p.gone = true
}

// tellLast: the last authenticator cannot be given up.
func tellLast(t *tale, cast []*person) {
	p := cast[0]
	need[domain.RevocationRefused](t, t.do(domain.RevokeAuthenticator{
		AuthenticatorID: t.authenticator(p, domain.KindSMS), Reason: "client_request",
	}))
	t.login(p, domain.ClientPortal)
}

// tellNothingYet: a user without a verified telephone can only enrol.
func tellNothingYet(t *tale, cast []*person) {
	p := cast[0]
	need[domain.EnrollmentRequired](t, t.open(p, domain.ClientPortal, true))
	need[domain.EnrollmentRefused](t, t.do(domain.StartEnrollment{
		UserID: p.userID, Kind: domain.KindIBKey, InstallationID: t.buyPhone(p, domain.IOS).id, TxnID: t.begin(p, domain.PurposeActivation),
	}))
}
