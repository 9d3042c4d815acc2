package demo

import (
	"context"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
)

// Stories of personal data: people who left years ago and want to be forgotten,
// and looks at somebody's data.

// Erase destroys the keys that a PersonalDataErased names and searches every
// file for traces, which are texts the keys had sealed. It answers the
// certificate of the search; what it finds makes the history fail.
type Erase func(ctx context.Context, e domain.PersonalDataErased, traces []string) (domain.CertifyErasure, error)

// before is how long the oldest stories begin before the history proper.
const before = 8 // years

// Opening is when the first story of a history begins that is populated from a
// moment on: personal data is kept for seven years, so somebody who is forgotten
// today left long ago. A clock for Populate stands there or earlier.
func Opening(from time.Time) time.Time { return from.AddDate(-before, 0, 0) }

var (
	housekeeping = domain.Actor{Kind: domain.ActorSystem, Ref: "housekeeping"}
	secondPerson = domain.Actor{Kind: domain.ActorCompliance, Ref: "demo-compliance-2"}
)

// until lets the rest of the world go on to a moment.
func (t *tale) until(at time.Time) { t.sleep(at.Sub(t.Clock.Now())) }

// leave closes a user some days into the history proper, but seven years ago:
// the retention ends within the history.
func (t *tale) leave(p *person, days int) {
	t.until(t.From.AddDate(-7, 0, days))
	need[domain.UserClosed](t, t.do(domain.CloseUser{UserID: p.userID, Reason: "relationship_ended"}))
	p.gone = true
}

func (t *tale) forgetMe(p *person) journal.Outcome {
	return t.do(domain.RequestErasure{UserID: p.userID, Basis: domain.BasisSubjectRequest, RequestedBy: "letter-" + reference(p.n)})
}

// tellForgotten: refused while the law wants the records kept, and carried out
// as soon as it does not.
func tellForgotten(t *tale, cast []*person) {
	p := cast[0]
	t.getIBKey(p, domain.IOS)
	open := need[domain.ErasureRefused](t, t.forgetMe(p))
	if open.Reason != domain.ReasonAccountOpen {
		t.fail("the erasure of an open user was refused for %s", open.Reason)
	}
	t.leave(p, 25)
	t.sleep(400 * day)
	out := t.forgetMe(p)
	kept := need[domain.ProcessingRestricted](t, out)
	if kept.Until == nil {
		t.fail("the erasure was refused without an end of the retention")
		return
	}
	t.until(kept.Until.Add(time.Hour))
	e := need[domain.PersonalDataErased](t, t.as(housekeeping, domain.EraseSubject{UserID: p.userID}))
	t.certify(p, e)
	need[domain.ErasureRefused](t, t.forgetMe(p)) // there is nothing left
}

// certify destroys the keys and records what the search for traces found.
func (t *tale) certify(p *person, e domain.PersonalDataErased) {
	if t.err != nil {
		return
	}
	number, err := phoneNumber(p.home.cc, p.n)
	if err != nil {
		t.fail("make a telephone number: %w", err)
		return
	}
	certificate, err := t.Erase(t.ctx, e, []string{number, deviceName(p)})
	if err != nil {
		t.fail("destroy the data key of DEMO-%04d: %w", p.n, err)
		return
	}
	need[domain.ErasureCertified](t, t.as(housekeeping, certificate))
}

// tellHeld: two cases want the data kept; one of them ends, by two persons.
func tellHeld(t *tale, cast []*person) {
	p := cast[0]
	first := need[domain.LegalHoldPlaced](t, t.as(compliance, domain.PlaceLegalHold{UserID: p.userID, CaseRef: "case-2018-31", Basis: "litigation"}))
	t.leave(p, 10)
	need[domain.LegalHoldPlaced](t, t.as(compliance, domain.PlaceLegalHold{UserID: p.userID, CaseRef: "inquiry-2019-4", Basis: "regulator"}))
	t.sleep(700 * day)
	need[domain.ProcessingRestricted](t, t.forgetMe(p))
	t.until(t.From.AddDate(0, 0, 30)) // the retention is over
	need[domain.LegalHoldReleaseRequested](t, t.as(compliance, domain.RequestHoldRelease{HoldID: first.HoldID}))
	t.refused(compliance, domain.ReleaseLegalHold{HoldID: first.HoldID}, domain.SecondPerson)
	need[domain.LegalHoldReleased](t, t.as(secondPerson, domain.ReleaseLegalHold{HoldID: first.HoldID}))
	held := need[domain.ErasureRefused](t, t.forgetMe(p))
	if held.Reason != domain.ReasonLegalHold || held.RetainedUntil != nil {
		t.fail("the erasure was refused for %s, want the other hold alone", held.Reason)
	}
}

// tellRevealed: who calls is not who they say; later compliance looks at a
// number for a dispute and remarks on it. The code key of the day changes.
func tellRevealed(t *tale, cast []*person) {
	p := cast[0]
	need[domain.IdentityVerificationFailed](t, t.as(agent, domain.RecordIdentityVerificationFailed{
		UserID: p.userID, AgentRef: agent.Ref, Method: "callback",
	}))
	phoneID, added := t.anotherPhone(p)
	yesterday := need[domain.ConfirmCodeIssued](t, t.do(domain.StartPhoneVerification{PhoneID: phoneID})).Kid
	need[domain.PersonalDataRevealed](t, t.as(compliance, domain.RevealPersonalData{
		UserID: p.userID, EventID: added, Fields: []string{"number"}, Reason: "dispute", CaseRef: "dispute-77",
	}))
	need[domain.EventAnnotated](t, t.as(compliance, domain.AnnotateEvent{
		UserID: p.userID, EventID: added, Note: domain.Clear("The caller named this number as their own."), Kind: "dispute",
	}))
	t.sleep(day)
	today := need[domain.ConfirmCodeIssued](t, t.do(domain.StartPhoneVerification{PhoneID: phoneID})).Kid
	need[domain.KeyRotated](t, t.as(housekeeping, domain.RecordKeyRotated{Kind: domain.KeyCodeEpoch, KeyID: today, PreviousKeyID: yesterday}))
}

// anotherPhone adds a number and answers the id of the event that holds it.
func (t *tale) anotherPhone(p *person) (phoneID, eventID string) {
	number, err := phoneNumber(p.home.cc, p.n+1000*p.phones)
	if err != nil {
		t.fail("make a telephone number: %w", err)
		return "", ""
	}
	p.phones++
	out := t.do(domain.AddPhone{UserID: p.userID, CC: p.home.cc, Number: domain.Clear(number), Line: domain.LineMobile})
	phoneID = need[domain.PhoneNumberAdded](t, out).PhoneID
	if t.err != nil {
		return "", ""
	}
	return phoneID, codec.EventIDText(out.Events[0].ID)
}
