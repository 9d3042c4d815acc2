package keyring

import (
	"context"
	"database/sql"
	"runtime"
	"testing"
	"time"
)

// Truncate and Decimal let the RFC's vectors, which use HMAC-SHA-1, be tested.
var (
	Truncate = truncate
	Decimal  = decimal
)

// db is the vault of a keyring in keys.db.
func (k *Keyring) db() *database { return k.vault.(*database) }

// UseEpochKey makes a kid mean a fixed key, for golden codes.
func (k *Keyring) UseEpochKey(kid string, key []byte) {
	_, m, _ := look(k, k.epochs, kid)
	keep(k.epochs, m, kid, Secret(key))
}

// UseIndexKey replaces the key of the blind index.
func (k *Keyring) UseIndexKey(key []byte) { k.indexKey = key }

// SubjectKeyBytes returns the subject's key as keys.db holds it.
func (k *Keyring) SubjectKeyBytes(ctx context.Context, t testing.TB, subject string) []byte {
	t.Helper()
	row, err := k.vault.subject(ctx, subject)
	if err != nil {
		t.Fatalf("row of %s: %v", subject, err)
	}
	return row.wrapped
}

// EpochKeyBytes returns the epoch's key as keys.db holds it.
func (k *Keyring) EpochKeyBytes(ctx context.Context, t testing.TB, kid string) []byte {
	t.Helper()
	var wrapped []byte
	var destroyed int64
	if err := k.db().read.QueryRowContext(ctx, sqlEpochKey, kid).Scan(&wrapped, &destroyed); err != nil {
		t.Fatalf("row of %s: %v", kid, err)
	}
	return wrapped
}

// SecretBytes returns a secret as keys.db holds it.
func (k *Keyring) SecretBytes(ctx context.Context, t testing.TB, subject, id string) []byte {
	t.Helper()
	var sealed []byte
	if err := k.db().read.QueryRowContext(ctx, sqlSecret, subject, id).Scan(&sealed); err != nil {
		t.Fatalf("secret of %s: %v", subject, err)
	}
	return sealed
}

// Count runs a counting statement.
func (k *Keyring) Count(ctx context.Context, t testing.TB, statement string) int {
	t.Helper()
	var n int
	if err := k.db().read.QueryRowContext(ctx, statement).Scan(&n); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return n
}

// Tamper runs a statement on the writer's connection, behind the keyring's back.
func (k *Keyring) Tamper(ctx context.Context, t testing.TB, statement string, args ...any) {
	t.Helper()
	if _, err := k.db().write.db.ExecContext(ctx, statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// HoldRead opens a read transaction, as a slow reader would, until the returned
// function is called.
func (k *Keyring) HoldRead(ctx context.Context, t testing.TB) (release func()) {
	t.Helper()
	tx, err := k.db().read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM meta`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

// InBatch holds back the commit of whatever start writes until that many
// operations wait for it, so they must share one batch.
func (k *Keyring) InBatch(t testing.TB, waiting int, start func()) {
	t.Helper()
	k.db().write.turn.Lock()
	defer k.db().write.turn.Unlock()
	start()
	for deadline := time.Now().Add(time.Minute); k.db().write.waiting() < waiting; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d operations wait for one commit, want %d", k.db().write.waiting(), waiting)
		}
	}
}

func (w *writer) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next == nil {
		return 0
	}
	return len(w.next.operations)
}

// Write runs an operation that fails with err through the writer.
func (k *Keyring) Write(ctx context.Context, err error) error {
	return k.db().write.do(ctx, func(context.Context, *sql.Tx) error { return err })
}

// OpenFileKEK opens or creates kek.json of a directory.
func OpenFileKEK(dir string) (KeyEncryption, error) {
	p, err := files(dir)
	if err != nil {
		return nil, err
	}
	return p.openKEK(false)
}

// SignerBytes returns the private half of an epoch's key as keys.db holds it.
func (k *Keyring) SignerBytes(ctx context.Context, t testing.TB, epoch uint32) []byte {
	t.Helper()
	var public, wrapped []byte
	var retired int64
	if err := k.db().read.QueryRowContext(ctx, sqlSigner, epoch).Scan(&public, &wrapped, &retired); err != nil {
		t.Fatalf("row of signing epoch %d: %v", epoch, err)
	}
	return wrapped
}

// Newest is the schema version of this release.
var Newest = len(migrations)

// StopAtStep makes a rotation of the key-encryption key end with err once it
// has done that many steps.
func (k *Keyring) StopAtStep(steps int, err error) {
	k.atStep = func(string) error {
		steps--
		if steps > 0 {
			return nil
		}
		return err
	}
}

// WrappedKeys returns every wrapped key of the file.
func (k *Keyring) WrappedKeys(ctx context.Context, t testing.TB) [][]byte {
	t.Helper()
	rows, err := k.db().read.QueryContext(ctx, `SELECT value FROM meta UNION ALL SELECT wrapped FROM subject_keys WHERE destroyed_at = 9223372036854775807
UNION ALL SELECT wrapped FROM code_epochs UNION ALL SELECT wrapped FROM signing_keys WHERE retired_at = 9223372036854775807`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var keys [][]byte
	for rows.Next() {
		var key []byte
		if err := rows.Scan(&key); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return keys
}

// Pattern is a sequence to look for in a scan.
func (p Patterns) Pattern(i int) (kind string, text []byte) { return p.list[i].kind, p.list[i].text }

// ScanChunk is how many bytes a scan reads at once.
const ScanChunk = scanChunk

// Holds counts the files that scans keep open.
func (k *Keyring) Holds() int { return len(k.scanner.held) + len(k.scanner.old) }
