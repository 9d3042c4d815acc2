package replay

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
)

// TestReplayKnowsWhatTheJournalKnows walks through every flow of the rule book
// with the real journal. After each command, and afterwards at each record,
// replay has the state the journal had; every decision comes out again; and
// every event stands in a stream the catalogue names.
func TestReplayKnowsWhatTheJournalKnows(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	b.do(domain.RegisterClient{ClientID: acmeID, Kind: domain.Individual, CarryingEntity: "IB-IE", CarryingCC: "IE"})
	ada, eve := b.person("ada"), b.person("eve")
	voiceLogin(ada)
	card := b.unit("DSC-1")
	devices(ada, eve, card)
	migration(ada, card)
	joe := b.person("joe")
	unification(joe)
	recovery(joe)
	temporaryAccess(joe)
	regime(eve)
	lost(ada, eve, card)
	b.do(domain.CloseUser{UserID: joe.id, Reason: "relationship_ended"})

	b.everyRecord()
	checked, err := CheckDecisions(t.Context(), b.store, codec.New(nil), b.base)
	if err != nil || checked.Differ != 0 || checked.PolicyVersion[1] != b.j.Policy().Version {
		t.Errorf("decisions: %+v, %v", checked, err)
	}
	b.everyFlow()
}

// everyRecord compares replay at each record with a fold that goes along.
func (b *broker) everyRecord() {
	b.t.Helper()
	users, book, policy := map[string]*domain.User{}, &domain.PolicyBook{}, b.base
	for _, r := range b.log() {
		d, err := codec.New(nil).Decode(r)
		if err != nil {
			b.t.Fatal(err)
		}
		if r.Stream == domain.PolicyStream() {
			book.Apply(d.Event, r.RecordedAt)
			if policy, err = book.Policy(b.base, time.Time{}); err != nil {
				b.t.Fatal(err)
			}
		}
		key, ok := strings.CutPrefix(r.Stream, "user-")
		if !ok {
			continue
		}
		if users[key] == nil {
			users[key] = domain.NewState(r.Stream).(*domain.User)
		}
		users[key].Apply(d.Event, d.Meta.OccurredAt)
		want := seen{record: r, occurred: d.Meta.OccurredAt, state: users[key].Snapshot(d.Meta.OccurredAt, policy)}
		l := &ledger{base: b.base, store: b.store, now: b.now}
		explained(b.t, sameState(b.t, l, want))
		sameKnownLater(b.t, l, want)
	}
}

// everyFlow checks that the tour went where it says it went.
func (b *broker) everyFlow() {
	b.t.Helper()
	streams, reached := readSource(b.t).streams(b.t), map[string]bool{}
	for _, r := range b.log() {
		reached[r.Type] = true
		stands(b.t, streams, r.Stream, r.Type)
	}
	for _, name := range []string{
		"VoiceCallAnswered", "AppPINRefused", "AuthenticatorBound", "PhysicalDeviceShipped", "DevicePINChanged", "DeviceSharingGranted", "MigrationCompleted",
		"UnificationDeferred", "UnificationCompleted", "InstallationRetired", "RecoveryCompleted", "AppPINUnblocked", "TemporaryPasscodeIssued",
		"TemporaryCredentialCollected", "OnlineCodeCardIssued", "SecurityCodeCardIssued", "AuthenticatorReactivated", "AuthenticatorReportedLost", "PolicyRulePublished",
		"PolicyRuleAmended", "PolicyRuleWithdrawn", "PolicyParameterSet", "OptOutGranted", "OptOutDenied", "OptOutRevoked", "SecondFactorWaived",
		"DeviceSharingEnded", "DeviceReturned", "EnrollmentExpired", "UserClosed",
	} {
		if !reached[name] {
			b.t.Errorf("the tour did not reach %s", name)
		}
	}
}

// stands checks one event's stream against the catalogue's table.
func stands(t fataler, streams map[string][]string, stream, event string) {
	t.Helper()
	for _, form := range streams[event] {
		if head, ok := strings.CutSuffix(form, "…"); ok && strings.HasPrefix(stream, head) || form == stream {
			return
		}
	}
	t.Fatal(event + " stands in " + stream + ", and the catalogue says " + strings.Join(streams[event], ", "))
}

// TestEventsStandWhereTheCatalogueSays: whatever the walkers' acts lead to.
func TestEventsStandWhereTheCatalogueSays(t *testing.T) {
	t.Parallel()
	streams := readSource(t).streams(t)
	l := newLedger(t)
	w := newMover(l, codec.UserIDOf("ada"))
	w = newWalker(l, "eve", w.clientID)
	w.other = newWalker(l, "joe", w.clientID)
	w.other.other = w
	for _, right := range []bool{true, false} {
		for _, a := range acts {
			l.wait(3 * time.Minute)
			w.step(a, right)
			w.other.step(a, !right)
		}
	}
	types := map[string]bool{}
	for r, err := range l.store.ReadAll(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		types[r.Type] = true
		stands(t, streams, r.Stream, r.Type)
	}
	if len(types) < 60 {
		t.Errorf("only %d kinds of events", len(types))
	}
}

// voiceLogin answers with the code that a call spoke.
func voiceLogin(p *person) {
	b := p.b
	b.t.Helper()
	c := find[domain.ChallengeIssued](b.t, p.begin(domain.PurposeLogin, domain.TWS))
	called := b.do(domain.RequestVoiceCall{ChallengeID: c.ChallengeID})
	call, issued := find[domain.VoiceCallRequested](b.t, called), find[domain.LoginCodeIssued](b.t, called)
	b.do(domain.RecordVoiceDispatch{CallID: call.CallID, Gateway: "inbox"})
	b.do(domain.RecordVoicePlaced{CallID: call.CallID, Provider: "inbox", ProviderRef: "c-1", PlacedAt: b.now})
	b.do(domain.RecordVoiceAnswered{CallID: call.CallID, DurationS: 20})
	code := b.code(domain.PurposeLogin, c.ChallengeID, issued.Seq, issued.Kid, issued.CodeLen)
	find[domain.AuthenticationSucceeded](b.t, p.answer(c.ChallengeID, string(code)))
}

// devices gives a person IB Key on Android and a card, changes the card's PIN,
// and lets another user share it.
func devices(p, other *person, card *unit) {
	b := p.b
	b.t.Helper()
	p.activate(b.install(domain.AppIBKRMobile, domain.Android, "handset-1"), domain.UVFingerprint)
	b.do(domain.SetSeamless{UserID: p.id})
	c := find[domain.ChallengeIssued](b.t, p.begin(domain.PurposeLogin, domain.TWS))
	find[domain.AuthenticationSucceeded](b.t, p.respond(c))
	b.do(domain.SetSeamless{UserID: p.id, Enabled: true})
	card.order(p, sharedPIN)
	txn := p.txn(domain.PurposeActivation)
	proveAndroid(p, txn)
	c = find[domain.ChallengeIssued](b.t, b.do(domain.StartEnrollment{UserID: p.id, Kind: domain.KindDSCPlus, DeviceID: card.id, TxnID: txn}))
	bound := find[domain.AuthenticatorEnrolled](b.t, card.press(p, c))
	b.do(domain.BindToDevice{DeviceID: card.id, UserID: p.id, AuthenticatorID: bound.AuthenticatorID})

	txn = p.txn(domain.PurposePINChange)
	c = find[domain.ChallengeIssued](b.t, b.do(domain.ChangeDevicePIN{AuthenticatorID: bound.AuthenticatorID, TxnID: txn, PIN: newPIN}))
	card.pin = newPIN
	find[domain.DevicePINChanged](b.t, card.press(p, c))

	c = find[domain.ChallengeIssued](b.t, b.do(domain.RequestDeviceSharing{
		UserID: other.id, AuthenticatorID: bound.AuthenticatorID, TxnID: other.txn(domain.PurposeDeviceSharing), IdentityMatch: true, EvidenceRef: "case-1",
	}))
	shared := find[domain.AuthenticatorEnrolled](b.t, card.press(other, c))
	b.do(domain.BindToDevice{DeviceID: card.id, UserID: other.id, AuthenticatorID: shared.AuthenticatorID})
}

// proveAndroid answers in a process with IB Key on Android, by the typed
// response that the app makes with its PIN.
func proveAndroid(p *person, txn string) {
	b := p.b
	b.t.Helper()
	c := find[domain.ChallengeIssued](b.t, b.do(domain.IssueChallenge{TxnID: txn, AuthenticatorID: p.key}))
	c = find[domain.ChallengeIssued](b.t, b.do(domain.RequestFallback{ChallengeID: c.ChallengeID, Cause: domain.CauseNoInternet}))
	find[domain.ResponseVerified](b.t, p.respond(c))
}

// migration moves IB Key to an iPhone; the card proves it.
func migration(p *person, card *unit) {
	b := p.b
	b.t.Helper()
	next := b.install(domain.AppIBKRMobile, domain.IOS, "handset-2")
	started := b.do(domain.StartMigration{UserID: p.id, InstallationID: next.id, TxnID: p.txn(domain.PurposeMigration)})
	id := find[domain.MigrationStarted](b.t, started).MigrationID
	find[domain.MigrationProofAccepted](b.t, card.press(p, find[domain.ChallengeIssued](b.t, started)))
	old := p.key
	p.key = find[domain.MigrationCompleted](b.t, b.do(domain.CompleteMigration{MigrationID: id, UV: domain.UVFaceID})).ToAuthenticatorID
	b.do(domain.UnbindFromInstallation{InstallationID: p.app.id, UserID: p.id, AuthenticatorID: old})
	p.app = next
	b.do(domain.BindToInstallation{InstallationID: next.id, UserID: p.id, AuthenticatorID: p.key})
	b.do(domain.StartEnrollment{UserID: p.id, Kind: domain.KindIBKey, InstallationID: next.id, TxnID: p.txn(domain.PurposeActivation)}) // refused
	c := b.do(domain.IssueChallenge{TxnID: p.txn(domain.PurposeLogin), AuthenticatorID: p.key})
	find[domain.AuthenticationSucceeded](b.t, p.approve(find[domain.ChallengeIssued](b.t, c)))
}

// unification moves IB Key from the standalone app to IBKR Mobile.
func unification(p *person) {
	b := p.b
	b.t.Helper()
	abandoned := b.install(domain.AppIBKRMobile, domain.IOS, "handset-9")
	b.do(domain.StartEnrollment{UserID: p.id, Kind: domain.KindIBKey, InstallationID: abandoned.id, TxnID: p.txn(domain.PurposeActivation)})
	b.wait(time.Hour)
	b.do(domain.TidyUser{UserID: p.id})
	standalone := b.install(domain.AppIBKeyStandalone, domain.Android, "handset-3")
	p.activate(standalone, domain.UVAppPIN)
	next := b.install(domain.AppIBKRMobile, domain.Android, "handset-3")
	detect := domain.DetectUnification{UserID: p.id, InstallationID: next.id, Case: "auth_only", StandaloneInstallationID: standalone.id}
	b.do(domain.DeferUnification{UnificationID: find[domain.UnificationOffered](b.t, b.do(detect)).UnificationID})
	id := find[domain.UnificationOffered](b.t, b.do(detect)).UnificationID
	handover := standalone.sign(b.t, "authledger/handover/v1\n", p.id+"\n"+standalone.id+"\n"+next.id)
	find[domain.UnificationCompleted](b.t, b.do(domain.CompleteUnification{UnificationID: id, Handover: domain.Secret(handover)}))
	b.do(domain.UnbindFromInstallation{InstallationID: standalone.id, UserID: p.id, AuthenticatorID: p.key})
	b.do(domain.RetireInstallation{InstallationID: standalone.id, Reason: "unified", SuccessorID: next.id})
	b.do(domain.BindToInstallation{InstallationID: next.id, UserID: p.id, AuthenticatorID: p.key})
	p.app = next
}

// recovery brings IB Key back on the same Android phone after its PIN was
// blocked, by SMS.
func recovery(p *person) {
	b := p.b
	b.t.Helper()
	b.do(domain.ReportPINBlocked{InstallationID: p.app.id, WrongEntries: 10})
	b.do(domain.SuspendAuthenticator{AuthenticatorID: p.key, Reason: "pin_blocked"})
	started := b.do(domain.StartRecovery{UserID: p.id, InstallationID: p.app.id, TxnID: p.txn(domain.PurposeRecovery), Cause: "reinstalled"})
	id, issued := find[domain.RecoveryStarted](b.t, started).RecoveryID, find[domain.ActivationCodeIssued](b.t, started)
	find[domain.RecoveryProofAccepted](b.t, b.do(domain.ProveRecovery{RecoveryID: id, Code: b.activation(domain.PurposeRecovery, issued)}))
	p.key = find[domain.RecoveryCompleted](b.t, b.do(domain.CompleteRecovery{RecoveryID: id, UV: domain.UVAppPIN})).NewAuthenticatorID
	b.do(domain.UnblockInstallation{InstallationID: p.app.id, RecoveryID: id})
}

// temporaryAccess loses the phone, finds a way in with a passcode, then with an
// online card, and finds the phone again.
func temporaryAccess(p *person) {
	b := p.b
	b.t.Helper()
	identify := domain.VerifyIdentityByPhone{UserID: p.id, AgentRef: "agent-7", Method: "phone_questions"}
	b.do(identify)
	find[domain.TemporaryCredentialCollected](b.t, collect(p))
	b.do(domain.ReportLost{AuthenticatorID: p.key, By: "client"})
	b.do(domain.IssueTemporaryPasscode{UserID: p.id, MissingAuthenticatorID: p.key})
	c := find[domain.ChallengeIssued](b.t, p.begin(domain.PurposeLogin, domain.ClientPortal))
	text, err := b.j.TemporaryPasscode(b.t.Context(), p.id, c.AuthenticatorID)
	if err != nil {
		b.t.Fatal(err)
	}
	entered := find[domain.AuthenticationSucceeded](b.t, p.answer(c.ChallengeID, text))
	issued := find[domain.OnlineCodeCardIssued](b.t, b.do(domain.IssueCodeCard{UserID: p.id, Kind: domain.KindOSCC, TxnID: entered.TxnID}))
	cells, err := b.j.CodeCard(b.t.Context(), p.id, issued.AuthenticatorID)
	if err != nil {
		b.t.Fatal(err)
	}
	c = find[domain.ChallengeIssued](b.t, b.do(domain.ActivateCodeCard{AuthenticatorID: issued.AuthenticatorID, TxnID: entered.TxnID}))
	find[domain.AuthenticatorEnrolled](b.t, p.answer(c.ChallengeID, cells[c.GridIndices[0]-1]+cells[c.GridIndices[1]-1]))
	b.do(identify)
	find[domain.AuthenticatorReactivated](b.t, b.do(domain.ReactivateAuthenticator{AuthenticatorID: p.key, Proof: "agent"}))
}

// collect shows a reset password in the app.
func collect(p *person) []domain.Event {
	b := p.b
	b.t.Helper()
	id := find[domain.TemporaryCredentialDelivered](b.t, b.do(domain.DeliverTemporaryCredential{
		UserID: p.id, ResetRef: "reset-1", What: "reset_password", Channel: "in_app", Credential: "s3cret",
	})).DeliveryID
	return b.do(domain.CollectTemporaryCredential{DeliveryID: id, InstallationID: p.app.id, Proof: proofAt(b, p.app, id)})
}

// regime opts out, is waived through, and is overtaken by a rule that comes,
// changes and goes.
func regime(p *person) {
	b := p.b
	b.t.Helper()
	request := domain.RequestOptOut{UserID: p.id, RequestedBy: p.id, AgreementVersion: "2024-01", Acknowledged: true}
	find[domain.OptOutGranted](b.t, b.do(request))
	find[domain.SecondFactorWaived](b.t, p.begin(domain.PurposeLogin, domain.TWS))
	rule := law(1, "2026-03-01")
	b.as(domain.ActorCompliance, domain.PublishRule{Rule: rule})
	find[domain.OptOutRevoked](b.t, b.do(domain.ReevaluateRegime{UserID: p.id, Cause: "rule_in_force"}))
	find[domain.OptOutDenied](b.t, b.do(request))
	rule.Version, rule.EffectiveFrom = 2, "2026-03-02"
	b.as(domain.ActorCompliance, domain.AmendRule{Rule: rule})
	b.as(domain.ActorCompliance, domain.WithdrawRule{RuleID: rule.ID, Reason: "repealed", EffectiveOn: "2026-03-02"})
	find[domain.OptOutGranted](b.t, b.do(request))
	b.as(domain.ActorCompliance, domain.SetParameter{Parameter: "scc.issue", Value: 1, EffectiveFrom: "2026-01-01", Reason: "test"})
	b.do(domain.IssueCodeCard{UserID: p.id, Kind: domain.KindSCC})
}

// lost reports the shared card lost, and gives it back.
func lost(p, other *person, card *unit) {
	b := p.b
	b.t.Helper()
	for _, who := range []*person{p, other} {
		id := ""
		err := b.j.User(b.t.Context(), who.id, func(u *domain.User, _ time.Time) error {
			i := slices.IndexFunc(u.Bound(), func(a domain.Authenticator) bool { return a.DeviceID == card.id })
			id = u.Bound()[i].ID
			return nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
		b.do(domain.ReportLost{AuthenticatorID: id, By: "client"})
		b.do(domain.RevokeAuthenticator{AuthenticatorID: id, Reason: "lost"})
		b.do(domain.UnbindFromDevice{DeviceID: card.id, UserID: who.id, AuthenticatorID: id})
	}
	b.do(domain.RecordDeviceReturned{DeviceID: card.id, ReceivedOn: "2026-03-05", Condition: "ok"})
	b.do(domain.RecordDeposit{DeviceID: card.id, Amount: domain.Money{Minor: 2000, Currency: "USD"}})
	b.do(domain.RecordReplacementFee{DeviceID: card.id, Amount: domain.Money{Minor: 2000, Currency: "USD"}, Reason: "lost", FeeRuleID: "fee.dsc_plus"})
}
