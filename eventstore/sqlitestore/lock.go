package sqlitestore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Files of a data directory. SQLite adds ledger.db-wal and ledger.db-shm.
const (
	ledgerFile = "ledger.db"
	anchorFile = "ledger.anchor"
	lockFile   = "ledger.lock"
)

// lockDir takes the directory for this process. The lock goes with the
// process, so a crash leaves none behind.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, refuse(ReasonDataDirUnsupported, err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	reason := ReasonDataDirUnsupported
	if errors.Is(err, syscall.EWOULDBLOCK) {
		reason = ReasonDataDirInUse
	}
	return nil, refuse(reason, errors.Join(fmt.Errorf("lock %s: %w", lockFile, err), f.Close()))
}

// checkFiles refuses what would make the promises of files and locks void.
func checkFiles(dir string) error {
	for _, name := range []string{ledgerFile, ledgerFile + "-wal", ledgerFile + "-shm", anchorFile, lockFile} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return refuse(ReasonIO, err)
		}
		if !info.Mode().IsRegular() {
			return refusef(ReasonDataDirUnsupported, "%s is not a regular file", name)
		}
	}
	return nil
}

// syncDir makes the names of files in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
