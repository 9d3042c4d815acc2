package journal

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/keyring"
)

// secretDelivery is the prefix of a reset password that waits in an app, by the
// event that says so.
const secretDelivery = "delivery:"

// whatResetPassword is what a delivery is of when it is not of a passcode.
const whatResetPassword = "reset_password"

// waitsInApp reports a delivery whose password is kept until it is collected.
func waitsInApp(e domain.TemporaryCredentialDelivered) bool {
	return e.What == whatResetPassword && e.InstallationID != ""
}

// made is what the shell makes or keeps aside for a command before it is
// decided: it becomes durable only if the decision asks for it.
type made struct {
	grid       []byte        // the cells of a card
	pin        domain.Secret // chosen for a physical device
	credential domain.Secret // a reset password
}

var devicePIN = regexp.MustCompile(`^[0-9]{4}$`) // D-24

// make prepares randomness and judges the form of a PIN.
func (g *gathering) make(u *domain.User, c domain.Command) {
	switch c := c.(type) {
	case domain.RequestPhysicalDevice:
		g.made.pin, g.facts.PINConforms = c.PIN, devicePIN.MatchString(string(c.PIN))
	case domain.ChangeDevicePIN:
		g.made.pin, g.facts.PINConforms = c.PIN, devicePIN.MatchString(string(c.PIN))
	case domain.DeliverTemporaryCredential:
		g.made.credential = c.Credential
	case domain.IssueCodeCard:
		g.makeCard()
	case domain.StartAuthentication, domain.IssueChallenge, domain.ActivateCodeCard, domain.ReactivateAuthenticator, domain.StartMigration, domain.StartRecovery:
		g.roll()
	}
}

// roll picks the cells a card may be asked for.
func (g *gathering) roll() {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails; see crypto/rand
	g.facts.Dice = [2]uint32{binary.LittleEndian.Uint32(b[:4]), binary.LittleEndian.Uint32(b[4:])}
}

// parameterCells names the number of cells of a card.
const parameterCells = "code_card.cells"

// makeCard makes the cells of a card. The alphabet has 32 letters, so a random
// byte picks one without preference.
func (g *gathering) makeCard() {
	grid := make([]byte, int(g.policy.Int(parameterCells, g.now))*cellLength)
	_, _ = rand.Read(grid) // never fails; see crypto/rand
	for i := range grid {
		grid[i] = cellAlphabet[int(grid[i])%len(cellAlphabet)]
	}
	sum := sha256.Sum256(grid)
	g.made.grid, g.facts.GridCommitment = grid, base64.RawURLEncoding.EncodeToString(sum[:])
}

// provision makes durable what events name but may not hold, before they are
// appended: an authenticator without its key could never be used. An attempt
// that does not get as far as its event leaves a secret nobody asks for, and
// must not touch one that somebody does: a key that is there stays, cells go by
// their commitment, and what was typed goes by the event it came with.
func (g *gathering) provision(ctx context.Context, proposed []eventstore.Proposed, events []domain.Event) error {
	for i, e := range events {
		if err := g.provide(ctx, proposed[i].ID, e); err != nil {
			return fmt.Errorf("provision for %T on %s: %w", e, g.slot.stream, err)
		}
	}
	return nil
}

// overwrites reports whether provision replaces a secret that may be in use: the
// PIN of a unit, the one thing that does not go by the event it came with.
func overwrites(events []domain.Event) bool {
	return slices.ContainsFunc(events, func(e domain.Event) bool {
		switch e.(type) {
		case domain.DevicePINChanged, domain.PhysicalDeviceShipped:
			return true
		}
		return false
	})
}

func (g *gathering) provide(ctx context.Context, id eventstore.EventID, e domain.Event) error {
	keys, stream := g.j.keys, g.slot.stream
	switch e := e.(type) {
	case domain.AuthenticatorEnrolled:
		if e.Kind == domain.KindIBKey {
			return g.provideKey(ctx, e.AuthenticatorID)
		}
	case domain.OnlineCodeCardIssued:
		return keys.PutSecret(ctx, stream, secretGrid+e.GridCommitment, g.made.grid)
	case domain.SecurityCodeCardIssued:
		return keys.PutSecret(ctx, stream, secretGrid+e.GridCommitment, g.made.grid)
	case domain.PhysicalDeviceRequested:
		return keys.PutSecret(ctx, stream, secretOrderPIN+id.String(), []byte(g.made.pin))
	case domain.PhysicalDeviceShipped:
		if e.DeviceID != "" && stream == domain.DeviceStream(e.DeviceID) {
			return g.orderedPIN(ctx, e)
		}
	case domain.ChallengeIssued:
		if g.made.pin != "" && e.DeviceID != "" {
			return keys.PutSecret(ctx, domain.DeviceStream(e.DeviceID), secretNewPIN+id.String(), []byte(g.made.pin))
		}
	case domain.DevicePINChanged:
		device := domain.DeviceStream(e.DeviceID)
		return g.copySecret(ctx, device, secretNewPIN+g.slot.secrets[e.ChallengeID].String(), device, secretPIN)
	case domain.TemporaryCredentialDelivered:
		switch {
		case !waitsInApp(e):
		case g.made.credential == "":
			return &domain.Error{Code: domain.Invalid, Field: "credential", Detail: "give the password that is to wait in the app"}
		default:
			return keys.PutSecret(ctx, stream, secretDelivery+id.String(), []byte(g.made.credential))
		}
	}
	return nil
}

// orderedPIN gives a unit the PIN that was chosen with its order.
func (g *gathering) orderedPIN(ctx context.Context, e domain.PhysicalDeviceShipped) error {
	stream := domain.UserStream(e.UserID)
	s, release, err := g.j.view(ctx, stream)
	if err != nil {
		return err
	}
	event := s.secrets[e.RequestID]
	release()
	return g.copySecret(ctx, stream, secretOrderPIN+event.String(), g.slot.stream, secretPIN)
}

// provideKey makes the OCRA key of an IB Key.
func (g *gathering) provideKey(ctx context.Context, authenticatorID string) error {
	_, err := g.j.keys.Secret(ctx, g.slot.stream, authenticatorID)
	if err == nil || !missing(err) {
		return err
	}
	secret := make([]byte, ocraSecretSize)
	_, _ = rand.Read(secret) // never fails; see crypto/rand
	defer clear(secret)
	return g.j.keys.PutSecret(ctx, g.slot.stream, authenticatorID, secret)
}

func (g *gathering) copySecret(ctx context.Context, fromStream, from, toStream, to string) error {
	secret, err := g.j.keys.Secret(ctx, fromStream, from)
	if missing(err) || gone(err) {
		return nil // chosen before PINs were kept, or erased: the unit mixes none in
	}
	if err != nil {
		return err
	}
	defer clear(secret)
	return g.j.keys.PutSecret(ctx, toStream, to, secret)
}

// missing reports that there is no such secret, or not even a key for it.
func missing(err error) bool {
	return errors.Is(err, keyring.ErrSecretNotFound) || errors.Is(err, keyring.ErrKeyNotFound)
}
