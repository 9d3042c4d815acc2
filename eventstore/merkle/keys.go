package merkle

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Epoch is one signing key of a log and the size from which on it signs. The
// first has FromSize 0; each later one's is the sequence of the event
// KeyRotated that announced it, so the record itself says which key is in
// force at which size.
type Epoch struct {
	Number   uint32            // from 1
	Public   ed25519.PublicKey // 32 bytes
	FromSize uint64
}

// Keys are the public keys of a log, in the order of their epochs.
type Keys struct {
	Origin string
	Epochs []Epoch
}

// keysDocument is the JSON form: verifier keys as C2SP spells them, so that
// other tools can take them from here.
type keysDocument struct {
	Origin string          `json:"origin"`
	Epochs []epochDocument `json:"epochs"`
}

type epochDocument struct {
	Epoch     uint32 `json:"epoch"`
	FromSize  uint64 `json:"fromSize"`
	PublicKey []byte `json:"publicKey"`   // base64
	Verifier  string `json:"verifierKey"` // C2SP signed note, Ed25519
	Cosigner  string `json:"cosignerKey"` // C2SP cosignature/v1, for the line that says when
}

// MarshalJSON writes the document that evidence bundles and /v1/log/keys carry.
func (k Keys) MarshalJSON() ([]byte, error) {
	d, err := k.document()
	if err != nil {
		return nil, err
	}
	return json.Marshal(d)
}

func (k Keys) document() (keysDocument, error) {
	d := keysDocument{Origin: k.Origin, Epochs: make([]epochDocument, len(k.Epochs))}
	for i, e := range k.Epochs {
		verifier, err := VerifierKey(k.Origin, e.Public)
		if err != nil {
			return keysDocument{}, err
		}
		cosigner, err := CosignerKey(k.Origin, e.Public)
		if err != nil {
			return keysDocument{}, err
		}
		d.Epochs[i] = epochDocument{Epoch: e.Number, FromSize: e.FromSize, PublicKey: e.Public, Verifier: verifier, Cosigner: cosigner}
	}
	return d, nil
}

// UnmarshalJSON reads the document and checks it.
func (k *Keys) UnmarshalJSON(b []byte) error {
	var d keysDocument
	if err := json.Unmarshal(b, &d); err != nil {
		return fmt.Errorf("keys of a log: %w", err)
	}
	read := Keys{Origin: d.Origin}
	for _, e := range d.Epochs {
		read.Epochs = append(read.Epochs, Epoch{Number: e.Epoch, Public: e.PublicKey, FromSize: e.FromSize})
	}
	if err := read.Check(); err != nil {
		return err
	}
	if spelled, err := read.document(); err != nil || !slices.EqualFunc(spelled.Epochs, d.Epochs, sameKey) {
		return errors.Join(errors.New("keys of a log: a verifier key is not that of its public key"), err)
	}
	*k = read
	return nil
}

func sameKey(a, b epochDocument) bool { return a.Verifier == b.Verifier && a.Cosigner == b.Cosigner }

// Check refuses keys that no log can have.
func (k Keys) Check() error {
	if err := CheckOrigin(k.Origin); err != nil {
		return err
	}
	if len(k.Epochs) == 0 {
		return errors.New("keys of a log: none given")
	}
	for i, e := range k.Epochs {
		switch {
		case len(e.Public) != ed25519.PublicKeySize:
			return fmt.Errorf("keys of a log: epoch %d has a key of %d bytes, want %d", e.Number, len(e.Public), ed25519.PublicKeySize)
		case i == 0 && e.FromSize != 0:
			return fmt.Errorf("keys of a log: the first epoch begins at size %d, want 0", e.FromSize)
		case i > 0 && (e.Number != k.Epochs[i-1].Number+1 || e.FromSize <= k.Epochs[i-1].FromSize):
			return fmt.Errorf("keys of a log: epoch %d does not follow epoch %d", e.Number, k.Epochs[i-1].Number)
		}
	}
	return nil
}

// InForce is the epoch that signs trees of a size.
func (k Keys) InForce(size uint64) Epoch {
	e := k.Epochs[0]
	for _, later := range k.Epochs[1:] {
		if later.FromSize <= size {
			e = later
		}
	}
	return e
}

// Open checks a signed checkpoint: the origin, and the signature of the key in
// force at its size. Errors wrap ErrCheckpoint or ErrSignature. Signatures of
// unknown keys are ignored; cosignatures are the business of a Policy.
func (k Keys) Open(signed []byte) (Checkpoint, error) {
	c, err := Unverified(signed)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != k.Origin {
		return Checkpoint{}, fmt.Errorf("%w: it is of the log %s, want %s", ErrCheckpoint, c.Origin, k.Origin)
	}
	e := k.InForce(c.Size)
	if err := openedBy(signed, k.Origin, e.Public, plainVerifier); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: size %d, epoch %d: %w", ErrSignature, c.Size, e.Number, err)
	}
	return c, nil
}

// SignedBy reports whether the key of an epoch signed the checkpoint.
func (k Keys) SignedBy(signed []byte, e Epoch) bool {
	return openedBy(signed, k.Origin, e.Public, plainVerifier) == nil
}

// SignedAt is the time the log itself gives for a checkpoint, in whole seconds:
// that of the dated line of the key in force.
func (k Keys) SignedAt(signed []byte) (time.Time, error) {
	c, err := k.Open(signed)
	if err != nil {
		return time.Time{}, err
	}
	v, err := datedVerifier(k.Origin, k.InForce(c.Size).Public)
	if err != nil {
		return time.Time{}, err
	}
	times, err := CosignedAt(signed, v)
	if err != nil {
		return time.Time{}, err
	}
	at, ok := times[k.Origin]
	if !ok {
		return time.Time{}, fmt.Errorf("%w: size %d has no line that says when", ErrSignature, c.Size)
	}
	return at.UTC(), nil
}

func openedBy(signed []byte, name string, public ed25519.PublicKey, kind func(string, ed25519.PublicKey) (note.Verifier, error)) error {
	v, err := kind(name, public)
	if err != nil {
		return err
	}
	_, err = note.Open(signed, note.VerifierList(v))
	return err
}
