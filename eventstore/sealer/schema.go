package sealer

import (
	"context"
	"database/sql"
	"fmt"
)

// applicationID marks the file as a ledger's proof ("AuLp"), PRAGMA
// application_id.
const applicationID = 0x41754c70

// schema is what both versions of proof.db have. The triggers stop accidents: who can write
// the file can drop them. What is proof are the signatures, and the copies that
// others hold.
//
// tiles grow in place: their data may get longer but what is there stays.
// checkpoints are dense from revision 1; neither size nor time goes back. Times
// are microseconds since 1970 UTC.
const schema = `
CREATE TABLE origin (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), name TEXT NOT NULL) STRICT;
CREATE TABLE epochs (
	epoch     INTEGER PRIMARY KEY,
	from_size INTEGER NOT NULL,
	public    BLOB NOT NULL CHECK (length(public) = 32)
) STRICT;
CREATE TABLE checkpoints (
	revision  INTEGER PRIMARY KEY,
	size      INTEGER NOT NULL,
	root      BLOB NOT NULL CHECK (length(root) = 32),
	signed    BLOB NOT NULL,
	signed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX checkpoints_by_size ON checkpoints (size, revision);
CREATE TABLE cosignatures (revision INTEGER NOT NULL, line TEXT NOT NULL, PRIMARY KEY (revision, line)) STRICT, WITHOUT ROWID;
CREATE TABLE stamps (
	revision  INTEGER NOT NULL,
	authority TEXT NOT NULL,
	token     BLOB NOT NULL,
	PRIMARY KEY (revision, authority, token)
) STRICT;
CREATE TABLE tiles (level INTEGER NOT NULL, n INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (level, n)) STRICT;
CREATE TRIGGER origin_is_never_updated BEFORE UPDATE ON origin
BEGIN SELECT RAISE(ABORT, 'the origin is never updated'); END;
CREATE TRIGGER origin_is_never_deleted BEFORE DELETE ON origin
BEGIN SELECT RAISE(ABORT, 'the origin is never deleted'); END;
CREATE TRIGGER epochs_are_never_updated BEFORE UPDATE ON epochs
BEGIN SELECT RAISE(ABORT, 'signing keys are never updated'); END;
CREATE TRIGGER epochs_are_never_deleted BEFORE DELETE ON epochs
BEGIN SELECT RAISE(ABORT, 'signing keys are never deleted'); END;
CREATE TRIGGER checkpoints_are_dense BEFORE INSERT ON checkpoints
WHEN NEW.revision IS NOT (SELECT coalesce(max(revision), 0) + 1 FROM checkpoints)
BEGIN SELECT RAISE(ABORT, 'checkpoints are appended in order'); END;
CREATE TRIGGER checkpoints_go_forward BEFORE INSERT ON checkpoints
WHEN EXISTS (SELECT 1 FROM checkpoints WHERE revision = NEW.revision - 1 AND (size > NEW.size OR signed_at > NEW.signed_at))
BEGIN SELECT RAISE(ABORT, 'size and time of checkpoints do not go back'); END;
CREATE TRIGGER checkpoints_are_never_updated BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are never updated'); END;
CREATE TRIGGER checkpoints_are_never_deleted BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are never deleted'); END;
CREATE TRIGGER cosignatures_are_never_updated BEFORE UPDATE ON cosignatures
BEGIN SELECT RAISE(ABORT, 'cosignatures are never updated'); END;
CREATE TRIGGER cosignatures_are_never_deleted BEFORE DELETE ON cosignatures
BEGIN SELECT RAISE(ABORT, 'cosignatures are never deleted'); END;
CREATE TRIGGER stamps_are_never_updated BEFORE UPDATE ON stamps
BEGIN SELECT RAISE(ABORT, 'time stamps are never updated'); END;
CREATE TRIGGER stamps_are_never_deleted BEFORE DELETE ON stamps
BEGIN SELECT RAISE(ABORT, 'time stamps are never deleted'); END;
CREATE TRIGGER tiles_only_grow BEFORE UPDATE ON tiles
WHEN NEW.level IS NOT OLD.level OR NEW.n IS NOT OLD.n OR substr(NEW.data, 1, length(OLD.data)) IS NOT OLD.data
BEGIN SELECT RAISE(ABORT, 'tiles only grow'); END;
CREATE TRIGGER tiles_are_never_deleted BEFORE DELETE ON tiles
BEGIN SELECT RAISE(ABORT, 'tiles are never deleted'); END;
`

// followedTable is what version 2 has besides. A stream of what others say of
// checkpoints is kept here up to an entry.
const followedTable = `
CREATE TABLE followed (stream TEXT PRIMARY KEY, entries INTEGER NOT NULL) STRICT;
`

// version of the schema, PRAGMA user_version. It says what the file is worth:
// the two are never taken for each other.
type version int

const (
	onlyHistory version = 1 // the file is the history of checkpoints
	copyOfMany  version = 2 // a node's copy of a history that several nodes share
)

func (v version) schema() string {
	if v == copyOfMany {
		return schema + followedTable
	}
	return schema
}

// makeSchema makes the tables of a new file, in one transaction.
func makeSchema(ctx context.Context, db *sql.DB, v version) error {
	var objects int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&objects); err != nil {
		return refuse(fileReason(err), err)
	}
	if objects > 0 {
		return nil // checkSchema says whether they are ours
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return refuse(fileReason(err), err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	text := fmt.Sprintf("%s PRAGMA application_id = %d; PRAGMA user_version = %d;", v.schema(), applicationID, v)
	if _, err := tx.ExecContext(ctx, text); err != nil {
		return refuse(fileReason(err), fmt.Errorf("make tables: %w", err))
	}
	if err := tx.Commit(); err != nil {
		return refuse(fileReason(err), fmt.Errorf("make tables: %w", err))
	}
	return nil
}

// checkReadable is checkSchema for those who read either version.
func checkReadable(ctx context.Context, db *sql.DB) error {
	got, err := pragma(ctx, db, "user_version")
	if err != nil {
		return err
	}
	if version(got) == copyOfMany {
		return checkSchema(ctx, db, copyOfMany)
	}
	return checkSchema(ctx, db, onlyHistory)
}

func pragma(ctx context.Context, db *sql.DB, name string) (value int, err error) {
	if err := db.QueryRowContext(ctx, "PRAGMA "+name).Scan(&value); err != nil {
		return 0, refuse(fileReason(err), err)
	}
	return value, nil
}

// checkSchema refuses a file that is not exactly as makeSchema makes it: a
// trigger too many or too few changes what it promises.
func checkSchema(ctx context.Context, db *sql.DB, v version) error {
	kind, err := pragma(ctx, db, "user_version")
	if err != nil {
		return err
	}
	mark, err := pragma(ctx, db, "application_id")
	switch {
	case err != nil:
		return err
	case mark != applicationID:
		return refusef(ProofSchema, "application_id is %#x, want %#x", mark, applicationID)
	case v == copyOfMany && version(kind) == onlyHistory:
		return refusef(ProofSchema, "it is the only history of a ledger that is kept in this directory: move it with `authledger migrate`, or give the node a directory of its own")
	case v == onlyHistory && version(kind) == copyOfMany:
		return refusef(ProofSchema, "it is a node's copy of a history that several nodes share, not the history of a ledger in this directory")
	case version(kind) != v:
		return refusef(ProofSchema, "user_version is %#x, want %#x", kind, v)
	}
	model := openPool(":memory:", "", 1)
	defer model.Close()
	if _, err := model.ExecContext(ctx, v.schema()); err != nil {
		return refuse(ProofIO, err)
	}
	want, err := objects(ctx, model)
	if err != nil {
		return refuse(ProofIO, err)
	}
	got, err := objects(ctx, db)
	if err != nil {
		return refuse(fileReason(err), err)
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			return refusef(ProofSchema, "%s is not ours", name)
		}
	}
	for name := range want {
		if want[name] != got[name] {
			return refusef(ProofSchema, "%s is not as this program made it", name)
		}
	}
	return nil
}

func objects(ctx context.Context, db *sql.DB) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, `SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, err
		}
		all[name] = text
	}
	return all, rows.Err()
}
