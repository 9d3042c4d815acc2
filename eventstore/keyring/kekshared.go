package keyring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// OpenKEKFile returns the key-encryption key in a file anywhere, of the format
// and mode of kek.json, for a keyring whose nodes each have a copy of it. The
// file is not locked: several processes may use it, and an operator may put
// another one in its place, which is read when another node has put a key of it
// into force. A refusal is a *StartError.
func OpenKEKFile(path string) (KeyEncryption, error) {
	p, err := kekPaths(path)
	if err != nil {
		return nil, err
	}
	if !exists(p.kek) {
		return nil, &StartError{Reason: KEKMissing, Path: p.kek, Detail: "no such file"}
	}
	k := &fileKEK{paths: p, shared: true}
	h, err := k.readShared()
	if err != nil {
		return nil, err
	}
	return k, k.use(h)
}

// CreateKEKFile generates a key-encryption key and writes it to a new file of
// mode 0400, durable when it returns. It returns the key's id, and an error
// wrapping fs.ErrExist when there is a file.
func CreateKEKFile(path string) (id string, err error) {
	p, err := kekPaths(path)
	if err != nil {
		return "", err
	}
	if exists(p.kek) {
		return "", fmt.Errorf("create key-encryption key %s: %w", p.kek, fs.ErrExist)
	}
	if err := p.createKEK(); err != nil {
		return "", err
	}
	k, err := OpenKEKFile(path)
	if err != nil {
		return "", err
	}
	return k.ID(), k.Close()
}

// PrepareKEKFile adds the key of the next rotation to a file, where it can
// decrypt but is not used, and returns its id. Once every node has the file, a
// rotation takes that key, and no node lacks it for a moment. A key that is
// prepared already is the answer again.
func PrepareKEKFile(path string) (id string, err error) {
	kek, err := OpenKEKFile(path)
	if err != nil {
		return "", err
	}
	k := kek.(*fileKEK)
	err = k.change(func(h *keyset.Handle, m *keyset.Manager) error {
		if ids, primary := keysOf(h); primary+1 < len(ids) {
			id = kekName(ids[primary+1])
			return errUnchanged
		}
		added, err := m.Add(aead.AES256GCMKeyTemplate())
		id = kekName(added)
		return err
	})
	if err := errors.Join(err, k.Close()); err != nil {
		return "", fmt.Errorf("prepare key-encryption key: %w", err)
	}
	return id, nil
}

func kekPaths(path string) (paths, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return paths{}, fmt.Errorf("find key-encryption key %q: %w", path, err)
	}
	return paths{dir: filepath.Dir(abs), kek: abs}, nil
}

// maxReplaced limits how often a file is opened again because another one was
// put in its place meanwhile.
const maxReplaced = 10

// readShared reads the file under a lock that readers share, so that it is not
// overwritten meanwhile.
func (k *fileKEK) readShared() (*keyset.Handle, error) {
	f, h, err := k.openShared(syscall.LOCK_SH)
	if err != nil {
		return nil, err
	}
	return h, f.Close()
}

// openShared opens the file that has the name once it is locked.
func (k *fileKEK) openShared(how int) (*os.File, *keyset.Handle, error) {
	for range maxReplaced {
		f, err := k.paths.openFile()
		if err != nil {
			return nil, nil, err
		}
		h, again, err := k.readLocked(f, how)
		if err == nil && !again {
			return f, h, nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, &StartError{Reason: KeysLocked, Path: k.paths.kek, Detail: "the file is replaced all the time"}
}

func (k *fileKEK) readLocked(f *os.File, how int) (h *keyset.Handle, again bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, false, fmt.Errorf("read key-encryption key: %w", err)
	}
	if err := checkMode(KEKPermissions, k.paths.kek, info); err != nil {
		return nil, false, err
	}
	// It waits: whoever has the lock is about to replace the file.
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		return nil, false, fmt.Errorf("lock %s: %w", k.paths.kek, err)
	}
	if named, err := os.Lstat(k.paths.kek); err != nil || !os.SameFile(info, named) {
		return nil, true, nil
	}
	h, err = k.paths.parseKEK(f)
	return h, false, err
}

// takeFile locks the shared file and makes what it holds the present keyset, its
// primary the one that this process uses. The caller holds mu.
func (k *fileKEK) takeFile() error {
	f, h, err := k.openShared(syscall.LOCK_EX)
	if err != nil {
		return err
	}
	k.locks = []*os.File{f}
	if h, err = withPrimary(h, k.handle.KeysetInfo().GetPrimaryKeyId()); err != nil {
		return errors.Join(k.missing(), k.unlockAll())
	}
	return k.use(h)
}

func (k *fileKEK) missing() error {
	return &StartError{Reason: KEKWrong, Path: k.paths.kek, Detail: "the file lacks the key in use; another keyring's was put in its place"}
}

// withPrimary returns the keyset with another primary key.
func withPrimary(h *keyset.Handle, id uint32) (*keyset.Handle, error) {
	m := keyset.NewManagerFromHandle(h)
	if err := m.SetPrimary(id); err != nil {
		return nil, err
	}
	return m.Handle()
}

// Follow implements Follower: the file is read again when the key is not known.
// It is not written.
func (k *fileKEK) Follow(_ context.Context, id string) error {
	number, err := strconv.ParseUint(strings.TrimPrefix(id, "kek-"), 16, 32)
	if err != nil || !strings.HasPrefix(id, "kek-") {
		return ErrKeyNotFound
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	h, err := withPrimary(k.handle, uint32(number))
	if err == nil {
		return k.use(h)
	}
	if !k.shared {
		return ErrKeyNotFound
	}
	if h, err = k.readShared(); err != nil {
		return err
	}
	if h, err = withPrimary(h, uint32(number)); err != nil {
		return ErrKeyNotFound
	}
	return k.use(h)
}
