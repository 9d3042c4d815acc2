package web

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// Every kind of event the ledger can hold has a sentence; the codec's frozen
// files give one of each.
func TestEveryEventHasASentence(t *testing.T) {
	t.Parallel()
	for _, info := range codec.Types() {
		b, err := os.ReadFile(filepath.Join("..", "..", "eventstore", "codec", "testdata", "events", info.Name, "v1.json"))
		if err != nil {
			t.Fatal(err)
		}
		var g struct {
			Data, Metadata json.RawMessage
			RecordedAt     time.Time `json:"recorded_at"`
		}
		if err := json.Unmarshal(b, &g); err != nil {
			t.Fatal(err)
		}
		d, err := codec.New(nil).Decode(eventstore.Record{Type: info.Name, Schema: 1, Data: g.Data, Metadata: g.Metadata, RecordedAt: g.RecordedAt})
		if err != nil {
			t.Fatal(err)
		}
		line := Sentence(info.Name, d.Event)
		if line.Text == info.Name || !strings.HasSuffix(line.Text, ".") || strings.Contains(line.Text, "%!") || strings.Contains(line.Text, "_") && !strings.Contains(line.Text, "clt_") {
			t.Errorf("%s: %q", info.Name, line.Text)
		}
		if line.Tone == "" || line.Tone == Refused && line.Reason == "" {
			t.Errorf("%s: tone %q, reason %q", info.Name, line.Tone, line.Reason)
		}
		for _, f := range fields(g.Data, info.PersonalFields) {
			for _, p := range info.PersonalFields {
				if f.Name == p && f.Value != sealedText {
					t.Errorf("%s shows %s", info.Name, p)
				}
			}
		}
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
