package domain

import (
	"fmt"
	"time"
)

// What happens to keys that concerns the record: after a code epoch's key is
// destroyed, nobody can compute the codes derived under it any more.

// RecordCodeEpochDestroyed says that the key of a code epoch is gone.
type RecordCodeEpochDestroyed struct{ Kid string }

// CodeEpochDestroyed records it. The key is destroyed first.
type CodeEpochDestroyed struct {
	Kid string `json:"kid"`
}

// RecordKeyRotated says that another key is used from now on.
type RecordKeyRotated struct {
	Kind          string // key_encryption, code_epoch, signing
	KeyID         string
	PreviousKeyID string // empty for the first
	Epoch         uint32 // of a signing key, from 1
	PublicKey     string // of a signing key, base64
	Rewrapped     int    // data keys wrapped anew by the rotation
}

// KeyRotated records it. What an older key made or signed stays valid under
// that key.
type KeyRotated struct {
	Kind          string `json:"kind"` // key_encryption, code_epoch, signing
	KeyID         string `json:"key_id"`
	PreviousKeyID string `json:"previous_key_id,omitempty"`
	Epoch         uint32 `json:"epoch,omitempty"`
	PublicKey     string `json:"public_key,omitempty"` // base64
	Rewrapped     int    `json:"rewrapped,omitempty"`
}

// Kinds of keys that rotate.
const (
	KeyEncryption = "key_encryption"
	KeyCodeEpoch  = "code_epoch"
	KeySigning    = "signing"
)

// Keys is the state of the stream of keys: it has none.
type Keys struct{}

// Apply records nothing.
func (*Keys) Apply(Event, time.Time) {}

func decideKeys(c Command) ([]Event, error) {
	switch c := c.(type) {
	case RecordCodeEpochDestroyed:
		if c.Kid == "" {
			return nil, invalid("kid", "name the code epoch")
		}
		return []Event{CodeEpochDestroyed{Kid: c.Kid}}, nil
	case RecordKeyRotated:
		return rotateKey(c)
	}
	return nil, fmt.Errorf("command %s does not belong to the keys", c.Name())
}

func rotateKey(c RecordKeyRotated) ([]Event, error) {
	switch {
	case c.Kind != KeyEncryption && c.Kind != KeyCodeEpoch && c.Kind != KeySigning:
		return nil, invalid("kind", "want key_encryption, code_epoch or signing")
	case c.KeyID == "":
		return nil, invalid("keyId", "name the new key")
	case c.KeyID == c.PreviousKeyID:
		return nil, invalid("previousKeyId", "a key does not take its own place")
	case c.Kind == KeySigning && (c.PublicKey == "" || c.Epoch == 0):
		return nil, invalid("publicKey", "give the public key and the epoch of a signing key, so that its signatures can be checked")
	case c.Rewrapped < 0:
		return nil, invalid("rewrapped", "give the number of data keys, from 0")
	}
	return []Event{KeyRotated(c)}, nil
}
