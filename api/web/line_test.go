package web

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/projections"
)

// oneOfEach is a record of every type: the codec's frozen files.
func oneOfEach(t *testing.T) []eventstore.Record {
	t.Helper()
	var out []eventstore.Record
	for n, info := range codec.Types() {
		b, err := os.ReadFile(filepath.Join("..", "..", "eventstore", "codec", "testdata", "events", info.Name, "v1.json"))
		if err != nil {
			t.Fatal(err)
		}
		var g struct {
			Stream         string
			Data, Metadata json.RawMessage
			RecordedAt     time.Time `json:"recorded_at"`
		}
		if err := json.Unmarshal(b, &g); err != nil {
			t.Fatal(err)
		}
		out = append(out, eventstore.Record{
			Sequence: eventstore.Sequence(n + 1), ID: eventstore.EventIDOf(uuid.NewSHA1(uuid.Nil, []byte(info.Name)), 0), Stream: g.Stream,
			Revision: eventstore.Revision(n), Type: info.Name, Schema: 1, Data: g.Data, Metadata: g.Metadata, RecordedAt: g.RecordedAt,
		})
	}
	return out
}

// recordsByID is a log.
type recordsByID map[eventstore.EventID]eventstore.Record

func (m recordsByID) ByID(_ context.Context, id eventstore.EventID) (eventstore.Record, error) {
	return m[id], nil
}

// Every kind of event the ledger can hold has words and a tone on the page, and
// the reason code the views found stands apart in its words.
func TestEveryEventHasALine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all, log := oneOfEach(t), recordsByID{}
	for _, r := range all {
		log[r.ID] = r
		if err := w.keys.Destroy(t.Context(), r.Stream); err != nil { // the views do without what the files have sealed
			t.Fatal(err)
		}
	}
	if err := w.views.Apply(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	page, err := w.views.Events(t.Context(), projections.EventFilter{Listing: projections.Listing{Limit: 500}})
	if err != nil || len(page.Items) != len(all) {
		t.Fatalf("%d events of %d: %v", len(page.Items), len(all), err)
	}
	ledger, tones, reasons := NewLedger(w.journal, w.views, log, codec.New(nil)), map[string]int{}, 0
	for _, row := range page.Items {
		i, err := ledger.item(t.Context(), row)
		if err != nil {
			t.Fatal(err)
		}
		line := lineOf(i)
		if line.Text == "" || line.Tone == (Tone{}) || line.Reason != row.Reason {
			t.Errorf("%s: %+v, reason %q", row.Type, line, row.Reason)
		}
		tones[line.Tone.Class]++
		if line.Reason != "" {
			reasons++
		}
		if line.Tone.Class == "refused" && line.Reason == "" {
			t.Errorf("%s is refused without a reason: %+v", row.Type, line)
		}
		for _, f := range fields(i.Data, i.Personal) {
			for _, p := range i.Personal {
				if f.Name == p && f.Value != sealedText {
					t.Errorf("%s shows %s", row.Type, p)
				}
			}
		}
	}
	if len(tones) != 4 || reasons < 20 {
		t.Errorf("tones %v, %d reasons", tones, reasons)
	}
}

func TestALineSetsItsReasonApart(t *testing.T) {
	t.Parallel()
	refused := toneOf(projections.OutcomeRefusal)
	event := domain.AuthenticationRefused{Purpose: domain.PurposeLogin, Platform: domain.TWS, Reason: domain.ReasonUserLocked, LockedUntil: &noon}
	for reason, want := range map[string]Line{
		"USER_LOCKED": {refused, "Login on TWS refused:", "USER_LOCKED", ", locked until 2026-11-23 12:00:00 UTC"},
		"":            {Tone: refused, Text: "Login on TWS refused: USER_LOCKED, locked until 2026-11-23 12:00:00 UTC"},
		"TWS":         {Tone: refused, Text: "Login on TWS refused: USER_LOCKED, locked until 2026-11-23 12:00:00 UTC"},
	} {
		if got := lineOf(Item{Event: event, Outcome: projections.OutcomeRefusal, Reason: reason}); got != want {
			t.Errorf("reason %q: %+v, want %+v", reason, got, want)
		}
	}
	if strings.Contains(lineOf(Item{Event: event}).Tone.Class, "refused") {
		t.Error("an event without an outcome is refused")
	}
}

func TestFieldsKeepTheStoredOrder(t *testing.T) {
	t.Parallel()
	got := fields([]byte(`{"z":"1","a":{"c":2,"b":[1,"x"]},"secret":"v1.abc","decision":{"x":1},"t":true,"n":null}`), []string{"secret"})
	want := []field{{"z", "1"}, {"a.c", "2"}, {"a.b", `[1,"x"]`}, {"secret", sealedText}, {"t", "true"}, {"n", "null"}}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("field %d: %v, want %v", i, got[i], want[i])
		}
	}
	if fields([]byte("nothing"), nil) != nil || fields([]byte("[]"), nil) != nil {
		t.Error("fields of what is no object")
	}
}
