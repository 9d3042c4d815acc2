package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// Filter chooses records of a timeline. Its zero value chooses all.
type Filter struct {
	From  Point    // the first moment shown; none for the beginning
	To    Point    // the last moment shown, so that a timeline to a point tells how StateAt got there; none for the end
	Types []string // names such as ChallengeIssued; none for all
}

// Entry is one event of a timeline. Personal data reads "[sealed]".
type Entry struct {
	Sequence      eventstore.Sequence `json:"sequence"`
	Revision      eventstore.Revision `json:"revision"`
	EventID       string              `json:"event_id"` // evt_…
	Type          string              `json:"type"`
	Schema        uint16              `json:"schema"`
	RecordedAt    time.Time           `json:"recorded_at"`
	OccurredAt    time.Time           `json:"occurred_at"`
	Actor         domain.Actor        `json:"actor"`
	Summary       string              `json:"summary"`
	Command       string              `json:"command"`
	CommandID     string              `json:"command_id"`
	PolicyVersion uint64              `json:"policy_version"`
	CorrelationID string              `json:"correlation_id,omitempty"`
	CausationID   string              `json:"causation_id,omitempty"`
	RequestID     string              `json:"request_id,omitempty"`
	Source        Source              `json:"source,omitzero"`
	Data          json.RawMessage     `json:"data"` // as stored, but for personal data
	Leaf          string              `json:"leaf"` // leaf hash of the record as stored, in hexadecimal
}

// Source is where a command came from.
type Source struct {
	Platform       domain.Platform       `json:"platform,omitempty"`
	ClientVersion  string                `json:"client_version,omitempty"`
	ReleaseChannel domain.ReleaseChannel `json:"release_channel,omitempty"`
	IP             string                `json:"ip,omitempty"`
	DeviceRef      string                `json:"device_ref,omitempty"`
}

// sealed stands for a personal datum.
const sealed = "[sealed]"

// Timeline yields what happened in the user's stream, in order. The stream is
// read and checked from its first record whatever the filter shows. An error
// is the last pair: ErrNotFound for a user without records, ErrUsage for a
// filter that names no event type, and those of StateAt.
func Timeline(ctx context.Context, reader eventstore.Reader, c *codec.Codec, userID string, f Filter) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		stream, err := userStream(userID)
		if err == nil {
			err = f.check()
		}
		if err != nil {
			yield(Entry{}, err)
			return
		}
		found := false
		personal := personalFields()
		for d, err := range history(ctx, reader, c, stream, f.To.bound) {
			found = true
			if err == nil && !f.shows(d.Record) {
				continue
			}
			var e Entry
			if err == nil {
				e, err = entryOf(d, personal[d.Record.Type])
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
		if found {
			return
		}
		if err := mustExist(ctx, reader, userID, stream); err != nil {
			yield(Entry{}, err)
		}
	}
}

func (f Filter) check() error {
	for _, name := range f.Types {
		if err := checkType(name); err != nil {
			return err
		}
	}
	return nil
}

func checkType(name string) error {
	var similar []string
	for _, t := range codec.Types() {
		if t.Name == name {
			return nil
		}
		if name != "" && strings.Contains(strings.ToLower(t.Name), strings.ToLower(name)) {
			similar = append(similar, t.Name)
		}
	}
	if len(similar) > 0 {
		return fmt.Errorf("%w: there is no event type %q; did you mean %s?", ErrUsage, name, strings.Join(similar, ", "))
	}
	return fmt.Errorf("%w: there is no event type %q; types are named like ChallengeIssued", ErrUsage, name)
}

func (f Filter) shows(r eventstore.Record) bool {
	return !f.From.precedes(r) && (len(f.Types) == 0 || slices.Contains(f.Types, r.Type))
}

func entryOf(d codec.Decoded, personal []string) (Entry, error) {
	r, m := d.Record, d.Meta
	data, err := hide(r.Data, personal)
	if err != nil {
		return Entry{}, fmt.Errorf("read %s: @%d: %w: %w", r.Stream, r.Sequence, codec.ErrMalformed, err)
	}
	return Entry{
		Sequence: r.Sequence, Revision: r.Revision, EventID: codec.EventIDText(r.ID), Type: r.Type, Schema: r.Schema,
		RecordedAt: r.RecordedAt, OccurredAt: m.OccurredAt, Actor: m.Actor, Summary: Summary(d.Event),
		Command: m.Command, CommandID: m.CommandID.String(), PolicyVersion: m.PolicyVersion,
		CorrelationID: m.CorrelationID, CausationID: m.CausationID, RequestID: m.RequestID,
		Source: sourceOf(m.Source), Data: data, Leaf: r.Leaf().String(),
	}, nil
}

func sourceOf(s domain.Source) Source {
	out := Source{Platform: s.Platform, ClientVersion: s.ClientVersion, ReleaseChannel: s.ReleaseChannel, DeviceRef: s.DeviceRef}
	if !s.IP.IsZero() {
		out.IP = sealed
	}
	return out
}

func personalFields() map[string][]string {
	out := map[string][]string{}
	for _, t := range codec.Types() {
		out[t.Name] = t.PersonalFields
	}
	return out
}

// hide replaces the personal members of a JSON object and leaves every other
// byte of it alone.
func hide(data []byte, personal []string) ([]byte, error) {
	if len(personal) == 0 {
		return data, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil { // the opening brace
		return nil, err
	}
	var out []byte
	copied := 0
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		if s, ok := name.(string); !ok || !slices.ContainsFunc(personal, func(p string) bool { return strings.EqualFold(p, s) }) || string(value) == `""` {
			continue
		}
		end := int(d.InputOffset())
		out = append(out, data[copied:end-len(value)]...)
		out = append(out, `"`+sealed+`"`...)
		copied = end
	}
	return append(out, data[copied:]...), nil
}
