package keyring

import (
	"context"
	"errors"
	"iter"

	"github.com/google/uuid"
)

// vault is where the wrapped keys lie: keys.db, or side streams that several
// nodes share. It wraps and opens nothing itself, except that a shared one asks
// for keys to be wrapped anew. Whatever it is told to keep is durable when it
// returns nil; what it is told to destroy cannot be read from it any more.
//
// Times are microseconds since 1970; alive stands where a key has no end.
type vault interface {
	// settle makes the key-encryption key that is in force the one that
	// encrypts. It may take wrapping and is called without it.
	settle(ctx context.Context) error
	// seen numbers what is known of the key-encryption keys, changedSince reports
	// whether there is news since. A key that did not open may then have been read
	// before it was wrapped anew, and opened after its older key-encryption key was
	// destroyed for all nodes.
	seen() uint64
	changedSince(ctx context.Context, seen uint64) bool
	// meta returns a value by its name: "check" or "index".
	meta(ctx context.Context, name string) ([]byte, error)
	// place names a subject in the cache and in notices of changes.
	place(subject string) string
	// watching tells how far what was read may be trusted later.
	watching() watchState

	subjectVault
	epochVault
	signerVault
	rotationVault

	// export yields every row; see Keyring.Export.
	export(ctx context.Context) iter.Seq2[Row, error]
	// take adds rows that are not there, and destroys what they say is destroyed.
	// It returns ErrDifferent when something else stands in the place of one.
	take(ctx context.Context, rows []Row) error
	// bare reports whether there is nothing but the first values.
	bare(ctx context.Context) (bool, error)
	// replaceFirst replaces the first values of a bare vault by others under the
	// same key-encryption key.
	replaceFirst(ctx context.Context, values firstValues) error

	close() error
}

// subjectVault keeps the subjects' keys and secrets. Callers hold wrapping from
// subject or addSubjects until the key is opened; so a key that a shared vault
// returns may be used: it is wrapped under the key in force.
type subjectVault interface {
	// subject returns ErrKeyNotFound for a subject that never had a key.
	subject(ctx context.Context, subject string) (subjectRow, error)
	// addSubjects adds the missing ones and returns the rows that stand then,
	// in order: of several callers with one new subject, all get the key of
	// whoever came first. kek is what they are wrapped under.
	addSubjects(ctx context.Context, now int64, subjects []string, wrapped [][]byte, kek string) ([]subjectRow, error)
	// destroySubjects also forbids the keys of subjects that never had one.
	destroySubjects(ctx context.Context, now int64, subjects []string) error
	keyID(ctx context.Context, subject string) (string, error)

	// secret returns ErrSecretNotFound when there is none.
	secret(ctx context.Context, subject, id string) ([]byte, error)
	secrets(ctx context.Context, subject string) ([]secretRow, error)
	// putSecret looks at the key again: a subject that was erased since the
	// secret was sealed must not get a row. Then it returns ErrKeyDestroyed.
	putSecret(ctx context.Context, subject string, s secretRow) error
	deleteSecret(ctx context.Context, now int64, subject, id string) error
}

// epochVault keeps the keys of the codes.
type epochVault interface {
	// livingEpoch returns the last living one of a day, or ErrKeyNotFound.
	livingEpoch(ctx context.Context, day int64) (kid string, err error)
	// addEpoch adds one unless its day has a living one, and returns the kid
	// that is in use then. With a note it is added in any case and noted in the
	// same commit, the note completed by the one before and its number.
	addEpoch(ctx context.Context, e epochRow, note *Rotation) (kid string, err error)
	// epoch returns ErrKeyNotFound for a kid that was never issued.
	epoch(ctx context.Context, kid string) (epochRow, error)
	// expireEpochs destroys those of the newest day and before, and returns
	// their kids.
	expireEpochs(ctx context.Context, now, newest int64) ([]string, error)
	// epochs lists all in order of creation, without the keys.
	epochs(ctx context.Context) ([]epochRow, error)
}

// signerVault keeps the keys that sign.
type signerVault interface {
	// addSigner adds the key that forge makes for the next epoch. With a note,
	// which gets its number, both are added in one commit.
	addSigner(ctx context.Context, forge func(epoch uint32) (signerRow, error), note func(signerRow) Rotation) (signerRow, Rotation, error)
	// signer returns ErrKeyNotFound for an epoch that was never created.
	signer(ctx context.Context, epoch uint32) (signerRow, error)
	// signers lists all in order of their epochs, without the private halves.
	signers(ctx context.Context) ([]signerRow, error)
	// retireSigner returns ErrKeyNotFound for an epoch that was never created.
	retireSigner(ctx context.Context, epoch uint32, now int64) error
}

// rotationVault keeps the notes of rotations and wraps keys anew.
type rotationVault interface {
	// rotationOf returns the note of a request, or ErrKeyNotFound.
	rotationOf(ctx context.Context, request uuid.UUID) (Rotation, error)
	rotations(ctx context.Context, after int64) ([]Rotation, error)
	// noteOnce notes the end of a rotation of the key-encryption key unless
	// there is a note of the same new key, which it returns then.
	noteOnce(ctx context.Context, r Rotation) (Rotation, error)
	// underWay finds a rotation of the key-encryption key that was not finished,
	// and the key before it. It may take wrapping.
	underWay(ctx context.Context) (from string, ok bool, err error)
	// rewrap replaces every living wrapped key by what the functions make of it
	// and calls step after each part. It returns how many it replaced, and can
	// be begun again after an error.
	rewrap(ctx context.Context, w rewrapping, step func(string) error) (int, error)
	// scrub leaves no copy of what was replaced, as far as that is possible.
	scrub(ctx context.Context) error
	// counts are the lines of Keyring.Keys that count.
	counts(ctx context.Context) ([]KeyInfo, error)
}

// rewrapping wraps keys anew, by kind.
type rewrapping struct {
	subject func(ctx context.Context, subject string, wrapped []byte) ([]byte, error)
	raw     func(ctx context.Context, kind, name string, wrapped []byte) ([]byte, error) // kind "check" and "index" have no name
}

// subjectRow is the key of one subject.
type subjectRow struct {
	wrapped     []byte
	destroyedAt int64
}

// secretRow is one secret of a subject.
type secretRow struct {
	id        string
	changedAt int64
	sealed    []byte
}

// epochRow is the key of the codes of a day. kek is what a new one is wrapped
// under.
type epochRow struct {
	kid, kek                    string
	day, createdAt, destroyedAt int64
	wrapped                     []byte
}

// signerRow is a key that signs. kek is what a new one is wrapped under.
type signerRow struct {
	kek                  string
	epoch                uint32
	createdAt, retiredAt int64
	public, wrapped      []byte
}

// errKEKMoved says that another key-encryption key came into force between
// settle and the end of a call, which then begins again.
var errKEKMoved = errors.New("another key-encryption key came into force")

// maxMoves limits how often a call begins again: rotations are rare.
const maxMoves = 8

// withKEK runs what wraps or opens keys, under the key-encryption key in force
// and while no rotation changes it.
func (k *Keyring) withKEK(ctx context.Context, do func() error) error {
	var err error
	for range maxMoves {
		seen := k.vault.seen()
		if err = k.underKEK(ctx, do); !k.moved(ctx, seen, err) {
			return err
		}
	}
	return err
}

func (k *Keyring) underKEK(ctx context.Context, do func() error) error {
	if err := k.vault.settle(ctx); err != nil {
		return err
	}
	k.wrapping.RLock()
	defer k.wrapping.RUnlock()
	return do()
}

// moved reports whether a call is to begin again.
func (k *Keyring) moved(ctx context.Context, seen uint64, err error) bool {
	var unknown *unknownKEKError
	switch {
	case errors.Is(err, errKEKMoved):
		return true
	case errors.Is(err, ErrNotAuthentic), errors.As(err, &unknown):
		return k.vault.changedSince(ctx, seen)
	}
	return false
}

// wrapOne runs what wraps one thing and names the key-encryption key that did.
// One that all nodes ask may change at any moment.
func (k *Keyring) wrapOne(wrap func() error) (kek string, err error) {
	kek = k.kek.ID()
	if err := wrap(); err != nil {
		return "", err
	}
	if k.kek.ID() != kek {
		return "", errKEKMoved
	}
	return kek, nil
}
