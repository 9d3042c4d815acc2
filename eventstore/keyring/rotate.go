package keyring

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// RotationKind says what was replaced by a new key.
type RotationKind string

// The kinds of rotation.
const (
	// KindKeyEncryption is the key that wraps all others.
	KindKeyEncryption RotationKind = "key_encryption"
	// KindCodeEpoch is the key of the codes of the day.
	KindCodeEpoch RotationKind = "code_epoch"
	// KindSigning is the key that signs checkpoints.
	KindSigning RotationKind = "signing"
)

// Rotation is one finished rotation, kept in keys.db so that the ledger can
// record it also when the process ended in between.
type Rotation struct {
	Number    int64     // counts from 1 within this keyring
	Request   uuid.UUID // of whoever asked for it
	Kind      RotationKind
	At        time.Time         // UTC
	From      string            // id of the key that was in use; empty when there was none
	To        string            // id of the new key
	Epoch     uint32            // of the new signing key, else 0
	Public    ed25519.PublicKey // the new signing key, else nil
	Rewrapped int               // keys that were wrapped anew, for KindKeyEncryption
}

const (
	sqlPutRotation = `INSERT INTO rotations (request, kind, rotated_at, key_id, previous_id, epoch, rewrapped)
VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING n`
	sqlSelectRotation = `SELECT r.n, r.request, r.kind, r.rotated_at, r.key_id, r.previous_id, r.epoch, r.rewrapped, s.public
FROM rotations r LEFT JOIN signing_keys s ON s.epoch = r.epoch `
	sqlRotationOf      = sqlSelectRotation + `WHERE r.kind = ? AND r.key_id = ?`
	sqlRotationAskedBy = sqlSelectRotation + `WHERE r.request = ?`
	sqlRotations       = sqlSelectRotation + `WHERE r.n > ? ORDER BY r.n`

	sqlMetaToRewrap    = `SELECT rowid, name, value FROM meta WHERE rowid > ? ORDER BY rowid LIMIT ?`
	sqlSubjectToRewrap = `SELECT n, subject, wrapped FROM subject_keys WHERE n > ? AND destroyed_at = 9223372036854775807 ORDER BY n LIMIT ?`
	sqlEpochToRewrap   = `SELECT n, kid, wrapped FROM code_epochs WHERE n > ? AND destroyed_at = 9223372036854775807 ORDER BY n LIMIT ?`
	sqlSignerToRewrap  = `SELECT n, CAST(epoch AS TEXT), wrapped FROM signing_keys WHERE n > ? AND retired_at = 9223372036854775807 ORDER BY n LIMIT ?`

	// A row that was destroyed since it was read has other bytes and is left
	// alone.
	sqlRewrapMeta    = `UPDATE meta SET value = ?3 WHERE rowid = ?1 AND value = ?2`
	sqlRewrapSubject = `UPDATE subject_keys SET wrapped = ?3 WHERE n = ?1 AND wrapped = ?2`
	sqlRewrapEpoch   = `UPDATE code_epochs SET wrapped = ?3 WHERE n = ?1 AND wrapped = ?2`
	sqlRewrapSigner  = `UPDATE signing_keys SET wrapped = ?3 WHERE n = ?1 AND wrapped = ?2`
)

// rewrapAtOnce is how many keys are wrapped anew in one commit. Other callers
// get their turn between two commits.
const rewrapAtOnce = 256

// Rotate puts a new key in the place of the one in use, once for each request:
// asked again, it finishes what was begun and answers what was done. A rotation
// of the key-encryption key that another request left unfinished is finished
// instead of beginning a new one. It returns ErrInvalid when the request asked
// for another kind before.
func (k *Keyring) Rotate(ctx context.Context, kind RotationKind, request uuid.UUID) (Rotation, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return Rotation{}, err
	}
	defer leave()
	k.rotating.Lock()
	defer k.rotating.Unlock()
	r, err := k.rotate(ctx, kind, request)
	if err != nil {
		return Rotation{}, fmt.Errorf("rotate %s key: %w", kind, err)
	}
	return r, nil
}

func (k *Keyring) rotate(ctx context.Context, kind RotationKind, request uuid.UUID) (Rotation, error) {
	if request == uuid.Nil {
		return Rotation{}, fmt.Errorf("%w: no id of the request", ErrInvalid)
	}
	done, err := scanRotation(k.read.QueryRowContext(ctx, sqlRotationAskedBy, request[:]))
	switch {
	case err == nil && done.Kind != kind:
		return Rotation{}, fmt.Errorf("%w: the request rotated the %s key", ErrInvalid, done.Kind)
	case err == nil && !k.unfinished(done):
		return done, nil
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return Rotation{}, storage("read rotation", err)
	}
	switch kind {
	case KindKeyEncryption:
		return k.rotateKEK(ctx, request)
	case KindCodeEpoch:
		return k.rotateCodeEpoch(ctx, request)
	case KindSigning:
		return k.rotateSigningKey(ctx, request)
	}
	return Rotation{}, fmt.Errorf("%w: no such kind of key", ErrInvalid)
}

// unfinished reports whether a note is of the rotation under way, whose older
// key still decrypts: the note comes before the last step.
func (k *Keyring) unfinished(r Rotation) bool {
	return r.Kind == KindKeyEncryption && r.To == k.kek.ID() && len(k.kek.Older()) > 0
}

// RotateKEK replaces the key-encryption key: a new one is made durable, every
// key in keys.db is wrapped with it, and the old one is destroyed, after which
// it opens nothing. Other calls go on meanwhile. After an error or a crash the
// keyring works with both keys, and RotateKEK finishes that rotation instead of
// beginning another; Keys shows the older key until then.
func (k *Keyring) RotateKEK(ctx context.Context) (Rotation, error) {
	return k.Rotate(ctx, KindKeyEncryption, uuid.New())
}

// RotateCodeEpoch gives today's codes a new key, for when the present one may
// be known to others. Codes that were issued under the old one can be verified
// until it expires; whoever wants them void ends their processes.
func (k *Keyring) RotateCodeEpoch(ctx context.Context) (Rotation, error) {
	return k.Rotate(ctx, KindCodeEpoch, uuid.New())
}

// RotateSigningKey creates the key of the next epoch, as NewSigningKey does,
// and notes it as a rotation in the same commit. Whoever signs hands over when
// the ledger records it.
func (k *Keyring) RotateSigningKey(ctx context.Context) (Rotation, error) {
	return k.Rotate(ctx, KindSigning, uuid.New())
}

func (k *Keyring) rotateKEK(ctx context.Context, request uuid.UUID) (Rotation, error) {
	from, err := k.changePrimary(ctx)
	if err != nil {
		return Rotation{}, err
	}
	rewrapped, err := k.rewrapAll(ctx)
	if err != nil {
		return Rotation{}, err
	}
	if err := k.write.scrub(ctx); err != nil {
		return Rotation{}, err
	}
	if err := k.step("scrubbed"); err != nil {
		return Rotation{}, err
	}
	// Before the old key goes: afterwards nothing would tell a restarted
	// process that there was a rotation.
	r, err := k.noteOnce(ctx, Rotation{Request: request, Kind: KindKeyEncryption, From: from, To: k.kek.ID(), Rewrapped: rewrapped})
	if err != nil {
		return Rotation{}, err
	}
	if err := k.step("noted"); err != nil {
		return Rotation{}, err
	}
	k.wrapping.Lock()
	err = k.kek.Retire(ctx)
	k.wrapping.Unlock()
	if err != nil {
		return Rotation{}, err
	}
	return r, k.step("retired")
}

// changePrimary makes a new key the primary one, or finds the rotation that was
// not finished, and names the key that was primary before.
func (k *Keyring) changePrimary(ctx context.Context) (from string, err error) {
	if older := k.kek.Older(); len(older) > 0 {
		return older[len(older)-1], nil
	}
	from = k.kek.ID()
	k.wrapping.Lock()
	err = k.kek.Rotate(ctx)
	k.wrapping.Unlock()
	if err != nil {
		return "", err
	}
	return from, k.step("new key")
}

func (k *Keyring) step(name string) error {
	if k.atStep == nil {
		return nil
	}
	return k.atStep(name)
}

// wrappedTable is one table of wrapped keys. Its rows are selected from a number
// on as number, name and wrapped key, and one is replaced by number and old
// bytes.
type wrappedTable struct {
	list, replace string
	rewrap        func(ctx context.Context, name string, wrapped []byte) ([]byte, error)
}

func (k *Keyring) rewrapAll(ctx context.Context) (int, error) {
	raw := func(kind string) func(context.Context, string, []byte) ([]byte, error) {
		return func(ctx context.Context, name string, wrapped []byte) ([]byte, error) {
			return k.rewrapData(ctx, wrapData(kind, name), wrapped)
		}
	}
	total := 0
	for _, t := range []wrappedTable{
		{sqlMetaToRewrap, sqlRewrapMeta, func(ctx context.Context, name string, wrapped []byte) ([]byte, error) {
			return k.rewrapData(ctx, wrapData(name, ""), wrapped)
		}},
		{sqlSubjectToRewrap, sqlRewrapSubject, k.rewrapSubject},
		{sqlEpochToRewrap, sqlRewrapEpoch, raw("epoch")},
		{sqlSignerToRewrap, sqlRewrapSigner, raw("signing")},
	} {
		n, err := k.rewrapTable(ctx, t)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// rewrapTable wraps every living key of a table anew. Keys that come meanwhile
// are wrapped with the new key already; doing them again is harmless.
func (k *Keyring) rewrapTable(ctx context.Context, t wrappedTable) (int, error) {
	total := 0
	for after := int64(0); ; {
		batch, err := k.wrappedRows(ctx, t, after)
		if err != nil || len(batch) == 0 {
			return total, err
		}
		after = batch[len(batch)-1].n
		replaced, err := k.replaceWrapped(ctx, t, batch)
		total += replaced
		if err == nil {
			err = k.step("batch")
		}
		if err != nil {
			return total, err
		}
	}
}

// wrappedRow is a key before and after.
type wrappedRow struct {
	n        int64
	old, new []byte
}

func (k *Keyring) wrappedRows(ctx context.Context, t wrappedTable, after int64) ([]wrappedRow, error) {
	rows, err := k.read.QueryContext(ctx, t.list, after, rewrapAtOnce)
	if err != nil {
		return nil, storage("read wrapped keys", err)
	}
	defer rows.Close()
	var batch []wrappedRow
	for rows.Next() {
		var r wrappedRow
		var name string
		if err := rows.Scan(&r.n, &name, &r.old); err != nil {
			return nil, storage("read wrapped keys", err)
		}
		if r.new, err = t.rewrap(ctx, name, r.old); err != nil {
			return nil, fmt.Errorf("wrap %s anew: %w", name, err)
		}
		if len(r.new) != len(r.old) {
			return nil, fmt.Errorf("wrap %s anew: %d bytes became %d; the key-encryption key must keep the length", name, len(r.old), len(r.new))
		}
		batch = append(batch, r)
	}
	return batch, storage("read wrapped keys", rows.Err())
}

func (k *Keyring) replaceWrapped(ctx context.Context, t wrappedTable, batch []wrappedRow) (int, error) {
	replaced := 0
	err := k.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, r := range batch {
			result, err := tx.ExecContext(ctx, t.replace, r.n, r.old, r.new)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			replaced += int(n)
		}
		return nil
	})
	return replaced, err
}

func (k *Keyring) rewrapData(ctx context.Context, place, wrapped []byte) ([]byte, error) {
	key, err := k.kek.Decrypt(ctx, wrapped, place)
	if err != nil {
		return nil, unwrapFailure(err)
	}
	defer clear(key)
	return k.kek.Encrypt(ctx, key, place)
}

func (k *Keyring) rewrapSubject(ctx context.Context, subject string, wrapped []byte) ([]byte, error) {
	h, err := k.subjectHandle(ctx, subject, wrapped)
	if err != nil {
		return nil, err
	}
	return k.wrapHandle(ctx, subject, h)
}

// noteOnce notes a rotation unless there is a note of the same new key, which
// an unfinished rotation left.
func (k *Keyring) noteOnce(ctx context.Context, r Rotation) (Rotation, error) {
	r.At = time.UnixMicro(k.now()).UTC()
	err := k.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		noted, err := scanRotation(tx.QueryRowContext(ctx, sqlRotationOf, r.Kind, r.To))
		if !errors.Is(err, sql.ErrNoRows) {
			r = noted
			return err
		}
		return putRotation(ctx, tx, &r)
	})
	return r, err
}

// putRotation stores a note and gives it its number.
func putRotation(ctx context.Context, tx *sql.Tx, r *Rotation) error {
	return tx.QueryRowContext(ctx, sqlPutRotation, r.Request[:], r.Kind, r.At.UnixMicro(), r.To, r.From, r.Epoch, r.Rewrapped).Scan(&r.Number)
}

func scanRotation(row interface{ Scan(...any) error }) (Rotation, error) {
	var r Rotation
	var request, public []byte
	var at int64
	if err := row.Scan(&r.Number, &request, &r.Kind, &at, &r.To, &r.From, &r.Epoch, &r.Rewrapped, &public); err != nil {
		return Rotation{}, err
	}
	r.At, r.Public = time.UnixMicro(at).UTC(), public
	var err error
	r.Request, err = uuid.FromBytes(request)
	return r, err
}

// Rotations lists the finished rotations after a number, in order.
func (k *Keyring) Rotations(ctx context.Context, after int64) ([]Rotation, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	rows, err := k.read.QueryContext(ctx, sqlRotations, after)
	if err != nil {
		return nil, storage("list rotations", err)
	}
	defer rows.Close()
	var list []Rotation
	for rows.Next() {
		r, err := scanRotation(rows)
		if err != nil {
			return nil, storage("list rotations", err)
		}
		if !k.unfinished(r) {
			list = append(list, r)
		}
	}
	return list, storage("list rotations", rows.Err())
}

func (k *Keyring) rotateCodeEpoch(ctx context.Context, request uuid.UUID) (Rotation, error) {
	now := k.clock().UTC().Truncate(time.Microsecond)
	day := now.Truncate(epochLength)
	k.wrapping.RLock()
	defer k.wrapping.RUnlock()
	kid, wrapped, err := k.newEpoch(ctx, day.Format(kidDayLayout))
	if err != nil {
		return Rotation{}, err
	}
	r := Rotation{Request: request, Kind: KindCodeEpoch, At: now, To: kid}
	err = k.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, sqlLivingEpoch, day.UnixMicro()).Scan(&r.From)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if _, err := tx.ExecContext(ctx, sqlAddEpoch, kid, day.UnixMicro(), now.UnixMicro(), wrapped); err != nil {
			return err
		}
		return putRotation(ctx, tx, &r)
	})
	k.current.clear()
	return r, err
}

func (k *Keyring) rotateSigningKey(ctx context.Context, request uuid.UUID) (Rotation, error) {
	var r Rotation
	_, err := k.addSigner(ctx, func(ctx context.Context, tx *sql.Tx, key SigningKey) error {
		r = Rotation{Request: request, Kind: KindSigning, At: key.CreatedAt, To: signerName(key.Epoch), Epoch: key.Epoch, Public: key.Public}
		if key.Epoch > 1 {
			r.From = signerName(key.Epoch - 1)
		}
		return putRotation(ctx, tx, &r)
	})
	return r, err
}

// signerName is the id of a signing key in events and lists: "s" and the epoch.
func signerName(epoch uint32) string { return "s" + epochName(epoch) }
