package web

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/projections"
)

// ErrNotFound means that there is no such user.
var ErrNotFound = errors.New("no such user")

// ErrCursor means that a page's place was not one this program gave out.
var ErrCursor = errors.New("invalid place in a timeline")

// Data is what the pages show. *Ledger is one. Methods must be safe for
// concurrent use.
type Data interface {
	// Find returns the id of the user with this id or broker's reference, or
	// ErrNotFound.
	Find(ctx context.Context, query string) (userID string, err error)
	// Recent lists users by their newest event that is not the sending of a
	// message, newest first.
	Recent(ctx context.Context, limit int) ([]Item, error)
	// User returns the state of a user now, or ErrNotFound.
	User(ctx context.Context, userID string) (User, error)
	// Timeline lists a user's events, newest first, from the place a page before
	// gave as Next; "" is the beginning. It returns ErrCursor for another place.
	Timeline(ctx context.Context, userID, place string, limit int) (Timeline, error)
	// Sealed returns an event and the names of its fields that hold sealed
	// personal data, or ErrNotFound.
	Sealed(ctx context.Context, eventID string) (Item, error)
	// Reveal records that personal data is read, and why, before it returns it.
	// A *domain.Error says why not.
	Reveal(ctx context.Context, r Reveal) ([]journal.Revealed, error)
	// Erasures lists the requests to be forgotten, newest first, from the place
	// a page before gave as Next, and the legal holds in force. It returns
	// ErrCursor for another place.
	Erasures(ctx context.Context, place string, limit int) (Register, error)
}

// Reveal is a look at personal data.
type Reveal struct {
	Reader          domain.Actor
	UserID, EventID string
	Fields          []string
	Reason, CaseRef string
}

// Register is one page of requests to be forgotten.
type Register struct {
	Erasures []projections.Erasure
	Holds    []projections.LegalHold // in force, newest first
	MoreHold bool                    // there are more of them
	Next     string                  // place of the next page of requests; empty after the last one
}

// User is the head of a user's page.
type User struct {
	ID             string
	ClientID       string
	Role           domain.Role
	Residence      string // ISO 3166-1 alpha-2; empty when unknown
	Closed         bool
	Restricted     bool          // personal data is locked away until it may be destroyed
	Until          time.Time     // end of the retention then; zero when only a hold keeps it
	Erased         bool          // personal data was destroyed
	Holds          []domain.Hold // in force, oldest first
	Seamless       bool
	LockedUntil    time.Time // zero when not locked
	Failures       int       // consecutive, counted
	OptOut         *domain.OptOut
	Authenticators []Authenticator // not revoked, strongest first
	Phones         []Phone         // in the order they were added
	Processes      []domain.ProcessSnapshot
}

// Authenticator that was not revoked.
type Authenticator struct {
	domain.AuthenticatorSnapshot
	NamedBy string // event that holds the phone's own name, sealed; empty when it has none
}

// Phone of a user.
type Phone struct {
	ID       string
	Masked   string // country code and last digits
	CC       string
	Line     domain.Line
	Verified bool
	Retired  bool
}

// Timeline is one page of events.
type Timeline struct {
	Items []Item
	Next  string // place of the next page; empty after the last one
}

// Item is one event.
type Item struct {
	ID         string // evt_…
	UserID     string
	Type       string
	Event      domain.Event
	Data       json.RawMessage // as stored; personal fields are sealed
	Personal   []string        // names of the fields that hold sealed data; source.ip is one of the metadata
	Outcome    projections.Outcome
	Reason     string // code, when the event has one
	Actor      domain.Actor
	Sequence   uint64
	Revision   uint64
	OccurredAt time.Time
	RecordedAt time.Time
}

// Card is a message in the inbox of a demonstration.
type Card struct {
	ID    string
	Kind  string // sms, voice, email, push, notice
	To    string // masked
	Text  string
	Topic string // of a notice
	At    time.Time
}
