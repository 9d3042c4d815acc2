package domain

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Housekeeping events note what has expired; nothing may depend on them (D-4).

// isHousekeeping reports the events that only note the passing of time.
func isHousekeeping(e Event) bool {
	switch e.(type) {
	case ChallengeExpired, EnrollmentExpired, MigrationExpired, RecoveryExpired:
		return true
	}
	return false
}

// underWay is Alice with everything begun and nothing finished.
func underWay(s *story) {
	s.t.Helper()
	s.and(alice, ibKey, unit(cardID), sent(cardID), newPhone, steppedUp(PurposeActivation))
	s.when(StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: cardID, TxnID: s.id(PrefixTransaction)}).then(EnrollmentStarted{}, ChallengeIssued{})
	s.and(migration(pixelID), recovery(iphoneID, "os_upgraded", handedOver), login(ClientPortal))
}

func TestWhatHasExpiredIsNotedOnceAndNotBeforeItsTime(t *testing.T) {
	t.Parallel()
	s := given(t, underWay)
	challenge, move, back := s.id(PrefixChallenge), s.id(PrefixMigration), s.id(PrefixRecovery)
	tidy := TidyUser{UserID: aliceID}
	s.when(tidy).thenNothing()
	s.at("09:02:59.999").when(tidy).thenNothing()
	s.at("09:03:00.000").when(tidy).then(ChallengeExpired{ChallengeID: challenge})
	s.when(tidy).thenNothing()
	s.at("09:05:00.000").when(tidy).then(ChallengeExpired{}) // the card's
	s.at("09:10:00.000").when(tidy).then(MigrationExpired{MigrationID: move})
	s.at("09:30:00.000").when(tidy).then(EnrollmentExpired{EnrollmentID: s.id(PrefixEnrollment)}, RecoveryExpired{RecoveryID: back})
	s.when(tidy).thenNothing()
}

func TestNextLoginNotesWhatHasExpired(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone, installation(iphoneID, IOS), enrollment(iphoneID), later(30*time.Minute), login(TWS))
	s.then(EnrollmentExpired{EnrollmentID: s.id(PrefixEnrollment)}, AuthenticationStarted{}, PrimaryFactorVerified{}, EnrollmentRequired{})
	s.and(login(TWS)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, EnrollmentRequired{})
}

// TestDecisionsAreTheSameWithAndWithoutHousekeeping lives the same story twice,
// once with a tidy hand at every moment, and compares what every later command
// decides.
func TestDecisionsAreTheSameWithAndWithoutHousekeeping(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{
		0, 3 * time.Minute, 5 * time.Minute, 10*time.Minute - time.Millisecond, 10 * time.Minute, 30 * time.Minute, 48 * time.Hour, 15 * 24 * time.Hour,
	} {
		untidy, tidy := given(t, underWay, later(wait)), given(t, underWay, later(wait))
		tidy.when(TidyUser{UserID: aliceID})
		for _, next := range nextCommands() {
			c, facts := next(untidy)
			if !reflect.DeepEqual(decidedBy(untidy, c, facts), decidedBy(tidy, c, facts)) {
				t.Errorf("after %s %s decides otherwise:\n%s", wait, c.Name(), cmp.Diff(decidedBy(untidy, c, facts), decidedBy(tidy, c, facts), everything))
			}
		}
		if diff := cmp.Diff(untidy.user().Snapshot(untidy.now, untidy.policy), tidy.user().Snapshot(tidy.now, tidy.policy)); diff != "" {
			t.Errorf("after %s people see another state:\n%s", wait, diff)
		}
	}
}

// decided is what a command decides, but for housekeeping, without living it.
type decided struct {
	Events []Event
	Err    error
}

func decidedBy(s *story, c Command, facts evidence) decided {
	s.t.Helper()
	events, err := Decide(s.states[c.Stream()], c, s.facts(c, []evidence{facts}), s.now, s.current())
	return decided{Events: slices.DeleteFunc(events, isHousekeeping), Err: err}
}

// nextCommands is everything that may come after underWay.
func nextCommands() []func(*story) (Command, evidence) {
	fixed := func(facts evidence, make func(*story) Command) func(*story) (Command, evidence) {
		return func(s *story) (Command, evidence) { return make(s), facts }
	}
	return []func(*story) (Command, evidence){
		fixed(code(0), func(s *story) Command {
			return StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: TWS, PrimaryVerified: true}
		}),
		fixed(approved(UVFaceID), func(s *story) Command { return decisionOn(s, iphoneID) }),
		fixed(code(0), func(s *story) Command {
			return RequestFallback{ChallengeID: s.id(PrefixChallenge), Cause: CauseNoInternet}
		}),
		fixed(code(0), func(s *story) Command { return IssueChallenge{TxnID: s.id(PrefixTransaction)} }),
		fixed(code(0), func(s *story) Command { return CancelChallenge{ChallengeID: s.id(PrefixChallenge)} }),
		fixed(code(1), func(s *story) Command { return ProveMigration{MigrationID: s.id(PrefixMigration)} }),
		fixed(code(1), func(s *story) Command { return ResendMigrationCode{MigrationID: s.id(PrefixMigration)} }),
		fixed(code(0), func(s *story) Command { return completeMigration(s) }),
		fixed(code(0), func(s *story) Command { return CancelMigration{MigrationID: s.id(PrefixMigration)} }),
		fixed(code(0), func(s *story) Command {
			return StartMigration{UserID: aliceID, InstallationID: pixelID, TxnID: s.id(PrefixTransaction)}
		}),
		fixed(code(0), func(s *story) Command {
			return CompleteRecovery{RecoveryID: s.id(PrefixRecovery), UV: UVFaceID}
		}),
		fixed(code(0), func(s *story) Command { return CancelRecovery{RecoveryID: s.id(PrefixRecovery)} }),
		fixed(code(1), func(s *story) Command { return SubmitActivationCode{EnrollmentID: s.id(PrefixEnrollment)} }),
		fixed(code(0), func(s *story) Command { return AbandonEnrollment{EnrollmentID: s.id(PrefixEnrollment)} }),
		fixed(code(0), func(s *story) Command { return AutoActivateDevice{UserID: aliceID, DeviceID: cardID} }),
		fixed(code(0), func(*story) Command { return optOut() }),
		fixed(code(0), func(*story) Command { return CloseUser{UserID: aliceID, Reason: "r"} }),
	}
}
