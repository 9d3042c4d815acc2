package keyringtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/keyring"
)

// RunShared tests several nodes whose keys are in one Side, and faults of the
// Side. newSide makes an empty one.
func RunShared(t *testing.T, newSide func(t testing.TB) eventstore.Side) {
	for name, test := range map[string]func(*cluster){
		"nodes that begin at once share one keyring":        nodesThatBeginAtOnce,
		"nodes that create one subject's key share it":      nodesShareANewSubject,
		"an erasure reaches a node that uses the key":       erasureReachesOtherNodes,
		"without news a key is trusted for seconds":         keyWithoutNewsIsTrustedForSeconds,
		"a watch that says nothing is not trusted for ever": silentWatchIsNotTrustedForEver,
		"secrets come from every node":                      secretsComeFromEveryNode,
		"every node uses the code key of the day":           nodesShareTheCodeKey,
		"signing keys come from every node":                 signingKeysComeFromEveryNode,
		"one request on two nodes rotates once":             oneRequestOnTwoNodes,
		"a rotation under load disturbs nobody":             rotationUnderLoad,
		"a node without the new key refuses":                nodeWithoutTheNewKeyRefuses,
		"a key that comes too late for a rotation":          keyThatComesTooLate,
		"a key that nobody used is replaced":                keyThatNobodyUsed,
		"a rotation is finished by another node":            rotationIsFinishedByAnotherNode,
		"unknown outcomes are found out":                    unknownOutcomesAreFoundOut,
		"a node may stop at every step":                     nodeMayStopAtEveryStep,
		"a Side that does not answer is unavailable":        silentSideIsUnavailable,
		"foreign entries are refused":                       foreignEntriesAreRefused,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newCluster(t, newSide))
		})
	}
}

// cluster is a Side and the nodes on it. Each has a copy of the file.
type cluster struct {
	testing.TB
	newSide func(t testing.TB) eventstore.Side
	side    eventstore.Side
	clock   *clock
	file    string
}

func newCluster(t testing.TB, newSide func(t testing.TB) eventstore.Side) *cluster {
	t.Helper()
	return &cluster{TB: t, newSide: newSide, side: newSide(t), clock: newClock(), file: kekFile(t)}
}

// node is one process.
type node struct {
	*world
	side *faulty
}

// node starts a process with a copy of the key file and the world's helpers.
func (c *cluster) node() *node {
	c.Helper()
	return c.nodeOn(&faulty{Side: c.side}, c.copyKEK(c.file))
}

func (c *cluster) nodeOn(side *faulty, file string) *node {
	c.Helper()
	n := &node{world: &world{TB: c.TB, ctx: c.Context(), clock: c.clock, file: file, home: OnSide(func(testing.TB) eventstore.Side { return side })(c.TB)}, side: side}
	n.open()
	c.Cleanup(func() { n.do(n.k.Close()) })
	return n
}

// copyKEK gives another machine the key file.
func (c *cluster) copyKEK(from string) string {
	c.Helper()
	to := filepath.Join(c.TempDir(), "kek.json")
	c.put(from, to)
	return to
}

// put replaces a key file by another one, as an operator would.
func (c *cluster) put(from, to string) {
	c.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to+".copy", text, 0o400)
	}
	if err == nil {
		err = os.Rename(to+".copy", to)
	}
	if err != nil {
		c.Fatal(err)
	}
}

func nodesThatBeginAtOnce(c *cluster) {
	nodes := make([]*keyring.Keyring, 6)
	files := make([]string, len(nodes))
	for i := range files {
		files[i] = c.copyKEK(c.file)
	}
	atOnce(len(nodes), func(i int) {
		kek, err := keyring.OpenKEKFile(files[i])
		if err == nil {
			nodes[i], err = keyring.Open(c.Context(), keyring.Options{Side: c.side, Clock: c.clock.now, KEK: kek})
		}
		if err != nil {
			c.Error(err)
		}
	})
	var first string
	for i, k := range nodes {
		if k == nil {
			continue
		}
		blind, err := k.Blind(c.Context(), "phone", "1")
		if i == 0 {
			first = string(blind)
		}
		if err != nil || string(blind) != first {
			c.Errorf("node %d: blind index %x, %v; want %x", i, blind, err, first)
		}
		if err := k.Close(); err != nil {
			c.Error(err)
		}
	}
}

func nodesShareANewSubject(c *cluster) {
	nodes := []*node{c.node(), c.node(), c.node()}
	for round := range 10 {
		subject := fmt.Sprintf("user-%d", round)
		sealed := make([]string, 12)
		atOnce(len(sealed), func(i int) {
			var err error
			if sealed[i], err = nodes[i%3].k.Seal(c.Context(), subject, event1, "phone", fmt.Append(nil, i)); err != nil {
				c.Error(err)
			}
		})
		for i, s := range sealed {
			for _, n := range nodes {
				n.wantOpen(subject, s, fmt.Sprint(i))
			}
		}
	}
}

func erasureReachesOtherNodes(c *cluster) {
	a, b := c.node(), c.node()
	b.listening()
	for _, subject := range []string{"user-1", strings.Repeat("long ", 30)} {
		sealed := a.seal(subject, "x")
		a.do(a.k.PutSecret(a.ctx, subject, "a", []byte("seed")))
		b.wantOpen(subject, sealed, "x")
		a.do(a.k.Destroy(a.ctx, subject))
		// Whatever b still has in memory, nothing is written any more.
		b.wantErr(b.k.PutSecret(b.ctx, subject, "b", []byte("late")), keyring.ErrKeyDestroyed)
		_, err := b.k.Secret(b.ctx, subject, "a")
		b.wantErr(err, keyring.ErrKeyDestroyed)
		eventually(c, "the other node refuses", func() bool {
			_, err := b.k.Open(b.ctx, subject, event1, "phone", sealed)
			return errors.Is(err, keyring.ErrKeyDestroyed)
		})
		_, err = b.k.Seal(b.ctx, subject, event1, "phone", nil)
		b.wantErr(err, keyring.ErrKeyDestroyed)
		c.node().wantGone(subject, sealed)
	}
}

func keyWithoutNewsIsTrustedForSeconds(c *cluster) {
	a := c.node()
	b := c.nodeOn(&faulty{Side: c.side, onWatch: func(context.Context) error { return eventstore.ErrUnavailable }}, c.copyKEK(c.file))
	sealed := a.seal("user-1", "x")
	kid := a.kid()
	b.wantOpen("user-1", sealed, "x")
	b.code(kid)
	a.do(a.k.Destroy(a.ctx, "user-1"))
	b.clock.add(5*time.Second - time.Microsecond)
	b.wantOpen("user-1", sealed, "x")
	b.clock.add(time.Microsecond)
	b.wantGone("user-1", sealed)
	r, err := a.k.RotateCodeEpoch(a.ctx)
	a.do(err)
	b.clock.add(5 * time.Second)
	if got := b.kid(); got != r.To {
		b.Errorf("current kid %s, want %s", got, r.To)
	}
}

func silentWatchIsNotTrustedForEver(c *cluster) {
	a := c.node()
	silent := func(ctx context.Context) error { <-ctx.Done(); return nil }
	b := c.nodeOn(&faulty{Side: c.side, onWatch: silent}, c.copyKEK(c.file))
	sealed := a.seal("user-1", "x")
	c.clock.add(time.Minute) // so that the watch counts
	b.wantOpen("user-1", sealed, "x")
	a.do(a.k.Destroy(a.ctx, "user-1"))
	c.clock.add(time.Minute)
	b.wantGone("user-1", sealed)
}

func secretsComeFromEveryNode(c *cluster) {
	nodes := []*node{c.node(), c.node()}
	atOnce(16, func(i int) {
		n := nodes[i%2]
		if err := n.k.PutSecret(c.Context(), "user-1", fmt.Sprint(i), fmt.Append(nil, i)); err != nil {
			c.Error(err)
		}
	})
	for i := range 16 {
		for _, n := range nodes {
			n.wantSecret("user-1", fmt.Sprint(i), fmt.Sprint(i))
		}
	}
	nodes[0].do(nodes[0].k.PutSecret(c.Context(), "user-1", "0", []byte("new")))
	nodes[1].wantSecret("user-1", "0", "new")
	nodes[1].do(nodes[1].k.DeleteSecret(c.Context(), "user-1", "0"))
	_, err := nodes[0].k.Secret(c.Context(), "user-1", "0")
	nodes[0].wantErr(err, keyring.ErrSecretNotFound)
}

func nodesShareTheCodeKey(c *cluster) {
	nodes := []*node{c.node(), c.node(), c.node()}
	for _, n := range nodes {
		n.listening()
	}
	for range 5 {
		kids := make([]string, 12)
		atOnce(len(kids), func(i int) {
			var err error
			if kids[i], err = nodes[i%3].k.CurrentKid(c.Context()); err != nil {
				c.Error(err)
			}
		})
		for _, kid := range kids {
			if kid != kids[0] {
				c.Fatalf("kids %v on one day", kids)
			}
		}
		if a, b := nodes[0].code(kids[0]), nodes[1].code(kids[0]); a != b {
			c.Errorf("codes %s and %s", a, b)
		}
		c.clock.add(24 * time.Hour)
	}
	b := nodes[1]
	b.kid()
	r, err := nodes[0].k.RotateCodeEpoch(c.Context())
	b.do(err)
	eventually(c, "the other node uses the new code key", func() bool { return b.kid() == r.To })
	epochs, err := b.k.Epochs(b.ctx)
	if err != nil || len(epochs) != 7 { // five days, and the last one's two
		c.Errorf("%d epochs, %v; want 7: %+v", len(epochs), err, epochs)
	}
	b.code(r.To)
	c.clock.add(40 * 24 * time.Hour)
	lists := make([][]string, len(nodes))
	atOnce(len(nodes), func(i int) {
		var err error
		if lists[i], err = nodes[i].k.ExpireEpochs(c.Context()); err != nil {
			c.Error(err)
		}
	})
	seen := map[string]bool{}
	for _, list := range lists {
		for _, kid := range list {
			if seen[kid] {
				c.Errorf("two nodes report the end of %s", kid)
			}
			seen[kid] = true
		}
	}
	if len(seen) != 7 {
		c.Errorf("%d code keys expired, want 7", len(seen))
	}
	for _, n := range nodes {
		eventually(c, "no node has the expired key", func() bool {
			_, err := n.k.Digits(n.ctx, r.To, "login.sms", "chl_1", 0, 6)
			return errors.Is(err, keyring.ErrKeyDestroyed)
		})
	}
}

// A request that was sent to two nodes is done by one while the other is about
// to.
func oneRequestOnTwoNodes(c *cluster) {
	a := c.node()
	for _, kind := range []keyring.RotationKind{keyring.KindCodeEpoch, keyring.KindSigning} {
		request := uuid.New()
		var first keyring.Rotation
		var once sync.Once
		b := c.nodeOn(&faulty{Side: c.side, onWrite: func(stream string, write func() error) error {
			if stream == "key-register" {
				once.Do(func() {
					var err error
					if first, err = a.k.Rotate(c.Context(), kind, request); err != nil {
						c.Error(err)
					}
				})
			}
			return write()
		}}, c.copyKEK(c.file))
		second, err := b.k.Rotate(c.Context(), kind, request)
		if err != nil || !reflect.DeepEqual(first, second) || second.To == "" {
			c.Errorf("one request, rotations %+v and %+v, %v", first, second, err)
		}
	}
	notes, err := a.k.Rotations(c.Context(), 0)
	if err != nil || len(notes) != 2 {
		c.Errorf("rotations %+v, %v; want 2", notes, err)
	}
	// What lost is deleted.
	for _, prefix := range []string{"key-epoch-", "key-signer-"} {
		var left []string
		for stream, err := range c.side.ListSide(c.Context(), prefix) {
			a.do(err)
			left = append(left, stream)
		}
		if len(left) != 1 {
			c.Errorf("streams %v, want one", left)
		}
	}
}

func signingKeysComeFromEveryNode(c *cluster) {
	nodes := []*node{c.node(), c.node()}
	nodes[1].listening()
	request := uuid.New()
	atOnce(8, func(i int) {
		n := nodes[i%2]
		var err error
		if i < 4 {
			_, err = n.k.NewSigningKey(c.Context())
		} else {
			_, err = n.k.Rotate(c.Context(), keyring.KindSigning, request)
		}
		if err != nil {
			c.Error(err)
		}
	})
	keys, err := nodes[0].k.SigningKeys(c.Context())
	if err != nil || len(keys) != 5 {
		c.Fatalf("%d signing keys, %v; want 4 and the one of the request", len(keys), err)
	}
	for i, key := range keys {
		if int(key.Epoch) != i+1 {
			c.Errorf("epoch %d at place %d", key.Epoch, i)
		}
		for _, n := range nodes {
			n.wantSignature(key)
		}
	}
	nodes[0].do(nodes[0].k.RetireSigningKey(c.Context(), 2))
	eventually(c, "the other node does not sign", func() bool {
		_, err := nodes[1].k.Sign(c.Context(), 2, nil)
		return errors.Is(err, keyring.ErrKeyDestroyed)
	})
}

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
