package codec

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
)

// variants are metadata with every optional member there and not there.
func variants(t testing.TB) []string {
	t.Helper()
	full := sampleMeta()
	var all []string
	for mask := range 1 << 8 {
		m := full
		for bit, drop := range []func(){
			func() { m.CorrelationID = "" }, func() { m.CausationID = "" }, func() { m.RequestID = "" },
			func() { m.Source.Platform = "" }, func() { m.Source.ClientVersion = "" }, func() { m.Source.ReleaseChannel = "" },
			func() { m.Source.IP = domain.Personal{} }, func() { m.Source.DeviceRef = "" },
		} {
			if mask&(1<<bit) != 0 {
				drop()
			}
		}
		p, err := New(nil).Encode(t.Context(), stream, uuid.Max, domain.SeamlessEnabled{}, m)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(p.Metadata), string(record(p).Metadata))
	}
	return all
}

func TestQuickMetadataIsWhatJSONSays(t *testing.T) {
	t.Parallel()
	for _, text := range variants(t) {
		var want Metadata
		if err := strict([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		got, ok := quickMetadata(text)
		if !ok {
			t.Errorf("not read quickly: %s", text)
		}
		equal(t, text, got, want)
	}
}

func TestQuickMetadataLeavesTheRestToJSON(t *testing.T) {
	t.Parallel()
	texts := variants(t)
	full := texts[1]
	for name, text := range map[string]string{
		"white space":         strings.Replace(full, `,"count"`, `, "count"`, 1),
		"another order":       strings.Replace(full, `"ordinal":1,"count":2`, `"count":2,"ordinal":1`, 1),
		"an escape":           strings.Replace(full, `"req-1"`, `"req\n1"`, 1),
		"text beyond ASCII":   strings.Replace(full, `"req-1"`, `"réq"`, 1),
		"a leading zero":      strings.Replace(full, `"count":2`, `"count":02`, 1),
		"a fraction":          strings.Replace(full, `"count":2`, `"count":2.0`, 1),
		"an unknown member":   strings.Replace(full, `"request_id"`, `"mood":"good","request_id"`, 1),
		"a member twice":      strings.Replace(full, `"command":"SubmitResponse"`, `"command":"x","command":"SubmitResponse"`, 1),
		"a comma too many":    strings.Replace(full, `"device_ref":"device-1"`, `"device_ref":"device-1",`, 1),
		"an end too many":     full + "}",
		"nothing":             "",
		"an empty object":     "{}",
		"a malformed time":    strings.Replace(full, "2024-03-01T", "2024-3-01T", 1),
		"a malformed command": strings.Replace(full, "018df9a1-", "x18df9a1-", 1),
	} {
		if _, ok := quickMetadata(text); ok {
			t.Errorf("%s was read quickly", name)
		}
	}
	// All of JSON is still understood, by the other road.
	m, err := decodeMetadata([]byte(strings.Replace(full, `"req-1"`, `"réq"`, 1)))
	if err != nil || m.RequestID != "réq" {
		t.Errorf("request id %q, %v", m.RequestID, err)
	}
}

func FuzzQuickMetadata(f *testing.F) {
	for _, text := range variants(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := quickMetadata(text)
		if !ok {
			return
		}
		var want Metadata
		if err := strict([]byte(text), &want); err != nil {
			t.Fatalf("read what JSON refuses: %v\n%s", err, text)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("read %+v, want %+v", got, want)
		}
	})
}
