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

// Registration says what to install where.
type Registration struct {
	Server  string
	OS      string // ios or android
	App     string // ibkr_mobile, ibkey_standalone or ib_tws; empty means the first
	Handset string // the phone the app is on; empty means a new one
}

// Register makes a key and registers this installation of the app at a server.
// On Android the app has no PIN yet; see SetPIN. It answers the installation's
// id; doing it again answers the same one.
func (p *Phone) Register(ctx context.Context, r Registration) (string, error) {
	if s, err := load(p.path); err == nil {
		return s.InstallationID, nil
	} else if !errors.Is(err, ErrNotRegistered) {
		return "", err
	}
	s := &state{Server: r.Server, OS: r.OS, App: r.App, HandsetID: r.Handset}
	if s.HandsetID == "" {
		s.HandsetID = "sim-" + rand.Text()[:12]
	}
	return p.install(ctx, s)
}

// install gives the app in s a key of its own and registers it.
func (p *Phone) install(ctx context.Context, s *state) (string, error) {
	der, key, err := newKey()
	if err != nil {
		return "", err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return "", fmt.Errorf("encode the phone's public key: %w", err)
	}
	s.PrivateKey = der
	app := s.App
	if app == "" {
		app = DefaultApp
	}
	var answer gen.InstallationAnswer
	_, err = client.New(s.Server, p.key).Post(ctx, "/v1/installations", gen.RegisterInstallationRequest{
		App: gen.App(app), Os: gen.OS(s.OS), AppVersion: "1.0-simulated", HandsetId: s.HandsetID, DeviceName: "Simulated phone",
		KeyAlgorithm: "ES256", PublicKey: base64.RawURLEncoding.EncodeToString(public),
	}, &answer)
	if err != nil {
		return "", err
	}
	s.InstallationID = string(answer.InstallationId)
	if err := s.save(p.path); err != nil {
		return "", err
	}
	return s.InstallationID, p.pushToken(ctx, s)
}

// DefaultApp is the app that is installed when none is named.
const DefaultApp = "ibkr_mobile"

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

// ErrNobodyHere means that a second user was to be added to an app that has no
// first.
var ErrNobodyHere = errors.New("nobody's IB Key is active on this phone; activate the first user by `authledger phone activate`")

// AddUser is Activate for an app that serves somebody already.
func (p *Phone) AddUser(ctx context.Context, userID, enrollmentID, code string, u Unlock) (Activation, error) {
	s, err := load(p.path)
	if err != nil {
		return Activation{}, err
	}
	if len(s.Users) == 0 {
		return Activation{}, ErrNobodyHere
	}
	return p.Activate(ctx, userID, enrollmentID, code, u)
}

// Activate answers an enrolment with the code from the SMS, performs the local
// check and keeps the key it is given. The phone may serve other users already.
func (p *Phone) Activate(ctx context.Context, userID, enrollmentID, code string, u Unlock) (Activation, error) {
	s, uv, err := p.unlocked(ctx, u)
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
	return p.carry(s, userID, string(done.AuthenticatorId), done.Ocra)
}

// carry keeps the key of an IB Key that lives here from now on.
func (p *Phone) carry(s *state, userID, authenticatorID string, key gen.OCRA) (Activation, error) {
	secret, err := base64.RawURLEncoding.DecodeString(key.Secret)
	if err != nil {
		return Activation{}, fmt.Errorf("read the key from the answer: %w", err)
	}
	s.keep(account{UserID: userID, AuthenticatorID: authenticatorID, Suite: key.Suite, Secret: secret})
	return Activation{UserID: userID, AuthenticatorID: authenticatorID}, s.save(p.path)
}

// Respond turns the six-digit challenge of the login page into the eight-digit
// response. It needs no network; on Android it needs the PIN.
func (p *Phone) Respond(ctx context.Context, userID, challenge, typed string) (string, error) {
	s, err := load(p.path)
	if err == nil && s.OS == android {
		s, _, err = p.unlocked(ctx, Unlock{UV: appPIN, PIN: typed})
	}
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

// Reachable renews the push token, as the app does when it comes online,
// and reports a PIN that was blocked while it was offline.
func (p *Phone) Reachable(ctx context.Context) error {
	s, err := load(p.path)
	if err != nil {
		return err
	}
	if err := p.reportBlock(ctx, s); err != nil {
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
	c := client.New(s.Server, p.key)
	path := "/v1/installations/" + s.InstallationID + "/challenges"
	var list gen.PendingList
	if err := p.get(ctx, s, path, &list); err != nil {
		return nil, err
	}
	for _, item := range list.Items {
		if _, err := c.PostAs(ctx, "opened", path+"/"+string(item.ChallengeId)+"/opened", nil, nil); err != nil {
			return nil, err
		}
	}
	return list.Items, nil
}

// get reads a path with the installation's own proof.
func (p *Phone) get(ctx context.Context, s *state, path string, out any) error {
	proof, err := p.proof(s, func(at string) string { return requestText(path, at) })
	if err != nil {
		return err
	}
	_, err = client.New(s.Server, p.key).Get(ctx, path, http.Header{"Authledger-Installation-Proof": {proof}}, out)
	return err
}

// proof is "<unix milliseconds>.<signature>" over a text that holds the same
// time.
func (p *Phone) proof(s *state, text func(at string) string) (string, error) {
	key, err := s.key()
	if err != nil {
		return "", err
	}
	at := strconv.FormatInt(p.now().UnixMilli(), 10)
	sig, err := sign(key, text(at))
	return at + "." + sig, err
}

// Texts that an installation signs begin with what they are, so that a
// signature over one is never one over another.

func requestText(path, at string) string { return "authledger/request/v1\nGET\n" + path + "\n" + at }

func collectText(deliveryID, at string) string {
	return "authledger/collect/v1\n" + deliveryID + "\n" + at
}

func handoverText(userID, from, to string) string {
	return "authledger/handover/v1\n" + userID + "\n" + from + "\n" + to
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
func (p *Phone) Decide(ctx context.Context, c gen.PendingChallenge, number string, u Unlock) (gen.PushDecisionAnswer, error) {
	var answer gen.PushDecisionAnswer
	s, uv, err := p.unlocked(ctx, u)
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
