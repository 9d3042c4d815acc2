package sqlitestore_test

import (
	"database/sql/driver"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mattn/go-sqlite3"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/sqlitestore"
	"github.com/authledger/authledger/eventstore/storetest"
)

// raw runs SQL on a plain connection, as anybody with the file could.
func raw(t *testing.T, dir, options string, statements ...string) error {
	t.Helper()
	c, err := (&sqlite3.SQLiteDriver{}).Open("file:" + filepath.Join(dir, "ledger.db") + "?" + options)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, s := range statements {
		if _, err := c.(*sqlite3.SQLiteConn).Exec(s, []driver.Value{}); err != nil {
			return err
		}
	}
	return nil
}

func mustRaw(t *testing.T, dir string, statements ...string) {
	t.Helper()
	if err := raw(t, dir, "", statements...); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, file string, offset int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
}

func wantRefused(t *testing.T, dir, reason string) {
	t.Helper()
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Options{Dir: dir, Clock: storetest.NewClock().Now})
	var start *sqlitestore.StartError
	if err == nil {
		t.Errorf("open: got no error, want %s", reason)
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		return
	}
	if !errors.As(err, &start) || start.Reason != reason || start.Dir != dir {
		t.Errorf("open: got %v, want reason %s in %s", err, reason, dir)
	}
}

// TestStartRefuses changes the files of a closed log of 10 records and of a
// copy taken at 6, and wants a named reason.
func TestStartRefuses(t *testing.T) {
	t.Parallel()
	remove := func(name string) func(*testing.T, string, string) {
		return func(t *testing.T, dir, _ string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace := func(name string) func(*testing.T, string, string) {
		return func(t *testing.T, dir, older string) {
			copyFile(t, filepath.Join(older, name), filepath.Join(dir, name))
		}
	}
	resize := func(name string, size int64) func(*testing.T, string, string) {
		return func(t *testing.T, dir, _ string) {
			if err := os.Truncate(filepath.Join(dir, name), size); err != nil {
				t.Fatal(err)
			}
		}
	}
	sql := func(statements ...string) func(*testing.T, string, string) {
		return func(t *testing.T, dir, _ string) { mustRaw(t, dir, statements...) }
	}
	const unlock = "DROP TRIGGER records_are_never_updated; DROP TRIGGER records_are_never_deleted; DROP TRIGGER records_are_dense"
	lock := func(t *testing.T, dir string) { // puts the triggers back as they were
		t.Helper()
		mustRaw(t, dir,
			"CREATE TRIGGER records_are_dense BEFORE INSERT ON records\nWHEN NEW.sequence IS NOT (SELECT coalesce(max(sequence), 0) + 1 FROM records)\nBEGIN SELECT RAISE(ABORT, 'records are appended in sequence'); END",
			"CREATE TRIGGER records_are_never_updated BEFORE UPDATE ON records\nBEGIN SELECT RAISE(ABORT, 'records are never updated'); END",
			"CREATE TRIGGER records_are_never_deleted BEFORE DELETE ON records\nBEGIN SELECT RAISE(ABORT, 'records are never deleted'); END")
	}
	edit := func(statement string) func(*testing.T, string, string) {
		return func(t *testing.T, dir, _ string) {
			mustRaw(t, dir, unlock, statement)
			lock(t, dir)
		}
	}
	for _, c := range []struct {
		name   string
		change func(t *testing.T, dir, older string)
		reason string
	}{
		{"anchor missing", remove("ledger.anchor"), sqlitestore.ReasonAnchorMissing},
		{"anchor empty", resize("ledger.anchor", 0), sqlitestore.ReasonAnchorCorrupt},
		{"anchor cut", resize("ledger.anchor", 95), sqlitestore.ReasonAnchorCorrupt},
		{"both slots torn", func(t *testing.T, dir, _ string) {
			flip(t, filepath.Join(dir, "ledger.anchor"), 40)
			flip(t, filepath.Join(dir, "ledger.anchor"), 4096+40)
		}, sqlitestore.ReasonAnchorCorrupt},
		{"ledger missing", remove("ledger.db"), sqlitestore.ReasonLedgerMissing},
		{"ledger empty", resize("ledger.db", 0), sqlitestore.ReasonLedgerMismatch},
		{"ledger cut", resize("ledger.db", 4096*3), sqlitestore.ReasonLedgerCorrupt},
		{"ledger header broken", func(t *testing.T, dir, _ string) { flip(t, filepath.Join(dir, "ledger.db"), 3) }, sqlitestore.ReasonLedgerCorrupt},
		{"older ledger", replace("ledger.db"), sqlitestore.ReasonLedgerBehindAnchor},
		{"another ledger", func(t *testing.T, dir, _ string) {
			copyFile(t, filepath.Join(written(t, 10, 100), "ledger.db"), filepath.Join(dir, "ledger.db"))
		}, sqlitestore.ReasonLedgerMismatch},
		{"another anchor", func(t *testing.T, dir, _ string) {
			copyFile(t, filepath.Join(written(t, 10, 100), "ledger.anchor"), filepath.Join(dir, "ledger.anchor"))
		}, sqlitestore.ReasonLedgerMismatch},
		{"last record cut off", edit("DELETE FROM records WHERE sequence = 10"), sqlitestore.ReasonLedgerBehindAnchor},
		{"record cut out", edit("DELETE FROM records WHERE sequence = 4"), sqlitestore.ReasonLedgerCorrupt},
		{"record changed", edit(`UPDATE records SET data = CAST('{}' AS BLOB) WHERE sequence = 4`), sqlitestore.ReasonLedgerCorrupt},
		{"time changed", edit(`UPDATE records SET recorded_at = recorded_at + 1 WHERE sequence = 10`), sqlitestore.ReasonLedgerCorrupt},
		{"all hashes changed", edit(`UPDATE records SET running = zeroblob(32)`), sqlitestore.ReasonLedgerCorrupt},
		{"newer schema", sql("PRAGMA user_version = 1000"), sqlitestore.ReasonSchemaNewer},
		{"schema of nobody", sql("PRAGMA user_version = 0"), sqlitestore.ReasonSchemaUnknown},
		{"trigger missing", sql("DROP TRIGGER records_are_never_updated"), sqlitestore.ReasonSchemaUnknown},
		{"trigger added", sql("CREATE TRIGGER extra AFTER INSERT ON records BEGIN SELECT 1; END"), sqlitestore.ReasonSchemaUnknown},
		{"table missing", sql("DROP TABLE by_id"), sqlitestore.ReasonSchemaUnknown},
		{"table added", sql("CREATE TABLE extra (a)"), sqlitestore.ReasonSchemaUnknown},
		{"other application", sql("PRAGMA application_id = 7"), sqlitestore.ReasonSchemaUnknown},
		{"index watermark ahead", sql("UPDATE indexed SET upto = 11"), sqlitestore.ReasonLedgerCorrupt},
		{"ledger a symbolic link", func(t *testing.T, dir, older string) {
			remove("ledger.db")(t, dir, older)
			if err := os.Symlink(filepath.Join(older, "ledger.db"), filepath.Join(dir, "ledger.db")); err != nil {
				t.Fatal(err)
			}
		}, sqlitestore.ReasonDataDirUnsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			store := tuned(t, dir, storetest.NewClock().Now, 100, sqlitestore.Faults{})
			write(t, store, 0, 6)
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			older := copyDir(t, dir)
			store = tuned(t, dir, storetest.NewClock().Now, 100, sqlitestore.Faults{})
			write(t, store, 6, 10)
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			c.change(t, dir, older)
			wantRefused(t, dir, c.reason)
			wantRefused(t, dir, c.reason) // refusing changed nothing
		})
	}
}

func TestStartAccepts(t *testing.T) {
	t.Parallel()
	t.Run("one slot torn", func(t *testing.T) {
		t.Parallel()
		for _, offset := range []int64{40, 4096 + 40} {
			dir := written(t, 10, 100)
			flip(t, filepath.Join(dir, "ledger.anchor"), offset)
			wantHead(t, closing(t, tuned(t, dir, storetest.NewClock().Now, 100, sqlitestore.Faults{})), 10)
		}
	})
	t.Run("anchor one commit behind", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		store := tuned(t, dir, storetest.NewClock().Now, 100, sqlitestore.Faults{})
		write(t, store, 0, 6)
		older := copyDir(t, dir)
		write(t, store, 6, 10)
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		copyFile(t, filepath.Join(older, "ledger.anchor"), filepath.Join(dir, "ledger.anchor"))
		store = tuned(t, dir, storetest.NewClock().Now, 100, sqlitestore.Faults{})
		wantHead(t, store, 10)
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		// The anchor was brought forward: the older log is refused now.
		copyFile(t, filepath.Join(older, "ledger.db"), filepath.Join(dir, "ledger.db"))
		copyFile(t, filepath.Join(older, "ledger.db-wal"), filepath.Join(dir, "ledger.db-wal"))
		wantRefused(t, dir, sqlitestore.ReasonLedgerBehindAnchor)
	})
	t.Run("empty log without anchor", func(t *testing.T) {
		t.Parallel()
		dir := written(t, 0, 100)
		if err := os.Remove(filepath.Join(dir, "ledger.anchor")); err != nil {
			t.Fatal(err)
		}
		wantHead(t, closing(t, tuned(t, dir, storetest.NewClock().Now, 100, sqlitestore.Faults{})), 0)
	})
}

// TestFlippedWriteAheadLog flips single bits in a write-ahead log that was not
// checkpointed: whatever SQLite drops silently must be missed at start.
func TestFlippedWriteAheadLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := closing(t, tuned(t, dir, storetest.NewClock().Now, 100, sqlitestore.Faults{}))
	write(t, store, 0, 20)
	image := copyDir(t, dir)
	wal, err := os.Stat(filepath.Join(image, "ledger.db-wal"))
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for offset := wal.Size() / 2; offset < wal.Size(); offset += wal.Size() / 80 {
		crashed := copyDir(t, image)
		flip(t, filepath.Join(crashed, "ledger.db-wal"), offset)
		reopened, err := sqlitestore.Open(t.Context(), sqlitestore.Options{Dir: crashed, Clock: storetest.NewClock().Now})
		if err == nil {
			wantHead(t, reopened, 20)
			if err := reopened.Close(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		var start *sqlitestore.StartError
		if !errors.As(err, &start) || (start.Reason != sqlitestore.ReasonLedgerBehindAnchor && start.Reason != sqlitestore.ReasonLedgerMismatch) {
			t.Errorf("flip at %d: got %v", offset, err)
		}
		refused++
	}
	if refused < 35 {
		t.Errorf("%d of 40 flips were refused; the log is lost at nearly every one", refused)
	}
}

func TestSecondProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := closing(t, tuned(t, dir, storetest.NewClock().Now, 100, sqlitestore.Faults{}))
	wantRefused(t, dir, sqlitestore.ReasonDataDirInUse)
	write(t, store, 0, 2)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	wantHead(t, closing(t, tuned(t, dir, storetest.NewClock().Now, 100, sqlitestore.Faults{})), 2)
}

func TestSynchronousMustBeFull(t *testing.T) {
	t.Parallel()
	dir := written(t, 2, 100)
	_, err := sqlitestore.OpenTuned(sqlitestore.Options{Dir: dir, Clock: storetest.NewClock().Now}, 100, "&_sync=NORMAL", sqlitestore.Faults{})
	var start *sqlitestore.StartError
	if !errors.As(err, &start) || start.Reason != sqlitestore.ReasonSynchronousNotFull {
		t.Errorf("open with synchronous=NORMAL: got %v", err)
	}
}

// TestTampering tries to change history through SQL, while the store runs, on
// connections set up like the store's own and like nobody's.
func TestTampering(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := closing(t, tuned(t, dir, storetest.NewClock().Now, 3, sqlitestore.Faults{}))
	write(t, store, 0, 10)
	const values = `(sequence, id, stream, revision, type, schema, recorded_at, data, metadata, running)
		SELECT %s, randomblob(16), stream, revision, type, schema, recorded_at, data, metadata, running FROM records WHERE sequence = 5`
	for _, options := range []string{
		"_recursive_triggers=1&_synchronous=FULL&_foreign_keys=1&_txlock=immediate",
		"_recursive_triggers=0",
	} {
		for _, statement := range []string{
			`UPDATE records SET data = data WHERE sequence = 5`,
			`UPDATE records SET sequence = sequence + 100`,
			`UPDATE OR REPLACE records SET sequence = 4 WHERE sequence = 5`,
			`DELETE FROM records WHERE sequence = 10`,
			`DELETE FROM records`,
			`INSERT OR REPLACE INTO records ` + sequenced(values, "5"),
			`REPLACE INTO records ` + sequenced(values, "10"),
			`REPLACE INTO records ` + sequenced(values, "12"),
			`INSERT INTO records ` + sequenced(values, "0"),
			`INSERT INTO records ` + sequenced(values, "-1"),
			`INSERT INTO records ` + sequenced(values, "NULL"),
			`INSERT INTO records ` + sequenced(values, "10") + ` ON CONFLICT DO UPDATE SET data = excluded.data`,
		} {
			if err := raw(t, dir, options, statement); err == nil {
				t.Errorf("%s (%s): got no error", statement, options)
			}
		}
	}
	wantHead(t, store, 10)
	write(t, store, 10, 12)
}

func sequenced(values, sequence string) string {
	const at = "%s"
	for i := range values {
		if len(values)-i >= len(at) && values[i:i+len(at)] == at {
			return values[:i] + sequence + values[i+len(at):]
		}
	}
	return values
}

// TestForeignWrite lets somebody append behind the writer's back: the store
// must stop, not go on from a head that is no longer the head.
func TestForeignWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := closing(t, tuned(t, dir, storetest.NewClock().Now, 100, sqlitestore.Faults{}))
	write(t, store, 0, 4)
	mustRaw(t, dir, `INSERT INTO records SELECT 5, randomblob(16), 'forged', 0, type, schema, recorded_at, data, metadata, running FROM records WHERE sequence = 4`)
	_, err := store.Append(t.Context(), "user-9", eventstore.NoStream(), storetest.Events("after", 1))
	if !errors.Is(err, eventstore.ErrUnavailable) || store.Err() == nil {
		t.Errorf("append over a foreign record: got %v, %v", err, store.Err())
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, dir, sqlitestore.ReasonLedgerCorrupt)
}

// TestOldFormat: records of a build before the first release were hashed by
// another rule. They are refused by name; an empty directory goes on.
func TestOldFormat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		records int
		reason  string
	}{{0, ""}, {3, sqlitestore.ReasonFormatOld}} {
		dir := written(t, c.records, 100)
		mustRaw(t, dir, "DROP TABLE imported; PRAGMA user_version = 1")
		s, err := sqlitestore.Open(t.Context(), sqlitestore.Options{Dir: dir, Clock: storetest.NewClock().Now})
		var start *sqlitestore.StartError
		if errors.As(err, &start) && start.Reason != c.reason || (err == nil) != (c.reason == "") {
			t.Errorf("%d records: got %v, want reason %q", c.records, err, c.reason)
		}
		if s != nil {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
