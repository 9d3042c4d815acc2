package sealer_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/sealer"
)

func TestNewsIsSignedEachSecondAndSilenceEachMinute(t *testing.T) {
	w := newWorld(t)
	w.wantSize(0)
	w.seal(3)
	w.wantSize(3)
	for range 59 {
		w.clock.add(time.Second)
		w.tick()
	}
	if got := w.verify(); got != 2 {
		t.Fatalf("%d checkpoints before the minute is over, want 2", got)
	}
	w.clock.add(time.Second)
	w.tick()
	if got := w.verify(); got != 3 {
		t.Fatalf("%d checkpoints after a silent minute, want 3", got)
	}
	p, err := w.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := w.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if at, err := keys.SignedAt(p.Signed); err != nil || !at.Equal(w.clock.now()) {
		t.Errorf("the silence is signed as of %v, %v; want %v", at, err, w.clock.now())
	}
	w.seal(297) // over the edge of a tile
	w.wantSize(300)
	w.verify()
}

func TestRestartGoesOnWhereItEnded(t *testing.T) {
	w := newWorld(t)
	for _, n := range []int{1, 255, 256, 257, 90} {
		w.seal(n)
		w.restart(func() {})
		w.mustOpen()
	}
	w.wantSize(859)
	w.append(350) // appended, never seen before the restart
	w.restart(func() {})
	w.mustOpen()
	w.seal(0)
	w.wantSize(1209)
	if keys, err := w.Keys(t.Context()); err != nil || keys.Origin != "authledger/"+w.log.ID() {
		t.Errorf("the log is named %q, %v", keys.Origin, err)
	}
	w.verify()
}

// A log that is far behind is sealed in steps, while it is handed over.
func TestLongLogIsSealedInSteps(t *testing.T) {
	w := newWorld(t)
	w.append(1050)
	w.hand() // ten steps of 100; the last waits for the tick
	w.wantSize(1000)
	w.tick()
	w.wantSize(1050)
	if got := w.verify(); got != 12 {
		t.Errorf("%d checkpoints, want the empty one and eleven", got)
	}
}

func TestRotationIsSignedByBothKeysOnce(t *testing.T) {
	w := newWorld(t)
	w.seal(2)
	if _, err := w.keys.NewSigningKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.append(3)
	w.appendOne("KeyRotated", `{"epoch":2}`)
	w.seal(4)
	w.wantSize(10)
	w.clock.add(time.Second)
	w.tick()
	keys, err := w.Keys(t.Context())
	if err != nil || len(keys.Epochs) != 2 || keys.Epochs[1].FromSize != 6 {
		t.Fatalf("keys are %+v, %v", keys, err)
	}
	want := map[uint64][2]bool{0: {true, false}, 2: {true, false}, 6: {true, true}, 10: {false, true}}
	for p, err := range w.From(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		c, err := keys.Open(p.Signed)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{keys.SignedBy(p.Signed, keys.Epochs[0]), keys.SignedBy(p.Signed, keys.Epochs[1])}; got != want[c.Size] {
			t.Errorf("size %d is signed by %v, want %v", c.Size, got, want[c.Size])
		}
		delete(want, c.Size)
	}
	if len(want) > 0 {
		t.Errorf("no checkpoints of %v", want)
	}
	if k, _ := w.keys.SigningKeys(t.Context()); k[0].Retired.IsZero() || !k[1].Retired.IsZero() {
		t.Errorf("after the handover the keys are %+v", k)
	}
	w.restart(func() {})
	w.mustOpen()
	w.seal(1)
	w.verify()
}

// The process may end between the handover and the end of the old key.
func TestOldKeyIsRetiredAtTheNextStart(t *testing.T) {
	w := newWorld(t)
	if _, err := w.keys.NewSigningKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.appendOne("KeyRotated", `{"epoch":2}`)
	w.seal(0)
	if k, _ := w.keys.SigningKeys(t.Context()); !k[0].Retired.IsZero() {
		t.Fatal("the old key is retired already, so this proves nothing")
	}
	w.restart(func() {})
	w.mustOpen()
	if k, _ := w.keys.SigningKeys(t.Context()); k[0].Retired.IsZero() {
		t.Error("the old key can sign still")
	}
}

func TestContradictionsStopSealing(t *testing.T) {
	for name, c := range map[string]struct {
		want   sealer.StopReason
		happen func(w *world)
	}{
		"a record is edited": {sealer.RecordChanged, func(w *world) {
			tamper(w.t, w.ledgerFile(), `UPDATE records SET data = CAST('{"a":1}' AS BLOB) WHERE sequence = 7`)
		}},
		"two records change places": {sealer.RecordChanged, func(w *world) {
			tamper(w.t, w.ledgerFile(), `UPDATE records SET sequence = -1 WHERE sequence = 7`,
				`UPDATE records SET sequence = 7 WHERE sequence = 8`, `UPDATE records SET sequence = 8 WHERE sequence = -1`)
		}},
		"a tile is changed": {sealer.TreeChanged, func(w *world) {
			tamper(w.t, w.proofFile(), `UPDATE tiles SET data = zeroblob(length(data)) WHERE level = 0`)
		}},
		"a tile is deleted": {sealer.TreeChanged, func(w *world) { tamper(w.t, w.proofFile(), `DELETE FROM tiles`) }},
		"a checkpoint is deleted": {sealer.RevisionTaken, func(w *world) {
			tamper(w.t, w.proofFile(), `DELETE FROM checkpoints WHERE revision = 2`)
		}},
		"a checkpoint is added": {sealer.RevisionTaken, func(w *world) {
			tamper(w.t, w.proofFile(), `INSERT INTO checkpoints SELECT revision + 1, size, root, signed, signed_at FROM checkpoints WHERE revision = 2`)
		}},
		"the clock is set back": {sealer.TimeBack, func(w *world) { w.clock.add(-10 * time.Second) }},
		"a key is announced out of order": {sealer.KeyUnknown, func(w *world) {
			w.appendOne("KeyRotated", `{"epoch":5}`)
			w.hand()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.seal(5)
			w.append(5)
			w.hand()
			c.happen(w)
			w.clock.add(time.Second)
			w.wantStop(c.want)
			before := w.Status(t.Context())
			w.append(200) // twice a step: logins go on, memory does not grow
			w.hand()
			w.clock.add(time.Hour)
			w.tick()
			if after := w.Status(t.Context()); after.Revision != before.Revision || after.Stopped == nil || after.Lag < 200 {
				t.Errorf("a stopped sealer went on: %+v", after)
			}
		})
	}
}

// Behind a heartbeat nothing older than five seconds may appear.
func TestBackDatedRecordStopsSealing(t *testing.T) {
	w := newWorld(t)
	w.seal(5)
	w.clock.add(time.Hour)
	w.tick()
	w.clock.add(-20 * time.Minute) // the clock that stamps lies; the one that signs does not
	w.append(1)
	w.clock.add(20 * time.Minute)
	w.hand()
	w.wantStop(sealer.BackDated)
}

// What stood in the ledger when a checkpoint was signed may be older than it:
// nothing was put in behind it.
func TestWhatStoodAlreadyIsNotBackDated(t *testing.T) {
	w := newWorld(t)
	w.seal(5)
	w.append(350) // not seen yet, when a minute of silence would be signed
	w.clock.add(time.Hour)
	w.tick()
	w.wantSize(5)
	w.hand() // sealed in steps of a hundred, all signed an hour later
	w.tick()
	w.wantSize(355)
	w.append(3)
	w.restart(func() { w.clock.add(time.Hour) }) // as after a crash: nobody sealed them
	w.mustOpen()
	w.tick()
	w.seal(0)
	w.wantSize(358)
	w.verify()
}

// A process that ends while it works off a backlog leaves checkpoints that are
// newer than the records behind them. The next one goes on.
func TestBacklogGoesOnAfterACrash(t *testing.T) {
	w := newWorld(t)
	w.append(350)
	w.clock.add(time.Hour)
	w.handSome(250) // two full steps are signed, an hour after the records
	w.wantSize(200)
	w.restart(func() {})
	w.mustOpen()
	w.clock.add(time.Minute)
	w.tick() // no silence is signed over what is there
	w.wantSize(200)
	w.seal(0)
	w.wantSize(350)
	w.verify()
}

// Nothing is signed while records that are older than the tolerance were
// appended and not seen: they would look back-dated to everybody else.
func TestRecordsOnTheirWayAreWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.append(20)
	w.clock.add(sealer.Tolerance + 2*time.Second)
	w.handSome(7)
	w.tick()
	w.wantSize(0)
	w.hand()
	w.tick()
	w.wantSize(20)
	w.append(3)
	w.clock.add(sealer.Tolerance - time.Second)
	w.append(5)
	w.handSome(3)
	w.tick() // the five that follow are young enough
	w.wantSize(23)
	w.restart(func() { w.clock.add(time.Hour) })
	w.mustOpen()
	w.seal(0)
	w.wantSize(28)
	w.verify()
}

// A record that is gone is no record at all; it can come back with the disk that
// holds it, so the sealer waits, signs nothing and says why.
func TestDeletedRecordIsNotSealedOver(t *testing.T) {
	w := newWorld(t)
	w.seal(5)
	w.append(5)
	w.hand()
	tamper(t, w.ledgerFile(), `DELETE FROM records WHERE sequence = 7`)
	w.clock.add(time.Second)
	if err := w.Tick(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("sealing over a hole: %v", err)
	}
	if s := w.Status(t.Context()); s.Failing == nil || s.Size != 5 || s.Lag != 5 || s.LagAge != time.Second {
		t.Errorf("status is %+v", s)
	}
}

// Small steps of the clock are held, as the ledger holds recorded_at.
func TestSmallStepBackOfTheClockIsHeld(t *testing.T) {
	w := newWorld(t)
	w.seal(5)
	w.clock.add(-4 * time.Second)
	w.seal(5)
	w.wantSize(10)
	w.verify()
}

func TestDamagedHistoryIsRefusedAtStart(t *testing.T) {
	for name, c := range map[string]struct {
		want   sealer.StartReason
		happen func(w *world)
	}{
		"proof.db is gone": {sealer.ProofMissing, func(w *world) { remove(w.t, w.proofFile()) }},
		"a tile is changed": {sealer.ProofSchema, func(w *world) {
			tamper(w.t, w.proofFile(), `UPDATE tiles SET data = zeroblob(length(data)) WHERE level = 0`)
		}},
		"proof.db is no database": {sealer.ProofCorrupt, func(w *world) {
			if err := os.WriteFile(w.proofFile(), []byte("nothing of the kind, but long enough to be read as a header of a file"), 0o600); err != nil {
				w.t.Fatal(err)
			}
		}},
		"others may read proof.db": {sealer.ProofPermissions, func(w *world) {
			if err := os.Chmod(w.proofFile(), 0o644); err != nil {
				w.t.Fatal(err)
			}
		}},
		"an old ledger and its anchor": {sealer.LedgerBehindProof, func(w *world) {
			restore(w.t, filepath.Join(w.dir, "old"), w.dir)
		}},
		"another ledger of the same length": {sealer.LedgerDiffers, func(w *world) {
			removeLedger(w.t, w.dir)
			other := &world{t: w.t, dir: w.dir, clock: w.clock}
			other.openLedger()
			other.append(400)
			if err := other.log.Close(); err != nil {
				w.t.Fatal(err)
			}
		}},
		"the signing key is lost": {sealer.SigningKeyMissing, func(w *world) { w.keys.keys = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.seal(200)
			w.restart(func() { restore(t, w.dir, filepath.Join(w.dir, "old")) })
			w.mustOpen()
			w.seal(150)
			w.restart(func() { c.happen(w) })
			w.wantRefusal(c.want)
		})
	}
}

// restore copies the ledger and its anchor, nothing else.
func restore(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	removeLedger(t, to)
	for _, name := range []string{"ledger.db", "ledger.anchor"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func removeLedger(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.anchor"} {
		remove(t, filepath.Join(dir, name))
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// The checks behind the schema, in a store without triggers.
func TestTilesThatDoNotMatchAreRefusedAtStart(t *testing.T) {
	w := newWorld(t)
	w.seal(5)
	memory := sealer.NewMemory()
	keys, err := w.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := memory.Begin(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	p, err := w.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := merkle.Unverified(p.Signed)
	if err != nil {
		t.Fatal(err)
	}
	tiles := []merkle.Tile{{Level: 0, N: 0, Data: make([]byte, 5*32)}}
	if err := memory.Publish(t.Context(), sealer.Publication{Revision: 1, Checkpoint: c, Signed: p.Signed, At: w.clock.now(), Tiles: tiles}); err != nil {
		t.Fatal(err)
	}
	o := w.options()
	o.Store = memory
	w.wantRefusalOf(o, sealer.ProofCorrupt)
}

func TestLostHistoryBeginsAnewOnlyWhenTold(t *testing.T) {
	w := newWorld(t)
	if _, err := w.keys.NewSigningKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.seal(250)
	w.appendOne("KeyRotated", `{"epoch":2}`)
	w.seal(80)
	w.clock.add(time.Second)
	w.tick()
	old, err := w.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.restart(func() { remove(t, w.proofFile()) })
	w.wantRefusal(sealer.ProofMissing)
	o := w.options()
	o.Rebuild = true
	if w.Sealer, err = sealer.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	w.wantSize(331)
	anew, err := w.Latest(t.Context())
	if err != nil || anew.Revision != 1 {
		t.Fatalf("the new history begins with %d, %v", anew.Revision, err)
	}
	was, _ := merkle.Unverified(old.Signed)
	is, _ := merkle.Unverified(anew.Signed)
	if was != is {
		t.Errorf("the new history says %v of what the old one said %v", is, was)
	}
	w.seal(10)
	w.verify()
}

func TestOriginIsForEver(t *testing.T) {
	w := newWorld(t)
	w.restart(func() {})
	o := w.options()
	o.Origin = "another.example/log"
	w.wantRefusalOf(o, sealer.OriginDiffers)
	w.mustOpen()
}

// Tiles and checkpoint are one transaction: when it fails nothing of it is left,
// and the next tick does it again.
func TestFailedPublicationLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.seal(5)
	w.append(300)
	w.FailCommit(func() error { return errors.New("the disk is full") })
	if err := w.Tick(t.Context()); err != nil {
		t.Fatalf("nothing to publish: %v", err)
	}
	from, err := w.Seen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for r, err := range w.log.ReadAll(t.Context(), from+1) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Sequence > 60 {
			break
		}
		if err := w.See(t.Context(), []eventstore.Record{r}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := w.Tick(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
			t.Fatalf("a failed commit gives %v", err)
		}
		if tile, err := w.Tile(t.Context(), 0, 0); err != nil || len(tile) != 5*32 {
			t.Fatalf("a failed publication left a tile of %d bytes, %v", len(tile), err)
		}
	}
	w.FailCommit(nil)
	w.tick()
	w.wantSize(60)
	w.hand()
	w.tick()
	w.wantSize(305)
	w.verify()
}

// unsure is a store whose commits are kept although they seem to fail.
type unsure struct {
	*sealer.Memory
	kept bool
	err  error
}

func (u *unsure) Publish(ctx context.Context, p sealer.Publication) error {
	if u.err == nil || u.kept {
		if err := u.Memory.Publish(ctx, p); err != nil {
			return err
		}
	}
	return u.err
}

func TestCommitOfUnknownOutcomeIsReadBack(t *testing.T) {
	for _, kept := range []bool{false, true} {
		w := newWorld(t)
		u := &unsure{Memory: sealer.NewMemory(), kept: kept}
		o := w.options()
		o.Store = u
		w.restart(func() {})
		o.Log = w.log
		var err error
		if w.Sealer, err = sealer.Open(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		w.append(5)
		w.hand()
		u.err = errors.New("the connection was lost")
		if err := w.Tick(t.Context()); err == nil {
			t.Fatal("a lost connection is no error")
		}
		u.err = nil
		w.clock.add(time.Second)
		w.seal(5)
		w.wantSize(10)
		if got, want := w.verify(), map[bool]int{false: 2, true: 3}[kept]; got != want {
			t.Errorf("kept %v: %d checkpoints, want %d", kept, got, want)
		}
	}
}

func TestOfTwoSealersOneWinsAndTheOtherStops(t *testing.T) {
	w := newWorld(t)
	w.seal(5)
	other := &world{t: t, dir: w.dir, clock: w.clock, keys: w.keys, log: w.log}
	other.mustOpen()
	defer other.Close()
	w.seal(5)
	w.wantSize(10)
	other.hand()
	other.wantStop(sealer.RevisionTaken)
	w.seal(5)
	w.wantSize(15)
	w.verify()
}

func TestReaderReadsBesideTheSealer(t *testing.T) {
	w := newWorld(t)
	r, err := sealer.OpenReader(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, n := range []int{3, 300} {
		w.seal(n)
		own, err := w.Latest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if p, err := r.Latest(t.Context()); err != nil || p.Revision != own.Revision || string(p.Signed) != string(own.Signed) {
			t.Errorf("the reader sees revision %d, %v; want %d", p.Revision, err, own.Revision)
		}
	}
	_, err = sealer.OpenReader(t.TempDir())
	var start *sealer.StartError
	if !errors.As(err, &start) || start.Reason != sealer.ProofMissing {
		t.Errorf("reading nothing: %v", err)
	}
}

func TestRouterFeedsTheSealer(t *testing.T) {
	w := newWorld(t)
	w.append(230) // before it follows
	logger := slog.New(slog.DiscardHandler)
	router, err := bridge.NewRouter(bridge.RouterConfig{}, logger)
	if err != nil {
		t.Fatal(err)
	}
	w.Register(router, w.log, bridge.Config{}, logger)
	ctx, stop := context.WithCancel(t.Context())
	routed, sealed := make(chan error, 1), make(chan struct{})
	ticks := make(chan time.Time)
	go func() { routed <- router.Run(ctx) }()
	go func() { defer close(sealed); w.Run(ctx, ticks) }()
	<-router.Running()
	w.append(7)
	wait, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	covered := make(chan error, 1)
	go func() { covered <- w.WaitFor(wait, 237) }()
	for done := false; !done; {
		select {
		case ticks <- w.clock.now():
		case err := <-covered:
			if done = true; err != nil {
				t.Fatal(err)
			}
		}
	}
	stop()
	if err := errors.Join(<-routed, router.Close()); err != nil {
		t.Fatal(err)
	}
	<-sealed
	w.wantSize(237)
	w.verify()
}
