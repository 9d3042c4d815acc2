package keyring

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/authledger/authledger/eventstore"
)

// Follower is what a KeyEncryption implements whose keys are handed to several
// nodes one by one, such as a file that an operator copies. Its Retire MUST leave
// keys newer than the one that this node uses alone. A service that all nodes ask
// needs neither: there the primary key is the same everywhere, and one node at a
// time may rotate it.
type Follower interface {
	// Follow makes the key of an id, which another node made the primary one, the
	// primary one here, looking for it anew when it is not at hand. It MUST return
	// ErrKeyNotFound when this node has not been given the key.
	Follow(ctx context.Context, id string) error
}

// unknownKEKError says that this node lacks the key-encryption key in force.
type unknownKEKError struct{ inForce, ours string }

func (e *unknownKEKError) Error() string {
	return fmt.Sprintf("the keys are wrapped by key-encryption key %s, this node has %s: give it the key file of the other nodes", e.inForce, e.ours)
}

func (e *unknownKEKError) Unwrap() error { return eventstore.ErrUnavailable }

// settle compares this node's key-encryption key with the one that is in force
// as far as known. A newer one of this node comes into force; an older one
// gives way.
func (v *sideVault) settle(ctx context.Context) error {
	st := v.known()
	id, older := v.kekState()
	_, former := st.former[id]
	switch {
	case id == st.kek:
		v.dropOlder(ctx, st)
		return nil
	case !former && st.finished && slices.Contains(older, st.kek):
		return v.announce(ctx)
	default: // also while a rotation to another key than ours is under way
		return v.follow(ctx, st.kek, id)
	}
}

// kekState names the keys between two changes of them.
func (v *sideVault) kekState() (id string, older []string) {
	v.k.wrapping.RLock()
	defer v.k.wrapping.RUnlock()
	return v.k.kek.ID(), v.k.kek.Older()
}

func (v *sideVault) follow(ctx context.Context, inForce, ours string) error {
	f, ok := v.k.kek.(Follower)
	if !ok {
		return &unknownKEKError{inForce: inForce, ours: ours}
	}
	v.k.wrapping.Lock()
	defer v.k.wrapping.Unlock()
	err := f.Follow(ctx, inForce)
	if errors.Is(err, ErrKeyNotFound) {
		return &unknownKEKError{inForce: inForce, ours: ours}
	}
	if err != nil {
		return fmt.Errorf("%w: key-encryption key: %w", eventstore.ErrUnavailable, err)
	}
	return nil
}

// dropOlder destroys this node's copies of older key-encryption keys once
// everything is wrapped under the new one. It is tried once for each: a file
// that this process may not write is the operator's to replace, and until then
// Keys lists the older key as kept. Keys that a service holds for all nodes are
// left to the node that rotates: by now another one may be older.
func (v *sideVault) dropOlder(ctx context.Context, st *register) {
	_, own := v.k.kek.(Follower)
	_, older := v.kekState()
	if !own || st.from == "" || !st.finished || len(older) == 0 {
		return
	}
	v.mu.Lock()
	tried := v.dropped == st.kek
	v.dropped = st.kek
	v.mu.Unlock()
	if tried {
		return
	}
	v.k.wrapping.Lock()
	defer v.k.wrapping.Unlock()
	if v.k.kek.ID() == st.kek { // no rotation has begun here since
		_ = v.k.kek.Retire(ctx) // see above
	}
}

// announce puts this node's primary key into force: from then on no node wraps
// anything under another.
func (v *sideVault) announce(ctx context.Context) error {
	// Before deciding, in the order of everybody who takes both.
	v.k.wrapping.RLock()
	defer v.k.wrapping.RUnlock()
	return v.decideRegister(ctx, func(st *register) ([]registerEntry, error) {
		id, older := v.k.kek.ID(), v.k.kek.Older()
		_, former := st.former[id]
		switch {
		case id == st.kek:
			return nil, nil
		case former || !slices.Contains(older, st.kek):
			return nil, &unknownKEKError{inForce: st.kek, ours: id}
		case !st.finished:
			return nil, fmt.Errorf("%w: the rotation to %s must be finished before another one", eventstore.ErrUnavailable, st.kek)
		}
		values, kek, err := v.rewrapFirst(ctx, st)
		if err != nil {
			return nil, err
		}
		return []registerEntry{{Kind: entryKEK, At: v.k.now(), KEK: kek, From: st.kek, Check: values.check, Index: values.index}}, nil
	})
}

// rewrapFirst makes the first values under the primary key.
func (v *sideVault) rewrapFirst(ctx context.Context, st *register) (values firstValues, kek string, err error) {
	kek, err = v.k.wrapOne(func() (err error) {
		if values.check, err = v.k.kek.Encrypt(ctx, []byte(checkText), wrapData("check", "")); err != nil {
			return fmt.Errorf("wrap check value: %w", err)
		}
		if values.index, err = v.k.rewrapRaw(ctx, "index", "", st.index); err != nil {
			return fmt.Errorf("wrap the index key anew: %w", err)
		}
		return nil
	})
	return values, kek, err
}

// underWay finds the rotation that was not finished: the older key is not
// replaced everywhere, or this node still has it.
func (v *sideVault) underWay(ctx context.Context) (from string, ok bool, err error) {
	if _, err := v.fresh(ctx); err != nil {
		return "", false, err
	}
	if err := v.settle(ctx); err != nil {
		return "", false, err
	}
	st := v.known()
	_, older := v.kekState()
	switch {
	case st.from == "":
		return "", false, nil
	case st.finished:
		return st.from, len(older) > 0, nil
	case !slices.Contains(older, st.from):
		return "", false, fmt.Errorf("%w: the rotation from %s to %s can only be finished by a node that has both keys", eventstore.ErrUnavailable, st.from, st.kek)
	}
	return st.from, true, nil
}

// livingKey reads the key of a stream, and whether it is wrapped under the key in
// force; if not, this node has the key that opens it. It returns ErrKeyNotFound
// also for a key that was never used and never will be.
func (v *sideVault) livingKey(ctx context.Context, stream, name string) (s keyStream, inForce bool, err error) {
	dead := ""
	for range maxMoves {
		if s, err = v.keyStream(ctx, stream, name); err != nil {
			return keyStream{}, false, err
		}
		if s.kek == "" || s.kek == dead {
			return keyStream{}, false, ErrKeyNotFound
		}
		inForce, err = v.usable(ctx, s.kek)
		if !errors.Is(err, errAbandoned) {
			return s, inForce, err
		}
		dead = s.kek // unless it was wrapped anew between the two reads: look again
	}
	return keyStream{}, false, errKEKMoved
}

// errAbandoned says that what is wrapped under a key-encryption key was never
// used: see register.abandoned.
var errAbandoned = errors.New("the key-encryption key is destroyed")

// usable decides about a wrapped key that was read before the call, by the
// register as it is now.
func (v *sideVault) usable(ctx context.Context, kek string) (inForce bool, err error) {
	st, err := v.fresh(ctx)
	switch {
	case err != nil:
		return false, err
	case st.kek != v.k.kek.ID():
		return false, errKEKMoved
	case kek == st.kek:
		return true, nil
	case st.abandoned(kek):
		return false, errAbandoned
	case slices.Contains(v.k.kek.Older(), kek):
		return false, nil
	}
	return false, &unknownKEKError{inForce: kek, ours: st.kek}
}
