package keyring

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
)

// registerEntry is one entry of the stream key-register, a JSON object. Times
// are microseconds since 1970; bytes are base64. By kind it has:
//
//	first     kek, check, index: the first values and what they are wrapped under
//	index     kek, check, index: those of a keyring that is being imported
//	kek       kek, check, index, from: another key-encryption key is in force
//	epoch     kid, day: a code key; its stream is key-epoch-<kid>
//	expired   kids: code keys that were destroyed
//	signer    epoch, public, stream: a signing key, its private half in the stream
//	retired   epoch: a signing key whose private half was destroyed
//	rotation  rotation: a finished rotation; of the key-encryption key it means
//	          that every key is under the new one
type registerEntry struct {
	Version  int            `json:"v"`
	Kind     string         `json:"kind"`
	At       int64          `json:"at"`
	KEK      string         `json:"kek,omitempty"`
	From     string         `json:"from,omitempty"`
	Check    []byte         `json:"check,omitempty"`
	Index    []byte         `json:"index,omitempty"`
	Kid      string         `json:"kid,omitempty"`
	Day      int64          `json:"day,omitempty"`
	Kids     []string       `json:"kids,omitempty"`
	Epoch    uint32         `json:"epoch,omitempty"`
	Public   []byte         `json:"public,omitempty"`
	Stream   string         `json:"stream,omitempty"`
	Rotation *rotationEntry `json:"rotation,omitempty"`
}

type rotationEntry struct {
	Request   uuid.UUID    `json:"request"`
	Kind      RotationKind `json:"kind"`
	From      string       `json:"from,omitempty"`
	To        string       `json:"to"`
	Epoch     uint32       `json:"epoch,omitempty"`
	Rewrapped int          `json:"rewrapped,omitempty"`
}

// The kinds of registerEntry.
const (
	entryFirst    = "first"
	entryIndex    = "index"
	entryKEK      = "kek"
	entryEpoch    = "epoch"
	entryExpired  = "expired"
	entrySigner   = "signer"
	entryRetired  = "retired"
	entryRotation = "rotation"
)

// register is what the first n entries of the register say.
type register struct {
	n            uint64
	kek          string          // in force
	from         string          // before it; empty for the first one
	former       map[string]bool // those that were in force before; true once nothing that is used is under it
	finished     bool            // everything is wrapped under kek
	check, index []byte
	epochs       []epochRow // without wrapped
	signers      []sideSigner
	rotations    []Rotation
}

type sideSigner struct {
	signerRow
	stream string
}

// with returns the register after more entries.
func (r *register) with(entries [][]byte) (*register, error) {
	if len(entries) == 0 {
		return r, nil
	}
	next := *r
	next.former, next.epochs, next.signers, next.rotations = maps.Clone(r.former), slices.Clone(r.epochs), slices.Clone(r.signers), slices.Clone(r.rotations)
	for _, text := range entries {
		var e registerEntry
		if err := decodeEntry(registerStream, text, &e.Version, &e); err != nil {
			return nil, err
		}
		if err := next.apply(e); err != nil {
			return nil, err
		}
		next.n++
	}
	return &next, nil
}

func (r *register) apply(e registerEntry) error {
	switch e.Kind {
	case entryFirst, entryIndex:
		r.kek, r.check, r.index, r.finished = e.KEK, e.Check, e.Index, true
	case entryKEK:
		if r.former == nil {
			r.former = map[string]bool{}
		}
		r.former[r.kek] = false
		r.kek, r.from, r.check, r.index, r.finished = e.KEK, r.kek, e.Check, e.Index, false
	case entryEpoch:
		r.epochs = append(r.epochs, epochRow{kid: e.Kid, day: e.Day, createdAt: e.At, destroyedAt: alive})
	case entryExpired:
		for i := range r.epochs {
			if r.epochs[i].destroyedAt == alive && slices.Contains(e.Kids, r.epochs[i].kid) {
				r.epochs[i].destroyedAt = e.At
			}
		}
	case entrySigner:
		r.signers = append(r.signers, sideSigner{signerRow{epoch: e.Epoch, createdAt: e.At, retiredAt: alive, public: e.Public}, e.Stream})
	case entryRetired:
		if i := r.signer(e.Epoch); i >= 0 && r.signers[i].retiredAt == alive {
			r.signers[i].retiredAt = e.At
		}
	case entryRotation:
		r.note(e)
	default:
		return fmt.Errorf("read %s: %w: an entry of a kind that this release does not know; use the newer release", registerStream, eventstore.ErrUnavailable)
	}
	return nil
}

func (r *register) note(e registerEntry) {
	if e.Rotation == nil {
		return
	}
	n := Rotation{
		Number: int64(len(r.rotations)) + 1, Request: e.Rotation.Request, Kind: e.Rotation.Kind, At: time.UnixMicro(e.At).UTC(),
		From: e.Rotation.From, To: e.Rotation.To, Epoch: e.Rotation.Epoch, Rewrapped: e.Rotation.Rewrapped,
	}
	if i := r.signer(n.Epoch); n.Kind == KindSigning && i >= 0 {
		n.Public = r.signers[i].public
	}
	r.rotations = append(r.rotations, n)
	if n.Kind == KindKeyEncryption && n.To == r.kek {
		r.finished = true
		for kek := range r.former {
			r.former[kek] = true
		}
	}
}

// signer is the place of an epoch's key, or -1.
func (r *register) signer(epoch uint32) int {
	return slices.IndexFunc(r.signers, func(s sideSigner) bool { return s.epoch == epoch })
}

// epoch is the place of a code key, or -1.
func (r *register) epoch(kid string) int {
	return slices.IndexFunc(r.epochs, func(e epochRow) bool { return e.kid == kid })
}

// livingEpoch is the last living code key of a day, or empty.
func (r *register) livingEpoch(day int64) string {
	for _, e := range slices.Backward(r.epochs) {
		if e.day == day && e.destroyedAt == alive {
			return e.kid
		}
	}
	return ""
}

// rotationOf is the note of a request, or nil.
func (r *register) rotationOf(request uuid.UUID) *Rotation {
	for i := range r.rotations {
		if r.rotations[i].Request == request {
			return &r.rotations[i]
		}
	}
	return nil
}

// abandoned reports whether a key wrapped under a key-encryption key was never
// used: that one is destroyed, and whatever was used has been wrapped anew. Once
// true it stays so.
func (r *register) abandoned(kek string) bool { return r.former[kek] }

func entryOf(r Rotation) registerEntry {
	return registerEntry{Kind: entryRotation, At: r.At.UnixMicro(), Rotation: &rotationEntry{
		Request: r.Request, Kind: r.Kind, From: r.From, To: r.To, Epoch: r.Epoch, Rewrapped: r.Rewrapped,
	}}
}

// known is the register as this node read it last.
func (v *sideVault) known() *register {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state
}

// fresh is the register with every entry that was acknowledged before the call.
func (v *sideVault) fresh(ctx context.Context) (*register, error) {
	base := v.known()
	entries, err := v.entries(ctx, registerStream, base.n)
	if err != nil {
		return nil, err
	}
	return v.learn(base, entries)
}

func (v *sideVault) seen() uint64 { return v.known().n }

func (v *sideVault) changedSince(ctx context.Context, seen uint64) bool {
	st, err := v.fresh(ctx)
	return err == nil && st.n > seen
}

// learn takes entries that follow base into what is known, unless more is known.
func (v *sideVault) learn(base *register, entries [][]byte) (*register, error) {
	next, err := base.with(entries)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if next.n > v.state.n {
		v.state = next
	}
	return v.state, nil
}

// decideRegister appends to the register what choose makes of it.
func (v *sideVault) decideRegister(ctx context.Context, choose func(*register) ([]registerEntry, error)) error {
	v.deciding.Lock()
	defer v.deciding.Unlock()
	base := v.known()
	var on *register
	var added [][]byte
	err := v.decide(ctx, decision{stream: registerStream, from: base.n, choose: func(held [][]byte) (_ [][]byte, err error) {
		// Another goroutine may know more than was held; then the append conflicts.
		if on, err = v.learn(base, held); err != nil {
			return nil, err
		}
		entries, err := choose(on)
		added = encodeRegister(entries)
		return added, err
	}})
	if err != nil {
		return err
	}
	_, err = v.learn(on, added)
	return err
}

func encodeRegister(entries []registerEntry) [][]byte {
	var texts [][]byte
	for _, e := range entries {
		e.Version = sideVersion
		texts = append(texts, encodeEntry(e))
	}
	return texts
}
