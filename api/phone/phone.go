package phone

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/authledger/authledger/api/client"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain/ocra"
)

// Phone is one simulated phone. Its file is read at each call and written when
// something changed, so several processes may use it one after another.
type Phone struct {
	path string
	key  string // API key of role device; not needed for Respond
	now  func() time.Time
}

// Open uses the file at path and an API key of role device. The clock is the
// phone's own: challenge and response need it within two minutes of the
// server's.
func Open(path, apiKey string, now func() time.Time) *Phone {
	return &Phone{path: path, key: apiKey, now: now}
}

// Register makes a key and registers this phone as an installation of the app
// at a server. On android it also attests the app's PIN. It answers the
// installation's id; doing it again answers the same one.
func (p *Phone) Register(ctx context.Context, server, os string) (string, error) {
	if s, err := load(p.path); err == nil {
		return s.InstallationID, nil
	} else if !errors.Is(err, ErrNotRegistered) {
		return "", err
	}
	der, key, err := newKey()
	if err != nil {
		return "", err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return "", fmt.Errorf("encode the phone's public key: %w", err)
	}
	s := &state{Server: server, OS: os, HandsetID: "sim-" + rand.Text()[:12], PrivateKey: der}
	c := client.New(server, p.key)
	var answer gen.InstallationAnswer
	_, err = c.Post(ctx, "/v1/installations", gen.RegisterInstallationRequest{
		App: "ibkr_mobile", Os: gen.OS(os), AppVersion: "1.0-simulated", HandsetId: s.HandsetID, DeviceName: "Simulated phone",
		KeyAlgorithm: "ES256", PublicKey: base64.RawURLEncoding.EncodeToString(public),
	}, &answer)
	if err != nil {
		return "", err
	}
	s.InstallationID = string(answer.InstallationId)
	if os == "android" {
		_, err := c.Post(ctx, "/v1/installations/"+s.InstallationID+"/pin", gen.AttestPinRequest{PinPolicyVersion: 1}, nil)
		if err != nil {
			return "", err
		}
	}
	if err := s.save(p.path); err != nil {
		return "", err
	}
	return s.InstallationID, p.pushToken(ctx, s)
}

// pushToken tells the server that the app can be reached.
func (p *Phone) pushToken(ctx context.Context, s *state) error {
	_, err := client.New(s.Server, p.key).Post(ctx, "/v1/installations/"+s.InstallationID+"/push-token",
		gen.PushTokenRequest{Service: "other", Token: rand.Text()}, nil)
	return err
}

// Activation is what came of an activation.
type Activation struct {
	UserID          string
	AuthenticatorID string
}

// Activate answers an enrolment with the code from the SMS, performs the local
// check uv and keeps the key it is given.
func (p *Phone) Activate(ctx context.Context, userID, enrollmentID, code, uv string) (Activation, error) {
	s, err := load(p.path)
	if err != nil {
		return Activation{}, err
	}
	c := client.New(s.Server, p.key)
	var verdict gen.Enrollment
	if _, err := c.Post(ctx, "/v1/enrollments/"+enrollmentID+"/activation", gen.CodeRequest{Code: code}, &verdict); err != nil {
		return Activation{}, err
	}
	if verdict.Status != "code_accepted" {
		return Activation{}, fmt.Errorf("the code was not accepted: %s", verdict.ReasonCode)
	}
	var done gen.EnrollmentCompletion
	if _, err := c.Post(ctx, "/v1/enrollments/"+enrollmentID+"/complete", gen.CompleteEnrollmentRequest{Uv: gen.UV(uv)}, &done); err != nil {
		return Activation{}, err
	}
	if done.Status != "enrolled" {
		return Activation{}, fmt.Errorf("the enrollment was refused: %s", done.ReasonCode)
	}
	secret, err := base64.RawURLEncoding.DecodeString(done.Ocra.Secret)
	if err != nil {
		return Activation{}, fmt.Errorf("read the key from the answer: %w", err)
	}
	a := account{UserID: userID, AuthenticatorID: string(done.AuthenticatorId), Suite: done.Ocra.Suite, Secret: secret}
	kept := s.Users[:0]
	for _, u := range s.Users {
		if u.UserID != userID {
			kept = append(kept, u)
		}
	}
	s.Users = append(kept, a)
	return Activation{UserID: userID, AuthenticatorID: a.AuthenticatorID}, s.save(p.path)
}

// Respond turns the six-digit challenge of the login page into the eight-digit
// response. It needs no network.
func (p *Phone) Respond(userID, challenge string) (string, error) {
	s, err := load(p.path)
	if err != nil {
		return "", err
	}
	a, err := s.user(userID)
	if err != nil {
		return "", err
	}
	suite, err := ocra.Parse(a.Suite)
	if err != nil {
		return "", err
	}
	return suite.Compute(a.Secret, ocra.Input{Question: challenge, Time: suite.TimeStep(p.now())})
}

// Reachable renews the push token, as the app does when it comes online.
func (p *Phone) Reachable(ctx context.Context) error {
	s, err := load(p.path)
	if err != nil {
		return err
	}
	return p.pushToken(ctx, s)
}

// Pending lists the pushes that wait for this phone, and tells the server that
// they were shown.
func (p *Phone) Pending(ctx context.Context) ([]gen.PendingChallenge, error) {
	s, err := load(p.path)
	if err != nil {
		return nil, err
	}
	key, err := s.key()
	if err != nil {
		return nil, err
	}
	path := "/v1/installations/" + s.InstallationID + "/challenges"
	at := strconv.FormatInt(p.now().UnixMilli(), 10)
	sig, err := sign(key, "authledger/request/v1\nGET\n"+path+"\n"+at)
	if err != nil {
		return nil, err
	}
	c := client.New(s.Server, p.key)
	var list gen.PendingList
	if _, err := c.Get(ctx, path, http.Header{"Authledger-Installation-Proof": {at + "." + sig}}, &list); err != nil {
		return nil, err
	}
	for _, item := range list.Items {
		if _, err := c.PostAs(ctx, "opened", path+"/"+string(item.ChallengeId)+"/opened", nil, nil); err != nil {
			return nil, err
		}
	}
	return list.Items, nil
}

// document is what the app signs.
type document struct {
	ChallengeID    string            `json:"challengeId"`
	TransactionID  string            `json:"transactionId"`
	InstallationID string            `json:"installationId"`
	Decision       string            `json:"decision"`
	MatchedNumber  string            `json:"matchedNumber,omitempty"`
	Shown          map[string]string `json:"shown"`
	UV             string            `json:"uv"`
	DeviceTime     time.Time         `json:"deviceTime"`
}

// Decide answers a pending push: approve it by the number of the login page,
// or deny it with an empty number.
func (p *Phone) Decide(ctx context.Context, c gen.PendingChallenge, number, uv string) (gen.PushDecisionAnswer, error) {
	var answer gen.PushDecisionAnswer
	s, err := load(p.path)
	if err != nil {
		return answer, err
	}
	key, err := s.key()
	if err != nil {
		return answer, err
	}
	d := document{
		ChallengeID: string(c.ChallengeId), TransactionID: string(c.AuthenticationId), InstallationID: s.InstallationID,
		Decision: "deny", Shown: map[string]string{"platform": string(c.Platform), "purpose": string(c.Purpose)},
		UV: uv, DeviceTime: p.now().UTC(),
	}
	if number != "" {
		d.Decision, d.MatchedNumber = "approve", number
	}
	text, err := json.Marshal(d)
	if err != nil {
		return answer, fmt.Errorf("encode the decision: %w", err)
	}
	sig, err := sign(key, "authledger/push/v1\n"+string(text))
	if err != nil {
		return answer, err
	}
	path := "/v1/installations/" + s.InstallationID + "/challenges/" + string(c.ChallengeId) + "/decision"
	_, err = client.New(s.Server, p.key).Post(ctx, path, gen.PushDecisionRequest{Document: string(text), Signature: sig}, &answer)
	return answer, err
}

func sign(key *ecdsa.PrivateKey, text string) (string, error) {
	digest := sha256.Sum256([]byte(text))
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sig), nil
}

// DefaultUV is the local check this simulated phone makes when none is named.
func DefaultUV(os string) string {
	if os == "android" {
		return "fingerprint"
	}
	return "face_id"
}

// OS is the operating system the phone registered with.
func (p *Phone) OS() (string, error) {
	s, err := load(p.path)
	if err != nil {
		return "", err
	}
	return s.OS, nil
}
