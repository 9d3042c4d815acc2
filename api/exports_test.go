package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/sealer"
	"github.com/authledger/authledger/replay/bundle"
)

// newExporter is a world with a user, whose server exports what seal signs.
func newExporter(t *testing.T) *world {
	var s *sealer.Sealer
	var w *world
	w, s = newSealedWorld(t, func(c *Config) {
		c.Export = func(ctx context.Context, r bundle.Request, out io.Writer) (bundle.Manifest, error) {
			r.Version = "test"
			w.seal(s)
			return bundle.Write(ctx, bundle.Source{Log: w.store, History: s.History}, r, out)
		}
	})
	w.register()
	w.enrollSMS()
	return w
}

func TestExportIsEvidence(t *testing.T) {
	t.Parallel()
	w := newExporter(t)
	head := w.head()
	a := w.post(access.Auditor, "/v1/exports", map[string]any{"purpose": "request 7", "userId": w.user, "withRelated": true})
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/zip" {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	report, err := bundle.Verify(bytes.NewReader(a.body), int64(len(a.body)), bundle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := report.Manifest
	if len(report.Whole) == 0 || report.Whole[0] != domain.UserStream(w.user) || m.Counts.Matched == 0 || m.RequestedBy != w.ids[access.Auditor] || m.Purpose != "request 7" {
		t.Errorf("got %+v", m)
	}
	if w.head() != head+1 {
		t.Errorf("%d events recorded, want the read", w.head()-head)
	}
	var read domain.AuditQueryPerformed
	for r, err := range w.store.ReadStream(t.Context(), domain.AuditStream("2026-03"), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(r.Data, &read); err != nil {
			t.Fatal(err)
		}
	}
	if read.Operation != "createExport" || read.Purpose != "request 7" || read.Rows != int(m.Counts.Matched) || read.AuditorRef != w.ids[access.Auditor] {
		t.Errorf("recorded %+v", read)
	}
}

func TestExportIsRefused(t *testing.T) {
	t.Parallel()
	w := newExporter(t)
	head := w.head()
	for name, c := range map[string]struct {
		body   map[string]any
		status int
		code   string
	}{
		"no purpose":       {map[string]any{}, 400, "validation_failed"},
		"unknown member":   {map[string]any{"purpose": "p", "query": "x"}, 400, "validation_failed"},
		"related to none":  {map[string]any{"purpose": "p", "withRelated": true}, 400, "validation_failed"},
		"times backwards":  {map[string]any{"purpose": "p", "since": w.clock.Now(), "until": w.clock.Now().Add(-time.Hour)}, 400, "validation_failed"},
		"bad stream":       {map[string]any{"purpose": "p", "streams": []string{"a b"}}, 422, "export_refused"},
		"window backwards": {map[string]any{"purpose": "p", "from": 3, "to": 2}, 422, "export_refused"},
		"not sealed":       {map[string]any{"purpose": "p", "to": head + 100}, 503, "export_not_sealed"},
	} {
		if a := w.post(access.Auditor, "/v1/exports", c.body); a.status != c.status || a.code(t) != c.code {
			t.Errorf("%s: got %d %s", name, a.status, a.body)
		}
	}
	if a := w.do(w.request(access.Auditor, "POST", "/v1/exports", []byte(`{"purpose":"p"}`))); a.code(t) != "idempotency_key_missing" {
		t.Errorf("without a key: got %d %s", a.status, a.body)
	}
	if w.head() != head {
		t.Error("a refused export was recorded as a read")
	}
	none := newWorld(t)
	if a := none.post(access.Auditor, "/v1/exports", map[string]any{"purpose": "p"}); a.status != 503 || !strings.Contains(string(a.body), "export_not_sealed") {
		t.Errorf("without a sealer: got %d %s", a.status, a.body)
	}
}
