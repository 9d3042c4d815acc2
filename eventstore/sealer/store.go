package sealer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/authledger/authledger/eventstore/merkle"
)

// ErrTaken means that the store does not stand at the revision the publisher
// believed. Compare with errors.Is.
var ErrTaken = errors.New("another checkpoint stands at this revision")

// Publication is a checkpoint and all that became known with it.
type Publication struct {
	Revision   uint64 // the newest one's plus one; 1 for the first
	Checkpoint merkle.Checkpoint
	Signed     []byte        // the checkpoint as the log signed it
	At         time.Time     // of its dated line, whole seconds
	Tiles      []merkle.Tile // those that changed since the checkpoint before
	Epoch      *merkle.Epoch // a signing key that is in force from here on, or nil
}

// Store keeps what was published. Its methods may be called from any goroutine.
type Store interface {
	merkle.History
	// Begin fixes the name of the log and its keys in a new store, and changes
	// nothing in one that has them. It returns what is kept.
	Begin(ctx context.Context, k merkle.Keys) (merkle.Keys, error)
	// Fill keeps tiles ahead of the first checkpoint, when a history that was
	// lost is begun anew. It MUST return ErrTaken once there is a checkpoint.
	Fill(ctx context.Context, tiles []merkle.Tile) error
	// Publish MUST keep the whole publication or nothing of it, durably when it
	// returns nil. It MUST return ErrTaken when the newest revision is not the
	// one before, and an error when size or time go back. Any other error leaves
	// open whether it was kept.
	Publish(ctx context.Context, p Publication) error
	// AddCosignature adds a witness's line, with its newline, to a checkpoint.
	// Adding it again changes nothing. It MUST return eventstore.ErrNotFound for
	// a revision that was never published.
	AddCosignature(ctx context.Context, revision uint64, line string) error
	// AddStamp adds a time stamp to a checkpoint; the rules are those of
	// AddCosignature.
	AddStamp(ctx context.Context, revision uint64, s merkle.Stamp) error
	// Stamped returns the newest checkpoint that has a time stamp, or
	// eventstore.ErrNotFound.
	Stamped(ctx context.Context) (merkle.Published, error)
	// Close releases files.
	Close() error
}

// checkLine accepts one signature line of a note in its one spelling.
func checkLine(line string) error {
	if !strings.HasPrefix(line, "— ") || strings.Index(line, "\n") != len(line)-1 {
		return fmt.Errorf("%w: want one signature line with its newline", merkle.ErrCheckpoint)
	}
	empty := merkle.Checkpoint{Origin: "line", Root: merkle.EmptyRoot()}
	_, err := merkle.Unverified([]byte(empty.Text() + "\n" + line))
	return err
}
