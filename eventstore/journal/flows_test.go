package journal

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/domain/ocra"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// Steps of the flows beside the plain login: further users, transactions,
// apps and physical units.

// person registers another user of the world's client, with SMS.
func (w *world) person(ref, number string) (userID string) {
	w.t.Helper()
	userID = codec.UserIDOf(ref)
	w.do(domain.RegisterUser{UserID: userID, ClientID: w.client, Role: domain.RoleHolder, Username: domain.Clear(ref), Locale: "de-DE", Residence: "DE"})
	phone := event[domain.PhoneNumberAdded](w.t, w.do(domain.AddPhone{
		UserID: userID, CC: "DE", Number: domain.Clear(number), Line: domain.LineMobile,
	})).PhoneID
	issued := event[domain.ConfirmCodeIssued](w.t, w.do(domain.StartPhoneVerification{PhoneID: phone}))
	code := w.code(domain.PurposePhoneVerification, issued.VerificationID, domain.Issued{Seq: 1, Kid: issued.Kid, Len: issued.CodeLen})
	event[domain.PhoneNumberVerified](w.t, w.do(domain.ConfirmPhone{VerificationID: issued.VerificationID, Code: code}))
	w.do(domain.EvaluateAutoSMS{UserID: userID, PhoneID: phone})
	return userID
}

// begin opens a transaction of a process with the password.
func (w *world) begin(userID string, p domain.Purpose) (txnID string) {
	w.t.Helper()
	return event[domain.AuthenticationStarted](w.t, w.do(domain.StartAuthentication{
		UserID: userID, Purpose: p, Platform: domain.ClientPortal, PrimaryVerified: true,
	})).TxnID
}

// ask starts a login and returns the challenge it leads to at once.
func (w *world) ask(userID string, p domain.Platform) domain.ChallengeIssued {
	w.t.Helper()
	w.clock.advance(3 * time.Minute) // past the cooldown of SMS
	return event[domain.ChallengeIssued](w.t, w.do(domain.StartAuthentication{
		UserID: userID, Purpose: domain.PurposeLogin, Platform: p, PrimaryVerified: true,
	}))
}

// shown is what the login page shows for a challenge.
func (w *world) shown(challengeID string) string {
	w.t.Helper()
	var c domain.Challenge
	err := w.j.User(w.t.Context(), domain.UserOf(challengeID), func(u *domain.User, _ time.Time) error {
		c, _ = u.Challenge(challengeID)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	digits, err := w.j.Shown(w.t.Context(), c)
	if err != nil || digits == "" {
		w.t.Fatalf("challenge %s shows %d digits, %v", challengeID, len(digits), err)
	}
	return digits
}

// submit answers a challenge and returns the reason of its rejection, empty
// when the answer was right.
func (w *world) submit(challengeID string, response domain.Secret) domain.Code {
	w.t.Helper()
	w.remember(string(response))
	out := w.do(domain.SubmitResponse{ChallengeID: challengeID, Response: response})
	if r, ok := out.Events[0].Event.(domain.ResponseRejected); ok {
		return r.Reason
	}
	event[domain.ResponseVerified](w.t, out)
	return ""
}

// unit is a Digital Security Card+ as its holder has it.
type unit struct {
	w       *world
	id      string
	suite   ocra.Suite
	seed    []byte
	counter uint64 // of the next response
}

const (
	suiteCard    = "OCRA-1:HOTP-SHA256-8:C-QN06"
	suiteCardPIN = "OCRA-1:HOTP-SHA256-8:C-QN06-PSHA1"
)

// unit registers a physical unit, with its seed where an import puts it.
func (w *world) unit(serial, suite string) *unit {
	w.t.Helper()
	parsed, err := ocra.Parse(suite)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &unit{w: w, id: codec.DeviceIDOf("Acme", serial), suite: parsed, seed: make([]byte, 32)}
	_, _ = rand.Read(c.seed)
	for _, spelling := range []string{string(c.seed), hex.EncodeToString(c.seed), base64.StdEncoding.EncodeToString(c.seed)} {
		w.remember(spelling)
	}
	w.do(domain.RegisterDevice{DeviceID: c.id, Model: domain.ModelDSCPlus, Manufacturer: "Acme", Serial: serial, Suite: suite})
	if err := w.keys.PutSecret(w.t.Context(), domain.DeviceStream(c.id), SecretSeed, c.seed); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// answer computes a response as the card does, and moves its counter on.
func (c *unit) answer(question, pin string) domain.Secret {
	c.w.t.Helper()
	in := ocra.Input{Question: question, Counter: c.counter, PINHash: c.suite.HashPIN([]byte(pin))}
	response, err := c.suite.Compute(c.seed, in)
	if err != nil {
		c.w.t.Fatal(err)
	}
	c.counter++
	return domain.Secret(c.w.remember(response))
}

func (c *unit) respond(challengeID, pin string) domain.Secret {
	c.w.t.Helper()
	return c.answer(c.w.shown(challengeID), pin)
}

func (w *world) order(userID, pin string) domain.RequestPhysicalDevice {
	return domain.RequestPhysicalDevice{
		UserID: userID, Model: domain.ModelDSCPlus, PIN: domain.Secret(w.remember(pin)), EquityUSDMinor: 123_456_789_01,
		ShipTo: domain.Clear("Hauptstraße 1, Bonn"),
	}
}

// ship sends the unit out for an order of the user with a PIN.
func (c *unit) ship(userID, pin string) {
	c.w.t.Helper()
	c.send(event[domain.PhysicalDeviceRequested](c.w.t, c.w.do(c.w.order(userID, pin))).RequestID)
}

// send sends the unit out for an order.
func (c *unit) send(requestID string) {
	c.w.t.Helper()
	shipped := event[domain.PhysicalDeviceShipped](c.w.t, c.w.do(domain.RecordDeviceShipped{
		DeviceID: c.id, RequestID: requestID, DispatchedOn: c.w.clock.time().Format(time.DateOnly),
	}))
	c.w.do(domain.NoteDeviceShipped{
		UserID: shipped.UserID, DeviceID: c.id, RequestID: requestID, DispatchedOn: shipped.DispatchedOn, DueOn: shipped.ActivationDueOn,
	})
}

// activation asks the shipped unit for the response that binds it.
func (c *unit) activation(userID string) (challengeID string) {
	c.w.t.Helper()
	out := c.w.do(domain.StartEnrollment{
		UserID: userID, Kind: domain.KindDSCPlus, DeviceID: c.id, TxnID: c.w.begin(userID, domain.PurposeActivation),
	})
	return event[domain.ChallengeIssued](c.w.t, out).ChallengeID
}

// activate binds the shipped unit to the user, in both streams.
func (c *unit) activate(userID, pin string) (authenticatorID string) {
	c.w.t.Helper()
	challenge := c.activation(userID)
	out := c.w.do(domain.SubmitResponse{ChallengeID: challenge, Response: c.respond(challenge, pin)})
	id := event[domain.AuthenticatorEnrolled](c.w.t, out).AuthenticatorID
	c.bind(id)
	return id
}

// bind is the reaction to an enrolment: the unit's stream says who uses it.
func (c *unit) bind(authenticatorID string) {
	c.w.t.Helper()
	c.w.do(domain.BindToDevice{DeviceID: c.id, UserID: domain.UserOf(authenticatorID), AuthenticatorID: authenticatorID})
}

// app is an installation with its key.
type app struct {
	w   *world
	id  string
	key *ecdsa.PrivateKey
}

// app registers an installation on a handset.
func (w *world) app(kind domain.App, os domain.OS, handset string) *app {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		w.t.Fatal(err)
	}
	a := &app{w: w, id: codec.InstallationIDOf(der), key: key}
	w.do(domain.RegisterInstallation{
		InstallationID: a.id, App: kind, OS: os, AppVersion: "8.1", HandsetID: handset, DeviceName: domain.Clear("Anna's phone"),
		KeyAlgorithm: domain.ES256, PublicKey: base64.RawURLEncoding.EncodeToString(der), PublicKeyID: "k",
	})
	if os == domain.Android {
		w.do(domain.AttestPIN{InstallationID: a.id, PINPolicyVersion: 1})
	}
	return a
}

// sign signs a text under a prefix; the signature is base64url.
func (a *app) sign(prefix, text string) domain.Secret {
	a.w.t.Helper()
	digest := sha256.Sum256([]byte(prefix + text))
	sig, err := ecdsa.SignASN1(rand.Reader, a.key, digest[:])
	if err != nil {
		a.w.t.Fatal(err)
	}
	return domain.Secret(base64.RawURLEncoding.EncodeToString(sig))
}

// enroll binds the user's IB Key to the app, in both streams.
func (a *app) enroll(userID string, uv domain.UV) (authenticatorID string) {
	a.w.t.Helper()
	issued := event[domain.ActivationCodeIssued](a.w.t, a.w.do(domain.StartEnrollment{
		UserID: userID, Kind: domain.KindIBKey, InstallationID: a.id, TxnID: a.w.begin(userID, domain.PurposeActivation),
	}))
	code := a.w.code(domain.PurposeActivation, issued.SubjectID, domain.Issued{Seq: issued.Seq, Kid: issued.Kid, Len: issued.CodeLen})
	a.w.do(domain.SubmitActivationCode{EnrollmentID: issued.SubjectID, Code: code})
	id := event[domain.AuthenticatorEnrolled](a.w.t, a.w.do(domain.CompleteEnrollment{EnrollmentID: issued.SubjectID, UV: uv})).AuthenticatorID
	a.w.do(domain.BindToInstallation{InstallationID: a.id, UserID: userID, AuthenticatorID: id})
	return id
}

// mine makes the app the one whose pushes the world signs.
func (a *app) mine(ibkey string) {
	a.w.installation, a.w.key, a.w.ibkey = a.id, a.key, ibkey
}

// verified lets an agent verify the user's identity.
func (w *world) verified(userID string) {
	w.t.Helper()
	w.do(domain.VerifyIdentityByPhone{UserID: userID, AgentRef: "agent-1", Method: "questions"})
}

// compliance executes a command of the rule book.
func (w *world) compliance(c domain.Command) Outcome {
	w.t.Helper()
	r := w.request(c)
	r.Actor = domain.Actor{Kind: domain.ActorCompliance, Ref: "compliance-1"}
	out, err := w.j.Execute(w.t.Context(), r)
	if err != nil {
		w.t.Fatalf("%s: %v", c.Name(), err)
	}
	w.notice(r.Command.Stream())
	return out
}

// notice tells the other node what the stream holds, as its follower would.
func (w *world) notice(stream string) {
	w.t.Helper()
	if w.other == nil {
		return
	}
	var told []eventstore.Record
	for r, err := range w.store.ReadStream(w.t.Context(), stream, 0) {
		if err != nil {
			w.t.Fatal(err)
		}
		told = append(told, r)
	}
	if err := w.other.Notice(w.t.Context(), told); err != nil {
		w.t.Fatal(err)
	}
}

// fails executes a command that must end in an error and returns its code.
func (w *world) fails(c domain.Command) domain.Code {
	w.t.Helper()
	out, err := w.j.Execute(w.t.Context(), w.request(c))
	if err == nil {
		w.t.Fatalf("%s led to %v, want an error", c.Name(), names(out))
	}
	return code(w.t, err)
}

// authenticator reads a user's authenticator.
func (w *world) authenticator(id string) domain.Authenticator {
	w.t.Helper()
	var a domain.Authenticator
	err := w.j.User(w.t.Context(), domain.UserOf(id), func(u *domain.User, _ time.Time) error {
		var ok bool
		if a, ok = u.Authenticator(id); !ok {
			return fmt.Errorf("no authenticator %s", id)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}
