package keyring_test

import (
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/authledger/authledger/eventstore/keyring"
)

// Files that the release of schema version 1 wrote, with what they hold:
// user-1 with a sealed phone number, a secret, a code epoch; user-2 destroyed.
func TestFilesOfVersion1AreTakenOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"kek.json", "keys.db"} {
		copyFile(t, filepath.Join("testdata", "schema-v1", name), filepath.Join(dir, name))
	}
	text, err := os.ReadFile(filepath.Join("testdata", "schema-v1", "holds.json"))
	do(t, err)
	var holds struct{ Sealed, Kid, Code, Blind string }
	do(t, json.Unmarshal(text, &holds))
	for range 2 { // the second start finds nothing to do
		k, err := keyring.Open(ctx, keyring.Options{Dir: dir, Clock: (&clock{t: morning}).now, LedgerNotEmpty: true})
		do(t, err)
		if got := k.Count(ctx, t, `PRAGMA user_version`); got != keyring.Newest {
			t.Errorf("schema version %d, want %d", got, keyring.Newest)
		}
		wantOpen(t, k, "user-1", event1, "phone", holds.Sealed, "+85291234567")
		if got, err := k.Secret(ctx, "user-1", "dev-1/ocra"); err != nil || string(got) != "seed" {
			t.Errorf("secret: got %q, %v", []byte(got), err)
		}
		_, err = k.Seal(ctx, "user-2", event1, "phone", []byte("x"))
		wantErr(t, err, keyring.ErrKeyDestroyed)
		if got, err := k.CurrentKid(ctx); err != nil || got != holds.Kid {
			t.Errorf("current kid: got %s, %v; want %s", got, err, holds.Kid)
		}
		if got, err := k.Digits(ctx, holds.Kid, "login.sms", "chl_1", 0, 6); err != nil || got != holds.Code {
			t.Errorf("code: got %s, %v; want %s", got, err, holds.Code)
		}
		if got, err := k.Blind(ctx, "phone/v1", "+85291234567"); err != nil || hex.EncodeToString(got) != holds.Blind {
			t.Errorf("blind index: got %x, %v; want %s", got, err, holds.Blind)
		}
		newSigner(t, k)
		do(t, k.Close())
	}
}

// A file of an older version that is not exactly ours is left alone.
func TestChangedFileOfVersion1IsNotMigrated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys.db")
	copyFile(t, filepath.Join("testdata", "schema-v1", "kek.json"), filepath.Join(dir, "kek.json"))
	copyFile(t, filepath.Join("testdata", "schema-v1", "keys.db"), keys)
	db, err := sql.Open("sqlite3", "file:"+keys)
	do(t, err)
	defer db.Close()
	_, err = db.Exec(`CREATE TABLE copies (wrapped BLOB)`)
	do(t, err)
	var refused *keyring.StartError
	if _, err := keyring.Open(ctx, keyring.Options{Dir: dir}); !errors.As(err, &refused) || refused.Reason != keyring.KeysCorrupt {
		t.Fatalf("got %v, want reason %s", err, keyring.KeysCorrupt)
	}
	var version int
	if err := db.QueryRow(`PRAGMA user_version`).Scan(&version); err != nil || version != 1 {
		t.Errorf("schema version %d, %v; want 1", version, err)
	}
}
