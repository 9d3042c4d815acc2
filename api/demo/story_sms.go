package demo

import (
	"time"

	"github.com/authledger/authledger/api/delivery"
	"github.com/authledger/authledger/domain"
)

// Stories of telephone numbers, messages and calls.

// tellPhones: numbers come and go; SMS follows them until IB Key takes over.
func tellPhones(t *tale, cast []*person) {
	p := cast[0]
	first := p.phoneID
	second := t.addPhone(p)
	t.verifyPhone(p, second) // SMS is enrolled already
	need[domain.PhoneNumberReplaced](t, t.do(domain.ReplacePhone{OldPhoneID: first, NewPhoneID: second}))
	t.login(p, domain.TWS)
	out := t.do(domain.RemovePhone{PhoneID: second, Reason: "client_request"})
	need[domain.RevocationRefused](t, out) // no other number is left to take SMS
	t.sleep(3 * day)

	fixed := need[domain.PhoneNumberAdded](t, t.do(domain.AddPhone{
		UserID: p.userID, CC: "DE", Number: domain.Clear("+493012345678"), Line: domain.LineFixed,
	}))
	need[domain.SMSRequestRefused](t, t.do(domain.StartPhoneVerification{PhoneID: fixed.PhoneID}))
	t.activate(p, t.buyPhone(p, domain.IOS), t.begin(p, domain.PurposeActivation), "")
	t.sleep(2 * day)

	third := t.addPhone(p)
	out = t.do(domain.StartPhoneVerification{PhoneID: third})
	issued := need[domain.ConfirmCodeIssued](t, out)
	code := t.confirmCode(issued)
	need[domain.PhoneVerificationRejected](t, t.do(domain.ConfirmPhone{VerificationID: issued.VerificationID, Code: slip(code)}))
	need[domain.PhoneNumberVerified](t, t.do(domain.ConfirmPhone{VerificationID: issued.VerificationID, Code: code}))
	need[domain.PhoneNumberRemoved](t, t.do(domain.RemovePhone{PhoneID: third, Reason: "client_request"}))
}

// tellMessages: what can become of a message, and the two minutes between two.
func tellMessages(t *tale, cast []*person) {
	p := cast[0]
	t.Network.lose(p, delivery.SMS, "carrier_blocked")
	c := t.textedOn(p, domain.ClientPortal, "")
	need[domain.SMSRequestRefused](t, t.do(domain.ResendLoginCode{ChallengeID: c.ChallengeID}))
	t.wait(2 * time.Minute)
	need[domain.SMSRequested](t, t.do(domain.ResendLoginCode{ChallengeID: c.ChallengeID}))
	need[domain.AuthenticationSucceeded](t, t.answer(p, c))
	t.sleep(3 * day)

	// The provider takes nothing, which lifts the waiting time.
	t.Network.fail(p, delivery.SMS, delivery.Result{Outcome: delivery.Rejected, Code: "out_of_service"})
	c = t.textedOn(p, domain.WebTrader, "")
	need[domain.SMSRequested](t, t.do(domain.ResendLoginCode{ChallengeID: c.ChallengeID}))
	need[domain.AuthenticationSucceeded](t, t.answer(p, c))
	t.sleep(4 * day)

	// Nobody knows whether it went out; it is not sent again by itself.
	t.Network.fail(p, delivery.SMS, delivery.Result{Outcome: delivery.Uncertain, Code: "timeout"})
	c = t.textedOn(p, domain.ClientPortal, "")
	t.wait(2 * time.Minute)
	need[domain.SMSRequested](t, t.do(domain.ResendLoginCode{ChallengeID: c.ChallengeID}))
	t.Network.fail(p, delivery.Notice, delivery.Result{Outcome: delivery.Rejected, Code: "mailbox_full"})
	need[domain.AuthenticationSucceeded](t, t.answer(p, c))
}

// textedOn begins a login that is answered by a code.
func (t *tale) textedOn(p *person, platform domain.Platform, channel domain.ReleaseChannel) domain.ChallengeIssued {
	c := domain.StartAuthentication{
		UserID: p.userID, Purpose: domain.PurposeLogin, Platform: platform, ReleaseChannel: channel, PrimaryVerified: true,
	}
	if platform == domain.TWS {
		c.ClientVersion = "1030"
	}
	return need[domain.ChallengeIssued](t, t.do(c))
}

// tellVoice: calls that were answered, busy, late and refused.
func tellVoice(t *tale, cast []*person) {
	p := cast[0]
	t.Network.lose(p, delivery.SMS, "roaming")
	c := t.textedOn(p, domain.TWS, domain.Latest)
	t.wait(70 * time.Second)
	t.answered(need[domain.VoiceCallRequested](t, t.do(domain.RequestVoiceCall{ChallengeID: c.ChallengeID})))
	need[domain.AuthenticationSucceeded](t, t.answer(p, c))
	t.sleep(3 * day)

	t.Network.lose(p, delivery.SMS, "unreachable")
	c = t.textedOn(p, domain.IBKRMobileIOS, "")
	t.wait(70 * time.Second)
	t.Network.lose(p, delivery.Voice, "busy")
	need[domain.VoiceCallRequested](t, t.do(domain.RequestVoiceCall{ChallengeID: c.ChallengeID}))
	need[domain.VoiceCallRefused](t, t.do(domain.RequestVoiceCall{ChallengeID: c.ChallengeID})) // a minute lies between two
	t.wait(time.Minute)
	t.answered(need[domain.VoiceCallRequested](t, t.do(domain.RequestVoiceCall{ChallengeID: c.ChallengeID})))
	need[domain.AuthenticationSucceeded](t, t.answer(p, c))
	t.sleep(2 * day)

	// The call comes after more than a minute and is still good.
	c = t.textedOn(p, domain.ClientPortal, "")
	t.wait(70 * time.Second)
	t.answered(need[domain.VoiceCallRequested](t, t.late(domain.RequestVoiceCall{ChallengeID: c.ChallengeID}, 75*time.Second)))
	need[domain.AuthenticationSucceeded](t, t.answer(p, c))
	t.sleep(2 * day)

	t.Network.fail(p, delivery.Voice, delivery.Result{Outcome: delivery.Uncertain, Code: "timeout"})
	c = t.textedOn(p, domain.TWS, domain.Beta)
	t.wait(30 * time.Second)
	need[domain.VoiceCallRequested](t, t.do(domain.RequestVoiceCall{ChallengeID: c.ChallengeID}))
	need[domain.ResponseRejected](t, t.submit(c, "12345")) // malformed; it does not count
	t.do(domain.CancelChallenge{ChallengeID: c.ChallengeID})
	t.sleep(day)

	for _, place := range []struct {
		platform domain.Platform
		channel  domain.ReleaseChannel
	}{{domain.WebTrader, ""}, {domain.TWS, domain.Stable}} {
		c = t.textedOn(p, place.platform, place.channel)
		t.wait(70 * time.Second)
		need[domain.VoiceCallRefused](t, t.do(domain.RequestVoiceCall{ChallengeID: c.ChallengeID}))
		need[domain.AuthenticationSucceeded](t, t.answer(p, c))
		t.sleep(day)
	}
}

// answered reports that somebody took a call.
func (t *tale) answered(e domain.VoiceCallRequested) {
	t.as(network, domain.RecordVoiceAnswered{CallID: e.CallID, DurationS: 24})
}
