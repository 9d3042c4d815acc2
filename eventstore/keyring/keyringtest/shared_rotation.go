package keyringtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/keyring"
)

// Everybody goes on working on both nodes while the next key is prepared, brought
// to the other node and put into force, and nothing is refused or lost.
func rotationUnderLoad(c *cluster) {
	a, b := c.node(), c.node()
	b.listening()
	held := a.fill()
	list := subjects("user", 100)
	a.do(a.k.CreateKeys(a.ctx, list...))
	before, err := a.k.Keys(a.ctx)
	a.do(err)
	stop := make(chan struct{})
	var users sync.WaitGroup
	fresh := make([]map[string]string, 4) // each owned by one goroutine
	for g := range fresh {
		fresh[g] = map[string]string{}
		users.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := []*node{a, b}[g%2].work(fresh[g], g, i); err != nil {
					c.Errorf("goroutine %d: %v", g, err)
					return
				}
			}
		})
	}
	next, err := keyring.PrepareKEKFile(a.file)
	c.put(a.file, b.file)
	var r keyring.Rotation
	if err == nil {
		r, err = a.k.RotateKEK(a.ctx)
	}
	close(stop)
	users.Wait()
	a.do(err)
	if r.From != before[0].ID || r.To != next || r.Rewrapped == 0 { // the other node does some, as it reads them
		c.Errorf("rotation %+v", r)
	}
	eventually(c, "the other node destroyed its copy of the old key", func() bool {
		kek := openKEK(c, b.file)
		defer kek.Close()
		return kek.ID() == r.To && len(kek.Older()) == 0
	})
	for _, n := range []*node{a, b, c.nodeOn(&faulty{Side: c.side}, a.file)} {
		n.check(held)
		n.restart()
		n.check(held)
		for _, subjects := range fresh {
			if len(subjects) == 0 {
				c.Error("a goroutine did nothing")
			}
			for name, sealed := range subjects {
				n.wantOpen(name, sealed, name)
			}
		}
	}
	var refused *keyring.StartError
	_, err = keyring.Open(c.Context(), keyring.Options{Side: c.side, Clock: c.clock.now, KEK: openKEK(c, kekFile(c))})
	if !errors.As(err, &refused) || refused.Reason != keyring.KEKWrong {
		c.Errorf("a foreign key file: %v, want reason %s", err, keyring.KEKWrong)
	}
}

// work does one thing of each kind.
func (n *node) work(fresh map[string]string, g, i int) error {
	name := fmt.Sprintf("fresh-%d-%d", g, i)
	sealed, err := n.k.Seal(n.ctx, name, event1, "phone", []byte(name))
	if err != nil {
		return err
	}
	fresh[name] = sealed
	if err := n.k.PutSecret(n.ctx, fmt.Sprintf("user-%04d", (g*25+i)%100), "a", []byte(name)); err != nil {
		return err
	}
	kid, err := n.k.CurrentKid(n.ctx)
	if err != nil {
		return err
	}
	if _, err := n.k.Digits(n.ctx, kid, "login.sms", name, 0, 6); err != nil {
		return err
	}
	if i%5 == 0 {
		return n.k.Destroy(n.ctx, fmt.Sprintf("gone-%d-%d", g, i))
	}
	return nil
}

// A node whose file was not replaced says which key it needs. It works again
// once it has the file, without a restart.
func nodeWithoutTheNewKeyRefuses(c *cluster) {
	a, b := c.node(), c.node()
	held := a.fill()
	old := c.copyKEK(b.file)
	warm := b.seal("user-warm", "x")
	r, err := a.k.RotateKEK(a.ctx)
	a.do(err)
	a.check(held)
	_, err = b.k.Seal(b.ctx, "user-new", event1, "phone", nil)
	b.wantErr(err, eventstore.ErrUnavailable)
	for _, id := range []string{r.From, r.To} {
		if !strings.Contains(err.Error(), id) {
			c.Errorf("the refusal %q does not name %s", err, id)
		}
	}
	_, err = b.k.Open(b.ctx, "user-cold", event1, "phone", warm)
	b.wantErr(err, eventstore.ErrUnavailable)
	var refused *keyring.StartError
	_, err = keyring.Open(c.Context(), keyring.Options{Side: c.side, Clock: c.clock.now, KEK: openKEK(c, old)})
	if !errors.As(err, &refused) || refused.Reason != keyring.KEKWrong {
		c.Errorf("start with the old file: %v, want reason %s", err, keyring.KEKWrong)
	}
	c.put(a.file, b.file)
	b.check(held)
	b.wantOpen("user-warm", warm, "x")
	b.seal("user-new", "y")
}

// A node that was held up writes a key under the old key-encryption key when
// the rotation is over. Nobody may ever use that key: it is lost.
func keyThatComesTooLate(c *cluster) {
	if _, err := keyring.PrepareKEKFile(c.file); err != nil {
		c.Fatal(err)
	}
	a := c.node()
	waiting, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b := c.nodeOn(&faulty{Side: c.side, onWrite: func(stream string, write func() error) error {
		if strings.HasSuffix(stream, "user-late") {
			once.Do(func() { close(waiting); <-goOn })
		}
		return write()
	}, onWatch: func(ctx context.Context) error { <-ctx.Done(); return nil }}, c.copyKEK(c.file))
	done := make(chan string)
	go func() {
		sealed, err := b.k.Seal(b.ctx, "user-late", event1, "phone", []byte("x"))
		if err != nil {
			c.Error(err)
		}
		done <- sealed
	}()
	<-waiting
	_, err := a.k.RotateKEK(a.ctx)
	a.do(err)
	close(goOn)
	sealed := <-done
	for _, n := range []*node{a, b, c.nodeOn(&faulty{Side: c.side}, a.file)} {
		n.wantOpen("user-late", sealed, "x")
		n.restart()
		n.wantOpen("user-late", sealed, "x")
	}
	if r, err := a.k.RotateKEK(a.ctx); err != nil || r.Rewrapped != 3 { // the key and two first values
		c.Errorf("the next rotation %+v, %v", r, err)
	}
}

// What a node wrote under the old key-encryption key just before it died arrives
// when that one is destroyed: no node can open it, and the subject gets another
// key.
func keyThatNobodyUsed(c *cluster) {
	a := c.node()
	var arrive func() error
	b := c.nodeOn(&faulty{Side: c.side, onWrite: func(stream string, write func() error) error {
		if strings.HasSuffix(stream, "user-late") {
			arrive = write
			return errCut
		}
		return write()
	}}, c.copyKEK(c.file))
	_, err := b.k.Seal(b.ctx, "user-late", event1, "phone", []byte("lost"))
	b.wantErr(err, eventstore.ErrUnavailable)
	_, err = a.k.RotateKEK(a.ctx)
	a.do(err)
	a.do(arrive())
	_, err = a.k.Open(a.ctx, "user-late", event1, "phone", "k1.")
	a.wantErr(err, keyring.ErrKeyNotFound)
	for row, err := range a.k.Export(a.ctx) {
		a.do(err)
		if row.Kind() == keyring.RowSubject {
			a.Error("a key that nobody used is exported")
		}
	}
	_, err = a.k.RotateKEK(a.ctx) // is not held up by it
	a.do(err)
	sealed := a.seal("user-late", "x")
	for range 2 {
		a.restart()
		a.wantOpen("user-late", sealed, "x")
		_, err = a.k.RotateKEK(a.ctx)
		a.do(err)
	}
}

func rotationIsFinishedByAnotherNode(c *cluster) {
	if _, err := keyring.PrepareKEKFile(c.file); err != nil {
		c.Fatal(err)
	}
	power := &cut{left: 1 << 30}
	a := c.nodeOn(&faulty{Side: c.side, onWrite: power.write, onRead: power.read}, c.copyKEK(c.file))
	b := c.node()
	held := b.fill()
	power.mu.Lock()
	power.left = 4 // the announcement and three subjects
	power.mu.Unlock()
	request := uuid.New()
	if _, err := a.k.Rotate(a.ctx, keyring.KindKeyEncryption, request); err == nil {
		c.Fatal("rotated without power")
	}
	b.check(held)
	notes, err := b.k.Rotations(b.ctx, 2)
	if err != nil || len(notes) != 0 {
		c.Errorf("noted %+v, %v", notes, err)
	}
	for _, err := range b.k.Export(b.ctx) {
		b.wantErr(err, keyring.ErrInvalid)
	}
	r, err := b.k.Rotate(b.ctx, keyring.KindKeyEncryption, request)
	// Three subjects were done, and more when they were read since.
	if err != nil || r.Rewrapped < 2+2 || r.Rewrapped > len(held.sealed)+2+2-3 {
		c.Errorf("finished %+v, %v", r, err)
	}
	b.restart()
	b.check(held)
	if again, err := b.k.Rotate(b.ctx, keyring.KindKeyEncryption, request); err != nil || again.To != r.To {
		c.Errorf("asked again %+v, %v", again, err)
	}
}
