package sqlitestore

import (
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"

	"github.com/authledger/authledger/eventstore"
)

// Reasons of a StartError. They are stable: runbooks and alarms name them.
const (
	ReasonDataDirInUse       = "data_dir_in_use"       // another process holds ledger.lock
	ReasonDataDirUnsupported = "data_dir_unsupported"  // not a writable directory of regular files on a local file system
	ReasonLedgerMissing      = "ledger_missing"        // an anchor, but no ledger.db
	ReasonLedgerBehindAnchor = "ledger_behind_anchor"  // acknowledged records are gone: lost tail or older copy
	ReasonLedgerMismatch     = "ledger_anchor_differs" // log and anchor do not belong together, or history was changed
	ReasonLedgerCorrupt      = "ledger_corrupt"        // not a database, or its newest records contradict themselves
	ReasonAnchorMissing      = "anchor_missing"        // records, but no anchor
	ReasonAnchorCorrupt      = "anchor_corrupt"        // neither slot is readable
	ReasonSynchronousNotFull = "synchronous_not_full"  // SQLite would acknowledge before the disk does
	ReasonSchemaNewer        = "schema_newer"          // written by a newer release
	ReasonFormatOld          = "format_old"            // records of a build before the first release
	ReasonSchemaUnknown      = "schema_unknown"        // tables, triggers or indexes are not ours
	ReasonIO                 = "io_error"              // the operating system refused
)

// StartError says why a store refuses to open. Nothing was changed that a
// later start would miss.
type StartError struct {
	Reason string // one of the constants above
	Dir    string
	Err    error
}

func (e *StartError) Error() string {
	return fmt.Sprintf("open event store in %s: %s: %v", e.Dir, e.Reason, e.Err)
}

func (e *StartError) Unwrap() error { return e.Err }

// refuse gives an error its reason; an error that has one keeps it.
func refuse(reason string, err error) error {
	var start *StartError
	if err == nil || errors.As(err, &start) {
		return err
	}
	return &StartError{Reason: reason, Err: err}
}

func refusef(reason, format string, args ...any) error {
	return refuse(reason, fmt.Errorf(format, args...))
}

// startReasonOr is startReason for SQLite's errors and reason for ours.
func startReasonOr(reason string, err error) string {
	var e sqlite3.Error
	if errors.As(err, &e) {
		return startReason(err)
	}
	return reason
}

// startReason is the reason of an error SQLite gave while opening.
func startReason(err error) string {
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return ReasonIO
	}
	switch e.Code {
	case sqlite3.ErrNotADB, sqlite3.ErrCorrupt:
		return ReasonLedgerCorrupt
	case sqlite3.ErrBusy, sqlite3.ErrLocked:
		return ReasonDataDirInUse
	case sqlite3.ErrReadonly, sqlite3.ErrPerm, sqlite3.ErrCantOpen:
		return ReasonDataDirUnsupported
	}
	return ReasonIO
}

// unavailable translates an error of SQLite or the operating system: callers
// see its text, never the driver's type.
func unavailable(err error) error {
	if errors.Is(err, eventstore.ErrUnavailable) || errors.Is(err, eventstore.ErrClosed) {
		return err
	}
	var e sqlite3.Error
	if errors.Is(err, eventstore.ErrDamaged) || errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB) {
		return fmt.Errorf("%w: %w: %v", eventstore.ErrUnavailable, eventstore.ErrDamaged, err)
	}
	return fmt.Errorf("%w: %v", eventstore.ErrUnavailable, err)
}

// passing reports whether SQLite refused a statement for a reason that goes
// away, such as a full disk, having written nothing.
func passing(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == sqlite3.ErrFull || e.Code == sqlite3.ErrBusy || e.Code == sqlite3.ErrNomem)
}
