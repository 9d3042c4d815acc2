package sealer

import (
	"context"
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"

	"github.com/authledger/authledger/eventstore"
)

// StartReason says why a sealer refuses to start. The texts are stable: runbooks
// search for them.
type StartReason string

// The reasons, each with what to do about it.
const (
	// ProofMissing: the ledger has records, but proof.db is gone or holds no
	// checkpoint. Restore it. Only if it is lost for good, begin a new history
	// with --rebuild-proof; checkpoints that others hold stay valid.
	ProofMissing StartReason = "proof_missing"
	// ProofPermissions: proof.db is not a regular file of mode 0600. Find out
	// who could change it, then chmod 0600.
	ProofPermissions StartReason = "proof_permissions"
	// ProofCorrupt: proof.db is damaged or contradicts itself. Restore it.
	ProofCorrupt StartReason = "proof_corrupt"
	// ProofSchema: proof.db is not as this program makes it: of a newer release,
	// or changed. Use that release, or restore it.
	ProofSchema StartReason = "proof_schema"
	// ProofSettings: the file system cannot give the durability we need.
	ProofSettings StartReason = "proof_settings"
	// OriginDiffers: the log has another name already. Names are for ever.
	OriginDiffers StartReason = "origin_differs"
	// LedgerBehindProof: the ledger is shorter than the newest checkpoint: an old
	// copy was restored, or its end was cut. Restore the whole ledger.
	LedgerBehindProof StartReason = "ledger_behind_proof"
	// LedgerDiffers: the newest sealed records are not those the checkpoint
	// covers. Restore the ledger that was sealed.
	LedgerDiffers StartReason = "ledger_differs_from_proof"
	// HistoryDiffers: what this node has checked before does not stand in the
	// history that the nodes share: an old copy of the store was restored, or
	// somebody wrote another history. Find out which. Only then remove the node's
	// proof.db, which is built again from what stands there now.
	HistoryDiffers StartReason = "history_differs"
	// SigningKeyMissing: the key in force is not in the keyring. Restore keys.db.
	SigningKeyMissing StartReason = "signing_key_missing"
	// ProofIO: the operating system or another part refused.
	ProofIO StartReason = "io_error"
)

// StartError is a refusal to start.
type StartError struct {
	Reason StartReason
	Err    error // what was found
}

func (e *StartError) Error() string { return fmt.Sprintf("open sealer: %s: %v", e.Reason, e.Err) }

// Unwrap returns what was found.
func (e *StartError) Unwrap() error { return e.Err }

// refuse gives an error its reason; one that has a reason keeps it.
func refuse(reason StartReason, err error) error {
	var start *StartError
	if err == nil || errors.As(err, &start) {
		return err
	}
	return &StartError{Reason: reason, Err: err}
}

func refusef(reason StartReason, format string, args ...any) error {
	return refuse(reason, fmt.Errorf(format, args...))
}

// fileReason is the reason of an error SQLite gave while opening.
func fileReason(err error) StartReason {
	var e sqlite3.Error
	if errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB) {
		return ProofCorrupt
	}
	return ProofIO
}

// storage is the only translation of driver errors, by code. A context's error
// stays what it is; everything else is eventstore.ErrUnavailable.
func storage(doing string, err error) error {
	var e sqlite3.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, ErrTaken), errors.Is(err, eventstore.ErrNotFound):
		return fmt.Errorf("%s: %w", doing, err)
	case errors.As(err, &e):
		return fmt.Errorf("%s: %w: sqlite code %d: %v", doing, eventstore.ErrUnavailable, e.ExtendedCode, err)
	default:
		return fmt.Errorf("%s: %w: %v", doing, eventstore.ErrUnavailable, err)
	}
}
