package domain

import (
	"strings"
	"testing"
	"time"
)

// TestAuditorNoticesBreaches appends to honest logs what no decision would, and
// expects the auditor to say which rule it breaks.
func TestAuditorNoticesBreaches(t *testing.T) {
	t.Parallel()
	id := func(prefix string, n string) string { return prefix + "_" + ownKey + "_" + n }
	plain := []step{alice, ibKey}
	inLogin := []step{alice, ibKey, login(TWS)}
	cases := map[string]struct {
		steps  []step
		breach func(*story) []Event
		want   string
	}{
		"an id given out twice": {plain, func(s *story) []Event {
			return []Event{PhoneNumberAdded{PhoneID: s.id(PrefixPhone)}}
		}, "given out twice"},
		"a second IB Key": {plain, func(*story) []Event {
			return []Event{AuthenticatorEnrolled{AuthenticatorID: id("aut", "90"), Kind: KindIBKey}}
		}, "two bound IB Keys"},
		"SMS beside IB Key": {plain, func(*story) []Event {
			return []Event{AuthenticatorEnrolled{AuthenticatorID: id("aut", "90"), Kind: KindSMS}}
		}, "SMS active beside"},
		"a challenge beside another": {inLogin, func(s *story) []Event {
			return []Event{ChallengeIssued{ChallengeID: id("chl", "90"), TxnID: s.id(PrefixTransaction), AuthenticatorID: s.id(PrefixAuthenticator), Kind: KindIBKey, Mode: ModePush, ExpiresAt: s.now}}
		}, "second open challenge"},
		"a session without a second factor": {inLogin, func(s *story) []Event {
			return []Event{AuthenticationSucceeded{TxnID: s.id(PrefixTransaction), Factors: 1, SessionRef: id("ses", "90")}}
		}, "one factor without SecondFactorWaived"},
		"two factors of which one was never shown": {inLogin, func(s *story) []Event {
			return []Event{AuthenticationSucceeded{TxnID: s.id(PrefixTransaction), Factors: 2, AuthenticatorKind: KindIBKey, ProtectionRank: 2, SessionRef: id("ses", "90")}}
		}, "two factors without both"},
		"a second right answer": {append(inLogin, answered), func(s *story) []Event {
			return []Event{ResponseVerified{ChallengeID: s.id(PrefixChallenge), TxnID: s.id(PrefixTransaction), AuthenticatorID: s.id(PrefixAuthenticator)}}
		}, "second ResponseVerified"},
		"a login while locked": {append(plain, lockedOut), func(*story) []Event {
			return []Event{AuthenticationStarted{TxnID: id("txn", "90"), Purpose: PurposeLogin, Platform: TWS}}
		}, "started while locked"},
		"an opt-out in Hong Kong": {[]step{hongKongResident, ibKey}, func(s *story) []Event {
			return []Event{OptOutGranted{OptOutID: id("opt", "90"), Decision: s.policy.Evaluate(resident("DE"), s.now)}}
		}, "mandatory regime"},
		"a decision that does not follow from its facts": {plain, func(s *story) []Event {
			d := s.policy.Evaluate(resident("DE"), s.now)
			d.Facts.CarryingCC = "HK"
			return []Event{OptOutGranted{OptOutID: id("opt", "90"), Decision: d}}
		}, "does not follow"},
		"a decision of another policy": {plain, func(s *story) []Event {
			d := s.policy.Evaluate(resident("DE"), s.now)
			d.PolicyVersion++
			return []Event{OptOutGranted{OptOutID: id("opt", "90"), Decision: d}}
		}, "another policy"},
		"a migration without a proof": {append(plain, newPhone, migration(pixelID)), func(s *story) []Event {
			return []Event{
				AuthenticatorRevoked{AuthenticatorID: s.id(PrefixAuthenticator), Reason: "migrated"},
				AuthenticatorEnrolled{AuthenticatorID: id("aut", "90"), Kind: KindIBKey, Trigger: "migration"},
				MigrationCompleted{MigrationID: s.id(PrefixMigration), FromAuthenticatorID: s.id(PrefixAuthenticator), ToAuthenticatorID: id("aut", "90")},
			}
		}, "without a proof"},
		"a passcode that opens everything in Hong Kong": {[]step{hongKongResident, sms, dscPlus(cardID), func(s *story) {
			s.and(passcodeFor(kindOf(s, KindDSCPlus).ID), login(ClientPortal)).when(answerTo(s), func(f *Facts) { f.Code = CodeEvidence{LenOK: true} })
		}}, func(s *story) []Event {
			c := s.id(PrefixChallenge)
			return []Event{
				ResponseVerified{ChallengeID: c, TxnID: s.id(PrefixTransaction), AuthenticatorID: kindOf(s, KindTempCode).ID},
				AuthenticationSucceeded{TxnID: s.id(PrefixTransaction), Factors: 2, AuthenticatorKind: KindTempCode, Scope: "full", SessionRef: id("ses", "90")},
			}
		}, "full scope by a temporary passcode"},
		"a call before any message": {[]step{alice, sms, login(WebTrader)}, func(s *story) []Event {
			return []Event{VoiceCallRequested{CallID: id("cal", "90"), ChallengeID: s.id(PrefixChallenge)}}
		}, "unsupported platform"},
		"two messages at once": {[]step{alice, phone, verification}, func(s *story) []Event {
			return []Event{SMSRequested{SMSID: id("sms", "90"), PhoneID: s.id(PrefixPhone), Purpose: PurposePhoneVerification}}
		}, "within 120 s"},
		"a second passcode in a row": {[]step{alice, sms, dscPlus(cardID), func(s *story) { s.and(passcodeFor(kindOf(s, KindDSCPlus).ID)) }}, func(s *story) []Event {
			return []Event{TemporaryPasscodeIssued{AuthenticatorID: id("aut", "90"), IDVID: s.id(PrefixIDV), MissingAuthenticatorID: kindOf(s, KindDSCPlus).ID, EndsAt: s.now.Add(288 * time.Hour)}}
		}, "two passcodes in a row"},
		"the last authenticator given up": {append(plain, func(s *story) {
			s.when(RemovePhone{PhoneID: s.id(PrefixPhone), Reason: "client_request"})
		}), func(s *story) []Event {
			return []Event{AuthenticatorRevoked{AuthenticatorID: s.id(PrefixAuthenticator), Reason: "client_request"}}
		}, "left without an authenticator"},
		"anything after the end": {append(plain, func(s *story) { s.when(CloseUser{UserID: aliceID, Reason: "r"}) }), func(*story) []Event {
			return []Event{SeamlessDisabled{}}
		}, "after UserClosed"},
		"data destroyed a microsecond too early": {append(plain, gone, restricted, func(s *story) {
			s.now = s.now.AddDate(7, 0, 0).Add(-time.Microsecond)
		}), func(s *story) []Event {
			return []Event{PersonalDataErased{ErasureID: s.id(PrefixErasure)}}
		}, "before the retention was over"},
		"data of an Indian life destroyed after seven years": {append(plain, func(s *story) {
			s.when(RecordResidence{UserID: aliceID, To: "IN", EffectiveOn: "2011-01-01"})
		}, gone, restricted, years(7)), func(s *story) []Event {
			return []Event{PersonalDataErased{ErasureID: s.id(PrefixErasure)}}
		}, "before the retention was over"},
		"data destroyed under a hold": {append(plain, held("case-1"), gone, func(s *story) { s.when(forget()) }, years(9)), func(s *story) []Event {
			return []Event{PersonalDataErased{ErasureID: s.id(PrefixErasure)}}
		}, "under a legal hold"},
		"data of an open user destroyed": {append(plain, func(s *story) { s.when(forget()) }, years(9)), func(s *story) []Event {
			return []Event{PersonalDataErased{ErasureID: s.id(PrefixErasure)}}
		}, "not closed"},
		"a hold that one person released": {append(plain, held("case-1")), func(s *story) []Event {
			return []Event{LegalHoldReleaseRequested{HoldID: s.id(PrefixHold), RequestedBy: "one"}, LegalHoldReleased{HoldID: s.id(PrefixHold), ApprovedBy: "one"}}
		}, "fewer than two persons"},
		"a note about somebody forgotten": {append(plain, forgotten), func(*story) []Event {
			return []Event{EventAnnotated{EventID: someEvent, Note: Sealed("x"), Kind: "dispute"}}
		}, "after it was destroyed"},
		"a look at data that is locked away": {append(plain, gone, restricted), func(*story) []Event {
			return []Event{PersonalDataRevealed{RevealID: id("rvl", "90"), Fields: []string{"number"}, Reason: "dispute", CaseRef: "c"}}
		}, "locked away"},
		"a request without an answer": {append(plain, gone), func(*story) []Event {
			return []Event{ErasureRequested{ErasureID: id("ers", "90")}}
		}, "nothing said to it"},
		"an end that leaves a login open": {inLogin, func(s *story) []Event {
			return []Event{AuthenticatorRevoked{AuthenticatorID: s.id(PrefixAuthenticator), Reason: "user_closed"}, UserClosed{Reason: "r"}}
		}, "closed with an open"},
		"time that goes back": {plain, func(s *story) []Event {
			s.now = s.now.Add(-time.Hour)
			return []Event{SeamlessDisabled{}}
		}, "time goes back"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStory(t, builtIn(t))
			s.and(c.steps...)
			honest := s.logs[UserStream(aliceID)]
			if findings := auditLog(honest, s.policies()); len(findings) != 0 {
				t.Fatalf("the honest log is faulted: %q", findings)
			}
			log := honest[:len(honest):len(honest)]
			for _, e := range c.breach(s) {
				log = append(log, record{Event: e, At: s.now, Append: s.writes + 1})
			}
			if findings := auditLog(log, s.policies()); !strings.Contains(strings.Join(findings, "\n"), c.want) {
				t.Errorf("found %q, want something about %q", findings, c.want)
			}
		})
	}
}
