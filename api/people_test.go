package api

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
)

// Clients, users and phones that tests bring into being.

const mobileHK = "+852 6123 4567"

// code is the newest code of a subject, as the delivery worker would render it.
func (w *world) codeFor(purpose domain.Purpose, subject string) string {
	w.t.Helper()
	var issued []domain.Issued
	err := w.journal.User(w.t.Context(), domain.UserOf(subject), func(u *domain.User, _ time.Time) error {
		switch purpose {
		case domain.PurposePhoneVerification:
			v, _ := u.Verification(subject)
			issued = v.Codes
		case domain.PurposeActivation:
			e, _ := u.Enrollment(subject)
			issued = e.Codes
		case domain.PurposeMigration:
			m, _ := u.Migration(subject)
			issued = m.Codes
		case domain.PurposeRecovery:
			r, _ := u.Recovery(subject)
			issued = r.Codes
		default:
			c, _ := u.Challenge(subject)
			issued = c.Codes
		}
		return nil
	})
	if err != nil || len(issued) == 0 {
		w.t.Fatalf("codes of %s: %v, %v", subject, issued, err)
	}
	return must[string](w.t)(w.journal.CodeText(w.t.Context(), purpose, subject, issued[len(issued)-1]))
}

// register brings a user in Hong Kong with one verified phone into being.
func (w *world) register() {
	w.t.Helper()
	w.client = w.newClient("C-1", "individual", "HK")
	w.user = w.newUser("U-1", w.client, "HK")
	w.phone = w.verifiedPhone(w.user, mobileHK)
}

func (w *world) newClient(reference, kind, country string) string {
	w.t.Helper()
	return want[gen.ClientAnswer](w.t, w.post(access.Frontend, "/v1/clients", map[string]any{
		"reference": reference, "kind": kind, "carryingEntity": "IB-" + country, "carryingCountry": country,
	}), 201).ClientId
}

func (w *world) newUser(reference, client, residence string) string {
	w.t.Helper()
	return want[gen.UserAnswer](w.t, w.post(access.Frontend, "/v1/users", map[string]any{
		"reference": reference, "clientId": client, "role": "owner", "username": "chan.tai.man", "locale": "zh-HK", "residence": residence,
		"residentOn": "2020-01-01",
	}), 201).UserId
}

func (w *world) verifiedPhone(user, number string) string {
	w.t.Helper()
	phone := want[gen.PhoneAnswer](w.t, w.post(access.Frontend, "/v1/users/"+user+"/phones", map[string]any{"number": number}), 201).PhoneId
	v := want[gen.Verification](w.t, w.post(access.Frontend, "/v1/phones/"+phone+"/verifications", nil), 201)
	check := want[gen.VerificationCheck](w.t, w.post(access.Frontend, "/v1/phones/"+phone+"/verifications/"+v.VerificationId+"/checks",
		map[string]any{"code": w.codeFor(domain.PurposePhoneVerification, v.VerificationId)}), 200)
	if check.Status != gen.VerificationCheckStatusVerified {
		w.t.Fatalf("phone not verified: %+v", check)
	}
	return phone
}

// system runs a command the way a reaction does.
func (w *world) system(cmd domain.Command) journal.Outcome {
	w.t.Helper()
	return must[journal.Outcome](w.t)(w.journal.Execute(w.t.Context(), journal.Request{
		Command: cmd, CommandID: uuid.New(), Actor: domain.Actor{Kind: domain.ActorSystem, Ref: "test"},
	}))
}

// enrollSMS does what the reaction to a verified phone does.
func (w *world) enrollSMS() {
	w.t.Helper()
	w.system(domain.EvaluateAutoSMS{UserID: w.user, PhoneID: w.phone})
}

// handset is an installation of an app and its key.
type handset struct {
	id  string
	key *ecdsa.PrivateKey
}

// sign is the app's signature over a text.
func (h handset) sign(t testing.TB, text string) string {
	t.Helper()
	digest := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(must[[]byte](t)(ecdsa.SignASN1(rand.Reader, h.key, digest[:])))
}

// install registers an installation of an app on a phone.
func (w *world) install(app, os, phone string) handset {
	w.t.Helper()
	h := handset{key: must[*ecdsa.PrivateKey](w.t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	der := must[[]byte](w.t)(x509.MarshalPKIXPublicKey(&h.key.PublicKey))
	h.id = want[gen.InstallationAnswer](w.t, w.post(access.Device, "/v1/installations", map[string]any{
		"app": app, "os": os, "appVersion": "8.1", "handsetId": phone, "deviceName": "Tai Man's phone",
		"keyAlgorithm": "ES256", "publicKey": base64.RawURLEncoding.EncodeToString(der),
	}), 201).InstallationId
	return h
}

// begin starts an authentication for a process and returns its id.
func (w *world) begin(user, purpose string) string {
	w.t.Helper()
	a := want[gen.Authentication](w.t, w.post(access.Frontend, "/v1/authentications", map[string]any{
		"userId": user, "purpose": purpose, "platform": "client_portal", "primaryFactor": "verified",
	}), 201)
	if a.Decision != gen.AuthenticationDecisionProceed && a.Decision != gen.AuthenticationDecisionEnroll {
		w.t.Fatalf("begin %s: %+v", purpose, a)
	}
	return a.AuthenticationId
}

// enrollIBKey binds IB Key on a simulated iPhone and returns the completion.
func (w *world) enrollIBKey() gen.EnrollmentCompletion {
	w.t.Helper()
	h := w.install("ibkr_mobile", "ios", "hs-1")
	w.installation, w.key = h.id, h.key
	return w.enrollOn(h, w.user, "face_id")
}

// enrollOn binds a user's IB Key to an installation.
func (w *world) enrollOn(h handset, user, uv string) gen.EnrollmentCompletion {
	w.t.Helper()
	e := want[gen.Enrollment](w.t, w.post(access.Frontend, "/v1/users/"+user+"/enrollments", map[string]any{
		"kind": "ibkey", "installationId": h.id, "authenticationId": w.begin(user, "activation"),
	}), 201)
	path := "/v1/enrollments/" + e.EnrollmentId
	accepted := want[gen.Enrollment](w.t, w.post(access.Device, path+"/activation", map[string]any{
		"code": w.codeFor(domain.PurposeActivation, e.EnrollmentId),
	}), 200)
	if accepted.Status != gen.EnrollmentStatusCodeAccepted {
		w.t.Fatalf("activation: %+v", accepted)
	}
	done := want[gen.EnrollmentCompletion](w.t, w.post(access.Device, path+"/complete", map[string]any{"uv": uv}), 200)
	if done.Status == gen.EnrollmentCompletionStatusEnrolled {
		w.system(domain.BindToInstallation{InstallationID: h.id, UserID: user, AuthenticatorID: done.AuthenticatorId})
	}
	return done
}
