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

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/keyring"
)

// secretDelivery is the prefix of a reset password that waits in an app.
const secretDelivery = "delivery:"

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
// appended: an authenticator without its key could never be used. A secret
// that is there already, of an attempt that did not get as far as its event,
// stays where replacing it could break a binding that did.
func (g *gathering) provision(ctx context.Context, events []domain.Event) error {
	for _, e := range events {
		if err := g.provide(ctx, e); err != nil {
			return fmt.Errorf("provision for %T on %s: %w", e, g.slot.stream, err)
		}
	}
	return nil
}

func (g *gathering) provide(ctx context.Context, e domain.Event) error {
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
		return keys.PutSecret(ctx, stream, secretOrderPIN+e.RequestID, []byte(g.made.pin))
	case domain.PhysicalDeviceShipped:
		if e.DeviceID != "" && stream == domain.DeviceStream(e.DeviceID) {
			return g.copySecret(ctx, domain.UserStream(e.UserID), secretOrderPIN+e.RequestID, stream, secretPIN)
		}
	case domain.ChallengeIssued:
		if g.made.pin != "" && e.DeviceID != "" {
			return keys.PutSecret(ctx, domain.DeviceStream(e.DeviceID), secretNewPIN+e.ChallengeID, []byte(g.made.pin))
		}
	case domain.DevicePINChanged:
		device := domain.DeviceStream(e.DeviceID)
		return g.copySecret(ctx, device, secretNewPIN+e.ChallengeID, device, secretPIN)
	case domain.TemporaryCredentialDelivered:
		if e.AuthenticatorID == "" && e.InstallationID != "" {
			return keys.PutSecret(ctx, stream, secretDelivery+e.DeliveryID, []byte(g.made.credential))
		}
	}
	return nil
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
