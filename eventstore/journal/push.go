package journal

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/keyring"
)

// pushPrefix keeps a signature over a push decision from being one over
// anything else the same key signs.
const pushPrefix = "authledger/push/v1\n"

// maxDocument bounds what an app may have stored for ever, in bytes.
const maxDocument = 16 << 10

// document is what the app signed. shown, uv and deviceTime are the app's own
// words, kept as evidence.
type document struct {
	ChallengeID    string          `json:"challengeId"`
	TransactionID  string          `json:"transactionId"`
	InstallationID string          `json:"installationId"`
	Decision       string          `json:"decision"` // approve or deny
	MatchedNumber  string          `json:"matchedNumber,omitempty"`
	Shown          json.RawMessage `json:"shown,omitempty"`
	UV             domain.UV       `json:"uv,omitempty"`
	DeviceTime     time.Time       `json:"deviceTime"`
}

// push checks a signed decision and returns the command as the rules may see
// it: with the document only when it is authentic. Anything wrong with
// document or signature is one and the same answer.
func (g *gathering) push(ctx context.Context, u *domain.User, c domain.DecidePush) (domain.Command, error) {
	challenge, ok := u.Challenge(c.ChallengeID)
	if !ok || challenge.Mode != domain.ModePush {
		return withoutSecrets(c), nil
	}
	authentic, blocked := false, false
	err := g.j.Installation(ctx, c.InstallationID, func(i *domain.Installation) {
		blocked = i.Blocked
		authentic = verify(i.KeyAlgorithm, i.PublicKey, pushPrefix, []byte(c.Document), c.Signature)
	})
	if err := ignoreUnknown(err); err != nil {
		return nil, err
	}
	d, ok := parseDocument([]byte(c.Document))
	if !authentic || !ok || d.ChallengeID != challenge.ID || d.TransactionID != challenge.TxnID || d.InstallationID != c.InstallationID {
		return withoutSecrets(c), nil
	}
	g.facts.Push = domain.PushEvidence{Authentic: true, Approve: d.Decision == "approve", NumberGiven: d.MatchedNumber != "", UV: d.UV, InstallationBlocked: blocked}
	number, err := g.j.keys.Challenge(ctx, challenge.Kid, deriveMatch, challenge.ID, 1)
	if err != nil && !gone(err) {
		return nil, fmt.Errorf("derive number of %s: %w", challenge.ID, err)
	}
	g.facts.Push.NumberMatched = err == nil && keyring.Equal(number, d.MatchedNumber)
	return c, nil
}

// verify checks a signature of an installation's key over prefix and message.
// Key and algorithm come from the registration, never from the message.
func verify(algorithm domain.KeyAlgorithm, publicKey, prefix string, message []byte, signature string) bool {
	der, err := base64.RawURLEncoding.Strict().DecodeString(publicKey)
	if err != nil {
		return false
	}
	sig, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	if err != nil {
		return false
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return false
	}
	signed := append([]byte(prefix), message...)
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(signed)
		return algorithm == domain.ES256 && key.Curve == elliptic.P256() && ecdsa.VerifyASN1(key, digest[:], sig)
	case ed25519.PublicKey:
		return algorithm == domain.Ed25519 && ed25519.Verify(key, signed, sig)
	}
	return false
}

// parseDocument reads a decision document: one JSON object, each member at
// most once and spelled exactly, none unknown. Two readers must never see two
// meanings in what was signed.
func parseDocument(b []byte) (document, bool) {
	var d document
	if len(b) > maxDocument || !unambiguous(b) {
		return d, false
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(b, &members) != nil || members == nil {
		return d, false
	}
	for name := range members {
		switch name { // encoding/json would accept any case
		case "challengeId", "transactionId", "installationId", "decision", "matchedNumber", "shown", "uv", "deviceTime":
		default:
			return d, false
		}
	}
	if json.Unmarshal(b, &d) != nil || d.DeviceTime.IsZero() {
		return d, false
	}
	return d, d.Decision == "approve" || d.Decision == "deny"
}

// maxDepth is far deeper than anything an app shows.
const maxDepth = 8

// unambiguous reports whether b is one JSON value without a member name that
// occurs twice in one object.
func unambiguous(b []byte) bool {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if !uniqueNames(d, maxDepth) {
		return false
	}
	_, err := d.Token()
	return errors.Is(err, io.EOF)
}

// uniqueNames consumes one value.
func uniqueNames(d *json.Decoder, depth int) bool {
	t, err := d.Token()
	if err != nil || depth == 0 {
		return false
	}
	open, ok := t.(json.Delim)
	if !ok {
		return true
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			name, err := d.Token()
			text, isText := name.(string)
			if err != nil || !isText || seen[text] {
				return false
			}
			seen[text] = true
		}
		if !uniqueNames(d, depth-1) {
			return false
		}
	}
	_, err = d.Token() // the closing delimiter
	return err == nil
}
