package esdbstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
)

const anEnvelope = `{"id":"0198c1de-4e62-7d5c-9d3f-2b1c5f7e0a11","schema":1,"recordedAt":1772600767123456,"part":0,"parts":2,"metadata":{"prev":"AA=="}}`

func TestEnvelope(t *testing.T) {
	t.Parallel()
	want := envelope{ID: uuid.MustParse("0198c1de-4e62-7d5c-9d3f-2b1c5f7e0a11"), Schema: 1, RecordedAt: 1772600767123456, Parts: 2, Metadata: json.RawMessage(`{"prev":"AA=="}`)}
	got, err := parseEnvelope([]byte(anEnvelope))
	if err != nil || got.ID != want.ID || got.Schema != want.Schema || got.RecordedAt != want.RecordedAt || got.Part != 0 || got.Parts != 2 || !bytes.Equal(got.Metadata, want.Metadata) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// TestEnvelopeHasOneSpelling: what JSON would take as the same is not ours.
func TestEnvelopeHasOneSpelling(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{`{"id"`, ` {"id"`}, {`}}`, `}} `}, {`}}`, `}`}, {`}}`, `},"x":1}`}, {`"schema":1`, `"schema": 1`}, {`"schema":1`, `"schema":01`},
		{`"schema":1`, `"schema":1.0`}, {`"schema":1`, `"schema":-1`}, {`"schema":1`, `"schema":65536`}, {`"schema":1`, `"schema":+1`},
		{`"schema":1,`, ``}, {`"part":0`, `"part":-0`}, {`1772600767123456`, `17726007671234560000000`}, {`"part":0,"parts":2`, `"parts":2,"part":0`},
		{`0198c1de-`, `0198C1DE-`}, {`0198c1de-4e62-7d5c-9d3f-2b1c5f7e0a11`, `0198c1de4e627d5c9d3f2b1c5f7e0a11`},
		{`0198c1de-4e62-7d5c-9d3f-2b1c5f7e0a11`, ``}, {`{"prev":"AA=="}`, ``}, {`{"prev":"AA=="}`, `{"prev"}`}, {anEnvelope, ``}, {anEnvelope, `null`},
		{anEnvelope, `{"id":"`}, {anEnvelope, anEnvelope[:60]},
	} {
		b := strings.Replace(anEnvelope, c[0], c[1], 1)
		if got, err := parseEnvelope([]byte(b)); !errors.Is(err, eventstore.ErrDamaged) {
			t.Errorf("%s: got %+v, %v, want %v", b, got, err, eventstore.ErrDamaged)
		}
	}
}

// FuzzEnvelope: what is taken is what we write, and JSON with the same content.
func FuzzEnvelope(f *testing.F) {
	f.Add([]byte(anEnvelope))
	f.Add([]byte(strings.Replace(anEnvelope, `{"prev":"AA=="}`, `"x"`, 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEnvelope(b)
		if err != nil {
			return
		}
		var again envelope
		if err := json.Unmarshal(b, &again); err != nil {
			t.Fatalf("no JSON: %v", err)
		}
		if !bytes.Equal(e.appendTo(nil), b) || again.ID != e.ID || again.Schema != e.Schema || again.RecordedAt != e.RecordedAt ||
			again.Part != e.Part || again.Parts != e.Parts || !bytes.Equal(again.Metadata, e.Metadata) {
			t.Errorf("%s is %+v, and as JSON %+v", b, e, again)
		}
	})
}
