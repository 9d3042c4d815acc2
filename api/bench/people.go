package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/domain/ocra"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
)

// person is a user of the product who answers by challenge and response, and
// the keys of their phone. One client of the load at a time uses it.
type person struct {
	userID  string
	secret  keyring.Secret
	suite   ocra.Suite
	started []byte // body of the request that starts a login
}

// respond turns the challenge of the login page into the app's response.
func (p *person) respond(challenge string) (string, error) {
	return p.suite.Compute(p.secret, ocra.Input{Question: challenge, Time: p.suite.TimeStep(time.Now())})
}

// settlers is how many people are set up at once.
const settlers = 64

// settle brings people into being by real commands: registered, phone
// verified, app activated, pushes switched off.
func settle(ctx context.Context, j *journal.Journal, from, count int) ([]*person, error) {
	people := make([]*person, count)
	workers := min(settlers, count)
	_, err := drive(ctx, workers, extent{each: (count + workers - 1) / workers}, func(ctx context.Context, worker, n int) (err error) {
		if i := worker + n*workers; i < count {
			people[i], err = newcomer{j: j, n: from + i}.settle(ctx)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("set up users: %w", err)
	}
	return people, nil
}

// newcomer is somebody on the way to be a person.
type newcomer struct {
	j *journal.Journal
	n int
}

func (c newcomer) do(ctx context.Context, command domain.Command) (journal.Outcome, error) {
	out, err := c.j.Execute(ctx, journal.Request{
		Command: command, CommandID: uuid.New(), Actor: domain.Actor{Kind: domain.ActorClient, Ref: "bench"},
		Source: domain.Source{Platform: domain.ClientPortal},
	})
	if err != nil {
		return out, fmt.Errorf("%s: %w", command.Name(), err)
	}
	return out, nil
}

func (c newcomer) settle(ctx context.Context) (*person, error) {
	reference := fmt.Sprintf("BENCH-%07d", c.n)
	clientID, userID := codec.ClientIDOf(reference), codec.UserIDOf(reference)
	if _, err := c.do(ctx, domain.RegisterClient{ClientID: clientID, Kind: domain.Individual, CarryingEntity: "IB-IE", CarryingCC: "IE"}); err != nil {
		return nil, err
	}
	_, err := c.do(ctx, domain.RegisterUser{
		UserID: userID, ClientID: clientID, Role: domain.RoleOwner, Username: domain.Clear(reference), Locale: "en", Residence: "DE", ResidentOn: "2010-01-01",
	})
	if err != nil {
		return nil, err
	}
	if err := c.verifyPhone(ctx, userID); err != nil {
		return nil, err
	}
	authenticatorID, err := c.activate(ctx, userID)
	if err != nil {
		return nil, err
	}
	if _, err := c.do(ctx, domain.SetSeamless{UserID: userID, Enabled: false}); err != nil {
		return nil, err
	}
	secret, text, err := c.j.OCRASecret(ctx, userID, authenticatorID)
	if err != nil {
		return nil, err
	}
	suite, err := ocra.Parse(text)
	if err != nil {
		return nil, err
	}
	return &person{userID: userID, secret: secret, suite: suite, started: startBody(userID)}, nil
}

func (c newcomer) verifyPhone(ctx context.Context, userID string) error {
	out, err := c.do(ctx, domain.AddPhone{UserID: userID, CC: "DE", Number: domain.Clear(fmt.Sprintf("+4915%09d", c.n)), Line: domain.LineMobile})
	if err != nil {
		return err
	}
	phone, err := event[domain.PhoneNumberAdded](out)
	if err != nil {
		return err
	}
	if out, err = c.do(ctx, domain.StartPhoneVerification{PhoneID: phone.PhoneID}); err != nil {
		return err
	}
	issued, err := event[domain.ConfirmCodeIssued](out)
	if err != nil {
		return err
	}
	code, err := c.j.CodeText(ctx, domain.PurposePhoneVerification, issued.VerificationID, domain.Issued{Seq: issued.Seq, Kid: issued.Kid, Len: issued.CodeLen, ExpiresAt: issued.ExpiresAt})
	if err != nil {
		return err
	}
	_, err = c.do(ctx, domain.ConfirmPhone{VerificationID: issued.VerificationID, Code: domain.Secret(code)})
	return err
}

// activate enrolls the app and returns the authenticator's id.
func (c newcomer) activate(ctx context.Context, userID string) (string, error) {
	installationID, err := c.install(ctx)
	if err != nil {
		return "", err
	}
	out, err := c.do(ctx, domain.StartAuthentication{UserID: userID, Purpose: domain.PurposeActivation, Platform: domain.IBKRMobileIOS, PrimaryVerified: true})
	if err != nil {
		return "", err
	}
	txn, err := event[domain.PrimaryFactorVerified](out)
	if err != nil {
		return "", err
	}
	out, err = c.do(ctx, domain.StartEnrollment{UserID: userID, Kind: domain.KindIBKey, InstallationID: installationID, TxnID: txn.TxnID})
	if err != nil {
		return "", err
	}
	issued, err := event[domain.ActivationCodeIssued](out)
	if err != nil {
		return "", err
	}
	code, err := c.j.CodeText(ctx, domain.PurposeActivation, issued.SubjectID, domain.Issued{Seq: issued.Seq, Kid: issued.Kid, Len: issued.CodeLen, ExpiresAt: issued.ExpiresAt})
	if err != nil {
		return "", err
	}
	if _, err := c.do(ctx, domain.SubmitActivationCode{EnrollmentID: issued.SubjectID, Code: domain.Secret(code)}); err != nil {
		return "", err
	}
	if out, err = c.do(ctx, domain.CompleteEnrollment{EnrollmentID: issued.SubjectID, UV: domain.UVFaceID}); err != nil {
		return "", err
	}
	enrolled, err := event[domain.AuthenticatorEnrolled](out)
	return enrolled.AuthenticatorID, err
}

func (c newcomer) install(ctx context.Context) (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	id := codec.InstallationIDOf(der)
	_, err = c.do(ctx, domain.RegisterInstallation{
		InstallationID: id, App: domain.AppIBKRMobile, OS: domain.IOS, AppVersion: "9.41", HandsetID: "handset", DeviceName: domain.Clear("phone"),
		KeyAlgorithm: domain.ES256, PublicKey: base64.RawURLEncoding.EncodeToString(der), PublicKeyID: base64.RawURLEncoding.EncodeToString(sum[:]),
	})
	return id, err
}

// event is the first event of a type, which the outcome must have.
func event[T domain.Event](out journal.Outcome) (T, error) {
	var none T
	for _, r := range out.Events {
		if e, ok := r.Event.(T); ok {
			return e, nil
		}
	}
	return none, fmt.Errorf("the rules answered without %s", codec.TypeName(none))
}

// grow gives people a history of about so many events: logins begun with the
// right password and cancelled by the user.
func grow(ctx context.Context, j *journal.Journal, people []*person, events int) error {
	const eventsPerLogin = 7
	workers := min(settlers, len(people))
	_, err := drive(ctx, workers, extent{each: (len(people) + workers - 1) / workers}, func(ctx context.Context, worker, n int) error {
		i := worker + n*workers
		for written := 0; i < len(people) && written < events; written += eventsPerLogin {
			if err := (newcomer{j: j}).giveUp(ctx, people[i].userID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write histories: %w", err)
	}
	return nil
}

func (c newcomer) giveUp(ctx context.Context, userID string) error {
	out, err := c.do(ctx, domain.StartAuthentication{UserID: userID, Purpose: domain.PurposeLogin, Platform: domain.ClientPortal, PrimaryVerified: true})
	if err != nil {
		return err
	}
	challenge, err := event[domain.ChallengeIssued](out)
	if err != nil {
		return err
	}
	_, err = c.do(ctx, domain.CancelChallenge{ChallengeID: challenge.ChallengeID})
	return err
}
