package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/projections"
)

// Installations of the app, and what the app itself calls.

// parseKey reads base64url of a DER SubjectPublicKeyInfo and checks that the
// key is of the algorithm it says it is for.
func parseKey(text string, algorithm domain.KeyAlgorithm) (der []byte, key any, err error) {
	if der, err = base64.RawURLEncoding.Strict().DecodeString(text); err != nil {
		return nil, nil, errors.New("not base64url")
	}
	if key, err = x509.ParsePKIXPublicKey(der); err != nil {
		return nil, nil, errors.New("not a public key")
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if algorithm == domain.ES256 && k.Curve == elliptic.P256() {
			return der, key, nil
		}
	case ed25519.PublicKey:
		if algorithm == domain.Ed25519 {
			return der, key, nil
		}
	}
	return nil, nil, errors.New("not a key of this algorithm")
}

// RegisterInstallation implements gen.StrictServerInterface, as do all methods
// here.
func (s *Server) RegisterInstallation(ctx context.Context, r gen.RegisterInstallationRequestObject) (gen.RegisterInstallationResponseObject, error) {
	b := r.Body
	algorithm := domain.KeyAlgorithm(b.KeyAlgorithm)
	der, _, err := parseKey(b.PublicKey, algorithm)
	if err != nil {
		return nil, fault("public_key_invalid")
	}
	sum := sha256.Sum256(der)
	cmd := domain.RegisterInstallation{
		InstallationID: codec.InstallationIDOf(der), App: domain.App(b.App), OS: domain.OS(b.Os), AppVersion: b.AppVersion,
		HandsetID: b.HandsetId, KeyAlgorithm: algorithm, PublicKey: b.PublicKey, PublicKeyID: base64.RawURLEncoding.EncodeToString(sum[:]),
	}
	if b.DeviceName != "" {
		cmd.DeviceName = domain.Clear(b.DeviceName)
	}
	out, err := s.execute(ctx, cmd, "")
	if err != nil {
		return nil, err
	}
	answer := gen.InstallationAnswer{InstallationId: cmd.InstallationID, PublicKeyId: cmd.PublicKeyID, EventIds: eventIDs(out)}
	if len(out.Events) == 0 {
		return gen.RegisterInstallation200JSONResponse(answer), nil
	}
	return gen.RegisterInstallation201JSONResponse(answer), nil
}

func (s *Server) AttestPin(ctx context.Context, r gen.AttestPinRequestObject) (gen.AttestPinResponseObject, error) {
	a, err := s.act(ctx, domain.AttestPIN{
		InstallationID: r.InstallationId, PINPolicyVersion: r.Body.PinPolicyVersion, Violation: domain.Code(r.Body.Violation),
	}, "")
	return gen.AttestPin200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) ReportPinBlocked(ctx context.Context, r gen.ReportPinBlockedRequestObject) (gen.ReportPinBlockedResponseObject, error) {
	a, err := s.act(ctx, domain.ReportPINBlocked{InstallationID: r.InstallationId, WrongEntries: r.Body.WrongEntries}, "")
	return gen.ReportPinBlocked200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) RemoveUserFromInstallation(ctx context.Context, r gen.RemoveUserFromInstallationRequestObject) (gen.RemoveUserFromInstallationResponseObject, error) {
	a, err := s.act(ctx, domain.RemoveUserFromInstallation{UserID: r.UserId, InstallationID: r.InstallationId}, "")
	return gen.RemoveUserFromInstallation200JSONResponse{ActionJSONResponse: a}, err
}

// pushTokenSecret is the id under which the keyring keeps an installation's
// token.
const pushTokenSecret = "push-token"

func (s *Server) RegisterPushToken(ctx context.Context, r gen.RegisterPushTokenRequestObject) (gen.RegisterPushTokenResponseObject, error) {
	// Only for an installation that exists: the keyring would make a key for
	// any name.
	if err := s.journal.Installation(ctx, r.InstallationId, func(*domain.Installation) {}); err != nil {
		return nil, err
	}
	mac, err := s.tokens.Blind(ctx, "push_token", r.Body.Token)
	if err != nil {
		return nil, fmt.Errorf("compute MAC of a push token: %w", err)
	}
	// The token first: an event that names a token nobody has would be worse
	// than a token without its event, which the next registration replaces.
	if err := s.tokens.PutSecret(ctx, domain.InstallationStream(r.InstallationId), pushTokenSecret, []byte(r.Body.Token)); err != nil {
		return nil, fmt.Errorf("keep push token: %w", err)
	}
	a, err := s.act(ctx, domain.RegisterPushToken{
		InstallationID: r.InstallationId, Service: string(r.Body.Service), TokenMAC: base64.RawURLEncoding.EncodeToString(mac),
	}, "")
	return gen.RegisterPushToken200JSONResponse{ActionJSONResponse: a}, err
}

// proofWindow is how far an installation's clock may be off.
const proofWindow = 60 * time.Second

// proven checks an installation's proof over a GET of a path. A proof can be
// repeated within the window; it authorises a read that shows no secret.
func (s *Server) proven(ctx context.Context, installationID, path, proof string) error {
	return s.signedNow(ctx, installationID, proof, func(at string) string {
		return "authledger/request/v1\n" + http.MethodGet + "\n" + path + "\n" + at
	})
}

// signedNow checks "<unix ms>.<signature>" of an installation over a text that
// holds that time.
func (s *Server) signedNow(ctx context.Context, installationID, proof string, text func(at string) string) error {
	at, signature, ok := strings.Cut(proof, ".")
	ms, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || s.journal.Now().Sub(time.UnixMilli(ms)).Abs() > proofWindow {
		return fault("signature_invalid")
	}
	good := false
	err = s.journal.Installation(ctx, installationID, func(i *domain.Installation) { good = signed(i, text(at), signature) })
	var d *domain.Error
	if errors.As(err, &d) || err == nil && !good {
		return fault("signature_invalid") // the same for an unknown installation
	}
	return err
}

func signed(i *domain.Installation, text, signature string) bool {
	_, key, err := parseKey(i.PublicKey, i.KeyAlgorithm)
	if err != nil {
		return false
	}
	sig, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	if err != nil {
		return false
	}
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		digest := sha256.Sum256([]byte(text))
		return ecdsa.VerifyASN1(key, digest[:], sig)
	case ed25519.PublicKey:
		return ed25519.Verify(key, []byte(text), sig)
	}
	return false
}

func (s *Server) ListInstallationChallenges(ctx context.Context, r gen.ListInstallationChallengesRequestObject) (gen.ListInstallationChallengesResponseObject, error) {
	if err := s.proven(ctx, r.InstallationId, callOf(ctx).path, r.Params.AuthledgerInstallationProof); err != nil {
		return nil, err
	}
	if err := s.readViews(ctx, r.Params.AuthledgerMinPosition); err != nil {
		return nil, err
	}
	users, err := s.usersOf(ctx, r.InstallationId)
	if err != nil {
		return nil, err
	}
	items := []gen.PendingChallenge{}
	for _, id := range users {
		err := s.journal.User(ctx, id, func(u *domain.User, now time.Time) error {
			for _, c := range u.Pending(r.InstallationId, now) {
				t, _ := u.Transaction(c.TxnID)
				items = append(items, gen.PendingChallenge{
					ChallengeId: c.ID, AuthenticationId: c.TxnID, UserId: u.ID, Platform: gen.Platform(t.Platform),
					Purpose: gen.PendingChallengePurpose(t.Purpose), CreatedAt: c.IssuedAt, ExpiresAt: c.ExpiresAt, NumberMatching: c.NumberMatching,
				})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return gen.ListInstallationChallenges200JSONResponse{Items: items}, nil
}

// usersOf lists the users with an active authenticator on an installation. The
// views answer it, because an installation's stream does not know its users;
// what waits for each is then read from the journal.
func (s *Server) usersOf(ctx context.Context, installationID string) ([]string, error) {
	i, err := s.views.Installation(ctx, installationID)
	if errors.Is(err, projections.ErrNotFound) {
		return nil, nil // registered a moment ago: nobody is bound to it yet
	}
	if err != nil {
		return nil, err
	}
	var users []string
	for _, a := range i.Authenticators {
		if a.Active() && !slices.Contains(users, a.UserID) {
			users = append(users, a.UserID)
		}
	}
	return users, nil
}

func (s *Server) RecordPushOpened(ctx context.Context, r gen.RecordPushOpenedRequestObject) (gen.RecordPushOpenedResponseObject, error) {
	c, err := s.challenge(ctx, r.ChallengeId)
	if err != nil {
		return nil, err
	}
	a, err := s.act(ctx, domain.RecordPushOpened{ChallengeID: r.ChallengeId, InstallationID: r.InstallationId}, c.TxnID)
	return gen.RecordPushOpened200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) DecidePush(ctx context.Context, r gen.DecidePushRequestObject) (gen.DecidePushResponseObject, error) {
	before, err := s.challenge(ctx, r.ChallengeId)
	if err != nil {
		return nil, err
	}
	out, err := s.execute(ctx, domain.DecidePush{
		ChallengeID: r.ChallengeId, InstallationID: r.InstallationId, Document: domain.Secret(r.Body.Document), Signature: r.Body.Signature,
	}, before.TxnID)
	if err != nil {
		return nil, err
	}
	seen, err := s.look(ctx, r.ChallengeId)
	if err != nil {
		return nil, err
	}
	a := gen.PushDecisionAnswer{
		ChallengeId: r.ChallengeId, Status: seen.status(), Result: seen.result(), EventIds: eventIDs(out),
	}
	if e, ok := find[domain.ResponseRejected](out); ok {
		a.ReasonCode, a.AttemptsLeft = shownAtLogin(e.Reason), &e.AttemptsLeft
		if e.Reason != domain.ReasonDeclined && (a.Result == gen.ResultAllow || a.Result == gen.ResultProved) {
			a.Result = gen.ResultDeny // somebody else's answer was right, not this one
		}
	}
	return gen.DecidePush200JSONResponse(a), nil
}
