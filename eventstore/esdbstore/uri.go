package esdbstore

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// schemes maps the schemes people write to those the client knows.
var schemes = map[string]string{
	"esdb": "esdb", "esdb+discover": "esdb+discover",
	"kurrentdb": "esdb", "kurrentdb+discover": "esdb+discover",
	"kdb": "esdb", "kdb+discover": "esdb+discover",
}

// IsURL reports whether a text names a database of this kind.
func IsURL(s string) bool {
	scheme, _, ok := strings.Cut(s, "://")
	return ok && schemes[strings.ToLower(scheme)] != ""
}

// Redacted is a connection string without its password, for logs.
func Redacted(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	at := strings.LastIndex(rest, "@")
	if !ok || at < 0 {
		return s
	}
	user, _, _ := strings.Cut(rest[:at], ":")
	return scheme + "://" + user + ":redacted" + rest[at:]
}

// ErrURL means a connection string that cannot be used. Its text never repeats
// the string, which may hold a password.
var ErrURL = errors.New("connection string of the event database")

var prefixes = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// checkPrefix accepts the name that sets one ledger apart from others in a
// database. It has neither '-' nor '.', so that no two ledgers' names meet.
func checkPrefix(prefix string) error {
	if !prefixes.MatchString(prefix) {
		return fmt.Errorf("prefix %q: want 1 to 32 lower-case letters, digits or underscores, the first a letter", prefix)
	}
	return nil
}

// configuration reads a connection string. What the client would swallow
// silently is refused, and what it needs to live with its defects is set.
func configuration(s string) (*esdb.Configuration, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	known := schemes[strings.ToLower(scheme)]
	if !ok || known == "" {
		return nil, fmt.Errorf("%w: begin it with esdb://, esdb+discover:// or kurrentdb://", ErrURL)
	}
	hosts, query, _ := strings.Cut(rest, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("%w: what follows the question mark is no list of name=value", ErrURL)
	}
	if err := checkSettings(values, strings.Contains(hosts, "@")); err != nil {
		return nil, err
	}
	config, err := esdb.ParseConnectionString(known + "://" + rest)
	if err != nil {
		return nil, fmt.Errorf("%w: the client does not understand it; write esdb://user:password@host:2113,host:2113?tlsCaFile=ca.pem", ErrURL)
	}
	// A discovery that gives up leaves the client dead for good and its callers
	// waiting for ever. This one never gives up; callers give up on their own.
	config.MaxDiscoverAttempts = 1<<31 - 1
	config.NodePreference = esdb.NodePreferenceLeader
	config.GossipTimeout = 3
	deadline := 2 * callTimeout // of the library; ours comes first
	config.DefaultDeadline = &deadline
	return config, nil
}

// callTimeout bounds one call that is no stream.
const callTimeout = 5 * time.Second

// settings are the names that mean something here, in lower case.
var settings = map[string]bool{
	"tls": true, "tlsverifycert": true, "tlscafile": true, "usercertfile": true, "userkeyfile": true,
	"discoveryinterval": true, "keepaliveinterval": true, "keepalivetimeout": true,
}

func checkSettings(values url.Values, user bool) error {
	for name, list := range values {
		value, lower := list[0], strings.ToLower(name)
		switch {
		case !settings[lower]:
			return fmt.Errorf("%w: %s is not a setting that may be given here; remove it", ErrURL, name)
		case lower == "tls" || lower == "tlsverifycert":
			on, err := strconv.ParseBool(value)
			if err != nil {
				return fmt.Errorf("%w: %s must be true or false", ErrURL, name)
			}
			if lower == "tls" && !on && user {
				return fmt.Errorf("%w: with tls=false the password would not be sent; leave out the user or the setting", ErrURL)
			}
		case strings.HasPrefix(lower, "discovery") || strings.HasPrefix(lower, "keepalive"):
			if n, err := strconv.Atoi(value); err != nil || n < 1 {
				return fmt.Errorf("%w: %s must be a number of milliseconds", ErrURL, name)
			}
		}
	}
	return nil
}
