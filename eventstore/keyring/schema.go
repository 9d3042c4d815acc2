package keyring

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// migrations bring keys.db from one schema version to the next; the first one
// makes version 1. They are never edited, and an empty file goes through all of
// them, so that a schema does not depend on the file's history.
//
// Rows that hold wrapped keys are only ever appended. A destroyed key is
// overwritten in place by as many zero bytes, and a key that is wrapped anew by
// as many other ones. secure_delete promises to zero what is deleted; it says
// nothing of copies left behind by rows that moved when a page was split or
// merged. Rows that never move leave none. For the same reason destroyed_at
// and retired_at have the same width before (alive) and after.
var migrations = [][]string{
	{
		`CREATE TABLE meta (
	name  TEXT NOT NULL PRIMARY KEY,
	value BLOB NOT NULL
) STRICT`,
		`CREATE TABLE subject_keys (
	n            INTEGER PRIMARY KEY,
	subject      TEXT NOT NULL UNIQUE,
	created_at   INTEGER NOT NULL,
	destroyed_at INTEGER NOT NULL,
	wrapped      BLOB NOT NULL
) STRICT`,
		`CREATE TABLE code_epochs (
	n            INTEGER PRIMARY KEY,
	kid          TEXT NOT NULL UNIQUE,
	day          INTEGER NOT NULL,
	created_at   INTEGER NOT NULL,
	destroyed_at INTEGER NOT NULL,
	wrapped      BLOB NOT NULL
) STRICT`,
		`CREATE UNIQUE INDEX living_epoch ON code_epochs (day) WHERE destroyed_at = 9223372036854775807`,
		`CREATE TABLE secrets (
	n          INTEGER PRIMARY KEY,
	subject    TEXT NOT NULL,
	id         TEXT NOT NULL,
	changed_at INTEGER NOT NULL,
	sealed     BLOB NOT NULL,
	UNIQUE (subject, id)
) STRICT`,
	},
	// Version 2: keys that sign checkpoints; a day may have several living
	// code epochs, of which the last one is in use; rotations are noted, so that
	// the ledger can record them after a crash and a repeated request meets its
	// own.
	{
		`CREATE TABLE signing_keys (
	n          INTEGER PRIMARY KEY,
	epoch      INTEGER NOT NULL UNIQUE,
	created_at INTEGER NOT NULL,
	retired_at INTEGER NOT NULL,
	public     BLOB NOT NULL,
	wrapped    BLOB NOT NULL
) STRICT`,
		`CREATE TABLE rotations (
	n           INTEGER PRIMARY KEY,
	request     BLOB NOT NULL UNIQUE,
	kind        TEXT NOT NULL,
	rotated_at  INTEGER NOT NULL,
	key_id      TEXT NOT NULL,
	previous_id TEXT NOT NULL,
	epoch       INTEGER NOT NULL,
	rewrapped   INTEGER NOT NULL
) STRICT`,
		`DROP INDEX living_epoch`,
		`CREATE INDEX epoch_of_day ON code_epochs (day, n)`,
	},
}

const (
	// alive stands in destroyed_at and retired_at while the key lives.
	alive = int64(9223372036854775807)

	sqlVersion    = `PRAGMA user_version`
	sqlSetVersion = `PRAGMA user_version = %d`
	sqlSchema     = `SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid`
	sqlQuickCheck = `PRAGMA quick_check(1)`
	sqlPutMeta    = `INSERT INTO meta (name, value) VALUES (?, ?)`
)

// schemaOf lists the statements that a file of a version holds, in the order
// of their creation.
func schemaOf(version int) []string {
	var held []string
	for _, m := range migrations[:version] {
		for _, s := range m {
			if dropped, ok := strings.CutPrefix(s, "DROP INDEX "); ok {
				held = slices.DeleteFunc(held, func(h string) bool { return strings.Contains(h, "INDEX "+dropped+" ON") })
				continue
			}
			held = append(held, s)
		}
	}
	return held
}

// migrate brings an empty file or one of an older release to the newest
// schema in one transaction. A written file must be whole and exactly ours: a
// trigger somebody added could copy keys.
func (d *database) migrate(ctx context.Context, ledgerNotEmpty bool, first func(context.Context) (firstValues, error)) error {
	path := d.path
	var version int
	if err := d.write.db.QueryRowContext(ctx, sqlVersion).Scan(&version); err != nil {
		return startFailure(path, err)
	}
	if version > len(migrations) {
		return &StartError{Reason: SchemaNewer, Path: path, Detail: fmt.Sprintf("schema version %d, this release knows %d", version, len(migrations))}
	}
	var check string
	if err := d.write.db.QueryRowContext(ctx, sqlQuickCheck).Scan(&check); err != nil {
		return startFailure(path, err)
	}
	if check != "ok" {
		return &StartError{Reason: KeysCorrupt, Path: path, Detail: "SQLite's quick_check found damage"}
	}
	found, err := d.schema(ctx)
	if err != nil {
		return startFailure(path, err)
	}
	ours := version >= 0 && slices.Equal(found, schemaOf(max(version, 0)))
	if !ours || version == 0 && ledgerNotEmpty {
		return &StartError{Reason: KeysCorrupt, Path: path, Detail: fmt.Sprintf("schema version %d with %d objects is not ours", version, len(found))}
	}
	return d.upgrade(ctx, version, first)
}

func (d *database) schema(ctx context.Context) ([]string, error) {
	rows, err := d.write.db.QueryContext(ctx, sqlSchema)
	if err != nil {
		return nil, err
	}
	return scanTexts(rows)
}

// upgrade runs the migrations that a file lacks: all of them or none. A new
// file also gets its first values.
func (d *database) upgrade(ctx context.Context, version int, first func(context.Context) (firstValues, error)) error {
	if version == len(migrations) {
		return nil
	}
	var values firstValues
	if version == 0 {
		var err error
		if values, err = first(ctx); err != nil {
			return err
		}
	}
	return d.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, s := range slices.Concat(migrations[version:]...) {
			if _, err := tx.ExecContext(ctx, s); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf(sqlSetVersion, len(migrations)))
		if version > 0 {
			return err
		}
		return errors.Join(err, values.put(ctx, tx))
	})
}

func (v firstValues) put(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, sqlPutMeta, "check", v.check); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, sqlPutMeta, "index", v.index)
	return err
}
