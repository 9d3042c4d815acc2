package keyring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Reason says why a keyring refuses to start. The texts are stable: operators
// and documentation search for them.
type Reason string

// The reasons. For each the operator has one remedy, given beside it.
const (
	// KEKMissing: keys.db is here, kek.json is not. Restore kek.json. Or: keys in
	// side streams, and no key-encryption key was given, or no file of that name.
	KEKMissing Reason = "kek_missing"
	// KEKPermissions: kek.json is not a regular file, or group or others have
	// any right to it. Find out who read it, then chmod 0400.
	KEKPermissions Reason = "kek_permissions"
	// KEKCorrupt: kek.json is not a keyset. Restore it.
	KEKCorrupt Reason = "kek_corrupt"
	// KEKWrong: the key-encryption key (kek.json, or what was plugged in)
	// belongs to another keyring, or another node has replaced it meanwhile.
	// Restore the right one, or copy the file of a node that works.
	KEKWrong Reason = "kek_wrong"
	// KeysMissing: the ledger has records, keys.db or the side streams of the
	// keys are gone. Restore them.
	KeysMissing Reason = "keys_missing"
	// KeysPermissions: as KEKPermissions, for keys.db.
	KeysPermissions Reason = "keys_permissions"
	// KeysCorrupt: keys.db is damaged or not ours. Restore it.
	KeysCorrupt Reason = "keys_corrupt"
	// KeysLocked: another process has this keyring open. Stop it.
	KeysLocked Reason = "keys_locked"
	// KeysSettings: the file system cannot give the durability we need (WAL
	// with full synchronisation, secure delete). Use a local file system.
	KeysSettings Reason = "keys_settings"
	// SchemaNewer: a newer release wrote keys.db. Use that release.
	SchemaNewer Reason = "schema_newer"
)

// StartError is a refusal to start.
type StartError struct {
	Reason Reason
	Path   string // of the file concerned
	Detail string // what was found; never file content
	Err    error  // the cause, when there is one
}

func (e *StartError) Error() string {
	s := fmt.Sprintf("open keyring: %s: %s: %s", e.Reason, e.Path, e.Detail)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *StartError) Unwrap() error { return e.Err }

// paths are the absolute paths of a keyring's files.
type paths struct {
	dir, kek, keys, lock string
}

func files(dir string) (paths, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return paths{}, fmt.Errorf("open keyring in %q: %w", dir, err)
	}
	return paths{
		dir:  dir,
		kek:  filepath.Join(dir, "kek.json"),
		keys: filepath.Join(dir, "keys.db"),
		lock: filepath.Join(dir, "keys.lock"),
	}, nil
}

// ensureKeys checks keys.db and creates an empty one at the first start. A
// write-ahead log without its database is what is left of lost keys, and
// SQLite would throw it away.
func (p paths) ensureKeys(ledgerNotEmpty bool) error {
	info, err := os.Lstat(p.keys)
	switch {
	case err == nil:
		return checkMode(KeysPermissions, p.keys, info)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("open keyring: %w", err)
	case ledgerNotEmpty:
		return &StartError{Reason: KeysMissing, Path: p.keys, Detail: "the ledger has records whose keys were in this file"}
	case exists(p.keys + "-wal"):
		return &StartError{Reason: KeysMissing, Path: p.keys, Detail: "only its write-ahead log is left"}
	}
	f, err := os.OpenFile(p.keys, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("create key database: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("create key database: %w", err)
	}
	return syncDir(p.dir)
}

// checkMode accepts regular files that nobody but the owner has any right to.
func checkMode(r Reason, path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return &StartError{Reason: r, Path: path, Detail: "not a regular file"}
	}
	if info.Mode().Perm()&0o077 != 0 {
		return &StartError{Reason: r, Path: path, Detail: fmt.Sprintf("mode %#o gives rights to group or others", info.Mode().Perm())}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// syncDir makes the creation of a file in the directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	err = d.Sync()
	if err := errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}
