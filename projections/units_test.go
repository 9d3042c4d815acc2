package projections

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/domain"
)

func mustDevice(t *testing.T, v *Views, id string) Device {
	t.Helper()
	d, err := v.Device(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOneDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, aut, req := unit(7), "aut_"+key(1)+"_9", "req_"+key(1)+"_1"
	usd := domain.Money{Minor: 2000, Currency: "USD"}
	shipped := domain.PhysicalDeviceShipped{DeviceID: u, RequestID: req, UserID: user(1), DispatchedOn: "2026-03-02", ActivationDueOn: "2026-03-16"}
	w.in(u, domain.PhysicalDeviceRegistered{DeviceID: u, Model: "dsc_plus", Manufacturer: "m", Serial: "s", OCRASuite: "suite"})
	registration := w.last()
	w.pass(time.Second)
	w.in(u, shipped, domain.DeviceDepositHeld{DeviceID: u, Amount: usd})
	w.pass(time.Second)
	w.in(user(1), domain.AuthenticatorEnrolled{AuthenticatorID: aut, Kind: domain.KindDSCPlus, DeviceID: u, Trigger: "auto_14_days"})
	enrolled := w.last()
	w.in(u, domain.AuthenticatorBound{UserID: user(1), AuthenticatorID: aut})
	w.pass(time.Second)
	w.in(u, domain.DeviceReturned{DeviceID: u, ReceivedOn: "2026-03-20", Condition: "damaged"})
	w.in(user(1), shipped) // the user's stream is late
	w.in(u, domain.AuthenticatorUnbound{UserID: user(1), AuthenticatorID: aut})
	w.in(u, domain.DeviceDepositReleased{DeviceID: u, Amount: usd},
		domain.DeviceReplacementFeeCharged{DeviceID: u, Amount: usd, Reason: "damaged", FeeRuleID: "fee"})
	v := w.views()
	want := Device{
		ID: u, EventID: registration, Model: "dsc_plus", Manufacturer: "m", Serial: "s", OCRASuite: "suite", RegisteredAt: at(0),
		RequestID: req, UserID: user(1), DispatchedOn: "2026-03-02", DueOn: "2026-03-16", ShippedAt: pointer(at(1)), ActivatedAt: pointer(at(2)),
		ReturnedOn: "2026-03-20", ReturnedAt: pointer(at(3)), Condition: "damaged",
		Authenticators: []Authenticator{{
			ID: aut, UserID: user(1), Kind: domain.KindDSCPlus, DeviceID: u, Trigger: "auto_14_days", EnrolledAt: at(2), EnrolledEvent: enrolled,
		}},
		Bindings: []Binding{{UserID: user(1), AuthenticatorID: aut, BoundAt: at(2), UnboundAt: pointer(at(3))}},
		Charges: []Charge{
			{Sequence: 3, Kind: ChargeDepositHeld, Amount: usd, RecordedAt: at(1)},
			{Sequence: 9, Kind: ChargeDepositReleased, Amount: usd, RecordedAt: at(3)},
			{Sequence: 10, Kind: ChargeFee, Amount: usd, Reason: "damaged", FeeRuleID: "fee", RecordedAt: at(3)},
		},
	}
	if diff := cmp.Diff(want, mustDevice(t, v, u)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := v.Device(context.Background(), unit(8)); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown device: %v", err)
	}
}

// A card is ordered, sent and activated by its owner, and shared with another
// user after compliance agreed.
func TestACardFromOrderToSharing(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	owner, u := l.user, l.manufacture(1)
	l.actor.Kind = domain.ActorCompliance
	l.do(domain.SetParameter{Parameter: "sharing.compliance_review", Value: 1, EffectiveFrom: "2026-01-01", Reason: "house rule"})
	l.actor.Kind = domain.ActorClient
	request := l.ship(u)
	v := l.views()
	if p := mustProcess(t, v, request); p.Step != "shipped" || p.DeviceID != u || !p.Open(l.now) || p.Variant != "dsc_plus" {
		t.Errorf("request: %+v", p)
	}
	out := l.do(domain.StartEnrollment{UserID: owner, Kind: domain.KindDSCPlus, DeviceID: u, TxnID: l.begin(domain.PurposeActivation, domain.ClientPortal)})
	enrollment := first[domain.EnrollmentStarted](l, out).EnrollmentID
	card := first[domain.AuthenticatorEnrolled](l, l.press(first[domain.ChallengeIssued](l, out).ChallengeID, 7)).AuthenticatorID
	l.do(domain.BindToDevice{DeviceID: u, UserID: owner, AuthenticatorID: card})
	activated := l.now
	l.apply(v)
	a := mustAuthenticator(t, v, card)
	if a.ProcessID != enrollment || a.Proof != ProofPhysical || a.UV != domain.UVDSCPIN || a.DeviceID != u {
		t.Errorf("card: %+v", a)
	}
	if p := mustProcess(t, v, request); p.Step != "activated" || p.Outcome != ProcessDone || !p.EndedAt.Equal(activated) {
		t.Errorf("request after activation: %+v", p)
	}
	if p := mustProcess(t, v, enrollment); p.ProvedAt == nil || !p.ProvedAt.Equal(activated) || p.AuthenticatorID != card {
		t.Errorf("enrolment: %+v", p)
	}

	other, _, _ := l.join("bertha")
	l.user = other
	out = l.do(domain.RequestDeviceSharing{
		UserID: other, AuthenticatorID: card, TxnID: l.begin(domain.PurposeDeviceSharing, domain.ClientPortal), IdentityMatch: true, EvidenceRef: "case-1",
	})
	sharing := first[domain.DeviceSharingRequested](l, out).SharingID
	l.do(domain.NoteSharingRequested{DeviceID: u, SharingID: sharing, OwnerUserID: owner, RequestingUserID: other})
	l.press(first[domain.ChallengeIssued](l, out).ChallengeID, 8)
	l.apply(v)
	want := mustProcess(t, v, sharing)
	if want.Step != "pending" || want.Reason != "compliance_review" || !want.Open(l.now) || want.ProvedAt == nil || want.UserID != other ||
		want.OwnerUserID != owner || want.DeviceID != u {
		t.Errorf("pending: %+v", want)
	}
	l.pass(time.Hour)
	shared := did[domain.AuthenticatorEnrolled](l, domain.DecideDeviceSharing{SharingID: sharing, Grant: true}).AuthenticatorID
	l.do(domain.BindToDevice{DeviceID: u, UserID: other, AuthenticatorID: shared})
	granted := l.now
	l.pass(time.Hour)
	l.do(domain.RevokeAuthenticator{AuthenticatorID: shared, Reason: "client_request"})
	l.apply(v)
	want.Step, want.Reason, want.Outcome, want.EndedAt, want.AuthenticatorID = "ended", "", ProcessDone, &granted, shared
	if diff := cmp.Diff(want, mustProcess(t, v, sharing)); diff != "" {
		t.Errorf("sharing (-want +got):\n%s", diff)
	}
	if a := mustAuthenticator(t, v, shared); a.ProcessID != sharing || a.SharingID != sharing || a.Proof != ProofPhysical || a.Trigger != "sharing" {
		t.Errorf("shared card: %+v", a)
	}
	d := mustDevice(t, v, u)
	if len(d.Authenticators) != 2 || len(d.Bindings) != 2 || d.UserID != owner || !d.ActivatedAt.Equal(activated) {
		t.Errorf("device: %+v", d)
	}
	const onSharing = "DeviceSharingRequested ChallengeIssued DeviceSharingRequested ResponseVerified DeviceSharingPending DeviceSharingGranted " +
		"AuthenticatorEnrolled AuthenticatorBound AuthenticatorRevoked DeviceSharingEnded"
	if got := timeline(t, v, sharing); got != onSharing {
		t.Errorf("timeline of the sharing:\ngot  %s\nwant %s", got, onSharing)
	}
	const onDevice = "PhysicalDeviceRegistered PhysicalDeviceShipped PhysicalDeviceShipped EnrollmentStarted ChallengeIssued ResponseVerified " +
		"UserVerificationPerformed AuthenticatorEnrolled AuthenticatorBound " + "DeviceSharingRequested ChallengeIssued DeviceSharingRequested " +
		"ResponseVerified DeviceSharingPending DeviceSharingGranted AuthenticatorEnrolled AuthenticatorBound AuthenticatorRevoked DeviceSharingEnded"
	if got := timeline(t, v, u); got != onDevice {
		t.Errorf("timeline of the unit:\ngot  %s\nwant %s", got, onDevice)
	}
	if got := timeline(t, v, request); got != "PhysicalDeviceRequested PhysicalDeviceShipped PhysicalDeviceShipped" {
		t.Errorf("timeline of the request: %s", got)
	}
}

// Units are due from midnight UTC of their day until somebody activates them,
// they come back, or there is nobody left to activate them for.
func TestDueDevices(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	midnight := time.Date(2026, 3, 16, 0, 0, 0, 0, time.UTC)
	units := []string{l.manufacture(1), l.manufacture(2), l.manufacture(3)}
	requests := map[string]string{}
	for _, u := range units {
		requests[u] = l.ship(u)
	}
	v := l.views()
	due := func(at time.Time, want ...string) {
		t.Helper()
		got, err := v.DueDevices(t.Context(), at)
		var wanted []DueDevice
		for _, u := range want {
			wanted = append(wanted, DueDevice{UserID: l.user, DeviceID: u})
		}
		if diff := cmp.Diff(wanted, got); diff != "" || err != nil {
			t.Errorf("due at %s: %v (-want +got):\n%s", at, err, diff)
		}
	}
	due(midnight.Add(-time.Nanosecond))
	due(midnight.In(time.FixedZone("", -5*3600)), units...)
	l.now = midnight
	l.do(domain.RecordDeviceReturned{DeviceID: units[0], ReceivedOn: "2026-03-15", Condition: "ok"})
	did[domain.AuthenticatorEnrolled](l, domain.AutoActivateDevice{UserID: l.user, DeviceID: units[1]})
	l.apply(v)
	due(midnight, units[2])
	if p := mustProcess(t, v, requests[units[0]]); p.Step != "returned" || p.Outcome != ProcessCancelled {
		t.Errorf("request of a unit that came back: %+v", p)
	}
	// Sent again to a user who answers with it already, a unit waits for nothing.
	l.do(domain.RecordDeviceReturned{DeviceID: units[1], ReceivedOn: "2026-03-16", Condition: "battery"})
	l.ship(units[1])
	l.apply(v)
	due(midnight.AddDate(1, 0, 0), units[2])
	l.do(domain.CloseUser{UserID: l.user, Reason: "left"})
	l.apply(v)
	due(midnight.AddDate(1, 0, 0))
}

// Cards of cells: issued, asked for two of them, bound.
func TestCodeCards(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	txn := l.begin(domain.PurposeLogin, domain.ClientPortal)
	l.signIn(txn)
	did[domain.OnlineCodeCardRefused](l, domain.IssueCodeCard{UserID: l.user, Kind: domain.KindOSCC, TxnID: "txn_none"})
	id := did[domain.OnlineCodeCardIssued](l, domain.IssueCodeCard{UserID: l.user, Kind: domain.KindOSCC, TxnID: txn}).AuthenticatorID
	v := l.views()
	if p := mustProcess(t, v, id); p.Step != "issued" || p.Variant != "oscc" || p.ProvedAt != nil || !p.Open(l.now) {
		t.Errorf("issued: %+v", p)
	}
	cells, err := l.j.CodeCard(t.Context(), l.user, id)
	if err != nil {
		t.Fatal(err)
	}
	c := did[domain.ChallengeIssued](l, domain.ActivateCodeCard{AuthenticatorID: id, TxnID: txn})
	l.do(domain.SubmitResponse{ChallengeID: c.ChallengeID, Response: domain.Secret(cells[c.GridIndices[0]-1] + cells[c.GridIndices[1]-1])})
	l.apply(v)
	if p := mustProcess(t, v, id); p.Step != "activated" || p.Outcome != ProcessDone || p.ProvedAt == nil {
		t.Errorf("activated: %+v", p)
	}
	if a := mustAuthenticator(t, v, id); a.Proof != ProofGrid || a.ProcessID != id || a.Kind != domain.KindOSCC || !a.ExpiresAt.Equal(l.now.Add(504*time.Hour)) {
		t.Errorf("card: %+v", a)
	}
	page, err := v.Processes(t.Context(), ProcessFilter{UserID: l.user, Kind: ProcessCard})
	if err != nil || len(page.Items) != 2 || page.Items[0].Reason != "OSCC_SCOPE" || page.Items[0].Outcome != ProcessRefused {
		t.Errorf("cards: %+v, %v", page.Items, err)
	}
}

// signIn answers a login's SMS challenge.
func (l *ledger) signIn(txn string) {
	l.t.Helper()
	var c domain.Challenge
	err := l.j.User(l.t.Context(), l.user, func(u *domain.User, _ time.Time) error {
		t, _ := u.Transaction(txn)
		c, _ = u.Challenge(t.LastChallenge)
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	did[domain.AuthenticationSucceeded](l, domain.SubmitResponse{
		ChallengeID: c.ID, Response: l.code(domain.PurposeLogin, c.ID, c.Codes[len(c.Codes)-1]),
	})
}
