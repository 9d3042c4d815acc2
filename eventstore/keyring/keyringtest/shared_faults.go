package keyringtest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/keyring"
)

func unknownOutcomesAreFoundOut(c *cluster) {
	u := newUnsure(7)
	n := c.nodeOn(&faulty{Side: c.side, onWrite: u.write}, c.copyKEK(c.file))
	held := n.fill()
	n.check(held)
	r, err := n.k.RotateKEK(n.ctx)
	n.do(err)
	n.restart()
	n.check(held)
	clean := c.nodeOn(&faulty{Side: c.side}, n.file)
	clean.check(held)
	if keys, err := clean.k.SigningKeys(c.Context()); err != nil || len(keys) != 3 {
		c.Errorf("signing keys %+v, %v; want 3", keys, err)
	}
	if epochs, err := clean.k.Epochs(c.Context()); err != nil || len(epochs) != 2 {
		c.Errorf("code keys %+v, %v; want 2", epochs, err)
	}
	if notes, err := clean.k.Rotations(c.Context(), 0); err != nil || len(notes) != 3 || notes[2].To != r.To {
		c.Errorf("rotations %+v, %v; want 3", notes, err)
	}
	for _, kind := range []string{"lost", "arrived", "late"} {
		if u.kinds[kind] < 3 {
			c.Errorf("%d writes were %s: this proves little", u.kinds[kind], kind)
		}
	}
}

// What was acknowledged before the power went is there, what was begun can be
// done again, and once.
func nodeMayStopAtEveryStep(c *cluster) {
	step := 0
	for done := false; !done; step++ {
		for _, arrives := range []bool{false, true} {
			done = newCluster(c.TB, c.newSide).stopAt(step, arrives)
		}
	}
	if step < 20 {
		c.Errorf("only %d steps were cut", step)
	}
}

// stopAt runs a life of a keyring until the power goes, and then again from its
// beginning.
func (c *cluster) stopAt(step int, arrives bool) (done bool) {
	c.Helper()
	life := &life{id: fmt.Sprintf("%d-%v", step, arrives), sealed: map[string]string{}}
	for i := range life.requests {
		life.requests[i] = uuid.New()
	}
	power := &cut{left: step, arrives: arrives}
	k, err := keyring.Open(c.Context(), keyring.Options{
		Side: &faulty{Side: c.side, onWrite: power.write, onRead: power.read}, Clock: c.clock.now, KEK: openKEK(c, c.file),
	})
	if err == nil {
		err = life.run(c, k)
		done = err == nil
		if err := k.Close(); err != nil {
			c.Error(err)
		}
	}
	if err != nil && !errors.Is(err, eventstore.ErrUnavailable) {
		c.Errorf("cut at step %d: %v, want it to be unavailable", step, err)
	}
	n := c.nodeOn(&faulty{Side: c.side}, c.file)
	life.check(c, n)
	if err := life.run(c, n.k); err != nil {
		c.Errorf("cut at step %d, done again: %v", step, err)
	}
	life.check(c, n)
	life.checkOnce(c, n)
	n.do(n.k.Close())
	return done
}

// life is what a node did, as far as it was acknowledged.
type life struct {
	id        string
	requests  [3]uuid.UUID
	sealed    map[string]string
	secret    string
	erased    bool
	kid       string
	rotations []keyring.Rotation
}

func (l *life) run(c *cluster, k *keyring.Keyring) error {
	ctx := c.Context()
	for _, subject := range []string{"kept-" + l.id, "secret of " + l.id} {
		if _, ok := l.sealed[subject]; ok {
			continue
		}
		sealed, err := k.Seal(ctx, subject, event1, "phone", []byte(subject))
		if err != nil {
			return err
		}
		l.sealed[subject] = sealed
	}
	for _, value := range []string{"one", "two"} {
		if err := k.PutSecret(ctx, "secret of "+l.id, "a", []byte(value)); err != nil {
			return err
		}
		l.secret = value
	}
	if err := k.CreateKeys(ctx, "erased-"+l.id); err != nil && !errors.Is(err, keyring.ErrKeyDestroyed) {
		return err
	}
	if err := k.Destroy(ctx, "erased-"+l.id, "never-"+l.id); err != nil {
		return err
	}
	l.erased = true
	var err error
	if l.kid, err = k.CurrentKid(ctx); err != nil {
		return err
	}
	for i, kind := range []keyring.RotationKind{keyring.KindCodeEpoch, keyring.KindSigning, keyring.KindKeyEncryption} {
		r, err := k.Rotate(ctx, kind, l.requests[i])
		if err != nil {
			return err
		}
		l.rotations = append(l.rotations, r)
	}
	return nil
}

func (l *life) check(c *cluster, n *node) {
	c.Helper()
	for subject, sealed := range l.sealed {
		n.wantOpen(subject, sealed, subject)
	}
	if l.secret != "" {
		got, err := n.k.Secret(n.ctx, "secret of "+l.id, "a")
		if err != nil || string(got) != l.secret && l.secret != "one" {
			c.Errorf("secret %q, %v; want %q", []byte(got), err, l.secret)
		}
	}
	if l.erased {
		for _, subject := range []string{"erased-" + l.id, "never-" + l.id} {
			_, err := n.k.Seal(n.ctx, subject, event1, "phone", nil)
			n.wantErr(err, keyring.ErrKeyDestroyed)
		}
	}
	if l.kid != "" {
		n.code(l.kid)
	}
	for _, r := range l.rotations {
		switch r.Kind {
		case keyring.KindCodeEpoch:
			n.code(r.To)
		case keyring.KindSigning:
			n.wantSignature(keyring.SigningKey{Epoch: r.Epoch, Public: r.Public})
		case keyring.KindKeyEncryption:
		}
	}
}

// checkOnce wants one rotation for each request, although both lives asked.
func (l *life) checkOnce(c *cluster, n *node) {
	c.Helper()
	notes, err := n.k.Rotations(n.ctx, 0)
	n.do(err)
	for _, request := range l.requests {
		found := 0
		for i, note := range notes {
			if note.Number != int64(i)+1 {
				c.Errorf("rotation %d at place %d", note.Number, i)
			}
			if note.Request == request {
				found++
			}
		}
		if found != 1 {
			c.Errorf("life %s: %d rotations for request %s", l.id, found, request)
		}
	}
	keys, err := n.k.SigningKeys(n.ctx)
	if err != nil || len(keys) != 1 || len(notes) != len(l.requests) {
		c.Errorf("life %s made %d signing keys and %d rotations (%v), want 1 and %d", l.id, len(keys), len(notes), err, len(l.requests))
	}
}

func silentSideIsUnavailable(c *cluster) {
	var mu sync.Mutex
	var down error
	state := func() error {
		mu.Lock()
		defer mu.Unlock()
		return down
	}
	n := c.nodeOn(&faulty{Side: c.side, onRead: state, onWrite: func(_ string, write func() error) error {
		if err := state(); err != nil {
			return err
		}
		return write()
	}, onWatch: func(ctx context.Context) error { <-ctx.Done(); return nil }}, c.copyKEK(c.file))
	sealed := n.seal("user-1", "x")
	kid := n.kid()
	key := n.newSigner()
	for _, err := range []error{eventstore.ErrUnavailable, eventstore.ErrClosed, errors.New("a stranger's error")} {
		mu.Lock()
		down = err
		mu.Unlock()
		n.wantOpen("user-1", sealed, "x") // from memory
		_, err := n.k.Seal(n.ctx, "user-2", event1, "phone", nil)
		n.wantErr(err, eventstore.ErrUnavailable)
		n.wantErr(n.k.Destroy(n.ctx, "user-3"), eventstore.ErrUnavailable)
		n.wantErr(n.k.PutSecret(n.ctx, "user-1", "a", nil), eventstore.ErrUnavailable)
		_, err = n.k.Keys(n.ctx)
		n.wantErr(err, eventstore.ErrUnavailable)
		_, err = n.k.Sign(n.ctx, key.Epoch, nil)
		n.wantErr(err, eventstore.ErrUnavailable)
		_, err = n.k.Digits(n.ctx, kid, "p", "s", 0, 6)
		n.wantErr(err, eventstore.ErrUnavailable)
		_, err = keyring.Open(c.Context(), keyring.Options{Side: n.side, Clock: c.clock.now, KEK: openKEK(c, n.file)})
		n.wantErr(err, eventstore.ErrUnavailable)
	}
	mu.Lock()
	down = nil
	mu.Unlock()
	n.wantSignature(key)
	n.code(kid)
}

// Entries of a newer release, of another subject, or of nobody's are not
// guessed at.
func foreignEntriesAreRefused(c *cluster) {
	n := c.node()
	n.seal("user-1", "x")
	var entry []byte
	for e, err := range c.side.ReadSide(c.Context(), "key-subject-user-1", 0) {
		n.do(err)
		entry = e
	}
	for subject, foreign := range map[string][]byte{
		"moved":   entry,
		"newer":   []byte(`{"v":2,"kind":"key"}`),
		"unknown": []byte(`{"v":1,"kind":"other","name":"dW5rbm93bg=="}`),
		"damaged": []byte(`{"v":1`),
	} {
		n.do(c.side.AppendSide(c.Context(), "key-subject-"+subject, 0, foreign))
		_, err := n.k.Seal(n.ctx, subject, event1, "phone", nil)
		if !errors.Is(err, eventstore.ErrUnavailable) && !errors.Is(err, keyring.ErrNotAuthentic) {
			c.Errorf("%s entry: %v", subject, err)
		}
	}
	_, err := keyring.Open(c.Context(), keyring.Options{Side: c.side, Clock: c.clock.now})
	var refused *keyring.StartError
	if !errors.As(err, &refused) || refused.Reason != keyring.KEKMissing {
		c.Errorf("without a key-encryption key: %v, want reason %s", err, keyring.KEKMissing)
	}
}
