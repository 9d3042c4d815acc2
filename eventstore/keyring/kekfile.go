package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// maxKEKFile is far above the size of a keyset with many rotated keys.
const maxKEKFile = 64 << 10

// fileKEK is the KeyEncryption of kek.json: a Tink keyset of AES-256-GCM keys
// in JSON, in clear, mode 0400. The file is never written in place; a changed
// keyset replaces it by rename. Keys behind the primary in the file's order are
// prepared for a later rotation. Its lock says that a process uses the keyring;
// a shared one is locked only while somebody reads or changes it.
type fileKEK struct {
	paths  paths
	shared bool

	mu        sync.RWMutex // guards all below
	handle    *keyset.Handle
	primitive tink.AEAD
	locks     []*os.File // the locked file last, before it what could not be released; none of a shared one at rest
}

var _ Follower = (*fileKEK)(nil)

// openKEK reads kek.json, creating it at the first start, and locks it.
func (p paths) openKEK(ledgerNotEmpty bool) (*fileKEK, error) {
	if !exists(p.kek) {
		switch {
		case exists(p.keys) || exists(p.keys+"-wal"):
			return nil, &StartError{Reason: KEKMissing, Path: p.kek, Detail: "keys.db exists but the key that opens it does not"}
		case ledgerNotEmpty:
			return nil, &StartError{Reason: KeysMissing, Path: p.keys, Detail: "the ledger has records whose keys were in this file"}
		}
		if err := p.createKEK(); err != nil {
			return nil, err
		}
	}
	f, err := p.openFile()
	if err != nil {
		return nil, err
	}
	h, err := p.readKEK(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	k := &fileKEK{paths: p, locks: []*os.File{f}}
	if err := k.use(h); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return k, nil
}

func (p paths) openFile() (*os.File, error) {
	f, err := os.OpenFile(p.kek, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, &StartError{Reason: KEKPermissions, Path: p.kek, Detail: "a symbolic link"}
	}
	if err != nil {
		return nil, fmt.Errorf("open key-encryption key: %w", err)
	}
	return f, nil
}

// readKEK takes the lock of a process that has the keyring to itself.
func (p paths) readKEK(f *os.File) (*keyset.Handle, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read key-encryption key: %w", err)
	}
	if err := checkMode(KEKPermissions, p.kek, info); err != nil {
		return nil, err
	}
	if err := lockFile(f, p.kek); err != nil {
		return nil, err
	}
	// A rotation in another process may have put a new file here between the
	// opening and the locking; the lock on the old one protects nothing.
	if named, err := os.Lstat(p.kek); err != nil || !os.SameFile(info, named) {
		return nil, &StartError{Reason: KeysLocked, Path: p.kek, Detail: "another process is rotating the key-encryption key"}
	}
	return p.parseKEK(f)
}

func (p paths) parseKEK(f *os.File) (*keyset.Handle, error) {
	text, err := io.ReadAll(io.LimitReader(f, maxKEKFile))
	if err != nil {
		return nil, fmt.Errorf("read key-encryption key: %w", err)
	}
	// The parser's own error is dropped: it may quote the file, which is a key.
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		return nil, p.corruptKEK()
	}
	return h, nil
}

func (p paths) corruptKEK() error {
	return &StartError{Reason: KEKCorrupt, Path: p.kek, Detail: "not a Tink AEAD keyset in JSON"}
}

// lockFile takes the lock that one process at a time has on a keyring.
func lockFile(f *os.File, path string) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return &StartError{Reason: KeysLocked, Path: path, Detail: "another process has this keyring open"}
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	return nil
}

// createKEK makes kek.json durable with mode 0400 or not at all. It writes
// another name first, so that a crash leaves no half a key, and links it,
// which unlike a rename never replaces a key that appeared meanwhile.
func (p paths) createKEK() error {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("generate key-encryption key: %w", err)
	}
	temp, err := p.writeKEK(h)
	if err != nil {
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

// writeKEK writes a keyset beside kek.json and returns the name.
func (p paths) writeKEK(h *keyset.Handle) (temp string, err error) {
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&text)); err != nil {
		return "", fmt.Errorf("encode: %w", err)
	}
	temp = p.kek + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return temp, writeDurable(temp, text.Bytes(), 0o400)
}

// Encrypt implements KeyEncryption.
func (k *fileKEK) Encrypt(_ context.Context, plaintext, associatedData []byte) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.primitive.Encrypt(plaintext, associatedData)
}

// Decrypt implements KeyEncryption. Tink's errors do not tell more than that.
func (k *fileKEK) Decrypt(_ context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	clear, err := k.primitive.Decrypt(ciphertext, associatedData)
	if err != nil {
		return nil, ErrNotAuthentic
	}
	return clear, nil
}

// ID implements KeyEncryption: "kek-" and Tink's key id in 8 hexadecimal digits.
func (k *fileKEK) ID() string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return kekName(k.handle.KeysetInfo().GetPrimaryKeyId())
}

// Older implements KeyEncryption.
func (k *fileKEK) Older() []string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	var names []string
	for _, id := range olderKeys(k.handle) {
		names = append(names, kekName(id))
	}
	return names
}

func kekName(id uint32) string { return fmt.Sprintf("kek-%08x", id) }

// olderKeys are the keys of a keyset before the primary, in the order in which
// they were added.
func olderKeys(h *keyset.Handle) []uint32 {
	keys, primary := keysOf(h)
	return keys[:primary]
}

// keysOf lists the keys in the order in which they were added, and says which is
// the primary one.
func keysOf(h *keyset.Handle) (ids []uint32, primary int) {
	info := h.KeysetInfo()
	for i, key := range info.GetKeyInfo() {
		ids = append(ids, key.GetKeyId())
		if key.GetKeyId() == info.GetPrimaryKeyId() {
			primary = i
		}
	}
	return ids, primary
}

// Rotate implements KeyEncryption. A key that was prepared comes first.
func (k *fileKEK) Rotate(context.Context) error {
	return k.change(func(h *keyset.Handle, m *keyset.Manager) error {
		ids, primary := keysOf(h)
		if primary+1 < len(ids) {
			return m.SetPrimary(ids[primary+1])
		}
		id, err := m.Add(aead.AES256GCMKeyTemplate())
		if err == nil {
			err = m.SetPrimary(id)
		}
		if err != nil {
			return fmt.Errorf("add key-encryption key: %w", err)
		}
		return nil
	})
}

// Retire implements KeyEncryption. A file without older keys is not written.
func (k *fileKEK) Retire(context.Context) error {
	return k.change(func(h *keyset.Handle, m *keyset.Manager) error {
		older := olderKeys(h)
		if len(older) == 0 {
			return errUnchanged
		}
		for _, id := range older {
			if err := m.Delete(id); err != nil {
				return fmt.Errorf("drop key-encryption key %s: %w", kekName(id), err)
			}
		}
		return nil
	})
}

// errUnchanged says that there is nothing to write.
var errUnchanged = errors.New("the keyset stays as it is")

// change replaces the file by what edit makes of its keyset. A shared file may
// have been replaced since it was read, and is locked meanwhile.
func (k *fileKEK) change(edit func(*keyset.Handle, *keyset.Manager) error) (err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.shared {
		if err := k.takeFile(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, k.unlockAll()) }()
	}
	m := keyset.NewManagerFromHandle(k.handle)
	err = edit(k.handle, m)
	if errors.Is(err, errUnchanged) {
		return nil
	}
	if err != nil {
		return err
	}
	return k.replace(m)
}

// Close implements KeyEncryption. It ends the lock.
func (k *fileKEK) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.unlockAll()
}

func (k *fileKEK) unlockAll() error {
	var errs []error
	for _, f := range k.locks {
		errs = append(errs, f.Close())
	}
	k.locks = nil
	return errors.Join(errs...)
}

// use makes a keyset the one that encrypts and decrypts.
func (k *fileKEK) use(h *keyset.Handle) error {
	a, err := aead.New(h)
	if err != nil {
		return k.paths.corruptKEK()
	}
	k.handle, k.primitive = h, a
	return nil
}

// replace puts a changed keyset in the place of kek.json and uses it once that
// is durable. The new file is locked before it gets the name, so that no other
// process can take the keyring in between. Until the directory is synchronised
// a crash may bring the old file back; so a failure there leaves the old keyset
// in use and both files locked.
func (k *fileKEK) replace(m *keyset.Manager) error {
	h, err := m.Handle()
	if err != nil {
		return fmt.Errorf("change key-encryption key: %w", err)
	}
	temp, err := k.paths.writeKEK(h)
	if err != nil {
		return fmt.Errorf("write key-encryption key: %w", err)
	}
	f, err := os.Open(temp)
	if err != nil {
		return fmt.Errorf("write key-encryption key: %w", err)
	}
	if err := lockFile(f, temp); err != nil {
		return errors.Join(err, f.Close())
	}
	old, err := k.openToWipe()
	if err != nil {
		return errors.Join(fmt.Errorf("replace key-encryption key: %w", err), f.Close())
	}
	defer old.Close()
	if err := os.Rename(temp, k.paths.kek); err != nil {
		return errors.Join(fmt.Errorf("replace key-encryption key: %w", err), f.Close())
	}
	k.locks = append(k.locks, f)
	if err := syncDir(k.paths.dir); err != nil {
		return err
	}
	if err := k.use(h); err != nil {
		return err
	}
	return k.wipe(old)
}

// openToWipe opens the present file for writing, which its mode forbids: the
// mode is 0600 for a moment. Done before the rename, while the file has a name.
func (k *fileKEK) openToWipe() (*os.File, error) {
	locked := k.locks[len(k.locks)-1]
	if err := locked.Chmod(0o600); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(k.paths.kek, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, errors.Join(err, locked.Chmod(0o400))
	}
	if err := locked.Chmod(0o400); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// wipe overwrites the keyset that was replaced and releases its lock. The file
// has no name any more; a file system or a disk that writes elsewhere may keep
// the old blocks nevertheless, which nobody can prevent from here.
func (k *fileKEK) wipe(old *os.File) error {
	info, err := old.Stat()
	if err == nil {
		_, err = old.WriteAt(make([]byte, info.Size()), 0)
	}
	if err == nil {
		err = old.Sync()
	}
	newest := len(k.locks) - 1
	for _, f := range k.locks[:newest] {
		err = errors.Join(err, f.Close())
	}
	k.locks = k.locks[newest:]
	if err != nil {
		return fmt.Errorf("wipe the replaced key-encryption key: %w", err)
	}
	return nil
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
