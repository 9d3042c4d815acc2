package web

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/authledger/authledger/domain"
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
}

// User is the head of a user's page.
type User struct {
	ID             string
	ClientID       string
	Role           domain.Role
	Residence      string // ISO 3166-1 alpha-2; empty when unknown
	Closed         bool
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
	Device string // the phone's own name, as its owner typed it; may be empty
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
	Personal   []string        // names of the sealed fields
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
