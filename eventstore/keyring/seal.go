package keyring

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// sealedPrefix names the format of sealed text:
//
//	"k1." ‖ base64url without padding (RFC 4648 §5) of
//	    0x01                    Tink's output prefix
//	    4 bytes key id          big-endian
//	    12 bytes nonce          random
//	    n bytes ciphertext      as long as the clear text
//	    16 bytes tag            AES-256-GCM
//
// Associated data, each as u32 big-endian length ‖ bytes:
// "authledger/field/v1", subject, 16 bytes event id, field.
const sealedPrefix = "k1."

// strict refuses a second spelling of the same bytes in the last character.
var strict = base64.RawURLEncoding.Strict()

// MaxSealed limits what one Seal or PutSecret takes, in bytes.
const MaxSealed = 64 << 10

// Seal encrypts one personal field of one event under the subject's key. The
// key is created at first use and is durable before Seal returns. The text it
// returns opens only for the same subject, event and field. It returns
// ErrKeyDestroyed after Destroy.
func (k *Keyring) Seal(ctx context.Context, subject string, eventID uuid.UUID, field string, clear []byte) (string, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	if err := checkPlace(subject, eventID, field); err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	if len(clear) > MaxSealed {
		return "", fmt.Errorf("seal %s of event %s: %w: %d bytes, at most %d", field, eventID, ErrInvalid, len(clear), MaxSealed)
	}
	p, err := k.primitive(ctx, subject, true)
	if err != nil {
		return "", fmt.Errorf("seal %s of event %s: %w", field, eventID, err)
	}
	sealed, err := p.Encrypt(clear, fieldData(subject, eventID, field))
	if err != nil {
		return "", fmt.Errorf("seal %s of event %s: %w", field, eventID, err)
	}
	return sealedPrefix + strict.EncodeToString(sealed), nil
}

// Open decrypts what Seal returned for the same place. It returns
// ErrKeyDestroyed when the subject was erased, ErrKeyNotFound when this keyring
// never had its key, and ErrNotAuthentic when the text was changed or moved.
// The clear text belongs to the caller, who must not log it.
func (k *Keyring) Open(ctx context.Context, subject string, eventID uuid.UUID, field, sealed string) ([]byte, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := checkPlace(subject, eventID, field); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	p, err := k.primitive(ctx, subject, false)
	if err != nil {
		return nil, fmt.Errorf("open %s of event %s: %w", field, eventID, err)
	}
	raw, ok := decodeSealed(sealed)
	if !ok {
		return nil, fmt.Errorf("open %s of event %s: %w", field, eventID, ErrNotAuthentic)
	}
	clear, err := p.Decrypt(raw, fieldData(subject, eventID, field))
	if err != nil {
		return nil, fmt.Errorf("open %s of event %s: %w", field, eventID, ErrNotAuthentic)
	}
	return clear, nil
}

// IsSealed reports whether a text has the form that Seal returns. It does not
// prove that it opens.
func IsSealed(s string) bool {
	raw, ok := decodeSealed(s)
	return ok && len(raw) >= 1+4+12+16 && raw[0] == 1
}

func decodeSealed(s string) ([]byte, bool) {
	text, ok := strings.CutPrefix(s, sealedPrefix)
	if !ok || strings.ContainsAny(text, "\r\n") { // the decoder would skip line ends
		return nil, false
	}
	raw, err := strict.DecodeString(text)
	return raw, err == nil
}

func checkPlace(subject string, eventID uuid.UUID, field string) error {
	if err := checkName("subject", subject); err != nil {
		return err
	}
	if eventID == uuid.Nil {
		return fmt.Errorf("%w: no event id", ErrInvalid)
	}
	return checkName("field", field)
}

func fieldData(subject string, eventID uuid.UUID, field string) []byte {
	return bind("authledger/field/v1", subject, string(eventID[:]), field)
}
