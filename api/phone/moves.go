package phone

import (
	"context"
	"fmt"
	"slices"

	"github.com/authledger/authledger/api/client"
	"github.com/authledger/authledger/api/gen"
)

// IB Key on its way to this app: from another phone, from the app that was here
// before, from the standalone app beside it.

// Migrate completes a migration to this phone: it answers with the code from
// the SMS, unless a physical device proved it already and there is none, and
// keeps the key it is given.
func (p *Phone) Migrate(ctx context.Context, userID, migrationID, code string, u Unlock) (Activation, error) {
	s, uv, err := p.unlocked(ctx, u)
	if err != nil {
		return Activation{}, err
	}
	c := client.New(s.Server, p.key)
	if code != "" {
		var verdict gen.Migration
		if _, err := c.Post(ctx, "/v1/migrations/"+migrationID+"/proof", gen.CodeRequest{Code: code}, &verdict); err != nil {
			return Activation{}, err
		}
		if verdict.Status != gen.MigrationStatusProved {
			return Activation{}, fmt.Errorf("the code was not accepted: %s", verdict.ReasonCode)
		}
	}
	var done gen.MigrationCompletion
	if _, err := c.Post(ctx, "/v1/migrations/"+migrationID+"/complete", gen.CompleteEnrollmentRequest{Uv: gen.UV(uv)}, &done); err != nil {
		return Activation{}, err
	}
	if done.Status != gen.MigrationCompletionStatusCompleted {
		return Activation{}, fmt.Errorf("the migration was refused: %s", done.ReasonCode)
	}
	return p.carry(s, userID, string(done.AuthenticatorId), done.Ocra)
}

// Reinstall installs the app again on the same phone: another installation with
// another key, and nobody's IB Key. On iOS the keychain keeps the old key; on
// Android it is gone, and so is the PIN.
func (p *Phone) Reinstall(ctx context.Context) (string, error) {
	old, err := load(p.path)
	if err != nil {
		return "", err
	}
	s := &state{Server: old.Server, App: old.App, OS: old.OS, HandsetID: old.HandsetID}
	if old.OS != android {
		s.Former = old.keychain()
	}
	return p.install(ctx, s)
}

// keychain is what an iPhone keeps when the app is removed: the keys of the
// installations that somebody's IB Key lives with.
func (s *state) keychain() []former {
	last := former{InstallationID: s.InstallationID, PrivateKey: s.PrivateKey}
	for _, u := range s.Users {
		last.Users = append(last.Users, u.UserID)
	}
	kept := []former{}
	for _, f := range s.Former {
		f.Users = slices.DeleteFunc(slices.Clone(f.Users), func(id string) bool { return slices.Contains(last.Users, id) })
		if len(f.Users) > 0 {
			kept = append(kept, f)
		}
	}
	if len(last.Users) > 0 {
		kept = append(kept, last)
	}
	return kept
}

// StartRecovery asks to bring a user's IB Key back on this phone, in an
// authentication begun with the password. Where the keychain kept the old key
// it signs that it hands over, and nothing else has to be proved; otherwise the
// answer says what has. Cause is reinstalled or os_upgraded.
func (p *Phone) StartRecovery(ctx context.Context, userID, authenticationID, cause string) (gen.Recovery, error) {
	var answer gen.Recovery
	s, err := load(p.path)
	if err != nil {
		return answer, err
	}
	body := gen.StartRecoveryRequest{
		AuthenticationId: authenticationID, InstallationId: s.InstallationID, Cause: gen.StartRecoveryRequestCause(cause),
	}
	if body.Handover, err = s.handover(userID); err != nil {
		return answer, err
	}
	_, err = client.New(s.Server, p.key).Post(ctx, "/v1/users/"+userID+"/recoveries", body, &answer)
	if err == nil && answer.Status == gen.RecoveryStatusRefused {
		err = fmt.Errorf("the recovery was refused: %s", answer.ReasonCode)
	}
	return answer, err
}

// handover is the signature of the key that IB Key leaves: the one the keychain
// kept, or on a phone whose system was upgraded the app's own. An Android app
// has nothing to say: an SMS proves its user.
func (s *state) handover(userID string) (string, error) {
	if s.OS == android {
		return "", nil
	}
	from, der := s.InstallationID, s.PrivateKey
	for _, f := range s.Former {
		if slices.Contains(f.Users, userID) {
			from, der = f.InstallationID, f.PrivateKey
		}
	}
	key, err := parseKey(der)
	if err != nil {
		return "", err
	}
	return sign(key, handoverText(userID, from, s.InstallationID))
}

// Recover completes a recovery: it answers with the code from the SMS, where
// one was sent, and keeps the key it is given. A blocked PIN ends with it; on
// Android a new one must have been set before.
func (p *Phone) Recover(ctx context.Context, userID, recoveryID, code string, u Unlock) (Activation, error) {
	s, uv, err := p.unlockedForRecovery(ctx, u)
	if err != nil {
		return Activation{}, err
	}
	c := client.New(s.Server, p.key)
	if code != "" {
		var verdict gen.Recovery
		if _, err := c.Post(ctx, "/v1/recoveries/"+recoveryID+"/proof", gen.CodeRequest{Code: code}, &verdict); err != nil {
			return Activation{}, err
		}
		if verdict.Status != gen.RecoveryStatusProved {
			return Activation{}, fmt.Errorf("the code was not accepted: %s", verdict.ReasonCode)
		}
	}
	var done gen.RecoveryCompletion
	if _, err := c.Post(ctx, "/v1/recoveries/"+recoveryID+"/complete", gen.CompleteEnrollmentRequest{Uv: gen.UV(uv)}, &done); err != nil {
		return Activation{}, err
	}
	if done.Status != gen.RecoveryCompletionStatusCompleted {
		return Activation{}, fmt.Errorf("the recovery was refused: %s", done.ReasonCode)
	}
	if s.PIN != nil {
		s.PIN.Blocked, s.PIN.Reported, s.PIN.Wrong = false, false, 0
	}
	return p.carry(s, userID, string(done.AuthenticatorId), done.Ocra)
}

// unlockedForRecovery is unlocked also for an app whose PIN is blocked: the
// new PIN unlocks it for the recovery that ends the block, and for nothing else.
func (p *Phone) unlockedForRecovery(ctx context.Context, u Unlock) (*state, string, error) {
	s, err := load(p.path)
	if err != nil {
		return nil, "", err
	}
	if s.PIN == nil || !s.PIN.Blocked {
		return p.unlocked(ctx, u)
	}
	if err := p.reportBlock(ctx, s); err != nil {
		return nil, "", err
	}
	if s.PIN.Wrong >= mostWrong {
		return nil, "", ErrPINBlocked // no new one was set
	}
	uv, err := p.check(ctx, s, u)
	return s, uv, err
}

// DetectUnification says that this app found the standalone one, whose file is
// at path, on the same phone, and answers what is offered. Case is auth_only,
// both or debit_card.
func (p *Phone) DetectUnification(ctx context.Context, userID, path, what string) (gen.Unification, error) {
	var answer gen.Unification
	s, err := load(p.path)
	if err != nil {
		return answer, err
	}
	from, err := load(path)
	if err != nil {
		return answer, fmt.Errorf("the standalone app: %w", err)
	}
	_, err = client.New(s.Server, p.key).Post(ctx, "/v1/users/"+userID+"/unifications", gen.UnificationRequest{
		InstallationId: s.InstallationID, StandaloneInstallationId: from.InstallationID, Case: gen.UnificationRequestCase(what),
	}, &answer)
	if err == nil && answer.Status == gen.UnificationStatusRefused {
		err = fmt.Errorf("the unification was refused: %s", answer.ReasonCode)
	}
	return answer, err
}

// Unify moves IB Key out of the standalone app, whose file is at path, into
// this one: the standalone app's key signs that it hands over.
func (p *Phone) Unify(ctx context.Context, userID, unificationID, path string) (Activation, error) {
	s, err := load(p.path)
	if err != nil {
		return Activation{}, err
	}
	from, err := load(path)
	if err != nil {
		return Activation{}, fmt.Errorf("the standalone app: %w", err)
	}
	key, err := from.key()
	if err != nil {
		return Activation{}, err
	}
	signature, err := sign(key, handoverText(userID, from.InstallationID, s.InstallationID))
	if err != nil {
		return Activation{}, err
	}
	var done gen.UnificationCompletion
	_, err = client.New(s.Server, p.key).Post(ctx, "/v1/unifications/"+unificationID+"/complete", gen.HandoverRequest{Handover: signature}, &done)
	if err != nil {
		return Activation{}, err
	}
	if done.Status != gen.UnificationCompletionStatusCompleted {
		return Activation{}, fmt.Errorf("the unification is %s: %s", done.Status, done.ReasonCode)
	}
	a, err := p.carry(s, userID, string(done.AuthenticatorId), done.Ocra)
	if err != nil {
		return a, err
	}
	from.drop(userID)
	return a, from.save(path)
}
