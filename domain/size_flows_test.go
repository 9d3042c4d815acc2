package domain

import (
	"reflect"
	"testing"
	"time"
)

// TestStateStaysSmallUnderProcesses: whatever is begun again and again, a
// user's state does not grow with it.
func TestStateStaysSmallUnderProcesses(t *testing.T) {
	t.Parallel()
	rounds := map[string]struct {
		begin []step
		round step
	}{
		"migrations": {[]step{alice, ibKey, newPhone}, migration(pixelID)},
		"recoveries": {[]step{alice, ibKey}, recovery(iphoneID, "os_upgraded", handedOver)},
		"unifications": {[]step{alice, ruleStandalone}, func(s *story) {
			s.when(detected("auth_only")).when(DeferUnification{UnificationID: s.id(PrefixUnification)})
		}},
		"voice calls": {[]step{alice, sms}, func(s *story) { s.and(smsLogin(TWS, Latest)).when(call(s)) }},
		"lost and found": {[]step{alice, ibKey}, func(s *story) {
			s.when(ReportLost{AuthenticatorID: kindOf(s, KindIBKey).ID, By: "client"}).and(identified)
			s.when(ReactivateAuthenticator{AuthenticatorID: kindOf(s, KindIBKey).ID, Proof: "agent"})
		}},
		"bridged days": {[]step{alice, sms, dscPlus(cardID)}, func(s *story) {
			s.and(passcodeFor(kindOf(s, KindDSCPlus).ID), onlineCard, login(ClientPortal), answered)
			s.when(ReactivateAuthenticator{AuthenticatorID: kindOf(s, KindDSCPlus).ID, Proof: "oscc", TxnID: s.id(PrefixTransaction)})
			s.and(login(ClientPortal), answered)
		}},
		"cards that nobody activates": {[]step{alice, sms, parameter(pSCCIssue, 1)}, func(s *story) {
			s.when(IssueCodeCard{UserID: aliceID, Kind: KindSCC})
			must[SecurityCodeCardIssued](s)
		}},
		"units that come back": {[]step{alice, sms, unit(cardID)}, func(s *story) {
			s.and(sent(cardID)).when(RecordDeviceReturned{DeviceID: cardID, ReceivedOn: "2024-03-01", Condition: "ok"})
		}},
		"credentials": {[]step{alice, ibKey}, func(s *story) {
			s.and(identified).when(DeliverTemporaryCredential{UserID: aliceID, ResetRef: "r", What: "reset_password", Channel: "in_app"})
		}},
		"sharings": {[]step{alice, sms, dscPlus(cardID), as(bobID, registered(RoleHolder, "DE"), sms, dscPlus(otherCardID))}, func(s *story) {
			s.and(request(bobID, KindDSCPlus), answered).when(RevokeAuthenticator{AuthenticatorID: s.user().Bound()[1].ID, Reason: "client_request"})
		}},
		"enrolments": {[]step{alice, verifiedPhone, installation(iphoneID, IOS)}, enrollment(iphoneID)},
		"opt-outs":   {[]step{alice, sms}, func(s *story) { s.when(optOut()).when(OptBackIn{UserID: aliceID, By: aliceID}) }},
	}
	for name, c := range rounds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := given(t, c.begin...)
			live := func(n int) int {
				for range n {
					s.after(time.Hour).and(c.round)
				}
				return parts(reflect.ValueOf(s.user()))
			}
			before := live(recentLimit + 5)
			if after := live(15); after > before {
				t.Errorf("the state grew from %d to %d values", before, after)
			}
		})
	}
}
