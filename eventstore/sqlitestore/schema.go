package sqlitestore

import (
	"database/sql/driver"
	"errors"
	"fmt"
)

// applicationID marks the file as a ledger ("AuLg"), PRAGMA application_id.
const applicationID = 0x41754c67

// migrations are applied in order; user_version counts those applied. They are
// never edited after a release and only ever add.
//
// records has no index but its rowid. by_id and by_stream are filled later, in
// sorted batches (index.go), because a unique index over random keys dirties
// one page for every event. Nothing in them is evidence: they can be rebuilt
// from records. Rows after indexed.upto may be missing from them.
//
// running is SHA-256(running of the previous record ‖ leaf), 32 zero bytes
// before the first: what the anchor is compared with.
//
// The triggers stop accidents, on any connection: INSERT OR REPLACE can only
// replace an equal sequence, and no sequence but the next is let in, so they
// do not depend on PRAGMA recursive_triggers.
var migrations = [...]string{`
CREATE TABLE origin (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), id BLOB NOT NULL CHECK (length(id) = 16)) STRICT;
INSERT INTO origin (only_row, id) VALUES (1, randomblob(16));
CREATE TABLE records (
	sequence    INTEGER PRIMARY KEY,
	id          BLOB NOT NULL,
	stream      TEXT NOT NULL,
	revision    INTEGER NOT NULL,
	type        TEXT NOT NULL,
	schema      INTEGER NOT NULL,
	recorded_at INTEGER NOT NULL,
	data        BLOB NOT NULL,
	metadata    BLOB NOT NULL,
	running     BLOB NOT NULL
) STRICT;
CREATE TRIGGER records_are_dense BEFORE INSERT ON records
WHEN NEW.sequence IS NOT (SELECT coalesce(max(sequence), 0) + 1 FROM records)
BEGIN SELECT RAISE(ABORT, 'records are appended in sequence'); END;
CREATE TRIGGER records_are_never_updated BEFORE UPDATE ON records
BEGIN SELECT RAISE(ABORT, 'records are never updated'); END;
CREATE TRIGGER records_are_never_deleted BEFORE DELETE ON records
BEGIN SELECT RAISE(ABORT, 'records are never deleted'); END;
CREATE TABLE by_id (id BLOB PRIMARY KEY, sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE by_stream (stream TEXT NOT NULL, revision INTEGER NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (stream, revision)) STRICT, WITHOUT ROWID;
CREATE TABLE indexed (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), upto INTEGER NOT NULL) STRICT;
INSERT INTO indexed (only_row, upto) VALUES (1, 0);
`,
	// Version 2 changes no table: records of version 1 were hashed by a rule that
	// no release ever had, and their chain cannot be made anew (checkFormat).
	`SELECT 1;`,
	// Version 3 remembers what was imported from another log: its newest record,
	// the newest time up to there, and by how much time went back on the way
	// (microseconds since 1970 UTC, and microseconds).
	`
CREATE TABLE imported (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), upto INTEGER NOT NULL, newest INTEGER NOT NULL, disorder INTEGER NOT NULL) STRICT;
INSERT INTO imported (only_row, upto, newest, disorder) VALUES (1, 0, 0, 0);
`,
}

// Versions of the schema that something depends on.
const (
	versionReadable = 2 // what a reader reads without a migration
	versionImported = 3 // the first with the table imported
)

// migrate brings the schema to the newest version and refuses one that is not
// exactly ours: a trigger too many or too few changes what the file promises.
func migrate(c *conn) error {
	version, err := c.integer("PRAGMA user_version")
	if err != nil {
		return refuse(startReason(err), err)
	}
	if version > int64(len(migrations)) {
		return refusef(ReasonSchemaNewer, "schema version %d, this program knows %d", version, len(migrations))
	}
	if version == 0 {
		n, err := c.integer("SELECT count(*) FROM sqlite_schema")
		if err != nil {
			return refuse(startReason(err), err)
		}
		if n > 0 {
			return refusef(ReasonSchemaUnknown, "a database of something else, with %d objects", n)
		}
	}
	if version == 1 {
		if err := checkFormat(c); err != nil {
			return err
		}
	}
	for n := version; n < int64(len(migrations)); n++ {
		step := fmt.Sprintf("BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT", migrations[n], applicationID, n+1)
		if err := c.exec(step); err != nil {
			return refuse(startReason(err), errors.Join(fmt.Errorf("apply migration %d: %w", n+1, err), rollback(c)))
		}
	}
	return checkSchema(c, len(migrations))
}

// checkFormat refuses records whose leaf hashes follow the rule of version 1.
func checkFormat(c *conn) error {
	n, err := c.integer("SELECT coalesce(max(sequence), 0) FROM records")
	if err != nil {
		return refuse(startReason(err), err)
	}
	if n > 0 {
		return refusef(ReasonFormatOld, "%d records of a build before the first release, hashed by another rule; start with a new directory", n)
	}
	return nil
}

func rollback(c *conn) error {
	if c.db.AutoCommit() {
		return nil
	}
	return c.exec("ROLLBACK")
}

// checkSchema compares with a database that the migrations up to a version just
// made.
func checkSchema(c *conn, version int) error {
	model, err := open("", "mode=memory")
	if err != nil {
		return refuse(ReasonIO, err)
	}
	defer model.close()
	for _, m := range migrations[:version] {
		if err := model.exec(m); err != nil {
			return refuse(ReasonIO, err)
		}
	}
	want, err := objects(model)
	if err != nil {
		return refuse(ReasonIO, err)
	}
	got, err := objects(c)
	if err != nil {
		return refuse(startReason(err), err)
	}
	for name := range got {
		if want[name] != got[name] {
			return refusef(ReasonSchemaUnknown, "%s is not as this program made it", name)
		}
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			return refusef(ReasonSchemaUnknown, "%s is missing", name)
		}
	}
	id, err := c.integer("PRAGMA application_id")
	if err != nil {
		return refuse(startReason(err), err)
	}
	if id != applicationID {
		return refusef(ReasonSchemaUnknown, "application id %#x, want %#x", id, applicationID)
	}
	return nil
}

func objects(c *conn) (map[string]string, error) {
	all := map[string]string{}
	err := c.query("SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema", 2, func(row []driver.Value) (bool, error) {
		name, _ := row[0].(string)
		all[name], _ = row[1].(string)
		return true, nil
	})
	return all, err
}
