package keyring

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/authledger/authledger/eventstore"
)

// keyEntry is one entry of a stream that holds a key: key-subject…, key-epoch-…
// and key-signer-…; a JSON object, bytes in base64. Of kind
//
//	key      kek, key: the wrapped key, or the same key wrapped anew
//	secret   id, sealed: a secret of the subject
//	removed  id: it is removed
//
// name is the subject, kid or epoch: a stream that was copied to another name
// is refused.
type keyEntry struct {
	Version int    `json:"v"`
	Kind    string `json:"kind"`
	Name    []byte `json:"name"`
	At      int64  `json:"at"` // microseconds since 1970
	KEK     string `json:"kek,omitempty"`
	Key     []byte `json:"key,omitempty"`
	ID      []byte `json:"id,omitempty"`
	Sealed  []byte `json:"sealed,omitempty"`
}

// The kinds of keyEntry.
const (
	entryKey     = "key"
	entrySecret  = "secret"
	entryRemoved = "removed"
)

// keyStream is what a stream that holds a key says.
type keyStream struct {
	createdAt int64
	kek       string // empty: there is no key
	wrapped   []byte
	secrets   []secretRow // in the order in which they were first put
}

// readKey folds the entries of a stream.
func readKey(stream, name string, entries [][]byte) (keyStream, error) {
	var s keyStream
	for _, text := range entries {
		var e keyEntry
		if err := decodeEntry(stream, text, &e.Version, &e); err != nil {
			return keyStream{}, err
		}
		if string(e.Name) != name {
			return keyStream{}, fmt.Errorf("read %s: %w: its entries are of another key", stream, ErrNotAuthentic)
		}
		if err := s.apply(stream, e); err != nil {
			return keyStream{}, err
		}
	}
	return s, nil
}

func (s *keyStream) apply(stream string, e keyEntry) error {
	at := slices.IndexFunc(s.secrets, func(o secretRow) bool { return o.id == string(e.ID) })
	switch e.Kind {
	case entryKey:
		if s.kek == "" {
			s.createdAt = e.At
		}
		s.kek, s.wrapped = e.KEK, e.Key
	case entrySecret:
		secret := secretRow{id: string(e.ID), changedAt: e.At, sealed: e.Sealed}
		if at >= 0 {
			s.secrets[at] = secret
		} else {
			s.secrets = append(s.secrets, secret)
		}
	case entryRemoved:
		if at >= 0 {
			s.secrets = slices.Delete(s.secrets, at, at+1)
		}
	default:
		return fmt.Errorf("read %s: %w: an entry of a kind that this release does not know; use the newer release", stream, eventstore.ErrUnavailable)
	}
	return nil
}

func encodeKey(e keyEntry) [][]byte {
	e.Version = sideVersion
	return [][]byte{encodeEntry(e)}
}

func (v *sideVault) keyStream(ctx context.Context, stream, name string) (keyStream, error) {
	entries, err := v.entries(ctx, stream, 0)
	if err != nil {
		return keyStream{}, err
	}
	return readKey(stream, name, entries)
}

// errAgain says that a stream changed and must be read again.
var errAgain = errors.New("the key was wrapped anew")

// subject tells of an erased subject that it is, not when.
func (v *sideVault) subject(ctx context.Context, subject string) (subjectRow, error) {
	for range maxMoves {
		row, err := v.subjectOnce(ctx, subject)
		if !errors.Is(err, errAgain) {
			return row, err
		}
	}
	return subjectRow{}, errKEKMoved
}

func (v *sideVault) subjectOnce(ctx context.Context, subject string) (subjectRow, error) {
	stream := subjectStream(subject)
	s, inForce, err := v.livingKey(ctx, stream, subject)
	switch {
	case errors.Is(err, eventstore.ErrGone):
		return subjectRow{}, nil
	case err != nil:
		return subjectRow{}, err
	case inForce:
		return subjectRow{wrapped: s.wrapped, destroyedAt: alive}, nil
	}
	// A rotation is under way and has not come by yet.
	if _, err := v.rewrapStream(ctx, stream, subject, v.k.rewrapSubject); err != nil {
		return subjectRow{}, err
	}
	return subjectRow{}, errAgain
}

// addSubjects begins with the guess that a subject is new.
func (v *sideVault) addSubjects(ctx context.Context, now int64, subjects []string, wrapped [][]byte, kek string) ([]subjectRow, error) {
	rows := make([]subjectRow, len(subjects))
	there := make([]bool, len(subjects)) // was not added by this call
	err := each(len(subjects), func(i int) (err error) {
		rows[i] = subjectRow{wrapped: wrapped[i], destroyedAt: alive}
		there[i], err = v.addSubject(ctx, keyEntry{Kind: entryKey, Name: []byte(subjects[i]), At: now, KEK: kek, Key: wrapped[i]})
		return err
	})
	if err != nil {
		return nil, err
	}
	// Behind the appends; see the rule at sideVault.
	st, err := v.fresh(ctx)
	if err != nil {
		return nil, err
	}
	if st.kek != kek {
		return nil, errKEKMoved
	}
	return rows, each(len(subjects), func(i int) (err error) {
		if there[i] {
			rows[i], err = v.subject(ctx, subjects[i])
		}
		if errors.Is(err, ErrKeyNotFound) { // abandoned, as is known only now
			return errKEKMoved
		}
		return err
	})
}

func (v *sideVault) addSubject(ctx context.Context, e keyEntry) (there bool, err error) {
	stream, subject := subjectStream(string(e.Name)), string(e.Name)
	err = v.decide(ctx, decision{stream: stream, unread: true, choose: func(held [][]byte) ([][]byte, error) {
		s, err := readKey(stream, subject, held)
		if err != nil {
			return nil, err
		}
		there = s.kek != "" && !v.known().abandoned(s.kek)
		if there {
			return nil, nil
		}
		return encodeKey(e), nil
	}})
	if errors.Is(err, eventstore.ErrGone) {
		return true, nil
	}
	return there, err
}

// rewrapStream appends the key of a stream wrapped under the key in force,
// unless it is already, or gone. It reports whether it did.
func (v *sideVault) rewrapStream(ctx context.Context, stream, name string, rewrap func(context.Context, string, []byte) ([]byte, error)) (done bool, err error) {
	err = v.decide(ctx, decision{stream: stream, choose: func(held [][]byte) ([][]byte, error) {
		s, err := readKey(stream, name, held)
		done = false
		if err != nil || s.kek == "" || s.kek == v.k.kek.ID() || v.known().abandoned(s.kek) {
			return nil, err
		}
		var wrapped []byte
		kek, err := v.k.wrapOne(func() (err error) {
			wrapped, err = rewrap(ctx, name, s.wrapped)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("wrap %s anew: %w", stream, err)
		}
		done = true
		return encodeKey(keyEntry{Kind: entryKey, Name: []byte(name), At: v.k.now(), KEK: kek, Key: wrapped}), nil
	}})
	if errors.Is(err, eventstore.ErrGone) {
		return false, nil
	}
	return done && err == nil, err
}

// erasedEntry is one entry of the stream key-erased: a subject that is erased.
// It is written before the subject's stream is deleted, so that an export knows
// every subject that must not come back.
type erasedEntry struct {
	Version int    `json:"v"`
	Subject []byte `json:"subject"`
	At      int64  `json:"at"`                // microseconds since 1970
	Created int64  `json:"created,omitempty"` // when there was a key
}

func (v *sideVault) destroySubjects(ctx context.Context, now int64, subjects []string) error {
	streams := make([]keyStream, len(subjects))
	gone := make([]bool, len(subjects))
	err := each(len(subjects), func(i int) (err error) {
		streams[i], err = v.keyStream(ctx, subjectStream(subjects[i]), subjects[i])
		gone[i] = errors.Is(err, eventstore.ErrGone)
		if gone[i] || errors.Is(err, ErrNotAuthentic) { // what is no key of ours must go, too
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	var list [][]byte
	for i, s := range subjects {
		if !gone[i] {
			list = append(list, encodeEntry(erasedEntry{Version: sideVersion, Subject: []byte(s), At: now, Created: streams[i].createdAt}))
		}
	}
	if err := v.listErased(ctx, list); err != nil {
		return err
	}
	return each(len(subjects), func(i int) error {
		if gone[i] {
			return nil
		}
		return v.delete(ctx, subjectStream(subjects[i]))
	})
}

// listErased appends to the list of erasures.
func (v *sideVault) listErased(ctx context.Context, list [][]byte) error {
	v.mu.Lock()
	from := v.erased
	v.mu.Unlock()
	next := from
	err := v.decide(ctx, decision{stream: erasedStream, from: from, choose: func(held [][]byte) ([][]byte, error) {
		next = from + uint64(len(held))
		return list, nil
	}})
	v.mu.Lock()
	v.erased = max(v.erased, next)
	v.mu.Unlock()
	return err
}

// erasures reads the list of erasures, each subject once.
func (v *sideVault) erasures(ctx context.Context) ([]erasedEntry, error) {
	entries, err := v.entries(ctx, erasedStream, 0)
	if err != nil {
		return nil, err
	}
	var list []erasedEntry
	seen := map[string]bool{}
	for _, text := range entries {
		var e erasedEntry
		if err := decodeEntry(erasedStream, text, &e.Version, &e); err != nil {
			return nil, err
		}
		if !seen[string(e.Subject)] {
			seen[string(e.Subject)] = true
			list = append(list, e)
		}
	}
	return list, nil
}

// keyID is "k" and 16 hexadecimal digits of a hash of the stream's name.
func (v *sideVault) keyID(ctx context.Context, subject string) (string, error) {
	stream := subjectStream(subject)
	s, err := v.keyStream(ctx, stream, subject)
	switch {
	case err != nil && !errors.Is(err, eventstore.ErrGone):
		return "", err
	case err == nil && s.kek == "":
		return "", ErrKeyNotFound
	}
	sum := sha256.Sum256([]byte(stream))
	return "k" + hex.EncodeToString(sum[:8]), nil
}

func (v *sideVault) secret(ctx context.Context, subject, id string) ([]byte, error) {
	secrets, err := v.secrets(ctx, subject)
	if err != nil {
		return nil, err
	}
	for _, s := range secrets {
		if s.id == id {
			return s.sealed, nil
		}
	}
	return nil, ErrSecretNotFound
}

func (v *sideVault) secrets(ctx context.Context, subject string) ([]secretRow, error) {
	s, err := v.keyStream(ctx, subjectStream(subject), subject)
	if errors.Is(err, eventstore.ErrGone) {
		return nil, ErrKeyDestroyed
	}
	return s.secrets, err
}

func (v *sideVault) putSecret(ctx context.Context, subject string, secret secretRow) error {
	stream := subjectStream(subject)
	err := v.decide(ctx, decision{stream: stream, choose: func(held [][]byte) ([][]byte, error) {
		s, err := readKey(stream, subject, held)
		if err == nil && s.kek == "" {
			err = ErrKeyNotFound
		}
		if err != nil {
			return nil, err
		}
		return encodeKey(keyEntry{Kind: entrySecret, Name: []byte(subject), At: secret.changedAt, ID: []byte(secret.id), Sealed: secret.sealed}), nil
	}})
	if errors.Is(err, eventstore.ErrGone) {
		return ErrKeyDestroyed
	}
	return err
}

func (v *sideVault) deleteSecret(ctx context.Context, now int64, subject, id string) error {
	stream := subjectStream(subject)
	err := v.decide(ctx, decision{stream: stream, choose: func(held [][]byte) ([][]byte, error) {
		s, err := readKey(stream, subject, held)
		if err != nil || !slices.ContainsFunc(s.secrets, func(o secretRow) bool { return o.id == id }) {
			return nil, err
		}
		return encodeKey(keyEntry{Kind: entryRemoved, Name: []byte(subject), At: now, ID: []byte(id)}), nil
	}})
	if errors.Is(err, eventstore.ErrGone) {
		return nil // with all of them
	}
	return err
}
