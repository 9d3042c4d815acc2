package domain

import (
	"testing"
	"time"
)

// What people see of a user (snapshot.go): the status of authenticators and the
// processes that can still go on, at a moment.

// shown is the step of each process that is shown.
func shown(s *story) map[string]string {
	out := map[string]string{}
	for _, p := range s.user().Snapshot(s.now, s.current()).Processes {
		out[p.Process] = p.Step
	}
	return out
}

func TestProcessesAreShownAsLongAsTheyCanGoOn(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		steps   []step
		process string
		step    string
		ends    time.Duration // 0: it does not by itself
	}{
		"an enrolment by code":      {[]step{alice, verifiedPhone, installation(iphoneID, IOS), enrollment(iphoneID)}, "enrollment", "awaiting_code", 30 * time.Minute},
		"an enrolment after it":     {[]step{alice, verifiedPhone, installation(iphoneID, IOS), activationAccepted(iphoneID)}, "enrollment", "awaiting_uv", 30 * time.Minute},
		"a migration":               {[]step{alice, ibKey, newPhone, migration(pixelID)}, "migration", "awaiting_proof", 10 * time.Minute},
		"a migration that is shown": {[]step{alice, ibKey, migrationProved}, "migration", "proved", 30 * time.Minute},
		"a recovery by Face ID":     {[]step{alice, ibKey, recovery(iphoneID, "os_upgraded", handedOver)}, "recovery", "proved", 30 * time.Minute},
		"a unification":             {[]step{alice, ruleStandalone, func(s *story) { s.when(detected("both")) }}, "unification", "offered", 0},
		"a unification put off": {[]step{alice, ruleStandalone, func(s *story) {
			s.when(detected("both")).when(DeferUnification{UnificationID: s.id(PrefixUnification)})
		}}, "unification", "deferred", 0},
		"an order":                    {[]step{alice, sms, ordered}, "device", "requested", 0},
		"a card on its way":           {[]step{alice, sms, unit(cardID), sent(cardID)}, "device", "shipped", 0},
		"a sharing that is asked for": {[]step{alice, sms, as(bobID, registered(RoleHolder, "DE"), sms, dscPlus(otherCardID)), request(bobID, KindDSCPlus)}, "device_sharing", "requested", 5 * time.Minute},
		"a printed card":              {[]step{alice, sms, parameter(pSCCIssue, 1), func(s *story) { s.when(IssueCodeCard{UserID: aliceID, Kind: KindSCC}) }}, "code_card", "issued", 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := given(t, c.steps...)
			last := c.ends - time.Millisecond
			if c.ends == 0 {
				last = 400 * 24 * time.Hour
			}
			for _, wait := range []time.Duration{0, last} {
				if s.after(wait); shown(s)[c.process] != c.step {
					t.Errorf("after %s: %v, want %s %s", wait, shown(s), c.process, c.step)
				}
			}
			if s.after(time.Millisecond); c.ends > 0 && shown(s)[c.process] != "" {
				t.Errorf("after %s it is still shown: %v", c.ends, shown(s))
			}
		})
	}
}

func TestCardThatIsBeingActivatedAwaitsItsResponse(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, unit(cardID), sent(cardID), password(PurposeActivation, ClientPortal))
	s.when(StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: cardID, TxnID: s.id(PrefixTransaction)})
	if got := shown(s); got["enrollment"] != "awaiting_response" || got["device"] != "shipped" {
		t.Errorf("shown are %v", got)
	}
}

func TestSharingThatWaitsForComplianceIsShown(t *testing.T) {
	t.Parallel()
	stranger := func(s *story) {
		s.when(RegisterUser{UserID: s.who, ClientID: otherID, Role: RoleOwner, Residence: "DE"}).and(sms, dscPlus(otherCardID))
	}
	identical := func(c *RequestDeviceSharing) { c.IdentityMatch = true }
	s := given(t, alice, sms, foreignClient("IE"), parameter(pSharingReview, 1), as(bobID, stranger), request(bobID, KindDSCPlus, identical), answered)
	if s.after(30 * 24 * time.Hour); shown(s)["device_sharing"] != "pending" {
		t.Errorf("shown are %v, want the sharing as pending", shown(s))
	}
}

func TestAuthenticatorsAreShownWithTheirStatus(t *testing.T) {
	t.Parallel()
	s := germanLostCard(t)
	full, ends := moment(t, "2024-03-03T10:00:00Z"), moment(t, "2024-03-13T10:00:00Z")
	seen := s.user().Snapshot(s.now, s.policy).Authenticators
	if len(seen) != 2 || seen[0].Kind != KindDSCPlus || seen[0].Status != "suspended" || seen[0].Suspended != "temp_code_issued" || !seen[0].SuspendedAt.Equal(s.now) ||
		seen[0].DeviceID != cardID || seen[1].Kind != KindTempCode || seen[1].Status != "active" || !seen[1].FullUntil.Equal(full) || !seen[1].ExpiresAt.Equal(ends) {
		t.Errorf("shown are %+v", seen)
	}
	seen = s.user().Snapshot(ends, s.policy).Authenticators
	if len(seen) != 2 || seen[1].Status != "expired" {
		t.Errorf("at its end the passcode is %+v", seen[1])
	}
}
