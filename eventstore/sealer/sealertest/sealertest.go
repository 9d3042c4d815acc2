// Package sealertest is the contract of sealer.Store as tests that every
// implementation passes. It must not know how one is made. Most readers want
// Run.
package sealertest

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/sealer"
)

// Run tests stores that open returns; each is empty and is closed by the suite.
func Run(t *testing.T, open func(t *testing.T) sealer.Store) {
	for name, test := range map[string]func(*testing.T, *log){
		"a new store is empty":               isEmpty,
		"the first name stays":               firstNameStays,
		"checkpoints are found":              areFound,
		"the expected revision decides":      revisionDecides,
		"size and time do not go back":       nothingGoesBack,
		"tiles only grow":                    tilesGrow,
		"tiles come before checkpoints only": fillsOnlyBefore,
		"others add what they say":           othersAdd,
		"one of many publishers wins":        oneWins,
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t, open(t))
			defer func() {
				if err := l.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}()
			test(t, l)
		})
	}
}

const origin = "suite.example/log"

// log is a store and what to fill it with.
type log struct {
	sealer.Store
	private ed25519.PrivateKey
	leaves  []eventstore.Hash
	at      time.Time
}

func newLog(t *testing.T, s sealer.Store) *log {
	t.Helper()
	l := &log{Store: s, private: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)), at: time.Unix(1_700_000_000, 0).UTC()}
	for i := range 600 {
		l.leaves = append(l.leaves, eventstore.Hash{byte(i), byte(i >> 8)})
	}
	return l
}

func (l *log) keys() merkle.Keys {
	return merkle.Keys{Origin: origin, Epochs: []merkle.Epoch{{Number: 1, Public: l.private.Public().(ed25519.PublicKey)}}}
}

func (l *log) begin(t *testing.T) {
	t.Helper()
	if _, err := l.Begin(t.Context(), l.keys()); err != nil {
		t.Fatalf("begin: %v", err)
	}
}

// next is the publication that takes the log from one size to another.
func (l *log) next(t *testing.T, revision uint64, from, to int) sealer.Publication {
	t.Helper()
	read := merkle.Tiles(func(level int, n int64) ([]byte, error) { return l.Tile(t.Context(), level, n) })
	grown, err := read.Extend(uint64(from), l.leaves[from:to])
	if err != nil {
		t.Fatalf("extend: %v", err)
	}
	c := merkle.Checkpoint{Origin: origin, Size: grown.Size, Root: grown.Root}
	at := l.at.Add(time.Duration(revision) * time.Second)
	signed, err := c.Sign(at, merkle.Signer{Public: l.private.Public().(ed25519.PublicKey), Sign: func(m []byte) ([]byte, error) {
		return ed25519.Sign(l.private, m), nil
	}})
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	return sealer.Publication{Revision: revision, Checkpoint: c, Signed: signed, At: at, Tiles: grown.Tiles}
}

func (l *log) publish(t *testing.T, sizes ...int) {
	t.Helper()
	l.begin(t)
	from := 0
	for i, to := range sizes {
		if err := l.Publish(t.Context(), l.next(t, uint64(i+1), from, to)); err != nil {
			t.Fatalf("publish size %d: %v", to, err)
		}
		from = to
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

func isEmpty(t *testing.T, l *log) {
	_, err := l.Latest(t.Context())
	wantErr(t, err, eventstore.ErrNotFound)
	_, err = l.Covering(t.Context(), 0)
	wantErr(t, err, eventstore.ErrNotFound)
	_, err = l.Tile(t.Context(), 0, 0)
	wantErr(t, err, eventstore.ErrNotFound)
	_, err = l.Keys(t.Context())
	wantErr(t, err, eventstore.ErrNotFound)
	for p, err := range l.From(t.Context(), 0) {
		t.Errorf("an empty store yields %v, %v", p, err)
	}
}

func firstNameStays(t *testing.T, l *log) {
	l.begin(t)
	other := l.keys()
	other.Origin = "other.example/log"
	kept, err := l.Begin(t.Context(), other)
	if err != nil || kept.Origin != origin {
		t.Errorf("beginning again gives %q, %v; want %q", kept.Origin, err, origin)
	}
	kept, err = l.Keys(t.Context())
	if err != nil || kept.Origin != origin || len(kept.Epochs) != 1 || !kept.Epochs[0].Public.Equal(l.keys().Epochs[0].Public) {
		t.Errorf("keys are %+v, %v", kept, err)
	}
}

func areFound(t *testing.T, l *log) {
	sizes := []int{0, 3, 3, 260, 600}
	l.publish(t, sizes...)
	p, err := l.Latest(t.Context())
	if err != nil || p.Revision != 5 {
		t.Errorf("latest is %d, %v; want 5", p.Revision, err)
	}
	for size, want := range map[uint64]uint64{0: 1, 1: 2, 3: 2, 4: 4, 260: 4, 261: 5, 600: 5} {
		if p, err := l.Covering(t.Context(), size); err != nil || p.Revision != want {
			t.Errorf("size %d is covered by revision %d, %v; want %d", size, p.Revision, err, want)
		}
	}
	_, err = l.Covering(t.Context(), 601)
	wantErr(t, err, eventstore.ErrNotFound)
	var got []uint64
	for p, err := range l.From(t.Context(), 3) {
		if err != nil {
			t.Fatal(err)
		}
		c, err := l.keys().Open(p.Signed)
		if err != nil {
			t.Fatalf("revision %d: %v", p.Revision, err)
		}
		got = append(got, c.Size)
	}
	if want := []uint64{3, 260, 600}; !slices.Equal(got, want) {
		t.Errorf("sizes from revision 3 are %v, want %v", got, want)
	}
	for range l.From(t.Context(), 1) {
		break // a reader may stop
	}
}

func revisionDecides(t *testing.T, l *log) {
	l.publish(t, 5)
	for _, revision := range []uint64{1, 3, 7} {
		p := l.next(t, revision, 5, 9)
		wantErr(t, l.Publish(t.Context(), p), sealer.ErrTaken)
	}
	if data, err := l.Tile(t.Context(), 0, 0); err != nil || len(data) != 5*32 {
		t.Errorf("a refused publication left a tile of %d bytes, %v", len(data), err)
	}
	if err := l.Publish(t.Context(), l.next(t, 2, 5, 9)); err != nil {
		t.Errorf("the expected revision is refused: %v", err)
	}
}

func nothingGoesBack(t *testing.T, l *log) {
	l.publish(t, 5, 9)
	smaller := l.next(t, 3, 9, 9)
	smaller.Checkpoint.Size = 8
	older := l.next(t, 3, 9, 9)
	older.At = l.at
	for name, p := range map[string]sealer.Publication{"size": smaller, "time": older} {
		if err := l.Publish(t.Context(), p); err == nil {
			t.Errorf("%s went back", name)
		}
	}
	if err := l.Publish(t.Context(), l.next(t, 3, 9, 9)); err != nil {
		t.Errorf("the same size at a later time is refused: %v", err)
	}
}

func tilesGrow(t *testing.T, l *log) {
	l.publish(t, 5)
	p := l.next(t, 2, 5, 9)
	p.Tiles[0].Data = slices.Clone(p.Tiles[0].Data)
	p.Tiles[0].Data[0] ^= 1
	if err := l.Publish(t.Context(), p); err == nil {
		t.Error("a tile was exchanged")
	}
	if latest, err := l.Latest(t.Context()); err != nil || latest.Revision != 1 {
		t.Errorf("a refused publication left revision %d, %v", latest.Revision, err)
	}
}

func fillsOnlyBefore(t *testing.T, l *log) {
	l.begin(t)
	p := l.next(t, 1, 0, 300)
	if err := l.Fill(t.Context(), p.Tiles); err != nil {
		t.Fatalf("fill: %v", err)
	}
	p.Tiles = nil
	if err := l.Publish(t.Context(), p); err != nil {
		t.Fatalf("publish: %v", err)
	}
	wantErr(t, l.Fill(t.Context(), nil), sealer.ErrTaken)
	if err := l.Publish(t.Context(), l.next(t, 2, 300, 600)); err != nil {
		t.Errorf("going on from filled tiles: %v", err)
	}
}

func othersAdd(t *testing.T, l *log) {
	l.publish(t, 5, 9, 9) // the last is a heartbeat
	p, err := l.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	line, err := merkle.Cosign(p.Signed, "witness.example", merkle.Signer{Public: l.private.Public().(ed25519.PublicKey), Sign: func(m []byte) ([]byte, error) {
		return ed25519.Sign(l.private, m), nil
	}}, l.at)
	if err != nil {
		t.Fatal(err)
	}
	stamp := merkle.Stamp{Authority: "https://tsa.example", Token: []byte{1, 2, 3}}
	_, err = l.Stamped(t.Context())
	wantErr(t, err, eventstore.ErrNotFound)
	for range 2 { // the second time changes nothing
		if err := errors.Join(l.AddCosignature(t.Context(), 2, line), l.AddStamp(t.Context(), 2, stamp)); err != nil {
			t.Fatal(err)
		}
	}
	for p, err := range l.From(t.Context(), 1) {
		want := 0
		if p.Revision == 2 {
			want = 1
		}
		if err != nil || bytes.Count(p.Signed, []byte(line)) != want || len(p.Stamps) != want {
			t.Errorf("revision %d has %d lines and %d stamps, %v; want %d of each", p.Revision, bytes.Count(p.Signed, []byte(line)), len(p.Stamps), err, want)
		}
	}
	if p, err := l.Stamped(t.Context()); err != nil || p.Revision != 2 || len(p.Stamps) != 1 {
		t.Errorf("the newest stamped checkpoint is %d with %d stamps, %v; want 2 with one", p.Revision, len(p.Stamps), err)
	}
	wantErr(t, l.AddCosignature(t.Context(), 4, line), eventstore.ErrNotFound)
	wantErr(t, l.AddStamp(t.Context(), 4, stamp), eventstore.ErrNotFound)
	for _, bad := range []string{"", "x", line + line, line[:len(line)-1], "— a b\n"} {
		wantErr(t, l.AddCosignature(t.Context(), 2, bad), merkle.ErrCheckpoint)
	}
}

func oneWins(t *testing.T, l *log) {
	l.publish(t, 5)
	const publishers = 8
	won := make(chan string, publishers)
	var all sync.WaitGroup
	for i := range publishers {
		p := l.next(t, 2, 5, 6+i)
		all.Go(func() {
			err := l.Publish(t.Context(), p)
			switch {
			case err == nil:
				won <- fmt.Sprint(p.Checkpoint.Size)
			case !errors.Is(err, sealer.ErrTaken):
				t.Errorf("lost with %v, want %v", err, sealer.ErrTaken)
			}
		})
	}
	all.Wait()
	if len(won) != 1 {
		t.Errorf("%d publishers won one revision", len(won))
	}
}
