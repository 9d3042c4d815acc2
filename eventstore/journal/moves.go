package journal

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/authledger/authledger/domain"
)

// IB Key on its way from one app to another: what the two installations say.

// handoverPrefix keeps a signature over a handover from being one over
// anything else the same key signs.
const handoverPrefix = "authledger/handover/v1\n"

// HandoverText is what the key of the app that IB Key leaves signs: that the
// user's IB Key goes to another installation on the same phone.
func HandoverText(userID, fromInstallationID, toInstallationID string) string {
	return userID + "\n" + fromInstallationID + "\n" + toInstallationID
}

// moves reads the installations of a migration, recovery or unification.
func (g *gathering) moves(ctx context.Context, u *domain.User, c domain.Command) error {
	target, from, handover := "", "", ""
	if a, ok := u.IBKey(); ok {
		from = a.InstallationID
	}
	switch c := c.(type) {
	case domain.StartMigration:
		target = c.InstallationID
	case domain.CompleteMigration:
		m, _ := u.Migration(c.MigrationID)
		target = m.InstallationID
	case domain.StartRecovery:
		target, handover = c.InstallationID, string(c.Handover)
	case domain.CompleteRecovery:
		r, _ := u.Recovery(c.RecoveryID)
		target = r.InstallationID
	case domain.DetectUnification:
		target, from = c.InstallationID, c.StandaloneInstallationID
	case domain.CompleteUnification:
		n, _ := u.Unification(c.UnificationID)
		target, from, handover = n.InstallationID, n.StandaloneID, string(c.Handover)
	default:
		return nil
	}
	if err := g.installation(ctx, u, target); err != nil {
		return err
	}
	err := g.j.Installation(ctx, from, func(i *domain.Installation) {
		f := installationFacts(i)
		g.facts.From = &f
		g.facts.Handover = handover != "" && verify(i.KeyAlgorithm, i.PublicKey, handoverPrefix, []byte(HandoverText(u.ID, i.ID, target)), handover)
	})
	return ignoreUnknown(err)
}

func installationFacts(i *domain.Installation) domain.InstallationFacts {
	return domain.InstallationFacts{
		ID: i.ID, App: i.App, OS: i.OS, HandsetID: i.HandsetID, PINPolicyVersion: i.PINPolicyVersion, PINViolation: i.PINViolation,
		Blocked: i.Blocked, Retired: i.Retired,
	}
}

// mostUsers bounds how many users of an installation are looked at: the rules
// ask whether there is one.
const mostUsers = 20

// installation reads an installation, and from the states of its users which
// of them have an active IB Key there.
func (g *gathering) installation(ctx context.Context, own *domain.User, id string) error {
	if id == "" {
		return nil
	}
	var f domain.InstallationFacts
	var users []domain.Binding
	err := g.j.Installation(ctx, id, func(i *domain.Installation) { f, users = installationFacts(i), i.Bindings })
	if err != nil {
		return ignoreUnknown(err)
	}
	for _, b := range users[:min(mostUsers, len(users))] {
		if b.UserID == own.ID {
			continue
		}
		err := g.j.User(ctx, b.UserID, func(u *domain.User, now time.Time) error {
			if a, ok := u.IBKey(); ok && a.InstallationID == id && a.Active(now) {
				f.Users = append(f.Users, u.ID)
			}
			return nil
		})
		if err := ignoreUnknown(err); err != nil {
			return err
		}
	}
	g.facts.Installation = &f
	return nil
}

// collectPrefix is that of a request for a credential that waits in the app;
// the signed text is the delivery's id, a line feed and the time in
// milliseconds since 1970.
const collectPrefix = "authledger/collect/v1\n"

// collectWindow is how far an installation's clock may be off.
const collectWindow = 60 * time.Second

// collecting checks an app's signature over its request for a credential.
func (g *gathering) collecting(ctx context.Context, c domain.CollectTemporaryCredential) error {
	at, signature, ok := strings.Cut(string(c.Proof), ".")
	ms, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || g.now.Sub(time.UnixMilli(ms)).Abs() > collectWindow {
		return nil // not authentic; the rules say so
	}
	err = g.j.Installation(ctx, c.InstallationID, func(i *domain.Installation) {
		g.facts.Push.Authentic = verify(i.KeyAlgorithm, i.PublicKey, collectPrefix, []byte(c.DeliveryID+"\n"+at), signature)
	})
	return ignoreUnknown(err)
}
