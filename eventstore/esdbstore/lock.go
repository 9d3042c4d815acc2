package esdbstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/authledger/authledger/eventstore"
)

// ErrInUse means that another process uses the directory. Compare with
// errors.Is.
var ErrInUse = errors.New("the directory is in use by another process")

// lockFile keeps two processes from counting into one file.
const lockFile = "index.lock"

// lockDir takes the directory for this process. The lock goes with the process,
// so a crash leaves none behind.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of %s: %w", indexFile, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", lockFile, err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		err = fmt.Errorf("%w: %w: %s", eventstore.ErrUnavailable, ErrInUse, dir)
	default:
		err = fmt.Errorf("lock %s: %w", lockFile, err)
	}
	return nil, errors.Join(err, f.Close())
}
