package keyring

import (
	"context"
	"errors"
	"fmt"
)

// checkText is what the check value holds; only its decryption matters.
const checkText = "authledger keyring check v1"

// firstValues are what a new keyring begins with: the value that recognises the
// key-encryption key and the key of the blind index, both wrapped.
type firstValues struct{ check, index []byte }

func (k *Keyring) firstValues(ctx context.Context) (firstValues, error) {
	check, err := k.kek.Encrypt(ctx, []byte(checkText), wrapData("check", ""))
	if err != nil {
		return firstValues{}, fmt.Errorf("wrap check value: %w", err)
	}
	index, err := k.wrapRaw(ctx, "index", "", newRawKey())
	return firstValues{check: check, index: index}, err
}

// unlock proves that the key-encryption key belongs to this keyring and loads
// the key of the blind index. home names the keyring in a refusal.
func (k *Keyring) unlock(ctx context.Context, home string) error {
	check, err := k.vault.meta(ctx, "check")
	if err != nil {
		return err
	}
	ours, err := k.opensCheck(ctx, check)
	if err != nil {
		return fmt.Errorf("open keyring: %w", err)
	}
	if !ours {
		return &StartError{Reason: KEKWrong, Path: home, Detail: "key " + k.kek.ID() + " does not open it"}
	}
	index, err := k.vault.meta(ctx, "index")
	if err != nil {
		return err
	}
	if k.indexKey, err = k.unwrapRaw(ctx, "index", "", index); err != nil {
		return &StartError{Reason: KeysCorrupt, Path: home, Detail: "the index key does not open", Err: err}
	}
	return nil
}

// opensCheck reports whether the key-encryption key made a check value.
func (k *Keyring) opensCheck(ctx context.Context, check []byte) (bool, error) {
	clear, err := k.kek.Decrypt(ctx, check, wrapData("check", ""))
	if err != nil && !errors.Is(err, ErrNotAuthentic) {
		return false, unwrapFailure(err)
	}
	return string(clear) == checkText, nil
}
