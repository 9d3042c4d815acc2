package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/authledger/authledger/domain"
)

// TypeInfo describes one kind of event that can be stored.
type TypeInfo struct {
	Name           string
	Version        uint16   // of the data format written today, from 1
	PersonalFields []string // JSON names of sealed fields of the data
}

// Types lists every kind of event, in the order of the rule book.
func Types() []TypeInfo {
	t := table()
	out := make([]TypeInfo, len(t.rows))
	for i, r := range t.rows {
		out[i] = TypeInfo{Name: r.name, Version: r.version, PersonalFields: r.personalFields()}
	}
	return out
}

// TypeName is the wire name of an event, and "" for an event without a row,
// which Check rules out.
func TypeName(e domain.Event) string {
	r, ok := table().byType[reflect.TypeOf(e)]
	if !ok {
		return ""
	}
	return r.name
}

// upcaster turns data of one version into data of the next. It is pure: the
// same bytes give the same bytes for ever, and it must not change its input.
type upcaster func(data []byte) ([]byte, error)

// row is all the codec knows about one kind of event.
type row struct {
	name      string // chosen once; a Go type may be renamed, this never
	version   uint16
	sample    domain.Event // every field populated; Check and the golden files use it
	goType    reflect.Type // finds the row of an event; names never come from it
	personal  []field
	upcasters []upcaster // [i] turns version i+1 into i+2
	decode    func(data []byte) (domain.Event, error)
	// prepare returns a copy of the event whose times are whole microseconds
	// UTC and whose personal fields went through seal. The event given is not
	// changed.
	prepare func(e domain.Event, seal func(field string, p *domain.Personal) error) (domain.Event, error)
}

// field is one sealed field.
type field struct {
	name string
	read func(domain.Event) domain.Personal
}

// spec is a row under construction, typed so that accessors are checked by the
// compiler.
type spec[T domain.Event] struct {
	personal  []personalField[T]
	times     []func(*T)
	upcasters []upcaster
}

type personalField[T domain.Event] struct {
	name string
	at   func(*T) *domain.Personal
}

type option[T domain.Event] func(*spec[T])

// personal marks a field as sealed. name is its JSON name; it is part of the
// seal's associated data and can therefore never change.
func personal[T domain.Event](name string, at func(*T) *domain.Personal) option[T] {
	return func(s *spec[T]) { s.personal = append(s.personal, personalField[T]{name: name, at: at}) }
}

// moment names a time of the event.
func moment[T domain.Event](at func(*T) *time.Time) option[T] {
	return func(s *spec[T]) {
		s.times = append(s.times, func(e *T) { *at(e) = micros(*at(e)) })
	}
}

// perhaps names a time of the event that may be absent.
func perhaps[T domain.Event](at func(*T) **time.Time) option[T] {
	return func(s *spec[T]) {
		s.times = append(s.times, func(e *T) {
			if p := at(e); *p != nil {
				t := micros(**p) // a new variable: the old one belongs to the caller's event
				*p = &t
			}
		})
	}
}

// upcasts gives the steps from version 1 to the version written today.
func upcasts[T domain.Event](steps ...upcaster) option[T] {
	return func(s *spec[T]) { s.upcasters = steps }
}

// event makes the row of one kind of event.
func event[T domain.Event](name string, version uint16, sample T, options ...option[T]) row {
	var s spec[T]
	for _, o := range options {
		o(&s)
	}
	r := row{
		name: name, version: version, sample: sample, goType: reflect.TypeFor[T](), upcasters: s.upcasters,
		decode: func(data []byte) (domain.Event, error) {
			var e T
			if err := strict(data, &e); err != nil {
				return nil, err
			}
			return e, nil
		},
		prepare: s.prepare,
	}
	for _, p := range s.personal {
		r.personal = append(r.personal, field{name: p.name, read: func(e domain.Event) domain.Personal {
			v := e.(T) // the row was found by this type
			return *p.at(&v)
		}})
	}
	return r
}

func (s *spec[T]) prepare(e domain.Event, seal func(string, *domain.Personal) error) (domain.Event, error) {
	if len(s.personal) == 0 && len(s.times) == 0 {
		return e, nil
	}
	v := e.(T) // the row was found by this type; a copy
	for _, normalise := range s.times {
		normalise(&v)
	}
	for _, p := range s.personal {
		if err := seal(p.name, p.at(&v)); err != nil {
			return nil, fmt.Errorf("seal %s: %w", p.name, err)
		}
	}
	return v, nil
}

func (r row) personalFields() []string {
	names := make([]string, 0, len(r.personal))
	for _, p := range r.personal {
		names = append(names, p.name)
	}
	return names
}

// upcast brings data of a known version to today's.
func (r row) upcast(version uint16, data []byte) ([]byte, error) {
	for v := version; v < r.version; v++ {
		next, err := r.upcasters[v-1](data)
		if err != nil {
			return nil, fmt.Errorf("upcast from version %d: %w", v, err)
		}
		data = next
	}
	return data, nil
}

// registry finds rows. It is built once and never changed.
type registry struct {
	rows   []row
	byName map[string]row
	byType map[reflect.Type]row
}

// table is the one registry of this program; it depends on nothing but code.
var table = sync.OnceValue(func() registry {
	return newRegistry(slices.Concat(clientRows(), userRows(), phoneRows(), voiceRows(), enrollmentRows(), hostRows(), lifecycleRows(), authenticationRows(), moveRows(),
		temporaryRows(), optOutRows(), policyRows(), privacyRows()))
})

func newRegistry(rows []row) registry {
	t := registry{rows: rows, byName: make(map[string]row, len(rows)), byType: make(map[reflect.Type]row, len(rows))}
	for _, r := range rows {
		t.byName[r.name] = r
		t.byType[r.goType] = r
	}
	return t
}

var errNotObject = errors.New("not a JSON object")

// strict decodes exactly one JSON object without members v does not know.
func strict(data []byte, v any) error {
	if len(data) == 0 || data[0] != '{' {
		return errNotObject
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("text after the JSON object")
	}
	return nil
}

// marshal writes JSON without the escapes that only HTML needs, so that the
// stored text can be read as it is.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// micros is t as the ledger keeps it.
func micros(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
