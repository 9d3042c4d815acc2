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

const (
	sqlKEKSince = `SELECT coalesce(max(rotated_at), 0) FROM rotations WHERE kind = 'key_encryption' AND key_id = ?`
	// Counts of living and destroyed keys, in this order, if there are any.
	sqlSubjectCounts = `SELECT count(*), min(created_at), max(destroyed_at), destroyed_at = 9223372036854775807 AS living
FROM subject_keys GROUP BY living ORDER BY living DESC`
	sqlEpochCounts = `SELECT count(*), min(created_at), max(destroyed_at), 0
FROM code_epochs WHERE destroyed_at <> 9223372036854775807 HAVING count(*) > 0`
	sqlSecretCounts = `SELECT count(*), min(changed_at), 9223372036854775807, 1 FROM secrets HAVING count(*) > 0`
)

// Keys lists the keys for an operator: the key-encryption keys, the signing
// keys and the living code keys one by one, the others by number. Several
// key-encryption keys are an unfinished rotation, which RotateKEK finishes.
func (k *Keyring) Keys(ctx context.Context) ([]KeyInfo, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var list []KeyInfo
	for _, part := range []func(context.Context) ([]KeyInfo, error){k.listKEK, k.listSigners, k.listEpochs, k.listCounts} {
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
	for i := range list {
		var since int64
		if err := k.read.QueryRowContext(ctx, sqlKEKSince, list[i].ID).Scan(&since); err != nil {
			return nil, storage("read rotations", err)
		}
		if since != 0 {
			list[i].Since = time.UnixMicro(since).UTC()
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

func (k *Keyring) listCounts(ctx context.Context) ([]KeyInfo, error) {
	var list []KeyInfo
	for _, part := range []struct{ kind, query string }{
		{string(KindCodeEpoch), sqlEpochCounts}, {"subject", sqlSubjectCounts}, {"secret", sqlSecretCounts},
	} {
		lines, err := k.countKeys(ctx, part.kind, part.query)
		if err != nil {
			return nil, err
		}
		list = append(list, lines...)
	}
	return list, nil
}

func (k *Keyring) countKeys(ctx context.Context, kind, query string) ([]KeyInfo, error) {
	rows, err := k.read.QueryContext(ctx, query)
	if err != nil {
		return nil, storage("count keys", err)
	}
	defer rows.Close()
	var list []KeyInfo
	for rows.Next() {
		line := KeyInfo{Kind: kind, State: Destroyed}
		var since, ended int64
		var living bool
		if err := rows.Scan(&line.Count, &since, &ended, &living); err != nil {
			return nil, storage("count keys", err)
		}
		line.Since = time.UnixMicro(since).UTC()
		if living {
			line.State = InUse
		} else {
			line.Ended = time.UnixMicro(ended).UTC()
		}
		list = append(list, line)
	}
	return list, storage("count keys", rows.Err())
}
