package codec

import (
	"encoding/base32"
	"fmt"
	"strings"

	"github.com/authledger/authledger/eventstore"
)

const eventIDPrefix = "evt_"

// EventIDText is the event's id as people and the API write it: evt_ and 26
// characters of lower-case base32hex (RFC 4648 §7, no padding) over the 16
// bytes of the UUID.
func EventIDText(id eventstore.EventID) string {
	return eventIDPrefix + strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(id[:]))
}

// ParseEventID reads exactly what EventIDText writes.
func ParseEventID(text string) (eventstore.EventID, error) {
	var id eventstore.EventID
	b, err := base32.HexEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(strings.TrimPrefix(text, eventIDPrefix)))
	if err != nil || len(b) != len(id) {
		return eventstore.EventID{}, fmt.Errorf("event id %q: want evt_ and 26 characters of base32hex", text)
	}
	copy(id[:], b)
	if EventIDText(id) != text { // upper case, a missing prefix, stray low bits
		return eventstore.EventID{}, fmt.Errorf("event id %q: not in canonical form", text)
	}
	return id, nil
}
