package replay

import (
	"time"

	"pgregory.net/rapid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
)

// live lets two users do what a random walk makes them do, while compliance
// now and then changes the rule book.
func live(t *rapid.T, l *ledger) {
	clientID := codec.ClientIDOf("acme")
	l.must(domain.RegisterClient{ClientID: clientID, Kind: domain.Individual, CarryingEntity: "IB-IE", CarryingCC: "IE"}, domain.Facts{})
	var walkers []*walker
	for _, ref := range []string{"ada", "eve"} {
		walkers = append(walkers, newWalker(l, ref, clientID))
	}
	walkers[0].other, walkers[1].other = walkers[1], walkers[0]
	for n := range rapid.IntRange(5, 18).Draw(t, "steps") {
		l.wait(rapid.SampledFrom([]time.Duration{0, time.Microsecond, time.Second, 30 * time.Second, 3 * time.Minute, 13 * time.Hour}).Draw(t, "pause"))
		w := walkers[rapid.IntRange(0, 1).Draw(t, "user")]
		// Generated numbers lean towards zero, so the act that zero stands for
		// moves on with every step.
		a := acts[(rapid.IntRange(0, len(acts)-1).Draw(t, "act")+n*7)%len(acts)]
		w.step(a, rapid.SampledFrom([]bool{true, true, false}).Draw(t, "right"))
	}
	if rapid.Bool().Draw(t, "ends") { // rare among the acts, and nothing happens after it
		walkers[0].step(closeUser, false)
		walkers[0].step(bury, true)
	}
}

// walker is one user of a random walk and what it can refer to.
type walker struct {
	l                                    *ledger
	other                                *walker
	id, clientID                         string
	installations                        [2]string // before and after a move
	device                               string
	phone, verification, enrollment, txn string
	challenge, message, call             string
	authenticator                        map[domain.Kind]string // the newest of each kind
	card, order, delivery                string
	migration, recovery, unification     string
	sharing, hold                        string
}

func newWalker(l *ledger, ref, clientID string) *walker {
	w := &walker{
		l: l, id: codec.UserIDOf(ref), clientID: clientID, device: domain.DeviceID(domain.UserStream(codec.UserIDOf("unit of " + ref))[len("user-"):]),
		installations: [2]string{codec.InstallationIDOf([]byte(ref)), codec.InstallationIDOf([]byte(ref + "'s next"))}, authenticator: map[domain.Kind]string{},
	}
	l.must(domain.RegisterUser{UserID: w.id, ClientID: clientID, Role: domain.RoleOwner, Username: domain.Clear(ref), Locale: "de-DE", Residence: "DE"}, domain.Facts{})
	l.must(domain.RegisterDevice{DeviceID: w.device, Model: domain.ModelDSCPlus, Manufacturer: "Example Tokens", Serial: ref, Suite: "OCRA-1:HOTP-SHA256-8:C-QN06", Counter: 1}, domain.Facts{})
	return w
}

// act is a few commands; each is made when the one before has been answered.
type act func(w *walker, right bool) []func() domain.Command

func (w *walker) step(a act, right bool) {
	for _, command := range a(w, right) {
		c := command()
		for _, e := range w.l.do(c, w.facts(c, right)) {
			w.learn(e)
		}
	}
}

// facts is the evidence a shell would bring for anything an act may ask.
func (w *walker) facts(c domain.Command, right bool) domain.Facts {
	u, now := w.l.user(w.id), w.l.now
	f := domain.Facts{
		Actor: domain.Actor{Kind: domain.ActorCompliance, Ref: "officer-1"}, Code: no, PINConforms: right, Handover: right, GridCommitment: "commitment",
		Installation: &domain.InstallationFacts{ID: w.installations[1], OS: domain.IOS, HandsetID: "handset-2", App: domain.AppIBKRMobile},
		Device:       &domain.DeviceFacts{ID: w.device, Model: domain.ModelDSCPlus, Suite: "OCRA-1:HOTP-SHA256-8:C-QN06", NextCounter: 1, RequestID: w.l.state(domain.DeviceStream(w.device)).(*domain.Device).RequestID},
		Clients:      map[string]*domain.Client{w.clientID: w.l.state(domain.ClientStream(w.clientID)).(*domain.Client)},
		Push:         domain.PushEvidence{Authentic: true, Approve: right, NumberGiven: right, NumberMatched: right, UV: domain.UVFaceID},
	}
	if right {
		f.Code = yes
	}
	switch c := c.(type) {
	case domain.ReleaseLegalHold:
		f.Actor.Ref = "officer-2"
	case domain.StartEnrollment, domain.CompleteEnrollment:
		f.Installation.ID, f.Installation.HandsetID = w.installations[0], "handset-1"
	case domain.StartRecovery, domain.DetectUnification, domain.CompleteUnification, domain.CompleteRecovery:
		f.Installation.HandsetID = "handset-1"
		f.From = &domain.InstallationFacts{ID: w.installations[0], OS: domain.IOS, HandsetID: "handset-1", App: domain.AppIBKeyStandalone}
	case domain.RecordDeviceShipped:
		if r, ok := u.DeviceRequest(c.RequestID); ok {
			f.Request = &domain.RequestFacts{Model: r.Model, Shipped: r.Shipped}
		}
	case domain.RequestDeviceSharing:
		if a, ok := w.l.user(w.other.id).Authenticator(c.AuthenticatorID); ok {
			f.Owner = &domain.OwnerFacts{UserID: w.other.id, ClientID: w.clientID, Kind: a.Kind, DeviceID: a.DeviceID, Active: a.Active(now), BestRank: a.Kind.Rank()}
			if !right {
				f.Owner.ClientID = codec.ClientIDOf("other")
			}
		}
	}
	return f
}

func (w *walker) learn(e domain.Event) {
	switch e := e.(type) {
	case domain.PhoneNumberAdded:
		w.phone = e.PhoneID
	case domain.PhoneVerificationStarted:
		w.verification = e.VerificationID
	case domain.EnrollmentStarted:
		w.enrollment = e.EnrollmentID
	case domain.AuthenticationStarted:
		w.txn = e.TxnID
	case domain.ChallengeIssued:
		w.challenge = e.ChallengeID
	case domain.SMSRequested:
		w.message = e.SMSID
	case domain.VoiceCallRequested:
		w.call = e.CallID
	case domain.AuthenticatorEnrolled:
		w.authenticator[e.Kind] = e.AuthenticatorID
	case domain.OnlineCodeCardIssued:
		w.card = e.AuthenticatorID
	case domain.SecurityCodeCardIssued:
		w.card = e.AuthenticatorID
	case domain.PhysicalDeviceRequested:
		w.order = e.RequestID
	case domain.TemporaryCredentialDelivered:
		w.delivery = e.DeliveryID
	case domain.MigrationStarted:
		w.migration = e.MigrationID
	case domain.RecoveryStarted:
		w.recovery = e.RecoveryID
	case domain.UnificationOffered:
		w.unification = e.UnificationID
	case domain.DeviceSharingRequested:
		w.sharing = e.SharingID
	case domain.LegalHoldPlaced:
		w.hold = e.HoldID
	}
}
