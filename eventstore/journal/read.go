package journal

import (
	"context"
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/keyring"
)

func unknown(what string) error {
	return &domain.Error{Code: domain.Unknown, Detail: "there is no such " + what}
}

// User shows a user's current state: everything that was acknowledged before the
// call is in it, in a shared store whichever process appended it; it does not
// wait for a command under way. read must not keep or change u, nor call the
// journal; its error is returned as it is. A user who was never registered is an
// UNKNOWN error.
func (j *Journal) User(ctx context.Context, userID string, read func(u *domain.User, now time.Time) error) error {
	if !domain.IsID(userID, domain.PrefixUser) {
		return unknown("user")
	}
	s, release, err := j.view(ctx, domain.UserStream(userID))
	if err != nil {
		return err
	}
	defer release()
	u := s.state.(*domain.User) // by the stream's category
	if !u.Registered() {
		return unknown("user")
	}
	return read(u, j.nowOn(s))
}

// UserAt is User for those who follow the log: the state includes the stream's
// record at least. A record reaches a follower as soon as it is durable, which
// may be before the command that appended it has brought the state along, or
// on another node; so UserAt waits for a command under way and reads what is
// missing.
func (j *Journal) UserAt(ctx context.Context, userID string, least eventstore.Revision, read func(u *domain.User, now time.Time) error) error {
	if !domain.IsID(userID, domain.PrefixUser) {
		return unknown("user")
	}
	if err := j.reach(ctx, domain.UserStream(userID), least); err != nil {
		return err
	}
	return j.User(ctx, userID, read)
}

// reach brings a stream's state to a revision at least.
func (j *Journal) reach(ctx context.Context, stream string, least eventstore.Revision) error {
	s := j.slots.acquire(stream)
	defer j.slots.release(s)
	if err := s.enter(ctx); err != nil {
		return fmt.Errorf("wait for %s: %w", stream, err)
	}
	defer s.leave()
	if err := j.ready(ctx, s); err != nil {
		return err
	}
	if s.last.Next() <= least {
		_, err := j.catchUp(ctx, s)
		return err
	}
	return nil
}

// Installation shows an installation's current state, like User.
func (j *Journal) Installation(ctx context.Context, id string, read func(*domain.Installation)) error {
	if !domain.IsID(id, domain.PrefixInstallation) {
		return unknown("installation")
	}
	s, release, err := j.view(ctx, domain.InstallationStream(id))
	if err != nil {
		return err
	}
	defer release()
	i := s.state.(*domain.Installation) // by the stream's category
	if !i.Registered() {
		return unknown("installation")
	}
	read(i)
	return nil
}

// Client shows a client's current state, like User.
func (j *Journal) Client(ctx context.Context, id string, read func(*domain.Client)) error {
	if !domain.IsID(id, domain.PrefixClient) {
		return unknown("client")
	}
	s, release, err := j.view(ctx, domain.ClientStream(id))
	if err != nil {
		return err
	}
	defer release()
	c := s.state.(*domain.Client) // by the stream's category
	if !c.Registered() {
		return unknown("client")
	}
	read(c)
	return nil
}

// Shown is the six digits the login page shows for a challenge: the question
// of a challenge/response, or the number to type into the app. It is "" when
// there is nothing to show. keyring.ErrKeyDestroyed means a challenge of long
// ago.
func (j *Journal) Shown(ctx context.Context, c domain.Challenge) (string, error) {
	purpose := deriveChallenge
	switch {
	case c.Mode == domain.ModePush && c.NumberMatching:
		purpose = deriveMatch
	case c.Mode != domain.ModeChallengeResponse:
		return "", nil
	}
	digits, err := j.keys.Challenge(ctx, c.Kid, purpose, c.ID, 1)
	if err != nil {
		return "", fmt.Errorf("derive digits of %s: %w", c.ID, err)
	}
	return digits, nil
}

// CodeText is the code to send in a message, for the delivery worker alone.
// subjectID is the verification, enrolment or challenge it was issued for.
func (j *Journal) CodeText(ctx context.Context, purpose domain.Purpose, subjectID string, i domain.Issued) (code string, err error) {
	switch purpose {
	case domain.PurposePhoneVerification:
		code, err = j.keys.Digits(ctx, i.Kid, deriveConfirm, subjectID, i.Seq, i.Len)
	case domain.PurposeLogin:
		code, err = j.keys.Digits(ctx, i.Kid, deriveLogin, subjectID, i.Seq, i.Len)
	case domain.PurposeActivation:
		code, err = j.keys.Activation(ctx, i.Kid, deriveActivation, subjectID, i.Seq)
	case domain.PurposeMigration:
		code, err = j.keys.Activation(ctx, i.Kid, deriveMigration, subjectID, i.Seq)
	case domain.PurposeRecovery:
		code, err = j.keys.Activation(ctx, i.Kid, deriveRecovery, subjectID, i.Seq)
	default:
		return "", fmt.Errorf("derive code of %s: no code has the purpose %s", subjectID, purpose)
	}
	if err != nil {
		return "", fmt.Errorf("derive code of %s: %w", subjectID, err)
	}
	return code, nil
}

// PhoneNumber opens a phone's number, for the delivery worker and to be masked.
// Of somebody whose data is locked away it returns a *domain.Error with
// PROCESSING_RESTRICTED: such a number is neither sent to nor shown in part.
func (j *Journal) PhoneNumber(ctx context.Context, userID, phoneID string) (string, error) {
	if !domain.IsID(userID, domain.PrefixUser) {
		return "", unknown("user")
	}
	s, release, err := j.view(ctx, domain.UserStream(userID))
	if err != nil {
		return "", err
	}
	defer release()
	u := s.state.(*domain.User) // by the stream's category
	p, ok := u.Phone(phoneID)
	if !ok {
		return "", unknown("phone")
	}
	if _, restricted := u.Restricted(); restricted {
		return "", &domain.Error{Code: domain.DataRestricted, Detail: "this person's data is locked away until it may be destroyed"}
	}
	return j.number(ctx, s, p)
}

// OCRASecret is the key of an active authenticator and the suite it is for. It
// is shown to the app once, in the answer that completes the enrolment.
func (j *Journal) OCRASecret(ctx context.Context, userID, authenticatorID string) (secret keyring.Secret, suite string, err error) {
	err = j.User(ctx, userID, func(u *domain.User, _ time.Time) error {
		a, ok := u.Authenticator(authenticatorID)
		if !ok || a.Suite == "" {
			return unknown("authenticator")
		}
		suite = a.Suite
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	if secret, err = j.keys.Secret(ctx, domain.UserStream(userID), authenticatorID); err != nil {
		return nil, "", fmt.Errorf("read key of %s: %w", authenticatorID, err)
	}
	return secret, suite, nil
}

// Decision is what the rules known at a moment say, as of another, about an
// opt-out of the user on the facts of then: the evidence for "which rule, since
// when, on what". A zero knownAt means all that is known now. Facts are those
// the ledger holds now; replay answers for facts known at a moment.
func (j *Journal) Decision(ctx context.Context, userID string, asOf time.Time, p *domain.Policy) (d domain.Decision, err error) {
	err = j.withClients(ctx, userID, asOf, p, func(u *domain.User, clients map[string]*domain.Client) {
		d = p.Evaluate(u.Facts(clients, asOf, p), asOf)
	})
	return d, err
}

// Matching lists the active rules with an effect that apply to the user now.
func (j *Journal) Matching(ctx context.Context, userID, effect string) ([]domain.Rule, error) {
	return j.MatchingAt(ctx, userID, effect, j.Now())
}

// MatchingAt is Matching at a moment, of what is known now: rules and facts
// that were recorded since count as well.
func (j *Journal) MatchingAt(ctx context.Context, userID, effect string, at time.Time) (rules []domain.Rule, err error) {
	p, err := j.ruling(ctx)
	if err != nil {
		return nil, err
	}
	err = j.withClients(ctx, userID, at, p, func(u *domain.User, clients map[string]*domain.Client) {
		rules = p.Matching(u.Facts(clients, at, p), at, effect)
	})
	return rules, err
}

// withClients shows a user with the clients the rules ask about at a moment.
// read must not keep what it is shown.
func (j *Journal) withClients(ctx context.Context, userID string, at time.Time, p *domain.Policy, read func(*domain.User, map[string]*domain.Client)) error {
	s, release, err := j.view(ctx, domain.UserStream(userID))
	if err != nil {
		return err
	}
	defer release()
	u, ok := s.state.(*domain.User)
	if !ok || !u.Registered() {
		return unknown("user")
	}
	g := gathering{j: j, slot: s, now: at, policy: p}
	defer g.release()
	if err := g.clients(ctx, u); err != nil {
		return err
	}
	read(u, g.facts.Clients)
	return nil
}
