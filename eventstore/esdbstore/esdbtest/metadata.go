package esdbtest

import (
	"encoding/json"
	"maps"
	"strconv"
	"time"
)

// streamMeta is what the server acts on in a stream's metadata event.
type streamMeta struct {
	maxCount       uint64        // 0: no limit
	maxAge         time.Duration // 0: no limit
	truncateBefore uint64
	acl            map[string]roles // by "$r", "$w", "$d", "$mr", "$mw"
	raw            map[string]json.RawMessage
}

// roles is a list of roles; in JSON a single one may stand alone.
type roles []string

func (r *roles) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*r = roles{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(r))
}

// parseMeta reads a metadata event. What does not parse limits nothing, as if
// it were absent.
func parseMeta(data []byte) streamMeta {
	var known struct {
		MaxCount uint64          `json:"$maxCount"`
		MaxAge   int64           `json:"$maxAge"` // seconds
		Before   uint64          `json:"$tb"`
		ACL      json.RawMessage `json:"$acl"`
	}
	m := streamMeta{}
	if json.Unmarshal(data, &m.raw) != nil || json.Unmarshal(data, &known) != nil {
		return streamMeta{}
	}
	m.maxCount, m.truncateBefore = known.MaxCount, known.Before
	m.maxAge = time.Duration(known.MaxAge) * time.Second
	m.acl = parseACL(known.ACL)
	return m
}

// parseACL reads an access list; a name of a default one ("$userStreamAcl")
// stands for no list of its own.
func parseACL(data []byte) map[string]roles {
	var acl map[string]roles
	if json.Unmarshal(data, &acl) != nil {
		return nil
	}
	return acl
}

func (m streamMeta) softDeleted() bool { return m.truncateBefore == deletedStream }

// with returns the metadata as JSON with one property set.
func (m streamMeta) with(key string, value int64) []byte {
	props := map[string]json.RawMessage{}
	maps.Copy(props, m.raw)
	props[key] = strconv.AppendInt(nil, value, 10)
	text, err := json.Marshal(props)
	if err != nil {
		panic("esdbtest: metadata that was read as JSON does not marshal: " + err.Error())
	}
	return text
}

// visible returns the events the limits let through. Like the server it drops
// from the old end only.
func (m streamMeta) visible(events []*Event, now time.Time) []*Event {
	for len(events) > 0 && events[0].Revision < m.truncateBefore {
		events = events[1:]
	}
	if m.maxCount > 0 && uint64(len(events)) > m.maxCount {
		events = events[uint64(len(events))-m.maxCount:]
	}
	for m.maxAge > 0 && len(events) > 0 && events[0].Created.Before(now.Add(-m.maxAge)) {
		events = events[1:]
	}
	return events
}
