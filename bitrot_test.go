//go:build !race

package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/merkle/merkletest"
	"github.com/authledger/authledger/eventstore/sealer"
	"github.com/authledger/authledger/eventstore/sqlitestore"
	"github.com/authledger/authledger/projections"
	"github.com/authledger/authledger/replay"
)

// Bits flip: on a disk, in a cable, in memory. Single bits of every file are
// turned, one after the other, and what the file says afterwards is compared
// with what it said before. Places are drawn with a fixed seed.

// rot is one copy of the victim in which bits are turned.
type rot struct {
	*scene
	file     string
	original []byte
	before   []eventstore.Stored // what the ledger said
}

// turn flips a bit, asks, and puts everything back.
func (r *rot) turn(bit int, ask func()) {
	r.t.Helper()
	changed := bytes.Clone(r.original)
	changed[bit/8] ^= 1 << (bit % 8)
	path := filepath.Join(r.dir, r.file)
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		r.t.Error(err)
	}
	// The index of a write-ahead log is made anew when it is not there.
	if err := os.RemoveAll(filepath.Join(r.dir, "ledger.db-shm")); err != nil {
		r.t.Error(err)
	}
	ask()
	if err := os.WriteFile(path, r.original, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// rotting turns bits of a file, in copies that work side by side. ask is told
// which bit it was.
func rotting(t *testing.T, file string, flips int, prepare func(s *scene), ask func(r *rot, bit int)) {
	t.Helper()
	v := newVictim(t)
	const copies = 2
	var running sync.WaitGroup
	for n := range copies {
		s := newScene(t, v)
		s.notary = sparse(s)
		prepare(s)
		b, err := os.ReadFile(filepath.Join(s.dir, file))
		if err != nil {
			t.Fatal(err)
		}
		r := &rot{scene: s, file: file, original: b}
		if r.before, err = s.stored(); err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			places := rand.New(rand.NewPCG(uint64(n), 20260302))
			for range flips / copies {
				bit := places.IntN(len(b) * 8)
				r.turn(bit, func() { ask(r, bit) })
			}
		})
	}
	running.Wait()
}

// sparse is the history of the records with few checkpoints: what takes time is
// to check their signatures.
func sparse(s *scene) *merkletest.Notary {
	n := merkletest.New(s.t, attackOrigin, logSeed)
	for i, r := range s.records {
		n.Grow(r.Leaf())
		if i%200 == 199 || i == len(s.records)-1 {
			n.Publish(r.RecordedAt)
		}
	}
	return n
}

// stored is everything verify log speaks for: every record with the hash beside
// it. An error means that the file cannot be read to its end.
func (s *scene) stored() ([]eventstore.Stored, error) {
	reader, err := sqlitestore.OpenReader(s.dir)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	var out []eventstore.Stored
	for r, err := range reader.Stored(s.t.Context(), 0, 1<<40) {
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func sameRecords(a, b []eventstore.Stored) bool {
	return slices.EqualFunc(a, b, func(x, y eventstore.Stored) bool {
		return x.Malformed == y.Malformed && x.Sequence == y.Sequence && x.Running == y.Running && x.Leaf() == y.Leaf()
	})
}

// inspect is stored and verify log at once. It says whether fault was found,
// also by refusing to read.
func (s *scene) inspect() (stored []eventstore.Stored, readable, found bool) {
	reader, err := sqlitestore.OpenReader(s.dir)
	if err != nil {
		return nil, false, true
	}
	defer reader.Close()
	for r, err := range reader.Stored(s.t.Context(), 0, 1<<40) {
		if err != nil {
			return nil, false, s.faulty(reader, s.notary)
		}
		stored = append(stored, r)
	}
	return stored, true, s.faulty(reader, s.notary)
}

func (s *scene) faulty(records replay.Records, history merkle.History) bool {
	r, _, err := replay.VerifyLog(s.t.Context(), replay.LogCheck{Records: records, History: history, Codec: codec.New(nil)})
	return err != nil || r.Failed > 0
}

// tally counts what became of flips.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (y *tally) add(what string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.counts == nil {
		y.counts = map[string]int{}
	}
	y.counts[what]++
}

// TestBitRotInTheLedger: every flip that changes what a record says, or makes it
// unreadable, is found.
func TestBitRotInTheLedger(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file    string
		flips   int
		prepare func(s *scene)
	}{
		{"ledger.db", 1000, func(*scene) {}},
		{"ledger.db-wal", 400, keepWAL},
	} {
		t.Run(c.file, func(t *testing.T) {
			t.Parallel()
			var y tally
			rotting(t, c.file, c.flips, c.prepare, func(r *rot, bit int) {
				after, readable, found := r.inspect()
				same := readable && sameRecords(r.before, after)
				switch {
				case !same && !found:
					t.Errorf("bit %d changed what the ledger says, and nothing was found (readable: %v)", bit, readable)
				case same && !found:
					y.add("changed no record")
				case same:
					y.add("found, beside the records")
				default:
					y.add("found")
				}
			})
			if y.counts["found"] < c.flips/10 {
				t.Errorf("too few flips changed anything: %v", y.counts)
			}
			t.Logf("%d flips: %v", c.flips, y.counts)
		})
	}
}

// keepWAL appends records that stay in the write-ahead log, as after a crash.
func keepWAL(s *scene) {
	s.t.Helper()
	now := s.before.lastSigned().Add(time.Minute)
	store, err := sqlitestore.Open(s.t.Context(), sqlitestore.Options{Dir: s.dir, Clock: func() time.Time { return now }})
	if err != nil {
		s.t.Fatal(err)
	}
	last := eventstore.NoStream()
	for i := range 60 {
		a, err := store.Append(s.t.Context(), "user-of-the-wal", last, []eventstore.Proposed{{
			ID: uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "wal %d", i)), Type: "ResponseRejected", Schema: 1, Data: fmt.Appendf(nil, `{"n":%d}`, i), Metadata: []byte(`{}`),
		}})
		if err != nil {
			s.t.Fatal(err)
		}
		last = eventstore.At(a.Last().Revision, a.Last().Leaf)
		s.notary.Grow(a.Last().Leaf)
	}
	s.notary.Publish(now)
	kept := s.t.TempDir()
	names := []string{"ledger.db", "ledger.db-wal", "ledger.anchor"}
	for _, name := range names {
		copyFile(s.t, filepath.Join(s.dir, name), filepath.Join(kept, name))
	}
	if err := store.Close(); err != nil {
		s.t.Fatal(err)
	}
	for _, name := range names {
		copyFile(s.t, filepath.Join(kept, name), filepath.Join(s.dir, name))
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestBitRotInTheAnchor: whatever a flip does to one of the two slots, what is
// still believed was acknowledged once.
func TestBitRotInTheAnchor(t *testing.T) {
	t.Parallel()
	var y tally
	acknowledged := map[eventstore.Mark]bool{}
	m := eventstore.Mark{}
	for _, r := range newVictim(t).records {
		acknowledged[m] = true
		m = m.Next(r.Leaf())
	}
	acknowledged[m] = true
	rotting(t, "ledger.anchor", 400, func(*scene) {}, func(r *rot, bit int) {
		reader, err := sqlitestore.OpenReader(r.dir)
		if err != nil {
			t.Error(err)
			return
		}
		defer reader.Close()
		at, err := reader.Anchored(t.Context())
		switch {
		case err != nil:
			y.add("refused")
		case !acknowledged[at]:
			t.Errorf("bit %d: the anchor says %d, which was never so", bit, at.Sequence)
		case at != m:
			y.add("the other slot is believed")
		default:
			y.add("changed nothing")
		}
	})
	t.Logf("400 flips: %v", y.counts)
}

// TestBitRotInTheProof turns bits of what the sealer published: every flip that
// changes a checkpoint, a key or a leaf hash is found.
func TestBitRotInTheProof(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	before, err := published(t, v.dir)
	if err != nil || before == "" {
		t.Fatalf("read what was published: %v", err)
	}
	var y tally
	rotting(t, "proof.db", 300, func(*scene) {}, func(r *rot, bit int) {
		after, err := published(t, r.dir)
		found := true
		if history, opened := sealer.OpenReader(r.dir); opened == nil {
			defer history.Close()
			ledger, err := sqlitestore.OpenReader(r.dir)
			if err != nil {
				t.Error(err)
				return
			}
			defer ledger.Close()
			found = r.faulty(ledger, history)
		}
		switch same := err == nil && before == after; {
		case !same && !found:
			t.Errorf("bit %d changed what was published, and nothing was found (%v)", bit, err)
		case same && !found:
			y.add("changed nothing")
		default:
			y.add("found")
		}
	})
	t.Logf("300 flips: %v", y.counts)
}

// published is everything of a history that verify log speaks for, as text.
func published(t *testing.T, dir string) (string, error) {
	history, err := sealer.OpenReader(dir)
	if err != nil {
		return "", err
	}
	defer history.Close()
	var b strings.Builder
	last := uint64(0)
	for p, err := range history.From(t.Context(), 1) {
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%d %s\n", p.Revision, p.Signed)
		if c, err := merkle.Unverified(p.Signed); err == nil {
			last = c.Size
		}
	}
	for n := int64(0); uint64(n)*256 < last; n++ {
		tile, err := history.Tile(t.Context(), 0, n)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%x\n", tile)
	}
	keys, err := history.Keys(t.Context())
	if err != nil {
		return "", err
	}
	text, err := keys.MarshalJSON()
	return b.String() + string(text), err
}

// TestBitRotInTheKeys: after a flip a sealed value opens to what it was, or not
// at all.
func TestBitRotInTheKeys(t *testing.T) {
	t.Parallel()
	for file, flips := range map[string]int{"keys.db": 300, "kek.json": 100} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			clear := newScene(t, newVictim(t)).opened()
			if len(clear) == 0 {
				t.Fatal("no value is sealed")
			}
			var y tally
			rotting(t, file, flips, func(*scene) {}, func(r *rot, bit int) {
				aside := newRotten(r)
				changed := false
				for at, value := range aside.opened() {
					if value != clear[at] {
						t.Errorf("bit %d: a sealed value opens to something else", bit)
					}
					changed = true
				}
				if changed {
					y.add("opens as before")
				} else {
					y.add("refused")
				}
			})
			t.Logf("%d flips: %v", flips, y.counts)
		})
	}
}

// newRotten copies the keys, because opening them writes.
func newRotten(r *rot) *scene {
	aside := *r.scene
	aside.dir = filepath.Join(r.t.TempDir(), "keys")
	if err := os.MkdirAll(aside.dir, 0o700); err != nil {
		r.t.Fatal(err)
	}
	for _, name := range []string{"keys.db", "kek.json"} {
		copyFile(r.t, filepath.Join(r.dir, name), filepath.Join(aside.dir, name))
	}
	return &aside
}

// opened opens every sealed value of the records, those that open.
func (s *scene) opened() map[string]string {
	s.t.Helper()
	out := map[string]string{}
	keys, err := keyring.Open(s.t.Context(), keyring.Options{Dir: s.dir, LedgerNotEmpty: true})
	if err != nil {
		return out
	}
	defer keys.Close()
	c := codec.New(keys)
	for _, r := range s.records {
		d, err := c.Decode(r)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, field := range c.SealedFields(d) {
			if text, err := c.Reveal(s.t.Context(), d, field); err == nil {
				out[fmt.Sprint(r.Sequence, field)] = text
			}
		}
	}
	return out
}

// TestBitRotInTheViews: the views are no evidence, and still each flip that
// changes a row is found by building them again.
func TestBitRotInTheViews(t *testing.T) {
	t.Parallel()
	var y tally
	before, err := dump(filepath.Join(newVictim(t).dir, "views.db"))
	if err != nil {
		t.Fatal(err)
	}
	rotting(t, "views.db", 60, func(*scene) {}, func(r *rot, bit int) {
		log, err := sqlitestore.OpenReader(r.dir)
		if err != nil {
			t.Error(err)
			return
		}
		defer log.Close()
		after, failed := dump(filepath.Join(r.dir, "views.db"))
		c, err := projections.Compare(t.Context(), projections.Options{Dir: r.dir, Codec: codec.New(nil), Clock: time.Now}, log, t.TempDir(), nil)
		found := err != nil || c.First != nil
		switch same := failed == nil && after == before; {
		case !same && !found:
			t.Errorf("bit %d changed the views, and nothing was found", bit)
		case same:
			y.add("changed no row")
		default:
			y.add("found")
		}
	})
	t.Logf("60 flips: %v", y.counts)
}

// dump is everything the tables of a views file say that does not depend on
// keys: a row a line.
func dump(path string) (string, error) {
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=ro&immutable=1")
	if err != nil {
		return "", err
	}
	defer db.Close()
	var b strings.Builder
	tables := map[string][]string{}
	err = eachRow(db, `SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY m.name, c.cid`, func(row []any) {
		if table, column := fmt.Sprint(row[0]), fmt.Sprint(row[1]); table != "phones" || column != "blind" && column != "erased" {
			tables[table] = append(tables[table], column)
		}
	})
	for _, table := range slices.Sorted(maps.Keys(tables)) {
		if err == nil {
			b.WriteString(table + "\n")
			columns := strings.Join(tables[table], ", ")
			err = eachRow(db, `SELECT `+columns+` FROM `+table+` ORDER BY `+columns, func(row []any) { fmt.Fprintf(&b, "%v\n", row) })
		}
	}
	return b.String(), err
}

func eachRow(db *sql.DB, query string, use func(row []any)) error {
	rows, err := db.Query(query)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		row, targets := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			targets[i] = &row[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		use(row)
	}
	return rows.Err()
}

// TestCleanLedgersRaiseNoAlarm verifies what nobody touched, many times, with
// everything an auditor can hold against it.
func TestCleanLedgersRaiseNoAlarm(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	for n := range 30 {
		s := newScene(t, v)
		c := replay.LogCheck{
			History: s.notary, Codec: codec.New(nil), Keys: &s.keys, Held: [][]byte{s.held, mustSigned(t, s.notary)}, Workers: 1 + n%4,
			Policy: merkletest.Policy(t, attackWitness, witnessSeed),
		}
		reader, err := sqlitestore.OpenReader(s.dir)
		if err != nil {
			t.Fatal(err)
		}
		c.Records = reader
		r, _, err := replay.VerifyLog(t.Context(), c)
		if err != nil || r.Failed > 0 || r.Records != uint64(len(v.records)) {
			t.Errorf("run %d: %d records of %d, failures %v, %v", n, r.Records, len(v.records), r.Failures, err)
		}
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
	}
}
