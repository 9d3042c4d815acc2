package sealer_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/mattn/go-sqlite3" // the driver of tampering

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/sealer"
	"github.com/authledger/authledger/eventstore/sqlitestore"
)

// clock is set by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// signingKeys is a keyring of signing keys in memory.
type signingKeys struct {
	mu   sync.Mutex
	keys []keyring.SigningKey
}

func (k *signingKeys) private(epoch uint32) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(epoch)}, ed25519.SeedSize))
}

func (k *signingKeys) NewSigningKey(context.Context) (keyring.SigningKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	epoch := uint32(len(k.keys) + 1)
	key := keyring.SigningKey{Epoch: epoch, Public: k.private(epoch).Public().(ed25519.PublicKey)}
	k.keys = append(k.keys, key)
	return key, nil
}

func (k *signingKeys) SigningKeys(context.Context) ([]keyring.SigningKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]keyring.SigningKey(nil), k.keys...), nil
}

func (k *signingKeys) Sign(_ context.Context, epoch uint32, message []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if epoch == 0 || int(epoch) > len(k.keys) || !k.keys[epoch-1].Retired.IsZero() {
		return nil, keyring.ErrKeyNotFound
	}
	return ed25519.Sign(k.private(epoch), message), nil
}

func (k *signingKeys) RetireSigningKey(_ context.Context, epoch uint32) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys[epoch-1].Retired = time.Unix(1, 0)
	return nil
}

// rotates recognises what announce appends.
func rotates(r eventstore.Record) (uint32, ed25519.PublicKey, bool, error) {
	var epoch uint32
	if r.Type != "KeyRotated" {
		return 0, nil, false, nil
	}
	if _, err := fmt.Sscanf(string(r.Data), `{"epoch":%d}`, &epoch); err != nil {
		return 0, nil, false, err
	}
	return epoch, (&signingKeys{}).private(epoch).Public().(ed25519.PublicKey), true, nil
}

// world is a ledger on disk with a sealer, opened again and again.
type world struct {
	t     *testing.T
	dir   string
	clock *clock
	keys  *signingKeys
	log   *sqlitestore.Store
	*sealer.Sealer
	streams int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), clock: newClock(), keys: &signingKeys{}}
	w.openLedger()
	w.mustOpen()
	t.Cleanup(func() {
		if err := errors.Join(w.Sealer.Close(), w.log.Close()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

func (w *world) options() sealer.Options {
	return sealer.Options{Dir: w.dir, LedgerID: w.log.ID(), Log: w.log, Keys: w.keys, Clock: w.clock.now, Rotation: rotates, Step: 100}
}

func (w *world) openLedger() {
	w.t.Helper()
	var err error
	if w.log, err = sqlitestore.Open(w.t.Context(), sqlitestore.Options{Dir: w.dir, Clock: w.clock.now}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) mustOpen() {
	w.t.Helper()
	s, err := sealer.Open(w.t.Context(), w.options())
	if err != nil {
		w.t.Fatal(err)
	}
	w.Sealer = s
}

// restart closes everything, lets something happen to the files, and opens the
// ledger; whoever wants opens the sealer.
func (w *world) restart(meanwhile func()) {
	w.t.Helper()
	if err := errors.Join(w.Sealer.Close(), w.log.Close()); err != nil {
		w.t.Fatal(err)
	}
	meanwhile()
	w.openLedger()
}

func (w *world) append(n int) {
	w.t.Helper()
	for range n {
		w.appendOne("Happened", `{}`)
	}
}

func (w *world) appendOne(kind, data string) {
	w.t.Helper()
	w.streams++
	e := eventstore.Proposed{ID: uuid.New(), Type: kind, Schema: 1, Data: []byte(data), Metadata: []byte(`{}`)}
	if _, err := w.log.Append(w.t.Context(), fmt.Sprintf("user-%d", w.streams), eventstore.NoStream(), []eventstore.Proposed{e}); err != nil {
		w.t.Fatal(err)
	}
}

// hand gives the sealer what was appended, as the router does.
func (w *world) hand() {
	w.t.Helper()
	w.handSome(1 << 30)
}

// handSome gives it at most n of the records.
func (w *world) handSome(n int) {
	w.t.Helper()
	from, err := w.Seen(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var records []eventstore.Record
	for r, err := range w.log.ReadAll(w.t.Context(), from+1) {
		if err != nil {
			w.t.Fatal(err)
		}
		if len(records) == n {
			break
		}
		records = append(records, r)
	}
	if err := w.See(w.t.Context(), records); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) tick() {
	w.t.Helper()
	if err := w.Tick(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// seal appends n records and seals them a second later.
func (w *world) seal(n int) {
	w.t.Helper()
	w.append(n)
	w.hand()
	w.clock.add(time.Second)
	w.tick()
}

func (w *world) wantSize(want uint64) {
	w.t.Helper()
	s := w.Status(w.t.Context())
	if s.Stopped != nil || s.Failing != nil || s.Size != want {
		w.t.Fatalf("sealed %d, stopped %v, failing %v; want %d", s.Size, s.Stopped, s.Failing, want)
	}
}

func (w *world) wantStop(want sealer.StopReason) {
	w.t.Helper()
	w.tick()
	s := w.Status(w.t.Context())
	if s.Stopped == nil || s.Stopped.Reason != want {
		w.t.Fatalf("stopped %v, failing %v; want %s", s.Stopped, s.Failing, want)
	}
	var stop *sealer.StopError
	if err := w.WaitFor(w.t.Context(), 1<<40); !errors.As(err, &stop) {
		w.t.Errorf("waiting for a stopped sealer: %v", err)
	}
}

func (w *world) wantRefusal(want sealer.StartReason) {
	w.t.Helper()
	o := w.options()
	w.wantRefusalOf(o, want)
}

func (w *world) wantRefusalOf(o sealer.Options, want sealer.StartReason) {
	w.t.Helper()
	s, err := sealer.Open(w.t.Context(), o)
	if err == nil {
		_ = s.Close()
	}
	var start *sealer.StartError
	if !errors.As(err, &start) || start.Reason != want {
		w.t.Fatalf("open: %v, want %s", err, want)
	}
}

// verify checks every checkpoint against the ledger's own bytes.
func (w *world) verify() (revisions int) {
	w.t.Helper()
	keys, err := w.Keys(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	roots, grow := map[uint64]eventstore.Hash{0: merkle.EmptyRoot()}, merkle.NewGrowing()
	for r, err := range w.log.ReadAll(w.t.Context(), 1) {
		if err != nil {
			w.t.Fatal(err)
		}
		if err := grow.Append(r.Leaf()); err != nil {
			w.t.Fatal(err)
		}
		if roots[grow.Size()], err = grow.Root(); err != nil {
			w.t.Fatal(err)
		}
	}
	for p, err := range w.From(w.t.Context(), 1) {
		if err != nil {
			w.t.Fatal(err)
		}
		c, err := keys.Open(p.Signed)
		if err != nil {
			w.t.Fatalf("checkpoint %d: %v", p.Revision, err)
		}
		if _, err := keys.SignedAt(p.Signed); err != nil {
			w.t.Fatalf("checkpoint %d: %v", p.Revision, err)
		}
		if root, ok := roots[c.Size]; !ok || root != c.Root {
			w.t.Fatalf("checkpoint %d of size %d has another root", p.Revision, c.Size)
		}
		revisions++
	}
	return revisions
}

// tamper changes a file beneath whoever has it open, triggers dropped first.
func tamper(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT name FROM sqlite_schema WHERE type = 'trigger'`)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		statements = append([]string{"DROP TRIGGER " + name}, statements...)
	}
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func (w *world) ledgerFile() string { return filepath.Join(w.dir, "ledger.db") }
func (w *world) proofFile() string  { return filepath.Join(w.dir, sealer.FileName) }
