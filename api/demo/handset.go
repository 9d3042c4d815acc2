package demo

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/domain/ocra"
	"github.com/authledger/authledger/eventstore/codec"
)

// handset is a user's phone with the app: it holds the keys a real one would.
type handset struct {
	installationID string
	os             domain.OS
	uv             domain.UV
	key            *ecdsa.PrivateKey
	ocraKey        []byte
	suite          ocra.Suite
}

func (w *world) buyHandset(ctx context.Context, p *person) (*handset, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	h := &handset{installationID: codec.InstallationIDOf(der), os: domain.IOS, uv: domain.UVFaceID, key: key}
	if w.chance(50) {
		h.os, h.uv = domain.Android, domain.UVFingerprint
	}
	_, err = w.do(ctx, domain.RegisterInstallation{
		InstallationID: h.installationID, App: domain.AppIBKRMobile, OS: h.os, AppVersion: "9.41",
		HandsetID: fmt.Sprintf("handset-%04d", p.n), DeviceName: domain.Clear(fmt.Sprintf("Phone of demo%d", p.n)),
		KeyAlgorithm: domain.ES256, PublicKey: base64.RawURLEncoding.EncodeToString(der),
		PublicKeyID: base64.RawURLEncoding.EncodeToString(sum[:]),
	})
	if err != nil || h.os == domain.IOS {
		return h, err
	}
	_, err = w.do(ctx, domain.AttestPIN{InstallationID: h.installationID, PINPolicyVersion: 1})
	return h, err
}

// activate moves a user from SMS to IB Key. Users who cannot (no phone
// verified, locked) stay as they are.
func (w *world) activate(ctx context.Context, p *person) error {
	out, err := w.do(ctx, domain.StartAuthentication{
		UserID: p.userID, Purpose: domain.PurposeActivation, Platform: domain.IBKRMobileIOS, PrimaryVerified: true,
	})
	if err != nil {
		return err
	}
	txn, ok := find[domain.PrimaryFactorVerified](out)
	if !ok {
		return nil
	}
	h, err := w.buyHandset(ctx, p)
	if err != nil {
		return err
	}
	out, err = w.do(ctx, domain.StartEnrollment{
		UserID: p.userID, Kind: domain.KindIBKey, InstallationID: h.installationID, TxnID: txn.TxnID,
	})
	if err != nil {
		return err
	}
	issued, ok := find[domain.ActivationCodeIssued](out)
	if !ok {
		return nil
	}
	code, err := w.code(ctx, domain.PurposeActivation, issued.SubjectID, domain.Issued{Seq: issued.Seq, Kid: issued.Kid})
	if err != nil {
		return err
	}
	w.pause(15*time.Second, 2*time.Minute)
	if _, err := w.do(ctx, domain.SubmitActivationCode{EnrollmentID: issued.SubjectID, Code: domain.Secret(code)}); err != nil {
		return err
	}
	out, err = w.do(ctx, domain.CompleteEnrollment{EnrollmentID: issued.SubjectID, UV: h.uv})
	if err != nil {
		return err
	}
	enrolled, ok := find[domain.AuthenticatorEnrolled](out)
	if !ok {
		return nil
	}
	return w.provision(ctx, p, h, enrolled)
}

// provision gives the handset its OCRA key, as the answer of the API would.
func (w *world) provision(ctx context.Context, p *person, h *handset, e domain.AuthenticatorEnrolled) error {
	secret, suite, err := w.Journal.OCRASecret(ctx, p.userID, e.AuthenticatorID)
	if err != nil {
		return err
	}
	if h.suite, err = ocra.Parse(suite); err != nil {
		return err
	}
	h.ocraKey = secret
	p.phone = h
	return nil
}

// respond turns the six-digit challenge into the eight-digit response.
func (h *handset) respond(challenge string, at time.Time) (string, error) {
	return h.suite.Compute(h.ocraKey, ocra.Input{Question: challenge, Time: h.suite.TimeStep(at)})
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

// decide signs an answer to a push; an empty number declines.
func (h *handset) decide(c domain.ChallengeIssued, platform domain.Platform, number string, at time.Time) (domain.DecidePush, error) {
	d := decision{
		ChallengeID: c.ChallengeID, TransactionID: c.TxnID, InstallationID: h.installationID, Decision: "deny",
		Shown: map[string]string{"platform": string(platform)}, UV: h.uv, DeviceTime: at,
	}
	if number != "" {
		d.Decision, d.MatchedNumber = "approve", number
	}
	doc, err := json.Marshal(d)
	if err != nil {
		return domain.DecidePush{}, err
	}
	digest := sha256.Sum256(append([]byte("authledger/push/v1\n"), doc...))
	sig, err := ecdsa.SignASN1(rand.Reader, h.key, digest[:])
	return domain.DecidePush{
		ChallengeID: c.ChallengeID, InstallationID: h.installationID, Document: domain.Secret(doc),
		Signature: base64.RawURLEncoding.EncodeToString(sig),
	}, err
}
