package codec

import (
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
)

// Metadata is what is stored beside an event's data: who asked, when, and as
// part of which command.
type Metadata struct {
	Prev          string        `json:"prev,omitempty"` // set by the store, ignored by Encode
	CommandID     uuid.UUID     `json:"command_id"`
	Command       string        `json:"command"`
	Digest        string        `json:"digest"`  // of the command, without personal data and secrets
	Ordinal       int           `json:"ordinal"` // of this event among those of the command, from 0
	Count         int           `json:"count"`   // events of the command
	OccurredAt    time.Time     `json:"occurred_at"`
	CorrelationID string        `json:"correlation_id,omitempty"`
	CausationID   string        `json:"causation_id,omitempty"`
	Actor         domain.Actor  `json:"actor"`
	Source        domain.Source `json:"source,omitzero"`
	PolicyVersion uint64        `json:"policy_version"`
	RequestID     string        `json:"request_id,omitempty"`
}

// decodeMetadata reads stored metadata. Every record has the same few members
// in the same order, and reading them as general JSON would be most of the
// time of a rebuild; so what was written by Encode is read member by member,
// and anything else, valid or not, as JSON.
func decodeMetadata(b []byte) (Metadata, error) {
	if m, ok := quickMetadata(string(b)); ok {
		return m, nil
	}
	var m Metadata
	err := strict(b, &m)
	return m, err
}

// quickMetadata reads exactly the layout of Encode, in plain ASCII without
// escapes. When ok it returns what the JSON decoder would.
func quickMetadata(text string) (m Metadata, ok bool) {
	c := cursor{rest: text, ok: true}
	c.literal(`{`)
	m.Prev = c.optional(`"prev":"`, `",`)
	c.literal(`"command_id":"`)
	id, err := uuid.Parse(c.until(`","command":"`))
	m.CommandID, c.ok = id, c.ok && err == nil
	m.Command = c.until(`","digest":"`)
	m.Digest = c.until(`","ordinal":`)
	m.Ordinal = int(c.number(`,"count":`, 31))
	m.Count = int(c.number(`,"occurred_at":"`, 31))
	m.OccurredAt = c.time(`",`)
	m.CorrelationID = c.optional(`"correlation_id":"`, `",`)
	m.CausationID = c.optional(`"causation_id":"`, `",`)
	c.literal(`"actor":{"kind":"`)
	m.Actor.Kind = domain.ActorKind(c.until(`","ref":"`))
	m.Actor.Ref = c.until(`"},`)
	if c.skip(`"source":{`) {
		m.Source = c.source()
	}
	c.literal(`"policy_version":`)
	if m.PolicyVersion, ok = c.last(); ok {
		return m, true
	}
	m.PolicyVersion = c.number(`,"request_id":"`, 64)
	m.RequestID = c.until(`"}`)
	return m, c.ok && c.rest == ""
}

// source reads the members behind "source":{ and the comma that follows.
func (c *cursor) source() domain.Source {
	var s domain.Source
	member := func(name string) string {
		if !c.skip(`"` + name + `":"`) {
			return ""
		}
		text := c.until(`"`)
		if !strings.HasPrefix(c.rest, "}") {
			c.literal(",")
			c.ok = c.ok && strings.HasPrefix(c.rest, `"`) // a comma is followed by a member
		}
		return text
	}
	s.Platform = domain.Platform(member("platform"))
	s.ClientVersion = member("client_version")
	s.ReleaseChannel = domain.ReleaseChannel(member("release_channel"))
	if ip := member("ip"); ip != "" {
		s.IP = domain.Sealed(ip)
	}
	s.DeviceRef = member("device_ref")
	c.literal("},")
	return s
}

// cursor walks over text it must understand completely; ok turns false at the
// first thing it does not.
type cursor struct {
	rest string
	ok   bool
}

func (c *cursor) skip(s string) bool {
	rest, found := strings.CutPrefix(c.rest, s)
	c.rest = rest
	return found
}

func (c *cursor) literal(s string) { c.ok = c.skip(s) && c.ok }

// until takes the text before end: the content of a string when end begins
// with the closing quote, a number when it begins with a comma.
func (c *cursor) until(end string) string {
	n := strings.IndexByte(c.rest, end[0])
	if n < 0 || !strings.HasPrefix(c.rest[n:], end) || !plain(c.rest[:n]) {
		c.ok = false
		return ""
	}
	text := c.rest[:n]
	c.rest = c.rest[n+len(end):]
	return text
}

func (c *cursor) optional(start, end string) string {
	if !c.skip(start) {
		return ""
	}
	return c.until(end)
}

func (c *cursor) number(end string, bits int) uint64 {
	return c.parse(c.until(end), bits)
}

func (c *cursor) parse(text string, bits int) uint64 {
	n, err := strconv.ParseUint(text, 10, bits)
	c.ok = c.ok && err == nil && (text == "0" || text[0] != '0')
	return n
}

// last reads a number that ends the object.
func (c *cursor) last() (uint64, bool) {
	text, found := strings.CutSuffix(c.rest, "}")
	if !found || strings.ContainsAny(text, `",`) {
		return 0, false
	}
	n := c.parse(text, 64)
	return n, c.ok
}

func (c *cursor) time(end string) time.Time {
	var t time.Time
	text := c.until(end)
	c.ok = c.ok && t.UnmarshalText([]byte(text)) == nil
	return t
}

// plain reports that a JSON string stands for itself.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f || s[i] == '\\' {
			return false
		}
	}
	return true
}
