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
