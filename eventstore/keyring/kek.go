package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// maxKEKFile is far above the size of a keyset with many rotated keys.
const maxKEKFile = 64 << 10

// openKEK reads kek.json, creating it at the first start, and locks it. The
// returned file carries the lock and belongs to the caller, also beside an
// error when it is not nil.
func (p paths) openKEK(ledgerNotEmpty bool) (tink.AEAD, *os.File, error) {
	if !exists(p.kek) {
		switch {
		case exists(p.keys) || exists(p.keys+"-wal"):
			return nil, nil, &StartError{Reason: KEKMissing, Path: p.kek, Detail: "keys.db exists but the key that opens it does not"}
		case ledgerNotEmpty:
			return nil, nil, &StartError{Reason: KeysMissing, Path: p.keys, Detail: "the ledger has records whose keys were in this file"}
		}
		if err := p.createKEK(); err != nil {
			return nil, nil, err
		}
	}
	f, err := os.OpenFile(p.kek, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, nil, &StartError{Reason: KEKPermissions, Path: p.kek, Detail: "a symbolic link"}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open key-encryption key: %w", err)
	}
	kek, err := p.readKEK(f)
	return kek, f, err
}

func (p paths) readKEK(f *os.File) (tink.AEAD, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read key-encryption key: %w", err)
	}
	if err := checkMode(KEKPermissions, p.kek, info); err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &StartError{Reason: KeysLocked, Path: p.kek, Detail: "another process has this keyring open"}
		}
		return nil, fmt.Errorf("lock key-encryption key: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKEKFile))
	if err != nil {
		return nil, fmt.Errorf("read key-encryption key: %w", err)
	}
	// The parser's own error is dropped: it may quote the file, which is a key.
	corrupt := &StartError{Reason: KEKCorrupt, Path: p.kek, Detail: "not a Tink AEAD keyset in JSON"}
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		return nil, corrupt
	}
	a, err := aead.New(h)
	if err != nil {
		return nil, corrupt
	}
	return a, nil
}

// createKEK makes kek.json durable with mode 0400 or not at all. It writes
// another name first, so that a crash leaves no half a key, and links it,
// which unlike a rename never replaces a key that appeared meanwhile.
func (p paths) createKEK() error {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("generate key-encryption key: %w", err)
	}
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&text)); err != nil {
		return fmt.Errorf("encode key-encryption key: %w", err)
	}
	temp := p.kek + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("create key-encryption key: %w", err)
	}
	if err := writeDurable(temp, text.Bytes(), 0o400); err != nil {
		return fmt.Errorf("create key-encryption key: %w", err)
	}
	if err := os.Link(temp, p.kek); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create key-encryption key: %w", err)
	}
	if err := os.Remove(temp); err != nil {
		return fmt.Errorf("create key-encryption key: %w", err)
	}
	return syncDir(p.dir)
}

// writeDurable writes a file that must not exist and synchronises it.
func writeDurable(path string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
