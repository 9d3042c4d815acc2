// Package replay answers questions about the past from the events alone: what
// was true of a user at a moment, which events made it so, and everything that
// happened to the user in order; which rules were in force, what they said of
// the user, and whether every recorded decision comes out again. A moment and
// what was known of it by another one are told apart (Point).
//
// It cannot act. It takes a reader of the log and a codec without keys, and has
// no gateway, no read model and no clock: times come as arguments, personal
// data stays sealed. While it reads it checks the stream's chain, and it stops
// at the first record that does not fit or that this program cannot read,
// because a story with a hole in it is worse than none. Memory depends on the
// user's state, never on the length of the log.
//
// Most readers want StateAt and Timeline, auditors RulesAt, DecisionAt and
// CheckDecisions.
package replay

import (
	"errors"
	"fmt"
)

// Errors of this package. Compare with errors.Is; *BrokenChainError is the
// fourth, and errors of the reader and of the codec pass through wrapped.
var (
	// ErrNotFound means that there is no such user, or no such record.
	ErrNotFound = errors.New("not found")
	// ErrUsage means an argument that makes no sense; the text says what would.
	ErrUsage = errors.New("invalid argument")
	// ErrDiffers means a recorded decision that does not come out again, or an
	// event that names a policy which was not in force.
	ErrDiffers = errors.New("the record differs from what the rules say")
)

var errNoPoint = fmt.Errorf("%w: a state needs a point in the history", ErrUsage)

// errNoUser lets the command line add a hint.
var errNoUser = fmt.Errorf("%w: there is no user", ErrNotFound)
