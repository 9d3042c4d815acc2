package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/keyring"
)

// gathering collects the evidence for one decision. Facts of other streams are
// read before deciding; clients' states stay locked for reading until release,
// because the rules ask them themselves.
type gathering struct {
	j      *Journal
	slot   *slot
	now    time.Time
	policy *domain.Policy
	facts  domain.Facts
	made   made
	locked []func()
}

func (g *gathering) release() {
	for _, unlock := range slices.Backward(g.locked) {
		unlock()
	}
	g.locked = nil
}

// gather fills the facts and returns the command as the rules may see it:
// without what the user typed.
func (g *gathering) gather(ctx context.Context, c domain.Command) (domain.Command, error) {
	if ship, ok := c.(domain.RecordDeviceShipped); ok {
		return c, g.request(ctx, ship)
	}
	u, ok := g.slot.state.(*domain.User)
	if !ok || !u.Registered() {
		return withoutSecrets(c), nil // decided without evidence
	}
	if done, err := g.privacy(ctx, u, c); done {
		return c, err
	}
	if u.Closed() {
		return withoutSecrets(c), nil
	}
	if derives(c) {
		kid, err := g.j.keys.CurrentKid(ctx)
		if err != nil {
			return nil, fmt.Errorf("name the code key: %w", err)
		}
		g.facts.Kid = kid
	}
	if phoneID := g.textedPhone(u, c); phoneID != "" {
		g.facts.SMSLastHour = g.smsLastHour(ctx, u, phoneID)
	}
	if err := g.others(ctx, u, c); err != nil {
		return nil, err
	}
	g.make(u, c)
	switch c := c.(type) {
	case domain.DecidePush:
		return g.push(ctx, u, c)
	case domain.CollectTemporaryCredential:
		return withoutSecrets(c), g.collecting(ctx, c)
	}
	return withoutSecrets(c), g.code(ctx, u, c)
}

// withoutSecrets is the command without what the user typed.
func withoutSecrets(c domain.Command) domain.Command {
	switch c := c.(type) {
	case domain.ConfirmPhone:
		c.Code = ""
		return c
	case domain.SubmitActivationCode:
		c.Code = ""
		return c
	case domain.SubmitResponse:
		c.Response = ""
		return c
	case domain.DecidePush:
		c.Document, c.Signature = "", ""
		return c
	case domain.ProveMigration:
		c.Code = ""
		return c
	case domain.ProveRecovery:
		c.Code = ""
		return c
	case domain.StartRecovery:
		c.Handover = ""
		return c
	case domain.CompleteUnification:
		c.Handover = ""
		return c
	case domain.RequestPhysicalDevice:
		c.PIN = ""
		return c
	case domain.ChangeDevicePIN:
		c.PIN = ""
		return c
	case domain.DeliverTemporaryCredential:
		c.Credential = ""
		return c
	case domain.CollectTemporaryCredential:
		c.Proof = ""
		return c
	}
	return c
}

// derives reports whether the command may issue something derived from the
// code key of the day.
func derives(c domain.Command) bool {
	switch c.(type) {
	case domain.StartPhoneVerification, domain.ResendConfirmCode, domain.StartEnrollment, domain.ResendActivationCode,
		domain.StartAuthentication, domain.IssueChallenge, domain.RequestFallback, domain.ResendLoginCode, domain.RequestVoiceCall,
		domain.StartMigration, domain.ResendMigrationCode, domain.StartRecovery, domain.ResendRecoveryCode,
		domain.IssueTemporaryPasscode, domain.ReactivateAuthenticator, domain.ChangeDevicePIN, domain.RequestDeviceSharing:
		return true
	}
	return false
}

// textedPhone is the phone a command may ask to send an SMS to, if any.
func (g *gathering) textedPhone(u *domain.User, c domain.Command) string {
	switch c := c.(type) {
	case domain.StartPhoneVerification:
		return c.PhoneID
	case domain.ResendConfirmCode:
		v, _ := u.Verification(c.VerificationID)
		return v.PhoneID
	case domain.StartEnrollment:
		if c.PhoneID != "" {
			return c.PhoneID
		}
		return newestVerified(u)
	case domain.ResendActivationCode:
		e, _ := u.Enrollment(c.EnrollmentID)
		return e.PhoneID
	case domain.StartAuthentication:
		if a := u.Authenticators(g.now); len(a) == 1 && !c.Defer {
			return a[0].PhoneID
		}
	case domain.StartMigration, domain.StartRecovery:
		a, _ := u.IBKey()
		return a.ActivationID
	case domain.ResendMigrationCode:
		m, _ := u.Migration(c.MigrationID)
		return m.PhoneID
	case domain.ResendRecoveryCode:
		r, _ := u.Recovery(c.RecoveryID)
		return r.PhoneID
	case domain.IssueChallenge:
		if a, ok := u.Authenticator(c.AuthenticatorID); ok {
			return a.PhoneID
		}
		if a := u.Authenticators(g.now); len(a) == 1 {
			return a[0].PhoneID
		}
	case domain.ResendLoginCode:
		challenge, _ := u.Challenge(c.ChallengeID)
		a, _ := u.Authenticator(challenge.AuthenticatorID)
		return a.PhoneID
	}
	return ""
}

// newestVerified is the phone an enrolment that names none will use.
func newestVerified(u *domain.User) string {
	var best domain.Phone
	for _, p := range u.Phones() { // in the order they were added
		if p.Verified && !p.Retired && !p.VerifiedAt.Before(best.VerifiedAt) {
			best = p
		}
	}
	return best.ID
}

// smsLastHour asks the counter, which is soft: when it fails, the cooldown of
// the phone itself still holds, and refusing everybody would be worse.
func (g *gathering) smsLastHour(ctx context.Context, u *domain.User, phoneID string) int {
	if g.j.counter == nil {
		return 0
	}
	p, ok := u.Phone(phoneID)
	if !ok {
		return 0
	}
	number, err := g.j.number(ctx, g.slot, p)
	if err == nil {
		var n int
		if n, err = g.j.counter(ctx, number); err == nil {
			return n
		}
	}
	g.j.log.WarnContext(ctx, "count SMS to a phone", "phone", phoneID, "error", err)
	return 0
}

// number opens a phone's number. The caller may read the slot's state.
func (j *Journal) number(ctx context.Context, s *slot, p domain.Phone) (string, error) {
	clear, err := j.keys.Open(ctx, s.stream, s.numbers[p.ID], "number", p.Number.SealedText())
	if err != nil {
		return "", fmt.Errorf("open number of %s: %w", p.ID, err)
	}
	return string(clear), nil
}

// others reads what the rules want to know of other streams.
func (g *gathering) others(ctx context.Context, u *domain.User, c domain.Command) error {
	switch c := c.(type) {
	case domain.StartEnrollment:
		if err := g.installation(ctx, u, c.InstallationID); err != nil {
			return err
		}
		return g.device(ctx, c.DeviceID)
	case domain.CompleteEnrollment:
		e, _ := u.Enrollment(c.EnrollmentID)
		return g.installation(ctx, u, e.InstallationID)
	case domain.RequestOptOut:
		if err := g.requester(ctx, u, c.RequestedBy); err != nil {
			return err
		}
		return g.clients(ctx, u)
	case domain.ReevaluateRegime, domain.IssueTemporaryPasscode:
		return g.clients(ctx, u)
	case domain.StartAuthentication:
		if u.OptedOut(g.now) != nil || g.bridging(u) {
			return g.clients(ctx, u)
		}
	case domain.IssueChallenge:
		if g.bridging(u) {
			return g.clients(ctx, u)
		}
	case domain.SubmitResponse:
		challenge, _ := u.Challenge(c.ChallengeID)
		if challenge.Mode == domain.ModeStaticCode {
			return g.clients(ctx, u)
		}
		return g.device(ctx, challenge.DeviceID)
	case domain.AutoActivateDevice:
		return g.device(ctx, c.DeviceID)
	case domain.RequestDeviceSharing:
		return g.owner(ctx, u, c.AuthenticatorID)
	case domain.DecideDeviceSharing:
		sharing, _ := u.Sharing(c.SharingID)
		return g.device(ctx, sharing.DeviceID)
	}
	return g.moves(ctx, u, c)
}

// bridging reports whether a temporary passcode may have to answer: its scope
// is a question of law.
func (g *gathering) bridging(u *domain.User) bool {
	for _, a := range u.Authenticators(g.now) {
		if a.Kind == domain.KindTempCode {
			return true
		}
	}
	return false
}

func (g *gathering) requester(ctx context.Context, u *domain.User, id string) error {
	if id == u.ID || !domain.IsID(id, domain.PrefixUser) {
		return nil
	}
	err := g.j.User(ctx, id, func(r *domain.User, _ time.Time) error {
		if !r.Closed() {
			g.facts.Requester = &domain.RequesterFacts{UserID: id, ClientID: r.ClientID, Role: r.Role}
		}
		return nil
	})
	return ignoreUnknown(err)
}

// ignoreUnknown lets the rules judge what is missing.
func ignoreUnknown(err error) error {
	var e *domain.Error
	if errors.As(err, &e) && e.Code == domain.Unknown {
		return nil
	}
	return err
}

// clients locks the states of the user's own and accessible clients.
func (g *gathering) clients(ctx context.Context, u *domain.User) error {
	return g.lockClients(ctx, append([]string{u.ClientID}, u.AccessibleClients(g.now, g.policy)...))
}

// lockClients locks the states of clients for reading. They are taken in the
// order of their names, so that two gatherings and the commands on those
// clients cannot wait for each other in a circle; and all are read before one is
// locked, so that nobody waits for the store on their account.
func (g *gathering) lockClients(ctx context.Context, ids []string) error {
	slices.Sort(ids)
	g.facts.Clients = map[string]*domain.Client{}
	var found []*slot
	for _, id := range slices.Compact(ids) {
		if !domain.IsID(id, domain.PrefixClient) {
			continue
		}
		s, done, err := g.j.current(ctx, domain.ClientStream(id))
		if err != nil {
			return err
		}
		g.locked = append(g.locked, done)
		found = append(found, s)
		g.facts.Clients[id] = s.state.(*domain.Client) // by the stream's category
	}
	for _, s := range found {
		s.mu.RLock()
		g.locked = append(g.locked, s.mu.RUnlock)
	}
	return nil
}

// gone reports that a key was destroyed on purpose: whatever depends on it can
// no longer be right, which is an answer and not a failure.
func gone(err error) bool { return errors.Is(err, keyring.ErrKeyDestroyed) }
