package keyring_test

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authledger/authledger/eventstore/keyring"
)

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, to, content)
}

func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// written makes a closed keyring with one key.
func written(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	k := openDir(t, dir, &clock{t: morning})
	seal(t, k, "user-1", event1, "phone", "x")
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func tamper(t *testing.T, dir, statement string) {
	t.Helper()
	k := openDir(t, dir, &clock{t: morning})
	k.Tamper(ctx, t, statement)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestStartIsRefusedWithItsReason(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name     string
		damage   func(t *testing.T, kek, keys string)
		nonEmpty bool
		want     keyring.Reason
	}{
		{"the key file is gone", func(t *testing.T, kek, _ string) { do(t, os.Remove(kek)) }, true, keyring.KEKMissing},
		{"the key file is gone and the ledger is empty", func(t *testing.T, kek, _ string) { do(t, os.Remove(kek)) }, false, keyring.KEKMissing},
		{"the world may read the key file", func(t *testing.T, kek, _ string) { do(t, os.Chmod(kek, 0o644)) }, true, keyring.KEKPermissions},
		{"the group may read the key file", func(t *testing.T, kek, _ string) { do(t, os.Chmod(kek, 0o440)) }, true, keyring.KEKPermissions},
		{"others may execute the key file", func(t *testing.T, kek, _ string) { do(t, os.Chmod(kek, 0o401)) }, true, keyring.KEKPermissions},
		{"the key file is a directory", func(t *testing.T, kek, _ string) { do(t, os.Remove(kek)); do(t, os.Mkdir(kek, 0o700)) }, true, keyring.KEKPermissions},
		{"the key file is a symbolic link", func(t *testing.T, kek, _ string) {
			do(t, os.Rename(kek, kek+".real"))
			do(t, os.Symlink(kek+".real", kek))
		}, true, keyring.KEKPermissions},
		{"the key file is of another keyring", func(t *testing.T, kek, _ string) {
			copyFile(t, filepath.Join(written(t), "kek.json"), kek)
		}, true, keyring.KEKWrong},
		{"the key file is empty", func(t *testing.T, kek, _ string) { replace(t, kek, nil) }, true, keyring.KEKCorrupt},
		{"the key file is cut", func(t *testing.T, kek, _ string) {
			content, err := os.ReadFile(kek)
			do(t, err)
			replace(t, kek, content[:len(content)/2])
		}, true, keyring.KEKCorrupt},
		{"the keys are gone", func(t *testing.T, _, keys string) { do(t, os.Remove(keys)) }, true, keyring.KeysMissing},
		{"both files are gone", func(t *testing.T, kek, keys string) { do(t, os.Remove(keys)); do(t, os.Remove(kek)) }, true, keyring.KeysMissing},
		{"only the write-ahead log is left", func(t *testing.T, _, keys string) { do(t, os.Rename(keys, keys+"-wal")) }, false, keyring.KeysMissing},
		{"the world may read the keys", func(t *testing.T, _, keys string) { do(t, os.Chmod(keys, 0o644)) }, true, keyring.KeysPermissions},
		{"the keys are a symbolic link", func(t *testing.T, _, keys string) {
			do(t, os.Rename(keys, keys+".real"))
			do(t, os.Symlink(keys+".real", keys))
		}, true, keyring.KeysPermissions},
		{"the keys are empty", func(t *testing.T, _, keys string) { replace(t, keys, nil) }, true, keyring.KeysCorrupt},
		{"the keys are not a database", func(t *testing.T, _, keys string) { replace(t, keys, []byte(strings.Repeat("no database ", 500))) }, true, keyring.KeysCorrupt},
		{"a page of the keys is damaged", func(t *testing.T, _, keys string) {
			f, err := os.OpenFile(keys, os.O_RDWR, 0)
			do(t, err)
			_, err = f.WriteAt([]byte(strings.Repeat("\xff", 512)), 4096+1)
			do(t, err)
			do(t, f.Close())
		}, true, keyring.KeysCorrupt},
		{"the keys are cut", func(t *testing.T, _, keys string) { do(t, os.Truncate(keys, 4096)) }, true, keyring.KeysCorrupt},
		{"a trigger was added", func(t *testing.T, kek, _ string) {
			tamper(t, filepath.Dir(kek), `CREATE TRIGGER copy AFTER INSERT ON subject_keys BEGIN INSERT INTO meta VALUES (new.subject, new.wrapped); END`)
		}, true, keyring.KeysCorrupt},
		{"a table is missing", func(t *testing.T, kek, _ string) { tamper(t, filepath.Dir(kek), `DROP TABLE secrets`) }, true, keyring.KeysCorrupt},
		{"the check value is missing", func(t *testing.T, kek, _ string) {
			tamper(t, filepath.Dir(kek), `DELETE FROM meta WHERE name = 'check'`)
		}, true, keyring.KeysCorrupt},
		{"the index key was exchanged", func(t *testing.T, kek, _ string) {
			tamper(t, filepath.Dir(kek), `UPDATE meta SET value = (SELECT value FROM meta WHERE name = 'check') WHERE name = 'index'`)
		}, true, keyring.KeysCorrupt},
		{"a newer release wrote the keys", func(t *testing.T, kek, _ string) {
			tamper(t, filepath.Dir(kek), fmt.Sprintf(`PRAGMA user_version = %d`, keyring.Newest+1))
		}, true, keyring.SchemaNewer},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := written(t)
			kek, keys := filepath.Join(dir, "kek.json"), filepath.Join(dir, "keys.db")
			c.damage(t, kek, keys)
			before := listing(t, dir)
			k, err := keyring.Open(ctx, keyring.Options{Dir: dir, LedgerNotEmpty: c.nonEmpty})
			if err == nil {
				_ = k.Close()
				t.Fatal("started")
			}
			var refused *keyring.StartError
			if !errors.As(err, &refused) || refused.Reason != c.want {
				t.Fatalf("got %v, want reason %s", err, c.want)
			}
			if !strings.Contains(err.Error(), string(c.want)) {
				t.Errorf("message %q does not name the reason", err)
			}
			if after := listing(t, dir); after != before {
				t.Errorf("a refused start changed the files from %s to %s", before, after)
			}
		})
	}
}

// listing names the key files that a refused start must neither create nor
// remove.
func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	do(t, err)
	var names []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), "-wal") && !strings.HasSuffix(e.Name(), "-shm") {
			names = append(names, e.Name())
		}
	}
	return strings.Join(names, " ")
}

func TestSecondOpenIsRefusedUntilTheFirstCloses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := openDir(t, dir, &clock{t: morning})
	_, err := keyring.Open(ctx, keyring.Options{Dir: dir})
	var refused *keyring.StartError
	if !errors.As(err, &refused) || refused.Reason != keyring.KeysLocked {
		t.Fatalf("got %v, want reason %s", err, keyring.KeysLocked)
	}
	do(t, k.Close())
	openDir(t, dir, &clock{t: morning})
}

func TestOwnerOnlyModesOfTheKeyFileAreAccepted(t *testing.T) {
	t.Parallel()
	for _, mode := range []os.FileMode{0o400, 0o600} {
		dir := written(t)
		do(t, os.Chmod(filepath.Join(dir, "kek.json"), mode))
		openDir(t, dir, &clock{t: morning})
	}
}

// A crash between the steps of the first start leaves files that the next
// first start accepts, and an existing key file is never replaced.
func TestInterruptedFirstStartIsContinued(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(t *testing.T, kek, keys string){
		"only the key file":                func(t *testing.T, _, keys string) { do(t, os.Remove(keys)) },
		"key file and an empty database":   func(t *testing.T, _, keys string) { replace(t, keys, nil) },
		"a temporary key file beside it":   func(t *testing.T, kek, _ string) { replace(t, kek+".new", []byte("half")) },
		"only half a temporary key file":   func(t *testing.T, kek, keys string) { do(t, os.Rename(kek, kek+".new")); do(t, os.Remove(keys)) },
		"a database in WAL mode, no table": emptyWAL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := written(t)
			kek := filepath.Join(dir, "kek.json")
			leave(t, kek, filepath.Join(dir, "keys.db"))
			before, readErr := os.ReadFile(kek)
			k := openDir(t, dir, &clock{t: morning})
			seal(t, k, "user-2", event1, "phone", "x")
			after, err := os.ReadFile(kek)
			do(t, err)
			if readErr == nil && string(after) != string(before) {
				t.Error("an existing key file was replaced")
			}
		})
	}
}

func emptyWAL(t *testing.T, _, keys string) {
	t.Helper()
	replace(t, keys, nil)
	db, err := sql.Open("sqlite3", "file:"+keys+"?_journal_mode=WAL")
	do(t, err)
	_, err = db.Exec(`PRAGMA user_version = 0`)
	do(t, err)
	do(t, db.Close())
}

func TestPathsWithSpecialCharacters(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a b%20?c#d;é")
	do(t, os.Mkdir(dir, 0o700))
	k := openDir(t, dir, &clock{t: morning})
	seal(t, k, "user-1", event1, "phone", "x")
	if _, err := os.Stat(filepath.Join(dir, "keys.db")); err != nil {
		t.Error(err)
	}
}

func TestMissingDirectoryIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := keyring.Open(ctx, keyring.Options{Dir: filepath.Join(t.TempDir(), "absent")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// The refusal of a damaged key file must not quote it.
func TestCorruptKeyFileIsNotQuoted(t *testing.T) {
	t.Parallel()
	dir := written(t)
	kek := filepath.Join(dir, "kek.json")
	replace(t, kek, []byte(`{"primaryKeyId": Y2xlYXIta2V5LW1hdGVyaWFs`))
	_, err := keyring.Open(ctx, keyring.Options{Dir: dir})
	if err == nil || strings.Contains(err.Error(), "Y2xl") {
		t.Errorf("got %v", err)
	}
}

var _ io.Closer = (*keyring.Keyring)(nil)
