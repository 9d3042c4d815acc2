package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/merkle/merkletest"
	"github.com/authledger/authledger/eventstore/sqlitestore"
	"github.com/authledger/authledger/replay"
)

var updateThreats = flag.Bool("update-threats", false, "write the table of docs/threats.md anew from what the attacks came to")

// The corpus attacks a real data directory, filled by the real journal: each
// attack is carried out on a copy, and then everything that might notice is
// asked. What it came to is the table in docs/threats.md.

// victimPattern names the directory, which TestMain removes.
const victimPattern = "authledger-victim-"

const (
	attackOrigin  = "ledger.test/attacked"
	attackWitness = "witness.test/audit"
	logSeed       = 1  // of the log's signing key
	witnessSeed   = 50 // of the witness's
)

// victim is the directory before the attack, and what others keep of it.
type victim struct {
	dir     string
	records []eventstore.Record
	notary  *merkletest.Notary // the log's checkpoints and tiles, cosigned
	held    []byte             // the auditor's checkpoint, at about two thirds
	keys    merkle.Keys        // the auditor's copy
	quiet   int                // minutes since the last record
	err     error
}

var (
	victimOnce sync.Once
	theVictim  victim
)

// newVictim makes the directory once for all attacks of the process.
func newVictim(t *testing.T) victim {
	t.Helper()
	victimOnce.Do(func() {
		base, err := os.MkdirTemp("", victimPattern)
		if err != nil {
			t.Fatal(err)
		}
		theVictim.dir = filepath.Join(base, "data")
		theVictim.err = seedData(context.Background(), theVictim.dir, 4, 7, time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC), io.Discard, sealing{})
	})
	v := theVictim
	if v.err != nil {
		t.Fatal(v.err)
	}
	v.records = recordsOf(t, v.dir)
	v.notary = merkletest.New(t, attackOrigin, logSeed)
	for i, r := range v.records {
		v.notary.Grow(r.Leaf())
		if i%25 == 24 || i == len(v.records)-1 {
			v.held = v.sign(v.held, r.RecordedAt, i)
		}
	}
	for range quietMinutes { // nothing happens, and that is signed too
		v.quiet++
		v.sign(nil, v.lastSigned(), len(v.records))
	}
	v.keys, _ = v.notary.Keys(t.Context()) // of a notary, which has them
	return v
}

// sign publishes a cosigned checkpoint; the auditor keeps one.
func (v *victim) sign(held []byte, at time.Time, i int) []byte {
	signed := v.notary.Publish(at)
	v.notary.Cosign(attackWitness, witnessSeed, at.Add(time.Second))
	if i <= v.early()*2+25 {
		return signed
	}
	return held
}

// quietMinutes is how long the log has stood still.
const quietMinutes = 60

// lastSigned is when the newest checkpoint was signed.
func (v *victim) lastSigned() time.Time {
	return v.records[len(v.records)-1].RecordedAt.Truncate(time.Second).Add(time.Duration(v.quiet) * time.Minute)
}

// early and late are where attacks change a record: before what the auditor
// holds and after.
func (v *victim) early() int { return len(v.records) * 3 / 10 }
func (v *victim) late() int  { return len(v.records) * 9 / 10 }

func recordsOf(t *testing.T, dir string) []eventstore.Record {
	t.Helper()
	r, err := sqlitestore.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out []eventstore.Record
	for record, err := range r.ReadAll(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, record)
	}
	return out
}

// scene is a copy of the victim's directory and history in an attacker's hands.
type scene struct {
	victim
	before victim
	power  power
	t      *testing.T
}

func newScene(t *testing.T, v victim) *scene {
	t.Helper()
	s := &scene{victim: v, before: v, t: t}
	s.dir = filepath.Join(t.TempDir(), "data")
	copyDir(t, v.dir, s.dir)
	s.notary = v.notary.Clone()
	s.records = slices.Clone(v.records)
	return s
}

// copyDir copies a data directory; keys are for their owner's eyes.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.Chmod(filepath.Join(to, f.Name()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// tamper runs statements on a database of the directory, with the triggers of
// the ledger dropped and then put back as they were.
func (s *scene) tamper(file string, do func(db *sql.DB)) {
	s.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(s.dir, file)+"?_journal_mode=DELETE")
	if err != nil {
		s.t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	defer db.Close()
	triggers := map[string]string{}
	rows, err := db.Query(`SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'`)
	if err != nil {
		s.t.Fatal(err)
	}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			s.t.Fatal(err)
		}
		triggers[name] = text
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	for name := range triggers {
		s.exec(db, `DROP TRIGGER `+name)
	}
	do(db)
	for _, name := range slices.Sorted(maps.Keys(triggers)) {
		s.exec(db, triggers[name])
	}
}

func (s *scene) exec(db *sql.DB, statement string, args ...any) {
	s.t.Helper()
	if _, err := db.Exec(statement, args...); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// power is what an attacker can do beyond writing to the file.
type power int

const (
	editsFile power = iota // changes rows
	rehashes               // and makes chain, running hashes, index and anchor anew
	resigns                // and signs every checkpoint anew with the log's key
)

// rewrite changes the records as an attacker of a power would.
func (s *scene) rewrite(p power, change func(records []eventstore.Record) []eventstore.Record) {
	s.t.Helper()
	s.records = change(s.records)
	running := make([]eventstore.Hash, len(s.records))
	old := s.running()
	if p >= rehashes {
		rechain(s.records)
	}
	m := eventstore.Mark{}
	for i, r := range s.records {
		m = m.Next(r.Leaf())
		if running[i] = m.Running; p < rehashes {
			running[i] = old[r.ID]
		}
	}
	s.tamper("ledger.db", func(db *sql.DB) { s.store(db, running) })
	if p >= rehashes {
		s.writeAnchor(m)
	}
	if p >= resigns {
		s.resign()
	}
}

func (s *scene) running() map[uuid.UUID]eventstore.Hash {
	out, m := map[uuid.UUID]eventstore.Hash{}, eventstore.Mark{}
	for _, r := range s.before.records {
		m = m.Next(r.Leaf())
		out[r.ID] = m.Running
	}
	return out
}

// rechain gives each record the revision and the prev its place asks for.
func rechain(records []eventstore.Record) {
	type end struct {
		next eventstore.Revision
		leaf eventstore.Hash
	}
	ends := map[string]end{}
	for i := range records {
		r := &records[i]
		e := ends[r.Stream]
		r.Revision = e.next
		r.Metadata = append([]byte(`{"prev":"`+e.leaf.String()), r.Metadata[len(`{"prev":"`)+64:]...)
		ends[r.Stream] = end{r.Revision + 1, r.Leaf()}
	}
}

func (s *scene) store(db *sql.DB, running []eventstore.Hash) {
	s.exec(db, `BEGIN`)
	for _, table := range []string{"records", "by_id", "by_stream"} {
		s.exec(db, `DELETE FROM `+table)
	}
	for i := range s.records {
		r := &s.records[i]
		s.exec(db, `INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, int64(r.Sequence), r.ID[:], r.Stream, int64(r.Revision), r.Type, int64(r.Schema),
			r.RecordedAt.UnixMicro(), r.Data, r.Metadata, running[i][:])
		s.exec(db, `INSERT OR IGNORE INTO by_id VALUES (?, ?)`, r.ID[:], int64(r.Sequence))
		s.exec(db, `INSERT OR IGNORE INTO by_stream VALUES (?, ?, ?)`, r.Stream, int64(r.Revision), int64(r.Sequence))
	}
	s.exec(db, `UPDATE indexed SET upto = ?`, len(s.records))
	s.exec(db, `COMMIT`)
}

// number gives the records dense sequences from 1.
func number(records []eventstore.Record) []eventstore.Record {
	for i := range records {
		records[i].Sequence = eventstore.Sequence(i + 1)
	}
	return records
}

// writeAnchor names another end of the log in both slots, with right sums.
func (s *scene) writeAnchor(m eventstore.Mark) {
	s.t.Helper()
	path := filepath.Join(s.dir, "ledger.anchor")
	b, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	for slot := range 2 {
		at := b[slot*4096:][:96]
		if slot == 1 && at[0] == 0 {
			copy(at, b[:24])
		}
		binary.BigEndian.PutUint64(at[24:], uint64(m.Sequence))
		copy(at[32:], m.Running[:])
		binary.BigEndian.PutUint32(at[92:], crc32.Checksum(at[:92], crc32.MakeTable(crc32.Castagnoli)))
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// shift is by how much an inserted or deleted record moved those after it.
func (s *scene) shift() int {
	if by := len(s.records) - len(s.before.records); by == 1 || by == -1 {
		return by
	}
	return 0
}

// differsBelow reports whether the first records are not those of before.
func (s *scene) differsBelow(size int) bool {
	return size > 0 && s.records[size-1].Leaf() != s.before.records[size-1].Leaf()
}

// resign makes the history of the changed records: what is still true stays,
// with its cosignatures; the rest is signed anew under the same times.
func (s *scene) resign() {
	s.t.Helper()
	forged := merkletest.New(s.t, attackOrigin, logSeed)
	shift, differs := s.shift(), false // sizes move with the records that follow the change
	at := 0
	for p := range s.before.notary.From(s.t.Context(), 1) {
		c, err := merkle.Unverified(p.Signed)
		if err != nil {
			s.t.Fatal(err)
		}
		size := int(c.Size)
		if differs = differs || size > len(s.records) || s.differsBelow(size); differs {
			size += shift
		}
		if size > len(s.records) {
			break
		}
		for ; at < size; at++ {
			forged.Grow(s.records[at].Leaf())
		}
		if forged.Root() == c.Root {
			forged.Append(p.Signed)
			continue
		}
		signedAt, err := s.keys.SignedAt(p.Signed)
		if err != nil {
			s.t.Fatal(err)
		}
		forged.Publish(signedAt)
	}
	for ; at < len(s.records); at++ {
		forged.Grow(s.records[at].Leaf())
	}
	forged.Publish(s.before.lastSigned())
	s.notary = forged
}

// detectors may notice an attack, in the order of the table's columns.
var detectors = []struct {
	name string
	asks func(s *scene) string // what noticed; empty when nothing did
}{
	{"verify log", func(s *scene) string { return s.byVerify(func(*replay.LogCheck) {}) }},
	{"and the auditor's keys and checkpoint", func(s *scene) string {
		return s.byVerify(func(c *replay.LogCheck) { c.Keys, c.Held = &s.keys, [][]byte{s.held} })
	}},
	{"and the witness policy", func(s *scene) string {
		return s.byVerify(func(c *replay.LogCheck) { c.Policy = merkletest.Policy(s.t, attackWitness, witnessSeed) })
	}},
	{"next cosignature", (*scene).byWitness},
	{"opening sealed values", (*scene).byOpening},
	{"start", (*scene).byStart}, // last: it writes
}

// byVerify is the mechanisms by which verify log finds fault.
func (s *scene) byVerify(with func(*replay.LogCheck)) string {
	s.t.Helper()
	reader, err := sqlitestore.OpenReader(s.dir)
	if err != nil {
		return "format" // the file is refused before anything is read
	}
	defer reader.Close()
	c := replay.LogCheck{Records: reader, History: s.notary, Codec: codec.New(nil), Most: 1}
	with(&c)
	r, _, err := replay.VerifyLog(s.t.Context(), c)
	if err != nil {
		s.t.Fatalf("verify log: %v", err)
	}
	var found []string
	for _, f := range r.Failures { // one of each mechanism
		found = append(found, string(f.Mechanism))
	}
	slices.Sort(found) // which one comes first depends on where the next checkpoint is
	return strings.Join(found, ", ")
}

// byStart starts on the directory. Who holds the signing key has made proof.db
// anew as well; then only the ledger's own checks are left.
func (s *scene) byStart() string {
	s.t.Helper()
	if s.power == resigns {
		store, err := sqlitestore.Open(s.t.Context(), sqlitestore.Options{Dir: s.dir, Clock: time.Now})
		if err != nil {
			return "refused"
		}
		if err := store.Close(); err != nil {
			s.t.Fatal(err)
		}
		return ""
	}
	opened, err := openStores(s.t.Context(), s.dir, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		return "refused"
	}
	if err := opened.Close(); err != nil {
		s.t.Fatal(err)
	}
	return ""
}

// byWitness is whether the witness, which remembers what it cosigned last,
// would cosign the newest checkpoint: C2SP tlog-witness asks for a proof that
// the one is the beginning of the other.
func (s *scene) byWitness() string {
	s.t.Helper()
	p, err := s.notary.Latest(s.t.Context())
	if err != nil {
		return "refused"
	}
	last, _ := s.before.notary.Latest(s.t.Context()) // it has many
	remembered, _ := merkle.Unverified(last.Signed)  // signed by a notary
	now, err := s.keys.Open(p.Signed)
	if err != nil || now.Size < remembered.Size {
		return "refused"
	}
	tiles := merkle.Tiles(func(level int, n int64) ([]byte, error) { return s.notary.Tile(s.t.Context(), level, n) })
	path, err := merkle.ProveConsistency(tiles.Reader(), remembered.Size, now.Size)
	if err != nil || merkle.CheckConsistency(remembered, now, path) != nil {
		return "refused"
	}
	return ""
}

// byOpening opens every sealed value with the keys: each is bound to its place.
func (s *scene) byOpening() string {
	s.t.Helper()
	keys, err := keyring.Open(s.t.Context(), keyring.Options{Dir: s.dir, LedgerNotEmpty: true})
	if err != nil {
		s.t.Fatal(err)
	}
	defer keys.Close()
	c := codec.New(keys)
	for _, r := range s.records {
		d, err := c.Decode(r)
		if err != nil {
			return "unreadable"
		}
		for _, field := range c.SealedFields(d) {
			if _, err := c.Reveal(s.t.Context(), d, field); errors.Is(err, keyring.ErrNotAuthentic) {
				return "not authentic"
			}
		}
	}
	return ""
}

// attack is one or more rows of the table.
type attack struct {
	name   string
	powers []power
	do     func(s *scene, p power)
}

var (
	anyPower   = []power{editsFile, rehashes, resigns}
	powerNames = map[power]string{editsFile: "ledger.db", rehashes: "the directory", resigns: "and the signing key"}
)

// edited says that somebody else did it, and is a record like any other.
func edited(r eventstore.Record) eventstore.Record {
	r.Metadata = bytes.Replace(r.Metadata, []byte(`"ref":"`), []byte(`"ref":"x`), 1)
	return r
}

// at makes an attack on one place.
func at(index func(*victim) int, change func([]eventstore.Record, int) []eventstore.Record) func(*scene, power) {
	return func(s *scene, p power) {
		i := index(&s.before)
		s.rewrite(p, func(r []eventstore.Record) []eventstore.Record { return number(change(r, i)) })
	}
}

func attacks() []attack {
	early, late := (*victim).early, (*victim).late
	return append([]attack{
		{"edit a record before the auditor's checkpoint", anyPower, at(early, edit)},
		{"edit a record after it", anyPower, at(late, edit)},
		{"delete a record", anyPower, at(early, remove)},
		{"swap two records", anyPower, at(early, swap)},
		{"insert a record", anyPower, at(early, insert)},
		{"overwrite a record's data (0xFF)", anyPower, at(early, redact)},
		{"move a sealed value to another event", anyPower, func(s *scene, p power) { s.rewrite(p, moveSealed) }},
		{"truncate before the auditor's checkpoint", anyPower, at(early, truncate)},
		{"truncate after it", anyPower, at(late, truncate)},
		{"truncate and regrow before it", anyPower, at(early, regrow)},
		{"truncate and regrow after it", anyPower, at(late, regrow)},
		{"append a record that says it is half an hour old", anyPower, func(s *scene, p power) {
			at(late, backdate)(s, p)
			if p == resigns {
				s.hush()
			}
		}},
		{"append a record under an id that stands already", anyPower, at(early, twice)},
	}, copies()...)
}

// copies are attacks with what was true once.
func copies() []attack {
	early, late := (*victim).early, (*victim).late
	restore := func(index func(*victim) int) func(s *scene, p power) {
		return func(s *scene, p power) {
			at(index, truncate)(s, rehashes)
			if p == resigns {
				s.forget()
			}
		}
	}
	return []attack{
		{"restore an old ledger.db alone", []power{editsFile}, func(s *scene, _ power) {
			anchor, err := os.ReadFile(filepath.Join(s.dir, "ledger.anchor"))
			if err != nil {
				s.t.Fatal(err)
			}
			at(late, truncate)(s, rehashes)
			if err := os.WriteFile(filepath.Join(s.dir, "ledger.anchor"), anchor, 0o600); err != nil {
				s.t.Fatal(err)
			}
		}},
		{"restore an old ledger.db and its anchor", []power{rehashes}, restore(late)},
		{"restore everything from before the auditor's checkpoint", []power{resigns}, restore(early)},
		{"restore everything from after it", []power{resigns}, restore(late)},
		{"show another auditor another history", []power{resigns}, func(s *scene, p power) {
			at(late, regrow)(s, p)
			s.held = mustSigned(s.t, s.notary) // all this auditor ever saw
		}},
	}
}

// hush makes a history in which the log did not stand still when the record
// that was appended says it was recorded: what was signed since is dropped.
func (s *scene) hush() {
	last := s.records[len(s.records)-1]
	forged := merkletest.New(s.t, attackOrigin, logSeed)
	for _, r := range s.records[:len(s.records)-1] {
		forged.Grow(r.Leaf())
	}
	for p := range s.before.notary.From(s.t.Context(), 1) {
		signedAt, err := s.keys.SignedAt(p.Signed)
		if err != nil {
			s.t.Fatal(err)
		}
		if signedAt.Before(last.RecordedAt) {
			forged.Append(p.Signed)
		}
	}
	forged.Grow(last.Leaf())
	for at := last.RecordedAt; !at.After(s.before.lastSigned()); at = at.Add(time.Minute) {
		forged.Publish(at)
	}
	s.notary = forged
}

// forget drops the checkpoints that are larger than the log, as a copy of that
// day would.
func (s *scene) forget() {
	keep := uint64(0)
	for p := range s.notary.From(s.t.Context(), 1) {
		if c, err := merkle.Unverified(p.Signed); err == nil && c.Size <= uint64(len(s.records)) {
			keep = p.Revision
		}
	}
	s.notary.Drop(keep)
}

func mustSigned(t *testing.T, h merkle.History) []byte {
	t.Helper()
	p, err := h.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p.Signed
}

func edit(r []eventstore.Record, i int) []eventstore.Record { r[i] = edited(r[i]); return r }

func remove(r []eventstore.Record, i int) []eventstore.Record { return slices.Delete(r, i, i+1) }

func truncate(r []eventstore.Record, i int) []eventstore.Record { return r[:i] }

// swap exchanges two records of different streams, whose times stay in order.
func swap(r []eventstore.Record, i int) []eventstore.Record {
	for r[i].Stream == r[i+1].Stream {
		i++
	}
	r[i].RecordedAt, r[i+1].RecordedAt = r[i+1].RecordedAt, r[i].RecordedAt
	r[i], r[i+1] = r[i+1], r[i]
	return r
}

func insert(r []eventstore.Record, i int) []eventstore.Record {
	more := edited(r[i])
	more.ID = uuid.NewSHA1(uuid.Nil, more.ID[:])
	return slices.Insert(r, i+1, more)
}

func redact(r []eventstore.Record, i int) []eventstore.Record {
	r[i].Data = bytes.Repeat([]byte{0xff}, len(r[i].Data))
	return r
}

func regrow(r []eventstore.Record, i int) []eventstore.Record {
	for ; i < len(r); i++ {
		r[i] = edited(r[i])
	}
	return r
}

func backdate(r []eventstore.Record, _ int) []eventstore.Record {
	last := r[len(r)-1]
	more := edited(last)
	more.ID, more.Revision = uuid.NewSHA1(uuid.Nil, more.ID[:]), more.Revision+1
	more.RecordedAt = last.RecordedAt.Add(quietMinutes / 2 * time.Minute)
	return append(r, more)
}

func twice(r []eventstore.Record, i int) []eventstore.Record {
	last := r[len(r)-1]
	again := r[i]
	again.Stream, again.Revision, again.RecordedAt = last.Stream, last.Revision+1, last.RecordedAt
	return append(r, again)
}

var sealedNumber = regexp.MustCompile(`"number":"[^"]+"`)

// moveSealed puts the sealed number of one phone into the event of another.
func moveSealed(r []eventstore.Record) []eventstore.Record {
	first := -1
	for i := range r {
		if r[i].Type != "PhoneNumberAdded" {
			continue
		}
		if first < 0 {
			first = i
			continue
		}
		r[i].Data = sealedNumber.ReplaceAll(r[i].Data, sealedNumber.Find(r[first].Data))
		break
	}
	return r
}

func (s *scene) noticed() []string {
	var found []string
	for _, d := range detectors {
		found = append(found, d.asks(s))
	}
	return found
}

// checkRow holds what docs/threats.md promises in words: without the signing
// key no change of content goes unnoticed, and a clean ledger raises no alarm.
// With it, only others notice.
func checkRow(t *testing.T, name string, p power, found []string) {
	t.Helper()
	noticed := 0
	for _, f := range found {
		if f != "" {
			noticed++
		}
	}
	verify := found[0]
	switch {
	case name == "nothing" && noticed > 0:
		t.Errorf("false alarm: %v", found)
	case name == "nothing":
	case p < resigns && verify == "":
		t.Errorf("verify log notices nothing: %v", found)
	case noticed == 0:
		t.Errorf("nothing notices")
	}
}

const tableBegin, tableEnd = "<!-- attacks: written by TestAttacks -->\n", "<!-- end of attacks -->\n"

func tableHead() string {
	names, rule := []string{"Attack", "Attacker holds"}, "|---|---|"
	for _, d := range detectors {
		names, rule = append(names, d.name), rule+"---|"
	}
	return "| " + strings.Join(names, " | ") + " |\n" + rule + "\n"
}

func tableRow(name string, p power, found []string) string {
	cells := []string{name, powerNames[p]}
	if name == "nothing" {
		cells[1] = ""
	}
	for _, f := range found {
		if f == "" {
			f = "–"
		}
		cells = append(cells, f)
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// compareTable keeps the document and the attacks together.
func compareTable(t *testing.T, got string) {
	t.Helper()
	path := filepath.Join("docs", "threats.md")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), tableBegin)
	want, after, closed := strings.Cut(rest, tableEnd)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table", path)
	}
	if *updateThreats {
		if err := os.WriteFile(path, []byte(before+tableBegin+got+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s is not what the attacks came to (-doc +attacks); look at it, then: go test . -run TestAttacks -update-threats\n%s", path, diff)
	}
}
