package witness_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/authledger/authledger/api/witness"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/merkle/merkletest"
)

// cosignedHistory shows the lines with what is read, as a store does.
type cosignedHistory struct{ *kept }

func (h cosignedHistory) Latest(ctx context.Context) (merkle.Published, error) {
	p, err := h.Notary.Latest(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	p.Signed = merkle.AddLines(p.Signed, h.lines[p.Revision]...)
	return p, err
}

// TestWitnessIsAskedOnceForAllNodes: what one node asked for, the others do not.
func TestWitnessIsAskedOnceForAllNodes(t *testing.T) {
	t.Parallel()
	log := &kept{Notary: merkletest.New(t, origin, 1), lines: map[uint64][]string{}}
	keys, _ := log.Keys(t.Context())
	w := newPlace(t, "audit.example", keys)
	now := newClock()
	grow(log.Notary, 5, 0)
	log.Publish(now.now())
	for range 3 {
		c, err := witness.NewCollector(witness.CollectorConfig{
			History: cosignedHistory{log}, Add: log.add, Policy: policyOf(t, 1, w), Clock: now.now,
			HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := c.Status().Witnesses[0]; s.Size != 5 || s.SignedAt.IsZero() || s.Failures != 0 {
			t.Errorf("status %+v", s)
		}
	}
	if n := len(log.lines[log.Revision()]); n != 1 {
		t.Errorf("the witness was asked %d times, want once", n)
	}
}

// TestNodeBehindTheWitnessSeesNoFork: another node published, and showed the
// witness, what this one has not seen yet.
func TestNodeBehindTheWitnessSeesNoFork(t *testing.T) {
	t.Parallel()
	log := &kept{Notary: merkletest.New(t, origin, 1), lines: map[uint64][]string{}}
	keys, _ := log.Keys(t.Context())
	w := newPlace(t, "audit.example", keys)
	now := newClock()
	grow(log.Notary, 5, 0)
	log.Publish(now.now())
	behind := &kept{Notary: log.Clone(), lines: map[uint64][]string{}}
	grow(log.Notary, 9, 0)
	log.Publish(now.now())
	if err := collect(t, log, policyOf(t, 1, w), now.now).Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	for newest, fork := range map[uint64]bool{9: false, 8: true} {
		c, err := witness.NewCollector(witness.CollectorConfig{
			History: behind, Add: behind.add, Policy: policyOf(t, 1, w), Clock: now.now,
			Newest: func(context.Context) (merkle.Checkpoint, error) { return merkle.Checkpoint{Size: newest}, nil },
			HTTP:   &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := c.Status().Witnesses[0]; (s.Fork != "") != fork {
			t.Errorf("newest %d: status %+v", newest, s)
		}
	}
}

// TestWitnessThatOthersMoveIsNoFork: between two questions another node brings
// the witness forward, twice.
func TestWitnessThatOthersMoveIsNoFork(t *testing.T) {
	t.Parallel()
	log := &kept{Notary: merkletest.New(t, origin, 1), lines: map[uint64][]string{}}
	keys, _ := log.Keys(t.Context())
	w := newPlace(t, "audit.example", keys)
	now := newClock()
	grow(log.Notary, 9, 0)
	log.Publish(now.now())
	asked := 0
	moving := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if asked++; asked < 3 {
			rw.Header().Set("Content-Type", "text/x.tlog.size")
			rw.WriteHeader(http.StatusConflict)
			fmt.Fprintln(rw, asked+3)
			return
		}
		w.Handler().ServeHTTP(rw, r)
	}))
	defer moving.Close()
	target := *w
	target.url = moving.URL
	c := collect(t, log, policyOf(t, 1, &target), now.now)
	if err := c.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := c.Status().Witnesses[0]; s.Fork != "" || asked != 4 {
		t.Errorf("asked %d times, status %+v", asked, s)
	}
}
