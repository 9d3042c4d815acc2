package keyring_test

import (
	"bytes"
	"testing"

	"github.com/authledger/authledger/eventstore/keyring"
)

func TestSecretsAreReplacedAndDeleted(t *testing.T) {
	t.Parallel()
	k := open(t)
	_, err := k.Secret(ctx, "user-1", "a")
	wantErr(t, err, keyring.ErrKeyNotFound)
	do(t, k.PutSecret(ctx, "user-1", "a", []byte("one")))
	_, err = k.Secret(ctx, "user-1", "b")
	wantErr(t, err, keyring.ErrSecretNotFound)
	do(t, k.PutSecret(ctx, "user-1", "b", []byte("other")))
	do(t, k.PutSecret(ctx, "user-1", "a", bytes.Repeat([]byte("two"), 1000)))
	if got, err := k.Secret(ctx, "user-1", "a"); err != nil || len(got) != 3000 {
		t.Errorf("replaced secret: %d bytes, %v", len(got), err)
	}
	for range 2 {
		do(t, k.DeleteSecret(ctx, "user-1", "a"))
		_, err = k.Secret(ctx, "user-1", "a")
		wantErr(t, err, keyring.ErrSecretNotFound)
	}
	if got, err := k.Secret(ctx, "user-1", "b"); err != nil || string(got) != "other" {
		t.Errorf("other secret: %q, %v", []byte(got), err)
	}
}
