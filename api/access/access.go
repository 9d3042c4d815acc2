// Package access keeps who may call the API: clients with one role each, and
// their keys.
//
// A key is shown once, when it is made; what is kept, in the file access.db or in
// a side stream that all nodes share, is its SHA-256 only, which is enough because
// a key is 256 random bits. The package decides
// who somebody is, never what they may do: that is the role table's matter.
// Most readers want Open, Store.Create and Store.Authenticate.
package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"
)

// Role says which part of the interface a client may use.
type Role string

const (
	Frontend   Role = "frontend"   // the login page's server
	Device     Role = "device"     // the app's server
	Gateway    Role = "gateway"    // an SMS provider
	Auditor    Role = "auditor"    // reads the record
	Incident   Role = "incident"   // reads the record to find out what happened
	Operator   Role = "operator"   // support and operations
	Compliance Role = "compliance" // reads the record and keeps the rules
)

// Roles lists all of them.
func Roles() []Role {
	return []Role{Frontend, Device, Gateway, Auditor, Incident, Operator, Compliance}
}

// Valid reports whether the role is one of Roles.
func (r Role) Valid() bool {
	for _, v := range Roles() {
		if r == v {
			return true
		}
	}
	return false
}

// Client is one caller of the API.
type Client struct {
	ID        string // ak_ and 16 characters; the key begins with it, so it is no secret
	Name      string
	Role      Role
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	RevokedAt time.Time // zero: not
}

// Key is an API key in clear. It prints as redacted; convert it to a string to
// show it once.
type Key string

// String redacts.
func (Key) String() string { return "[redacted]" }

// GoString redacts.
func (Key) GoString() string { return "[redacted]" }

// LogValue redacts.
func (Key) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// Errors of this package. Compare with errors.Is.
var (
	// ErrUnauthenticated means that the key is unknown, wrong, expired or
	// revoked; callers are not told which.
	ErrUnauthenticated = errors.New("no valid API key")
	// ErrNotFound means that there is no client of that id.
	ErrNotFound = errors.New("no such API client")
	// ErrInvalid means an argument that breaks its format.
	ErrInvalid = errors.New("invalid API client")
)

const (
	idPrefix  = "ak_"
	idRandom  = 10 // bytes behind the id
	keyRandom = 32 // bytes of secret
	idLength  = len(idPrefix) + 16
	keyLength = idLength + 1 + 52
)

var (
	alphabet = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)
	names    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._-]{0,59}$`)
)

// newKey makes an id and the key that begins with it.
func newKey() (id string, key Key, err error) {
	var random [idRandom + keyRandom]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", "", fmt.Errorf("read random bytes for an API key: %w", err)
	}
	id = idPrefix + alphabet.EncodeToString(random[:idRandom])
	return id, Key(id + "_" + alphabet.EncodeToString(random[idRandom:])), nil
}

// idOf is the id a key begins with; ok is false for anything newKey could not
// have made.
func idOf(key string) (id string, ok bool) {
	if len(key) != keyLength || !strings.HasPrefix(key, idPrefix) || key[idLength] != '_' {
		return "", false
	}
	return key[:idLength], true
}

func digest(key string) [sha256.Size]byte { return sha256.Sum256([]byte(key)) }

// matches compares in constant time.
func matches(stored []byte, key string) bool {
	sum := digest(key)
	return subtle.ConstantTimeCompare(stored, sum[:]) == 1
}
