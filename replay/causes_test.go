package replay

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
)

// TestPartsNameTheEventsThatCount: given a history, each part of the state has
// these events and no other. The user's registration goes without saying.
func TestPartsNameTheEventsThatCount(t *testing.T) {
	t.Parallel()
	userID := codec.UserIDOf(reference)
	id := func(prefix, n string) string { return prefix + "_" + userID[4:] + "_" + n }
	added := func(n string) domain.Event {
		return domain.PhoneNumberAdded{PhoneID: id("phn", n), CC: "DE", Number: domain.Clear("+49151"), Line: domain.LineMobile}
	}
	verified := domain.PhoneNumberVerified{PhoneID: id("phn", "1"), VerificationID: id("vrf", "2"), Attempts: 1}
	locked := domain.UserLocked{Failures: 10, LockedUntil: noon.Add(24 * time.Hour)}
	granted := domain.OptOutGranted{OptOutID: id("opt", "3"), Scope: "trading_platforms"}
	enrolled := domain.AuthenticatorEnrolled{AuthenticatorID: id("aut", "4"), Kind: domain.KindSMS, PhoneID: id("phn", "1"), Trigger: "auto_sms"}
	wrong := func(counted bool, n int) domain.Event {
		return domain.ResponseRejected{ChallengeID: id("chl", "5"), TxnID: id("txn", "6"), Reason: domain.ReasonResponseWrong, Counted: counted, FailureCount: n}
	}
	suspended := domain.AuthenticatorSuspended{AuthenticatorID: id("aut", "4"), Reason: "reported_lost"}
	lost := domain.AuthenticatorReportedLost{AuthenticatorID: id("aut", "4"), By: "client"}
	reactivated := domain.AuthenticatorReactivated{AuthenticatorID: id("aut", "4"), Proof: "agent"}
	ordered := domain.PhysicalDeviceRequested{RequestID: id("req", "9"), Model: domain.ModelDSCPlus}
	shipped := domain.PhysicalDeviceShipped{RequestID: id("req", "9"), DeviceID: "dev_x", UserID: userID}
	ends := noon.Add(24 * time.Hour)
	for name, test := range map[string]struct {
		history []domain.Event
		want    []string // name: sequences, without the registration
	}{
		"residences add up": {[]domain.Event{
			domain.ResidenceChanged{To: "DE", EffectiveOn: "2026-01-01"}, domain.ResidenceChanged{To: "IN", EffectiveOn: "2027-01-01"},
		}, []string{"residence: 2 3"}},
		"locked away twice": {[]domain.Event{
			domain.UserClosed{}, domain.ErasureRequested{ErasureID: id("ers", "9")}, domain.ProcessingRestricted{ErasureID: id("ers", "9")},
			domain.ProcessingRestricted{ErasureID: id("ers", "10")},
		}, []string{"closed: 2", "personal_data: 5"}},
		"locked away and destroyed": {[]domain.Event{
			domain.UserClosed{}, domain.ProcessingRestricted{ErasureID: id("ers", "9")}, domain.PersonalDataErased{ErasureID: id("ers", "9")},
		}, []string{"closed: 2", "personal_data: 4"}},
		"two holds, one to be released, one released": {[]domain.Event{
			domain.LegalHoldPlaced{HoldID: id("hld", "9")}, domain.LegalHoldPlaced{HoldID: id("hld", "10")},
			domain.LegalHoldReleaseRequested{HoldID: id("hld", "9")}, domain.LegalHoldReleased{HoldID: id("hld", "10")},
		}, []string{"legal_hold: 2 4"}},
		"the last switch counts":               {[]domain.Event{domain.SeamlessDisabled{}, domain.SeamlessEnabled{}}, []string{"seamless: 3"}},
		"a closed user":                        {[]domain.Event{domain.UserClosed{Reason: "x"}}, []string{"closed: 2"}},
		"a lock and its end":                   {[]domain.Event{locked, domain.UserUnlocked{By: "agent"}}, []string{"lock: 2 3"}},
		"a new lock after the end of another":  {[]domain.Event{locked, domain.UserUnlocked{By: "agent"}, locked}, []string{"lock: 4"}},
		"an opt-out revoked":                   {[]domain.Event{granted, domain.OptOutRevoked{OptOutID: id("opt", "3")}}, []string{"opt_out: 2 3"}},
		"an opt-out after opting back in":      {[]domain.Event{granted, domain.OptedBackIn{OptOutID: id("opt", "3")}, granted}, []string{"opt_out: 4"}},
		"opted back in":                        {[]domain.Event{granted, domain.OptedBackIn{OptOutID: id("opt", "3")}}, []string{"opt_out: 2 3"}},
		"a phone verified twice":               {[]domain.Event{added("1"), verified, verified}, []string{"phone: 2 4"}},
		"a phone replaced by another":          {[]domain.Event{added("1"), added("7"), domain.PhoneNumberReplaced{OldPhoneID: id("phn", "1"), NewPhoneID: id("phn", "7")}}, []string{"phone: 2 4", "phone: 3"}},
		"a phone removed":                      {[]domain.Event{added("1"), domain.PhoneNumberRemoved{PhoneID: id("phn", "1")}}, []string{"phone: 2 3"}},
		"an authenticator that is gone":        {[]domain.Event{enrolled, domain.AuthenticatorRevoked{AuthenticatorID: id("aut", "4")}}, nil},
		"an authenticator":                     {[]domain.Event{enrolled}, []string{"authenticator: 2"}},
		"failures, of which one did not count": {[]domain.Event{wrong(true, 1), wrong(false, 1), wrong(true, 2)}, []string{"failures: 2 4"}},
		"failures before older ones left":      {[]domain.Event{wrong(true, 1), wrong(true, 2), wrong(true, 2)}, []string{"failures: 3 4"}},
		"failures and a success": {[]domain.Event{
			wrong(true, 1), domain.AuthenticationSucceeded{TxnID: id("txn", "6"), Factors: 2}, domain.PrimaryFactorRejected{TxnID: id("txn", "8"), FailureCount: 1},
		}, []string{"failures: 4"}},
		"suspended, lost later": {[]domain.Event{enrolled, suspended, lost}, []string{"authenticator: 2 3 4"}},
		"reactivated":           {[]domain.Event{enrolled, lost, suspended, reactivated}, []string{"authenticator: 2 3 4 5"}},
		"suspended once more":   {[]domain.Event{enrolled, lost, suspended, reactivated, suspended}, []string{"authenticator: 2 6"}},
		"reactivated twice":     {[]domain.Event{enrolled, suspended, reactivated, suspended, reactivated}, []string{"authenticator: 2 5 6"}},
		"moved to another app": {[]domain.Event{
			enrolled, domain.UnificationOffered{UnificationID: id("uni", "9"), AuthenticatorID: id("aut", "4")},
			domain.UnificationCompleted{UnificationID: id("uni", "9"), AuthenticatorID: id("aut", "4"), NewInstallationID: "ins_x"},
		}, []string{"authenticator: 2 4"}},
		"an unification put off": {[]domain.Event{
			domain.UnificationOffered{UnificationID: id("uni", "9")}, domain.UnificationDeferred{UnificationID: id("uni", "9")},
		}, []string{"process: 2 3"}},
		"a migration that was proved": {[]domain.Event{
			domain.MigrationStarted{MigrationID: id("mig", "9"), ExpiresAt: ends}, domain.ActivationCodeAccepted{SubjectID: id("mig", "9")},
			domain.MigrationProofAccepted{MigrationID: id("mig", "9"), CompleteBy: ends},
		}, []string{"process: 2 4"}},
		"a migration that was given up": {[]domain.Event{
			domain.MigrationStarted{MigrationID: id("mig", "9"), ExpiresAt: ends}, domain.MigrationCancelled{MigrationID: id("mig", "9")},
		}, nil},
		"a recovery": {[]domain.Event{
			domain.RecoveryStarted{RecoveryID: id("rec", "9"), ExpiresAt: ends}, domain.RecoveryProofAccepted{RecoveryID: id("rec", "9")},
		}, []string{"process: 2 3"}},
		"an enrolment whose code was right": {[]domain.Event{
			domain.EnrollmentStarted{EnrollmentID: id("enr", "9"), Kind: domain.KindIBKey}, domain.ActivationCodeAccepted{SubjectID: id("enr", "9"), Seq: 1},
		}, []string{"process: 2 3"}},
		"a card on its way": {[]domain.Event{ordered, shipped}, []string{"process: 2 3"}},
		"a card that arrived": {[]domain.Event{
			ordered, shipped, domain.AuthenticatorEnrolled{AuthenticatorID: id("aut", "4"), Kind: domain.KindDSCPlus, DeviceID: "dev_x"},
		}, []string{"authenticator: 4"}},
		"a sharing that waits": {[]domain.Event{
			domain.DeviceSharingRequested{SharingID: id("shr", "9")}, domain.DeviceSharingPending{SharingID: id("shr", "9")},
		}, []string{"process: 2 3"}},
		"a sharing that was denied": {[]domain.Event{
			domain.DeviceSharingRequested{SharingID: id("shr", "9")}, domain.DeviceSharingDenied{SharingID: id("shr", "9")},
		}, nil},
		"a code card that waits": {[]domain.Event{domain.SecurityCodeCardIssued{AuthenticatorID: id("aut", "4"), Cells: 224}}, []string{"process: 2"}},
		"a code card that answers": {[]domain.Event{
			domain.SecurityCodeCardIssued{AuthenticatorID: id("aut", "4"), Cells: 224}, domain.AuthenticatorEnrolled{AuthenticatorID: id("aut", "4"), Kind: domain.KindSCC},
		}, []string{"authenticator: 3"}},
		"nothing that is part of a state": {[]domain.Event{domain.UnlockRefused{Reason: domain.ReasonNotLocked}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLedger(t)
			l.append(domain.UserStream(userID), "RegisterUser", domain.UserRegistered{UserID: userID, ClientID: codec.ClientIDOf("acme"), Role: domain.RoleOwner, Username: domain.Clear("ada")})
			for _, e := range test.history {
				l.wait(time.Second)
				l.append(domain.UserStream(userID), "Test", e)
			}
			r := stateAt(t, l, userID, AtSequence(l.head()))
			if got, want := told(r.Parts), append([]string{"user: 1"}, test.want...); !slices.Equal(got, want) {
				t.Errorf("parts (-want +got):\n%s", cmp.Diff(want, got))
			}
		})
	}
}

// TestForgottenProcessesAreNotKept: a user who begins a hundred enrolments and
// finishes none is explained by as many as the domain remembers.
func TestForgottenProcessesAreNotKept(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	userID := codec.UserIDOf(reference)
	l.append(domain.UserStream(userID), "RegisterUser", domain.UserRegistered{UserID: userID, ClientID: codec.ClientIDOf("acme"), Role: domain.RoleOwner, Username: domain.Clear("ada")})
	for n := range 100 {
		l.wait(time.Second)
		l.append(domain.UserStream(userID), "Test",
			domain.EnrollmentStarted{EnrollmentID: fmt.Sprintf("enr_%s_%d", userID[4:], n+1), Kind: domain.KindIBKey})
	}
	f, err := FoldUser(t.Context(), l.store, codec.New(nil), userID, AtSequence(l.head()))
	if err != nil {
		t.Fatal(err)
	}
	remembered := len(f.User.Snapshot(f.At, l.base).Processes)
	if kept := len(f.causes.started); remembered == 0 || remembered == 100 || kept != remembered || len(f.causes.events) != remembered+1 {
		t.Errorf("%d processes kept, %d parts, %d remembered", kept, len(f.causes.events), remembered)
	}
}

func told(parts []Part) []string {
	var out []string
	for _, p := range parts {
		s := p.Name + ":"
		for _, e := range p.Events {
			s += " " + AtSequence(e.Sequence).String()[1:]
		}
		out = append(out, s)
	}
	return out
}

// TestClosedUserReadsClosed: the table says what a reader looks for first.
func TestClosedUserReadsClosed(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	for _, want := range []string{"Status         open\n", "Status         closed\n"} {
		var out bytes.Buffer
		if err := WriteTable(&out, stateAt(t, l, userID, AtSequence(l.head()))); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
		l.do(domain.CloseUser{UserID: userID, Reason: "relationship_ended"}, domain.Facts{})
	}
}

// TestTableSaysWhatBecameOfPersonalData in the same place.
func TestTableSaysWhatBecameOfPersonalData(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	read := func() string {
		t.Helper()
		var out bytes.Buffer
		if err := WriteTable(&out, stateAt(t, l, userID, AtSequence(l.head()))); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	facts := domain.Facts{Actor: domain.Actor{Kind: domain.ActorCompliance, Ref: "officer-1"}}
	if text := read(); strings.Contains(text, "Personal data") || strings.Contains(text, "Legal hold") {
		t.Errorf("of an ordinary user it says\n%s", text)
	}
	l.do(domain.PlaceLegalHold{UserID: userID, CaseRef: "case-1", Basis: "regulator"}, facts)
	hold := l.user(userID).Holds()[0].ID
	l.do(domain.RequestHoldRelease{HoldID: hold}, facts)
	l.do(domain.CloseUser{UserID: userID, Reason: "relationship_ended"}, facts)
	ask := domain.RequestErasure{UserID: userID, Basis: domain.BasisSubjectRequest}
	for _, step := range []struct {
		does domain.Command
		want string
	}{
		{ask, "Personal data  locked away until 20"},
		{ask, ", release requested by officer-1\n"},
		{nil, "Personal data  locked away while a legal hold is in force\n"},
		{domain.ReleaseLegalHold{HoldID: hold}, "Personal data  locked away while"},
		{domain.EraseSubject{UserID: userID}, "Personal data  destroyed\n"},
	} {
		if step.does == nil {
			l.wait(9 * 366 * 24 * time.Hour)
			step.does = ask
			facts.Actor.Ref = "officer-2"
		}
		l.do(step.does, facts)
		if text := read(); !strings.Contains(text, step.want) {
			t.Errorf("after %s no %q in\n%s", step.does.Name(), step.want, text)
		}
	}
}
