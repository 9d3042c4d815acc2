package codec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

const stream = "user-" + sampleKey

var errSealer = errors.New("sealer broke")

// reverser is a Sealer whose ciphertext names its place, so that a test sees
// what was bound.
type reverser struct{ fail bool }

func (r reverser) Seal(_ context.Context, subject string, id uuid.UUID, field string, clear []byte) (string, error) {
	if r.fail {
		return "", errSealer
	}
	b := slices.Clone(clear)
	slices.Reverse(b)
	return fmt.Sprintf("%s|%s|%s|%s", subject, id, field, b), nil
}

func (r reverser) Open(_ context.Context, subject string, id uuid.UUID, field, sealed string) ([]byte, error) {
	text, ok := strings.CutPrefix(sealed, fmt.Sprintf("%s|%s|%s|", subject, id, field))
	if !ok || r.fail {
		return nil, errSealer
	}
	b := []byte(text)
	slices.Reverse(b)
	return b, nil
}

func sampleMeta() Metadata {
	return Metadata{
		CommandID: uuid.MustParse("018df9a1-7c4e-7b1a-9c55-0242ac120002"), Command: "SubmitResponse",
		Digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Ordinal: 1, Count: 2, OccurredAt: sampleAt(3),
		CorrelationID: sampleTxn, CausationID: "evt_c9hpkgj4d5r7s2u0vm1n3b6e8g", Actor: domain.Actor{Kind: domain.ActorClient, Ref: "login-frontend"},
		Source: domain.Source{
			Platform: domain.TWS, ClientVersion: "1030", ReleaseChannel: domain.Latest, IP: domain.Sealed(sampleSealed), DeviceRef: "device-1",
		},
		PolicyVersion: 1, RequestID: "req-1",
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmp.AllowUnexported(domain.Personal{})); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func record(p eventstore.Proposed) eventstore.Record {
	r, _ := eventstore.Chain(stream, eventstore.NoStream(), sampleAt(4), []eventstore.Proposed{p})
	return r[0]
}

func TestRegistryIsSound(t *testing.T) {
	t.Parallel()
	if err := Check(); err != nil {
		t.Fatal(err)
	}
}

func TestCheckRefusesUnsoundRows(t *testing.T) {
	t.Parallel()
	removed := domain.PhoneNumberRemoved{PhoneID: samplePhone, Reason: "user_request"}
	seamless := event("SeamlessEnabled", 1, domain.SeamlessEnabled{})
	late := domain.IdentityVerifiedByAgent{IDVID: "x", AgentRef: "a", Method: "m", ExpiresAt: sampleAt(0).Add(time.Nanosecond)}
	for name, rows := range map[string][]row{
		"the same name twice":    {seamless, event("SeamlessEnabled", 1, removed)},
		"the same type twice":    {seamless, event("Other", 1, domain.SeamlessEnabled{})},
		"version without step":   {event("PhoneNumberRemoved", 2, removed)},
		"version zero":           {event("PhoneNumberRemoved", 0, removed)},
		"an incomplete sample":   {event("PhoneNumberRemoved", 1, domain.PhoneNumberRemoved{PhoneID: samplePhone})},
		"a sample not in micros": {event("IdentityVerifiedByAgent", 1, late, moment(func(e *domain.IdentityVerifiedByAgent) *time.Time { return &e.ExpiresAt }))},
		"a clear sample": {event("UserRegistered", 1, domain.UserRegistered{
			UserID: "u", ClientID: "c", Role: domain.RoleOwner, Username: domain.Clear("anna"), Locale: "de",
		})},
	} {
		if err := newRegistry(rows).check(); err == nil {
			t.Errorf("%s: check found nothing", name)
		}
	}
}

// Every struct that has isEvent must have exactly one row, and under its own
// name: the names of the rule book are the names of the types today.
func TestEveryEventHasARow(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "../../domain/events.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if ok && f.Name.Name == "isEvent" && len(f.Recv.List) == 1 {
			want = append(want, f.Recv.List[0].Type.(*ast.Ident).Name)
		}
	}
	var got []string
	for _, r := range table().rows {
		got = append(got, r.name)
		if r.goType.Name() != r.name {
			t.Errorf("row %s is for type %s", r.name, r.goType.Name())
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) < 70 {
		t.Fatalf("found only %d isEvent methods", len(want))
	}
	equal(t, "rows", got, want)
}

// The accessors of a row are written by hand; here the types themselves say
// whether one was forgotten.
func TestEveryPersonalFieldAndTimeIsListed(t *testing.T) {
	t.Parallel()
	for _, r := range table().rows {
		times := 0
		var personal []string
		var walk func(reflect.Type, string)
		walk = func(ty reflect.Type, name string) {
			switch {
			case ty == reflect.TypeFor[time.Time]() || ty == reflect.TypeFor[*time.Time]():
				times++
			case ty == reflect.TypeFor[domain.Personal]():
				personal = append(personal, name)
			case ty.Kind() == reflect.Struct:
				for i := range ty.NumField() {
					name, _, _ := strings.Cut(ty.Field(i).Tag.Get("json"), ",")
					walk(ty.Field(i).Type, name)
				}
			case ty.Kind() == reflect.Slice:
				walk(ty.Elem(), name)
			case ty.Kind() == reflect.Map, ty.Kind() == reflect.Float64, ty.Kind() == reflect.Interface:
				t.Errorf("%s has a field of kind %s, which has no fixed text", r.name, ty.Kind())
			}
		}
		walk(r.goType, "")
		equal(t, r.name+": personal fields", r.personalFields(), append([]string{}, personal...))
		if off := shifted(t, r); off != times {
			t.Errorf("%s: %d times, but %d are normalised", r.name, times, off)
		}
	}
}

// shifted counts the times prepare brings back to microseconds after every
// time of the sample got an extra nanosecond.
func shifted(t *testing.T, r row) int {
	t.Helper()
	v := reflect.New(r.goType).Elem()
	v.Set(reflect.ValueOf(r.sample))
	var walk func(reflect.Value)
	walk = func(v reflect.Value) {
		switch x := v.Interface().(type) {
		case time.Time:
			v.Set(reflect.ValueOf(x.Add(time.Nanosecond)))
		case *time.Time:
			y := x.Add(time.Nanosecond)
			v.Set(reflect.ValueOf(&y))
		case domain.Personal:
		default:
			for i := range v.NumField() {
				if v.Field(i).Kind() == reflect.Struct || v.Field(i).Kind() == reflect.Pointer {
					walk(v.Field(i))
				}
			}
		}
	}
	walk(v)
	before := count(v, func(at time.Time) bool { return at.Nanosecond()%1000 != 0 })
	prepared, err := r.prepare(v.Interface().(domain.Event), func(string, *domain.Personal) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if after := count(v, func(at time.Time) bool { return at.Nanosecond()%1000 != 0 }); after != before {
		t.Errorf("%s: prepare changed the caller's event", r.name)
	}
	return count(reflect.ValueOf(prepared), func(at time.Time) bool { return at.Nanosecond()%1000 == 0 })
}

func count(v reflect.Value, is func(time.Time) bool) int {
	n := 0
	switch x := v.Interface().(type) {
	case time.Time:
		if is(x) {
			n++
		}
	case *time.Time:
		if is(*x) {
			n++
		}
	case domain.Personal:
	default:
		if v.Kind() == reflect.Struct {
			for i := range v.NumField() {
				n += count(v.Field(i), is)
			}
		}
	}
	return n
}

func TestEncodeSealsOnACopy(t *testing.T) {
	t.Parallel()
	c, id := New(reverser{}), uuid.New()
	given := domain.PhoneNumberAdded{PhoneID: samplePhone, CC: "DE", Number: domain.Clear("+491701234567"), Line: domain.LineMobile}
	meta := sampleMeta()
	meta.Prev = strings.Repeat("f", 64)
	meta.Source.IP = domain.Clear("192.0.2.7")
	meta.OccurredAt = meta.OccurredAt.Add(999).In(time.FixedZone("x", 3600))
	p, err := c.Encode(t.Context(), stream, id, given, meta)
	if err != nil {
		t.Fatal(err)
	}
	if given.Number.ClearText() == "" || meta.Source.IP.ClearText() == "" {
		t.Error("Encode changed its caller's values")
	}
	for _, clear := range []string{"+491701234567", "192.0.2.7", "ffff"} {
		if strings.Contains(string(p.Data)+string(p.Metadata), clear) {
			t.Errorf("stored bytes contain %q", clear)
		}
	}
	d, err := c.Decode(record(p))
	if err != nil {
		t.Fatal(err)
	}
	if !d.Meta.OccurredAt.Equal(sampleAt(3)) || d.Meta.OccurredAt.Location() != time.UTC {
		t.Errorf("occurred at %s, want %s", d.Meta.OccurredAt, sampleAt(3))
	}
	for field, want := range map[string]string{"number": "+491701234567", FieldIP: "192.0.2.7"} {
		if got, err := c.Reveal(t.Context(), d, field); err != nil || got != want {
			t.Errorf("reveal %s: %q, %v; want %q", field, got, err, want)
		}
	}
	if _, err := c.Reveal(t.Context(), d, "username"); !errors.Is(err, ErrNoField) {
		t.Errorf("reveal of a field the event lacks: %v", err)
	}
	d.Record.Stream = "user-other"
	if _, err := c.Reveal(t.Context(), d, "number"); !errors.Is(err, errSealer) {
		t.Errorf("reveal under another subject: %v", err)
	}
}

func TestSealIsIdempotentAndNamesItsFailure(t *testing.T) {
	t.Parallel()
	c, id := New(reverser{}), uuid.New()
	once, err := c.Seal(t.Context(), stream, id, domain.UserRegistered{Username: domain.Clear("anna")})
	if err != nil {
		t.Fatal(err)
	}
	twice, err := c.Seal(t.Context(), stream, id, once)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "sealed twice", twice, once)
	_, err = New(reverser{fail: true}).Seal(t.Context(), stream, id, domain.UserRegistered{Username: domain.Clear("anna")})
	if !errors.Is(err, errSealer) || strings.Contains(err.Error(), "anna") {
		t.Errorf("a broken sealer gives %v", err)
	}
	if _, err := New(nil).Seal(t.Context(), stream, id, domain.UserRegistered{Username: domain.Clear("anna")}); !errors.Is(err, ErrNoSealer) {
		t.Errorf("no sealer gives %v", err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	c := New(nil)
	good := func() eventstore.Record {
		p, err := c.Encode(t.Context(), stream, uuid.New(), domain.PhoneNumberRemoved{PhoneID: samplePhone, Reason: "r"}, sampleMeta())
		if err != nil {
			t.Fatal(err)
		}
		return record(p)
	}
	if _, err := c.Decode(good()); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		spoil func(*eventstore.Record)
		want  error
	}{
		"an unknown type":            {func(r *eventstore.Record) { r.Type = "PhoneNumberSold" }, ErrUnknownType},
		"a newer version":            {func(r *eventstore.Record) { r.Schema = 2 }, ErrUnknownType},
		"version zero":               {func(r *eventstore.Record) { r.Schema = 0 }, ErrUnknownType},
		"an unknown field":           {func(r *eventstore.Record) { r.Data = []byte(`{"phone_id":"p","reason":"r","why":1}`) }, ErrMalformed},
		"text after the object":      {func(r *eventstore.Record) { r.Data = append(slices.Clone(r.Data), "{}"...) }, ErrMalformed},
		"null":                       {func(r *eventstore.Record) { r.Data = []byte(`null`) }, ErrMalformed},
		"nothing":                    {func(r *eventstore.Record) { r.Data = nil }, ErrMalformed},
		"a truncated object":         {func(r *eventstore.Record) { r.Data = r.Data[:len(r.Data)-1] }, ErrMalformed},
		"an unknown metadata member": {func(r *eventstore.Record) { r.Metadata = []byte(`{"mood":"good"}`) }, ErrMalformed},
	} {
		r := good()
		tc.spoil(&r)
		if _, err := c.Decode(r); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
}

func TestUpcastersRunInOrder(t *testing.T) {
	t.Parallel()
	rename := func(from, to string) upcaster {
		return func(data []byte) ([]byte, error) {
			m := map[string]json.RawMessage{}
			if err := json.Unmarshal(data, &m); err != nil {
				return nil, err
			}
			m[to] = m[from]
			delete(m, from)
			return json.Marshal(m)
		}
	}
	c := &Codec{types: newRegistry([]row{event("PhoneNumberRemoved", 3, domain.PhoneNumberRemoved{PhoneID: samplePhone, Reason: "x"},
		upcasts[domain.PhoneNumberRemoved](rename("a", "b"), rename("b", "reason")))})}
	if err := c.types.check(); err != nil {
		t.Fatal(err)
	}
	for version, data := range map[uint16]string{1: `{"phone_id":"p","a":"r"}`, 2: `{"phone_id":"p","b":"r"}`, 3: `{"phone_id":"p","reason":"r"}`} {
		d, err := c.Decode(eventstore.Record{Stream: stream, Type: "PhoneNumberRemoved", Schema: version, Data: []byte(data), Metadata: []byte("{}")})
		if err != nil {
			t.Errorf("version %d: %v", version, err)
			continue
		}
		equal(t, fmt.Sprintf("version %d", version), d.Event, domain.Event(domain.PhoneNumberRemoved{PhoneID: "p", Reason: "r"}))
	}
	_, err := c.Decode(eventstore.Record{Stream: stream, Type: "PhoneNumberRemoved", Schema: 1, Data: []byte(`[`), Metadata: []byte("{}")})
	if !errors.Is(err, ErrMalformed) {
		t.Errorf("an upcaster that fails gives %v", err)
	}
}

func TestEventIDText(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("018df9a1-7c4e-7b1a-9c55-0242ac120002")
	text := EventIDText(id)
	if text != "evt_066vj8bs9pthl72l091ao4g008" {
		t.Errorf("text %q", text)
	}
	back, err := ParseEventID(text)
	if err != nil || back != id {
		t.Errorf("parse %q: %s, %v", text, back, err)
	}
	last := text[:len(text)-1]
	for _, bad := range []string{"", "evt_", strings.ToUpper(text), strings.TrimPrefix(text, "evt_"), text + "0", last, last + "1", "clt_" + text[4:], id.String()} {
		if got, err := ParseEventID(bad); err == nil {
			t.Errorf("ParseEventID(%q) = %s", bad, got)
		}
	}
}

func TestTypesDescribeTheRegistry(t *testing.T) {
	t.Parallel()
	personal := map[string][]string{}
	for _, i := range Types() {
		if i.Version != 1 {
			t.Errorf("%s has version %d", i.Name, i.Version)
		}
		if len(i.PersonalFields) > 0 {
			personal[i.Name] = i.PersonalFields
		}
	}
	equal(t, "personal fields", personal, map[string][]string{
		"UserRegistered": {"username"}, "PhoneNumberAdded": {"number"}, "InstallationRegistered": {"device_name"}, "PhysicalDeviceRequested": {"ship_to"},
		"ResponseVerified": {"document"}, "ResponseRejected": {"document"}, "EventAnnotated": {"note"},
	})
	if got := TypeName(domain.SMSSent{}); got != "SMSSent" {
		t.Errorf("TypeName(SMSSent) = %q", got)
	}
	if got := TypeName(nil); got != "" {
		t.Errorf("TypeName(nil) = %q", got)
	}
}
