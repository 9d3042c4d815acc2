package keyring

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"time"
)

// KeyState says what a key is still good for.
type KeyState string

// The states of keys.
const (
	// InUse: new values are made with it.
	InUse KeyState = "in_use"
	// Kept: it opens or verifies what exists.
	Kept KeyState = "kept"
	// Destroyed: it is gone; of a signing key the public half stays.
	Destroyed KeyState = "destroyed"
)

// KeyInfo is one line of the list of keys: a key with an id of its own, or how
// many there are of a kind and state. It never holds key material.
type KeyInfo struct {
	Kind  string // key_encryption, signing, code_epoch, subject, secret
	ID    string // empty in a line that counts
	State KeyState
	Count int
	Epoch uint32 // of a signing key
	// Since is when the key, or the oldest of those counted, was created; zero
	// when that is not known, as for the first key-encryption key.
	Since  time.Time         // UTC
	Public ed25519.PublicKey // of a signing key
	// Ended is when the key, or the last of those counted, was destroyed.
	Ended time.Time // UTC; zero while it lives
}

// Keys lists the keys for an operator: the key-encryption keys, the signing
// keys and the living code keys one by one, the others by number. Several
// key-encryption keys are an unfinished rotation, which RotateKEK finishes, or in
// side streams a file of this node that it may not write. There the number of
// secrets and the age of the subjects' keys are not told, and the call takes time
// in the number of subjects.
func (k *Keyring) Keys(ctx context.Context) ([]KeyInfo, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var list []KeyInfo
	for _, part := range []func(context.Context) ([]KeyInfo, error){k.listKEK, k.listSigners, k.listEpochs, k.vault.counts} {
		lines, err := part(ctx)
		if err != nil {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		list = append(list, lines...)
	}
	return list, nil
}

func (k *Keyring) listKEK(ctx context.Context) ([]KeyInfo, error) {
	list := []KeyInfo{{Kind: string(KindKeyEncryption), ID: k.kek.ID(), State: InUse, Count: 1}}
	for _, id := range k.kek.Older() {
		list = append(list, KeyInfo{Kind: string(KindKeyEncryption), ID: id, State: Kept, Count: 1})
	}
	rotations, err := k.vault.rotations(ctx, 0)
	if err != nil {
		return nil, err
	}
	for i := range list {
		for _, r := range rotations {
			if r.Kind == KindKeyEncryption && r.To == list[i].ID {
				list[i].Since = r.At
			}
		}
	}
	return list, nil
}

// listSigners lists the newest living key as the one in use. Whether the
// checkpoints are signed with it already, their signatures tell.
func (k *Keyring) listSigners(ctx context.Context) ([]KeyInfo, error) {
	keys, err := k.signingKeys(ctx)
	if err != nil {
		return nil, err
	}
	var list []KeyInfo
	for i, key := range keys {
		line := KeyInfo{Kind: string(KindSigning), ID: signerName(key.Epoch), State: Kept, Count: 1, Epoch: key.Epoch, Public: key.Public, Since: key.CreatedAt, Ended: key.Retired}
		switch {
		case !key.Retired.IsZero():
			line.State = Destroyed
		case i == len(keys)-1:
			line.State = InUse
		}
		list = append(list, line)
	}
	return list, nil
}

func (k *Keyring) listEpochs(ctx context.Context) ([]KeyInfo, error) {
	epochs, err := k.codeEpochs(ctx)
	if err != nil {
		return nil, err
	}
	today := k.clock().UTC().Truncate(epochLength)
	var list []KeyInfo
	current := -1
	for _, e := range epochs {
		if !e.Destroyed.IsZero() {
			continue
		}
		if e.Day.Equal(today) {
			current = len(list)
		}
		list = append(list, KeyInfo{Kind: string(KindCodeEpoch), ID: e.Kid, State: Kept, Count: 1, Since: e.Created})
	}
	if current >= 0 {
		list[current].State = InUse
	}
	return list, nil
}
