package merkle

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	cosigned "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/authledger/authledger/eventstore"
)

// Errors of checkpoints. Compare with errors.Is.
var (
	// ErrCheckpoint means text that is not a checkpoint of ours.
	ErrCheckpoint = errors.New("malformed checkpoint")
	// ErrSignature means that the key in force at that size did not sign it.
	ErrSignature = errors.New("checkpoint is not signed by the log's key")
)

// MaxCheckpoint limits a signed checkpoint with all its cosignatures, in bytes.
const MaxCheckpoint = 64 << 10

// Checkpoint is a tree head: what a signature of the log commits to
// (C2SP tlog-checkpoint, without extension lines).
type Checkpoint struct {
	Origin string // name of the log
	Size   uint64 // records
	Root   eventstore.Hash
}

// Text is the body that is signed: three lines.
func (c Checkpoint) Text() string {
	return c.Origin + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// ParseText reads exactly what Text writes.
func ParseText(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 {
		return Checkpoint{}, fmt.Errorf("%w: %d lines, want 3", ErrCheckpoint, len(lines)-1)
	}
	size, sizeErr := strconv.ParseUint(lines[1], 10, 63)
	root, rootErr := base64.StdEncoding.DecodeString(lines[2])
	c := Checkpoint{Origin: lines[0], Size: size}
	if copy(c.Root[:], root); sizeErr != nil || rootErr != nil || len(root) != len(c.Root) || c.Text() != text {
		return Checkpoint{}, fmt.Errorf("%w: want origin, decimal size and the root in base64", ErrCheckpoint)
	}
	return c, CheckOrigin(c.Origin)
}

// CheckOrigin accepts what may name a log: like a URL without a scheme, as
// ledger.broker.example/prod. It is also the name of the log's keys.
func CheckOrigin(origin string) error {
	if origin == "" || len(origin) > 100 || strings.ContainsFunc(origin, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '+' }) {
		return fmt.Errorf("origin %q: want 1 to 100 visible ASCII characters without + and space", origin)
	}
	return nil
}

// Unverified reads the checkpoint of a signed note without looking at its
// signatures.
func Unverified(signed []byte) (Checkpoint, error) {
	if len(signed) > MaxCheckpoint {
		return Checkpoint{}, fmt.Errorf("%w: %d bytes, at most %d", ErrCheckpoint, len(signed), MaxCheckpoint)
	}
	text, lines, ok := strings.Cut(string(signed), "\n\n")
	if !ok {
		return Checkpoint{}, fmt.Errorf("%w: no blank line before the signatures", ErrCheckpoint)
	}
	if err := checkLines(lines); err != nil {
		return Checkpoint{}, err
	}
	return ParseText(text + "\n")
}

// checkLines refuses signature lines that are not spelled as they would be
// written: the decoder of base64 would accept several spellings of one
// signature, and then a changed byte could go unnoticed.
func checkLines(lines string) error {
	for line := range strings.Lines(lines) {
		_, sig, _ := strings.Cut(strings.TrimPrefix(line, "— "), " ")
		raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSuffix(sig, "\n"))
		if err != nil || base64.StdEncoding.EncodeToString(raw)+"\n" != sig {
			return fmt.Errorf("%w: a signature line is not in its one spelling", ErrCheckpoint)
		}
	}
	return nil
}

// Signer is a private key that signs for a log or a witness. Sign returns the
// raw Ed25519 signature of a message; it may ask a key store.
type Signer struct {
	Public ed25519.PublicKey
	Sign   func(message []byte) ([]byte, error)
}

// Sign returns the checkpoint as a signed note. Each signer adds two lines under
// the name of the log: a plain Ed25519 signature, and a C2SP cosignature/v1 that
// says when, so that a log that stands still can be told from one that is
// silent. at is cut to whole seconds.
func (c Checkpoint) Sign(at time.Time, signers ...Signer) ([]byte, error) {
	if err := CheckOrigin(c.Origin); err != nil {
		return nil, err
	}
	var lines []note.Signer
	for _, s := range signers {
		plain, err := plainSigner(c.Origin, s)
		if err != nil {
			return nil, err
		}
		dated, err := datedSigner(c.Origin, s, at)
		if err != nil {
			return nil, err
		}
		lines = append(lines, plain, dated)
	}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, lines...)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint of size %d: %w", c.Size, err)
	}
	return signed, nil
}

// Cosign returns a witness's line for a signed checkpoint, C2SP
// tlog-cosignature: that as of now it has seen no other history. The line ends
// with a newline. The caller has checked the checkpoint.
func Cosign(signed []byte, name string, s Signer, at time.Time) (line string, err error) {
	c, err := Unverified(signed)
	if err != nil {
		return "", err
	}
	dated, err := datedSigner(name, s, at)
	if err != nil {
		return "", err
	}
	n, err := note.Sign(&note.Note{Text: c.Text()}, dated)
	if err != nil {
		return "", fmt.Errorf("cosign checkpoint of size %d: %w", c.Size, err)
	}
	return string(n[len(c.Text())+1:]), nil
}

// lineSigner is one signature line of a note.
type lineSigner struct {
	name string
	hash uint32
	sign func(text []byte) ([]byte, error)
}

func (l lineSigner) Name() string                     { return l.name }
func (l lineSigner) KeyHash() uint32                  { return l.hash }
func (l lineSigner) Sign(text []byte) ([]byte, error) { return l.sign(text) }

func plainSigner(name string, s Signer) (note.Signer, error) {
	v, err := plainVerifier(name, s.Public)
	if err != nil {
		return nil, err
	}
	return lineSigner{name: name, hash: v.KeyHash(), sign: s.Sign}, nil
}

// datedSigner signs as C2SP cosignature/v1: the signature is 8 bytes of Unix
// seconds and the Ed25519 signature over a header with them and the text.
func datedSigner(name string, s Signer, at time.Time) (note.Signer, error) {
	v, err := datedVerifier(name, s.Public)
	if err != nil {
		return nil, err
	}
	seconds := at.Unix()
	if seconds < 0 {
		return nil, fmt.Errorf("sign as of %s: a cosignature has no time before 1970", at.UTC().Format(time.RFC3339))
	}
	return lineSigner{name: name, hash: v.KeyHash(), sign: func(text []byte) ([]byte, error) {
		sig, err := s.Sign(fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", seconds, text))
		if err != nil {
			return nil, err
		}
		return append(binary.BigEndian.AppendUint64(nil, uint64(seconds)), sig...), nil
	}}, nil
}

// VerifierKey is the public half as a C2SP note verifier key, "name+hash+key",
// for plain signatures.
func VerifierKey(name string, public ed25519.PublicKey) (string, error) {
	k, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		return "", fmt.Errorf("verifier key of %s: %w", name, err)
	}
	return k, nil
}

// CosignerKey is the public half as a C2SP verifier key for cosignatures (key
// type 4), which is what a witness policy names.
func CosignerKey(name string, public ed25519.PublicKey) (string, error) {
	k, err := VerifierKey(name, public)
	if err == nil {
		k, err = cosigned.VKeyToCosignatureV1(k)
	}
	if err != nil {
		return "", fmt.Errorf("cosigner key of %s: %w", name, err)
	}
	return k, nil
}

func plainVerifier(name string, public ed25519.PublicKey) (note.Verifier, error) {
	k, err := VerifierKey(name, public)
	if err != nil {
		return nil, err
	}
	return note.NewVerifier(k)
}

func datedVerifier(name string, public ed25519.PublicKey) (note.Verifier, error) {
	k, err := CosignerKey(name, public)
	if err != nil {
		return nil, err
	}
	return cosigned.NewVerifierForCosignatureV1(k)
}

// CosignedAt is the time of each cosignature line a verifier accepts, by the
// name of the verifier. Lines of other keys are left out.
func CosignedAt(signed []byte, verifiers ...note.Verifier) (map[string]time.Time, error) {
	times := map[string]time.Time{}
	n, err := note.Open(signed, note.VerifierList(verifiers...))
	var none *note.UnverifiedNoteError
	if errors.As(err, &none) {
		return times, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	for _, s := range n.Sigs {
		if times[s.Name], err = cosigned.CoSigV1Timestamp(s); err != nil {
			return nil, fmt.Errorf("%w: time of %s: %w", ErrCheckpoint, s.Name, err)
		}
	}
	return times, nil
}
