package journal

import (
	"context"
	"crypto/subtle"
	"fmt"
	"strings"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/keyring"
)

// Code cards and temporary passcodes: secrets the user looks up or keeps.

const (
	// cellLength is the number of characters in a cell (K-5).
	cellLength = 3
	// cellAlphabet has 32 letters and digits that are not taken for one another.
	cellAlphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
	// secretGrid is the prefix of a card's cells in the keyring, by the
	// commitment to them: a card that never became an event cannot replace one
	// that did.
	secretGrid = "grid:"
)

// gridCells compares what the user typed with the two cells asked for.
func (g *gathering) gridCells(ctx context.Context, u *domain.User, c domain.Challenge, typed string) (domain.CodeEvidence, error) {
	typed = strings.ToUpper(strings.ReplaceAll(typed, " ", ""))
	e := domain.CodeEvidence{LenOK: len(typed) == 2*cellLength, CharsetOK: alphanumeric(typed)}
	if !e.LenOK || !e.CharsetOK {
		return e, nil
	}
	commitment := ""
	if a, ok := u.Authenticator(c.AuthenticatorID); ok {
		commitment = a.Commitment
	} else if card, ok := u.CodeCard(c.AuthenticatorID); ok {
		commitment = card.Commitment
	}
	grid, err := g.j.keys.Secret(ctx, g.slot.stream, secretGrid+commitment)
	if gone(err) || missing(err) {
		return e, nil
	}
	if err != nil {
		return e, err
	}
	defer clear(grid)
	var want [2 * cellLength]byte
	for i, cell := range c.Cells {
		if cell < 1 || cell*cellLength > len(grid) {
			return e, nil
		}
		copy(want[i*cellLength:], grid[(cell-1)*cellLength:cell*cellLength])
	}
	e.Matched = subtle.ConstantTimeCompare(want[:], []byte(typed)) == 1
	return e, nil
}

func alphanumeric(s string) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'A' || s[i] > 'Z') {
			return false
		}
	}
	return s != ""
}

// CodeCard is the cells of a card, in order, for whoever prints it: while it
// waits for its activation. Afterwards there is none to show, and nobody sees
// it twice.
func (j *Journal) CodeCard(ctx context.Context, userID, authenticatorID string) ([]string, error) {
	stream := domain.UserStream(userID)
	s, release, err := j.view(ctx, stream)
	if err != nil {
		return nil, err
	}
	card, ok := s.state.(*domain.User).CodeCard(authenticatorID) // by the stream's category
	release()
	if !ok {
		return nil, unknown("code card that waits for its activation")
	}
	grid, err := j.keys.Secret(ctx, stream, secretGrid+card.Commitment)
	if err != nil {
		return nil, fmt.Errorf("read cells of %s: %w", authenticatorID, err)
	}
	defer clear(grid)
	cells := make([]string, 0, len(grid)/cellLength)
	for i := 0; i+cellLength <= len(grid); i += cellLength {
		cells = append(cells, string(grid[i:i+cellLength]))
	}
	return cells, nil
}

// passcode compares what the user typed with a temporary passcode.
func (g *gathering) passcode(ctx context.Context, u *domain.User, c domain.Challenge, typed string) (domain.CodeEvidence, error) {
	code, ok := keyring.NormalizeActivation(typed)
	if !ok {
		bare := len(strings.NewReplacer("-", "", " ", "").Replace(typed))
		return domain.CodeEvidence{LenOK: bare == 8, CharsetOK: false}, nil
	}
	e := domain.CodeEvidence{LenOK: true, CharsetOK: true}
	a, ok := u.Authenticator(c.AuthenticatorID)
	if !ok {
		return e, nil
	}
	want, err := g.j.keys.Activation(ctx, a.Kid, deriveTemporary, a.ID, 1)
	if gone(err) {
		return e, nil
	}
	e.Matched = err == nil && keyring.Equal(want, code)
	return e, err
}

// TemporaryPasscode is the text of a temporary passcode, for the agent who
// reads it out or the app it is shown in.
func (j *Journal) TemporaryPasscode(ctx context.Context, userID, authenticatorID string) (string, error) {
	s, release, err := j.view(ctx, domain.UserStream(userID))
	if err != nil {
		return "", err
	}
	a, ok := s.state.(*domain.User).Authenticator(authenticatorID) // by the stream's category
	now := j.nowOn(s)
	release()
	if !ok || a.Kind != domain.KindTempCode || !a.Active(now) {
		return "", unknown("temporary passcode in force")
	}
	text, err := j.keys.Activation(ctx, a.Kid, deriveTemporary, a.ID, 1)
	if err != nil {
		return "", fmt.Errorf("derive passcode of %s: %w", a.ID, err)
	}
	return text, nil
}

// Credential is what a delivery in an app carries: the temporary passcode, or
// the reset password that the operator left for it. It is there to show once
// the log says that the app collected it, and not before.
func (j *Journal) Credential(ctx context.Context, deliveryID string) (domain.Secret, error) {
	userID := domain.UserOf(deliveryID)
	s, release, err := j.view(ctx, domain.UserStream(userID))
	if err != nil {
		return "", err
	}
	d, ok := s.state.(*domain.User).Delivery(deliveryID) // by the stream's category
	event := s.secrets[deliveryID]
	release()
	if !ok || !d.Collected {
		return "", unknown("credential that was collected")
	}
	if d.What != whatResetPassword {
		text, err := j.TemporaryPasscode(ctx, userID, d.AuthenticatorID)
		return domain.Secret(text), err
	}
	secret, err := j.keys.Secret(ctx, domain.UserStream(userID), secretDelivery+event.String())
	if err != nil {
		return "", fmt.Errorf("read credential of %s: %w", deliveryID, err)
	}
	return domain.Secret(secret), nil
}
