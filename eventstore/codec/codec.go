// Package codec turns domain events into stored bytes and back.
//
// The registry has one explicit row for each kind of event: its wire name, its
// version, how to build it, which fields are personal, and the steps that
// bring old versions up to date. Names are literals, never derived from Go
// identifiers: renaming a type must not change a byte. Data of an unknown type
// or version, or with a field nobody knows, is an error that stops its reader.
//
// Personal data leaves this package sealed only, bound to its subject (the
// stream's name), its event id and its field. The package must not know when
// or why events happen. Most readers want Encode and Decode.
package codec

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

// Errors of this package. Compare with errors.Is.
var (
	// ErrUnknownType means a type or version this program has no row for. The
	// stream must stop there; it is never skipped.
	ErrUnknownType = errors.New("unknown event type or version")
	// ErrMalformed means stored bytes that are not an event of their type.
	ErrMalformed = errors.New("malformed stored event")
	// ErrNoSealer means that the codec was made without a sealer, so it can
	// neither seal nor open personal data.
	ErrNoSealer = errors.New("codec has no keys")
	// ErrNoField means that the event has no personal field of that name.
	ErrNoField = errors.New("no such personal field")
)

// Sealer seals and opens personal data. *keyring.Keyring is one.
type Sealer interface {
	Seal(ctx context.Context, subject string, eventID uuid.UUID, field string, clear []byte) (string, error)
	Open(ctx context.Context, subject string, eventID uuid.UUID, field, sealed string) ([]byte, error)
}

// Decoded is a stored record with its meaning. Personal fields are sealed.
type Decoded struct {
	Record eventstore.Record
	Event  domain.Event
	Meta   Metadata
}

// FieldIP is the name under which Reveal opens the address a command came from.
const FieldIP = "source.ip"

// Codec encodes and decodes. It is safe for concurrent use.
type Codec struct {
	sealer Sealer
	types  registry
}

// New returns a codec. Without a sealer it decodes only.
func New(sealer Sealer) *Codec { return &Codec{sealer: sealer, types: table()} }

// Seal returns a copy of the event as it will be stored: personal data sealed
// under the stream's key, times in whole microseconds UTC. Sealed fields stay
// as they are, so sealing twice changes nothing.
func (c *Codec) Seal(ctx context.Context, stream string, id eventstore.EventID, e domain.Event) (domain.Event, error) {
	r, ok := c.types.byType[reflect.TypeOf(e)]
	if !ok {
		return nil, fmt.Errorf("seal %T: %w", e, ErrUnknownType)
	}
	sealed, err := r.prepare(e, func(field string, p *domain.Personal) error {
		return c.seal(ctx, stream, id, field, p)
	})
	if err != nil {
		return nil, fmt.Errorf("encode %s for %s: %w", r.name, stream, err)
	}
	return sealed, nil
}

// Encode turns an event into what a store appends. Clear personal values are
// sealed in a copy; the event itself is not changed. id is the event's id,
// which the seals are bound to.
func (c *Codec) Encode(ctx context.Context, stream string, id eventstore.EventID, e domain.Event, m Metadata) (eventstore.Proposed, error) {
	sealed, err := c.Seal(ctx, stream, id, e)
	if err != nil {
		return eventstore.Proposed{}, err
	}
	r := c.types.byType[reflect.TypeOf(e)]
	data, err := marshal(sealed)
	if err != nil {
		return eventstore.Proposed{}, fmt.Errorf("encode %s for %s: %w", r.name, stream, err)
	}
	m.Prev = ""
	m.OccurredAt = micros(m.OccurredAt)
	if err := c.seal(ctx, stream, id, FieldIP, &m.Source.IP); err != nil {
		return eventstore.Proposed{}, fmt.Errorf("encode metadata of %s for %s: seal %s: %w", r.name, stream, FieldIP, err)
	}
	metadata, err := marshal(m)
	if err != nil {
		return eventstore.Proposed{}, fmt.Errorf("encode metadata of %s for %s: %w", r.name, stream, err)
	}
	return eventstore.Proposed{ID: id, Type: r.name, Schema: r.version, Data: data, Metadata: metadata}, nil
}

func (c *Codec) seal(ctx context.Context, stream string, id eventstore.EventID, field string, p *domain.Personal) error {
	if p.ClearText() == "" {
		return nil
	}
	if c.sealer == nil {
		return ErrNoSealer
	}
	text, err := c.sealer.Seal(ctx, stream, id, field, []byte(p.ClearText()))
	if err != nil {
		return err
	}
	*p = domain.Sealed(text)
	return nil
}

// Decode reads a record. Errors wrap ErrUnknownType or ErrMalformed.
func (c *Codec) Decode(r eventstore.Record) (Decoded, error) {
	e, err := c.types.decode(r)
	if err != nil {
		return Decoded{}, fmt.Errorf("decode %s at revision %d: %w", r.Stream, r.Revision, err)
	}
	m, err := decodeMetadata(r.Metadata)
	if err != nil {
		return Decoded{}, fmt.Errorf("decode metadata of %s at revision %d: %w: %w", r.Stream, r.Revision, ErrMalformed, err)
	}
	return Decoded{Record: r, Event: e, Meta: m}, nil
}

func (t registry) decode(r eventstore.Record) (domain.Event, error) {
	row, ok := t.byName[r.Type]
	if !ok || r.Schema == 0 || r.Schema > row.version {
		return nil, fmt.Errorf("%w: %s version %d", ErrUnknownType, r.Type, r.Schema)
	}
	data, err := row.upcast(r.Schema, r.Data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", r.Type, ErrMalformed, err)
	}
	e, err := row.decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s version %d: %w: %w", r.Type, r.Schema, ErrMalformed, err)
	}
	return e, nil
}

// Reveal opens one personal field, named as in the stored JSON; FieldIP is the
// one of the metadata. An absent datum is "". Errors wrap ErrNoField,
// ErrNoSealer or the keyring's, which tell an erased subject from a forged
// text.
func (c *Codec) Reveal(ctx context.Context, d Decoded, field string) (string, error) {
	p, err := c.types.personal(d, field)
	if err != nil {
		return "", fmt.Errorf("reveal %s of %s at revision %d: %w", field, d.Record.Stream, d.Record.Revision, err)
	}
	if p.SealedText() == "" {
		return p.ClearText(), nil
	}
	if c.sealer == nil {
		return "", fmt.Errorf("reveal %s: %w", field, ErrNoSealer)
	}
	clear, err := c.sealer.Open(ctx, d.Record.Stream, d.Record.ID, field, p.SealedText())
	if err != nil {
		return "", fmt.Errorf("reveal %s of %s at revision %d: %w", field, d.Record.Stream, d.Record.Revision, err)
	}
	return string(clear), nil
}

// SealedFields names the personal fields of a record that hold a datum, as
// Reveal takes them, in the order of the registry and the metadata's last.
func (c *Codec) SealedFields(d Decoded) []string {
	var out []string
	for _, p := range c.types.byType[reflect.TypeOf(d.Event)].personal {
		if !p.read(d.Event).IsZero() {
			out = append(out, p.name)
		}
	}
	if !d.Meta.Source.IP.IsZero() {
		out = append(out, FieldIP)
	}
	return out
}

func (t registry) personal(d Decoded, name string) (domain.Personal, error) {
	if name == FieldIP {
		return d.Meta.Source.IP, nil
	}
	for _, p := range t.byType[reflect.TypeOf(d.Event)].personal {
		if p.name == name {
			return p.read(d.Event), nil
		}
	}
	return domain.Personal{}, ErrNoField
}
