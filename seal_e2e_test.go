package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/authledger/authledger/api/client"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/sealer"
)

func (p *product) sealing() gen.Sealing {
	p.t.Helper()
	var h gen.Health
	if _, err := client.New(p.url, "").Get(p.t.Context(), "/readyz", nil, &h); err != nil {
		p.t.Fatal(err)
	}
	return h.Sealing
}

// The binary seals what it appends, through a rotation of the signing key, a
// clock that is put forward, and a restart; afterwards the files alone prove it.
func TestLogIsSealedThroughRotationAndRestart(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	p := start(t, data, "--log-origin", "ledger.example/e2e")
	register := func(reference string) {
		p.post("frontend", "/v1/clients", gen.RegisterClientRequest{
			Reference: reference, Kind: "individual", CarryingEntity: "IB-HK", CarryingCountry: "HK",
		}, nil)
	}
	sealed := func() {
		t.Helper()
		p.until("everything is sealed", func() bool {
			s := p.sealing()
			return s.State == gen.SealingStateSealing && s.LagRecords == 0 && s.Size > 0
		})
	}
	register("C-1")
	sealed()
	p.post("operator", "/v1/keys/rotations", gen.RotateKeyRequest{Kind: "signing"}, nil)
	register("C-2")
	sealed()
	p.setClock(p.now().AddDate(0, 1, 0).Format(time.RFC3339))
	register("C-3")
	sealed()
	p.stop()

	p = start(t, data) // the real clock is a month behind what is signed
	register("C-4")
	sealed()
	var events gen.EventList
	p.get("auditor", "/v1/events?limit=1", &events)
	var proof gen.EventProof
	p.get("auditor", "/v1/events/"+string(events.Items[0].Id)+"/proof", &proof)
	sealed()
	p.stop()
	wantProvenFiles(t, data, proof)
}

func wantProvenFiles(t *testing.T, data string, proof gen.EventProof) {
	t.Helper()
	r, err := sealer.OpenReader(data)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	keys, err := r.Keys(t.Context())
	if err != nil || keys.Origin != "ledger.example/e2e" || len(keys.Epochs) != 2 {
		t.Fatalf("keys are %+v, %v", keys, err)
	}
	var last merkle.Checkpoint
	var both int
	for p, err := range r.From(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		c, err := keys.Open(p.Signed)
		if err != nil {
			t.Fatalf("checkpoint %d: %v", p.Revision, err)
		}
		tiles := merkle.Tiles(func(level int, n int64) ([]byte, error) { return r.Tile(t.Context(), level, n) })
		path, err := merkle.ProveConsistency(tiles.Reader(), last.Size, c.Size)
		if p.Revision > 1 && err == nil {
			err = merkle.CheckConsistency(last, c, path)
		}
		if err != nil {
			t.Fatalf("checkpoint %d: %v", p.Revision, err)
		}
		if keys.SignedBy(p.Signed, keys.Epochs[0]) && keys.SignedBy(p.Signed, keys.Epochs[1]) {
			both++
		}
		last = c
	}
	if both != 1 {
		t.Errorf("%d checkpoints are signed by both keys, want one", both)
	}
	c, err := keys.Open([]byte(proof.Checkpoint))
	if err != nil {
		t.Fatal(err)
	}
	path := make([]eventstore.Hash, len(proof.Path))
	for i, h := range proof.Path {
		path[i] = eventstore.Hash(h)
	}
	if err := merkle.CheckInclusion(c, uint64(proof.Index), eventstore.Hash(proof.Leaf), path); err != nil {
		t.Error(err)
	}
}
