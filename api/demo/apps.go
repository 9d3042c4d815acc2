package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/domain/ocra"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
)

// installation is an app on a phone: it holds the keys a real one would.
type installation struct {
	id      string
	os      domain.OS
	handset string
	uv      domain.UV
	key     *ecdsa.PrivateKey
	tokens  map[string]token // of its users' IB Keys, by authenticator
}

// token computes the responses of one IB Key.
type token struct {
	suite ocra.Suite
	key   []byte
}

// buyPhone is a new phone with the app, which on Android has a PIN.
func (t *tale) buyPhone(p *person, os domain.OS) *installation {
	t.handsets++
	i := t.install(p, domain.AppIBKRMobile, os, fmt.Sprintf("handset-%04d", t.handsets))
	if os == domain.Android {
		t.as(app, domain.AttestPIN{InstallationID: i.id, PINPolicyVersion: 1})
	}
	return i
}

// install puts an app on a phone.
func (t *tale) install(p *person, a domain.App, os domain.OS, handset string) *installation {
	i := &installation{os: os, handset: handset, uv: domain.UVFaceID, tokens: map[string]token{}}
	if os == domain.Android {
		i.uv = domain.UVFingerprint
	}
	der := t.newKey(i)
	sum := sha256.Sum256(der)
	i.id = codec.InstallationIDOf(der)
	t.as(app, domain.RegisterInstallation{
		InstallationID: i.id, App: a, OS: os, AppVersion: "9.41", HandsetID: handset,
		DeviceName: domain.Clear(deviceName(p)), KeyAlgorithm: domain.ES256,
		PublicKey: base64.RawURLEncoding.EncodeToString(der), PublicKeyID: base64.RawURLEncoding.EncodeToString(sum[:]),
	})
	return i
}

// deviceName is what somebody calls their phone.
func deviceName(p *person) string { return fmt.Sprintf("Phone of demo%d", p.n) }

// newKey makes an installation's key and answers the public half in DER.
func (t *tale) newKey(i *installation) []byte {
	if t.err != nil {
		return nil
	}
	var der []byte
	if i.key, t.err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); t.err == nil {
		der, t.err = x509.MarshalPKIXPublicKey(&i.key.PublicKey)
	}
	return der
}

// getApp moves somebody from SMS to IB Key. Those who cannot stay as they are.
func (t *tale) getApp(p *person) {
	os := domain.IOS
	if t.chance(50) {
		os = domain.Android
	}
	if txn, ok := t.password(p, domain.PurposeActivation); ok {
		t.activate(p, t.buyPhone(p, os), txn, "")
	}
}

// password begins a transaction of a process with the right password.
func (t *tale) password(p *person, purpose domain.Purpose) (txnID string, ok bool) {
	e, ok := find[domain.PrimaryFactorVerified](t.do(domain.StartAuthentication{
		UserID: p.userID, Purpose: purpose, Platform: domain.ClientPortal, PrimaryVerified: true,
	}))
	return e.TxnID, ok
}

// begin is password for a story, which cannot go on without.
func (t *tale) begin(p *person, purpose domain.Purpose) string {
	txn, ok := t.password(p, purpose)
	if !ok {
		t.fail("DEMO-%04d could not begin a %s", p.n, purpose)
	}
	return txn
}

// prove answers with the permanent authenticator the user has, as somebody
// must who adds another (G-12).
func (t *tale) prove(p *person, txnID string) {
	c := need[domain.ChallengeIssued](t, t.do(domain.IssueChallenge{TxnID: txnID}))
	need[domain.ResponseVerified](t, t.answer(p, c))
}

// activate binds IB Key on an installation, with the code from the SMS.
func (t *tale) activate(p *person, i *installation, txnID, flow string) {
	out := t.do(domain.StartEnrollment{UserID: p.userID, Kind: domain.KindIBKey, Flow: flow, InstallationID: i.id, TxnID: txnID})
	issued, ok := find[domain.ActivationCodeIssued](out)
	if !ok {
		return
	}
	t.enterCode(p, i, issued)
}

// enterCode goes on from the code of an enrolment to the binding.
func (t *tale) enterCode(p *person, i *installation, issued domain.ActivationCodeIssued) {
	t.pause(15*time.Second, 2*time.Minute)
	t.as(app, domain.SubmitActivationCode{EnrollmentID: issued.SubjectID, Code: t.activationCode(domain.PurposeActivation, issued)})
	if e, ok := find[domain.AuthenticatorEnrolled](t.as(app, domain.CompleteEnrollment{EnrollmentID: issued.SubjectID, UV: i.uv})); ok {
		t.provision(p, i, e.AuthenticatorID)
	}
}

func (t *tale) activationCode(purpose domain.Purpose, e domain.ActivationCodeIssued) domain.Secret {
	return t.code(purpose, e.SubjectID, domain.Issued{Seq: e.Seq, Kid: e.Kid, Len: e.CodeLen})
}

// provision gives an app the key of an IB Key, as the answer of the API would.
func (t *tale) provision(p *person, i *installation, authenticatorID string) {
	if t.err != nil {
		return
	}
	secret, text, err := t.Journal.OCRASecret(t.ctx, p.userID, authenticatorID)
	if err != nil {
		t.err = err
		return
	}
	suite, err := ocra.Parse(text)
	if err != nil {
		t.err = err
		return
	}
	i.tokens[authenticatorID] = token{suite: suite, key: secret}
	p.app = i
}

// respond turns the six-digit challenge into the eight-digit response.
func (i *installation) respond(authenticatorID, question string, at time.Time) (string, error) {
	k, ok := i.tokens[authenticatorID]
	if !ok {
		return "", fmt.Errorf("the app %s has no key of %s", i.id, authenticatorID)
	}
	return k.suite.Compute(k.key, ocra.Input{Question: question, Time: k.suite.TimeStep(at)})
}

// Prefixes of what an installation signs, so that a signature over one thing is
// never one over another.
const (
	pushPrefix     = "authledger/push/v1\n"
	handoverPrefix = "authledger/handover/v1\n"
	collectPrefix  = "authledger/collect/v1\n"
)

// sign is the signature of an installation in base64url.
func (t *tale) sign(i *installation, text string) string {
	if t.err != nil {
		return ""
	}
	digest := sha256.Sum256([]byte(text))
	sig, err := ecdsa.SignASN1(rand.Reader, i.key, digest[:])
	t.err = err
	return base64.RawURLEncoding.EncodeToString(sig)
}

// handOver is the signature by which IB Key leaves one app for another on the
// same phone.
func (t *tale) handOver(p *person, from, to *installation) domain.Secret {
	return domain.Secret(t.sign(from, handoverPrefix+journal.HandoverText(p.userID, from.id, to.id)))
}

// collect fetches a credential that waits in the app.
func (t *tale) collect(i *installation, deliveryID string) {
	at := strconv.FormatInt(t.Clock.Now().UnixMilli(), 10)
	proof := at + "." + t.sign(i, collectPrefix+deliveryID+"\n"+at)
	need[domain.TemporaryCredentialCollected](t, t.as(app, domain.CollectTemporaryCredential{
		DeliveryID: deliveryID, InstallationID: i.id, Proof: domain.Secret(proof),
	}))
}

// decision is the document the app signs.
type decision struct {
	ChallengeID    string            `json:"challengeId"`
	TransactionID  string            `json:"transactionId"`
	InstallationID string            `json:"installationId"`
	Decision       string            `json:"decision"`
	MatchedNumber  string            `json:"matchedNumber,omitempty"`
	Shown          map[string]string `json:"shown"`
	UV             domain.UV         `json:"uv"`
	DeviceTime     time.Time         `json:"deviceTime"`
}

// decide answers a push with a signed document; an empty number declines.
func (t *tale) decide(p *person, i *installation, c domain.ChallengeIssued, number string) journal.Outcome {
	if t.err != nil {
		return journal.Outcome{}
	}
	var txn domain.Transaction
	t.user(p, func(u *domain.User, _ time.Time) { txn, _ = u.Transaction(c.TxnID) })
	d := decision{
		ChallengeID: c.ChallengeID, TransactionID: c.TxnID, InstallationID: i.id, Decision: "deny",
		Shown: map[string]string{"platform": string(txn.Platform), "purpose": string(txn.Purpose)}, UV: i.uv, DeviceTime: t.Clock.Now(),
	}
	if number != "" {
		d.Decision, d.MatchedNumber = "approve", number
	}
	doc, err := json.Marshal(d)
	if err != nil {
		t.err = err
		return journal.Outcome{}
	}
	return t.as(app, domain.DecidePush{
		ChallengeID: c.ChallengeID, InstallationID: i.id, Document: domain.Secret(doc), Signature: t.sign(i, pushPrefix+string(doc)),
	})
}
