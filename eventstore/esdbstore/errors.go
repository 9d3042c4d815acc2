package esdbstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/authledger/authledger/eventstore"
)

// class is what an error of the client means to us.
type class int

const (
	fine     class = iota
	conflict       // the stream is not at the expected revision
	missing        // there is no such stream or group
	exists         // the group is there already
	gone           // the stream was deleted for good
	denied         // the user may not
	moved          // the node is not the leader; the client goes to the one that is
	tooLarge
	unknown // it may have happened
)

// classify never trusts the library's own reading of errors: that looks at the
// outermost one only, and most are wrapped.
func classify(err error) class {
	if err == nil {
		return fine
	}
	var e *esdb.Error
	if errors.As(err, &e) {
		switch e.Code() {
		case esdb.ErrorCodeWrongExpectedVersion:
			return conflict
		case esdb.ErrorCodeResourceNotFound:
			return missing
		case esdb.ErrorCodeResourceAlreadyExists:
			return exists
		case esdb.ErrorCodeStreamDeleted:
			return gone
		case esdb.ErrorCodeAccessDenied, esdb.ErrorCodeUnauthenticated:
			return denied
		case esdb.ErrorCodeNotLeader:
			return moved
		}
	}
	switch statusOf(err) {
	case codes.PermissionDenied, codes.Unauthenticated:
		return denied
	case codes.AlreadyExists:
		return exists
	}
	if strings.Contains(err.Error(), "Maximum Append") {
		return tooLarge
	}
	return unknown
}

// statusOf finds the gRPC status that a wrapped error carries.
func statusOf(err error) codes.Code {
	for ; err != nil; err = errors.Unwrap(err) {
		if s, ok := status.FromError(err); ok && s.Code() != codes.Unknown {
			return s.Code()
		}
	}
	return codes.Unknown
}

// retires reports whether an error says that the connection is no longer good.
func retires(err error) bool {
	if err == nil {
		return false
	}
	var e *esdb.Error
	if errors.As(err, &e) {
		switch e.Code() {
		case esdb.ErrorUnavailable, esdb.ErrorCodeConnectionClosed, esdb.ErrorCodeDeadlineExceeded:
			return true
		}
	}
	switch statusOf(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Internal:
		return true
	}
	return false
}

// outside turns an error of the client into one of the contract. The client's
// own text stays out: it may repeat what was sent.
func outside(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", doing, err)
	case ours(err):
		return fmt.Errorf("%s: %w", doing, err)
	}
	switch classify(err) {
	case denied:
		return fmt.Errorf("%s: %w: the event database does not let this user do it", doing, eventstore.ErrUnavailable)
	case gone:
		return fmt.Errorf("%s: %w", doing, eventstore.ErrGone)
	case tooLarge:
		return fmt.Errorf("%s: %w: the event database takes less", doing, eventstore.ErrTooLarge)
	}
	return fmt.Errorf("%s: %w: %s", doing, eventstore.ErrUnavailable, codeText(err))
}

// ours reports whether an error is one of the contract already.
func ours(err error) bool {
	for _, known := range []error{
		eventstore.ErrConflict, eventstore.ErrDuplicateID, eventstore.ErrOutcomeUnknown, eventstore.ErrNotFound, eventstore.ErrInvalid,
		eventstore.ErrTooLarge, eventstore.ErrUnavailable, eventstore.ErrDamaged, eventstore.ErrClosed, eventstore.ErrGone,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// codeText names an error without its text.
func codeText(err error) string {
	var e *esdb.Error
	if c := statusOf(err); c != codes.Unknown {
		return "gRPC " + c.String()
	}
	if errors.As(err, &e) {
		return fmt.Sprintf("client code %d", e.Code())
	}
	return fmt.Sprintf("%T", err)
}
