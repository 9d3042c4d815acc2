package replay

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/merkle/merkletest"
	"github.com/authledger/authledger/eventstore/sqlitestore"
)

// sealedLog is a log on disk and everything that was signed of it.
type sealedLog struct {
	t      *testing.T
	dir    string
	now    time.Time
	store  *sqlitestore.Store
	notary *merkletest.Notary
	last   map[string]eventstore.Expected
}

const testOrigin = "ledger.test/verify"

func newSealedLog(t *testing.T) *sealedLog {
	t.Helper()
	l := &sealedLog{
		t: t, dir: t.TempDir(), now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC),
		notary: merkletest.New(t, testOrigin, 1), last: map[string]eventstore.Expected{},
	}
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Options{Dir: l.dir, Clock: func() time.Time { return l.now }})
	if err != nil {
		t.Fatal(err)
	}
	l.store = store
	t.Cleanup(func() { _ = store.Close() })
	return l
}

// add appends events of one stream and type together, and lets half a second
// pass before.
func (l *sealedLog) add(stream, name string, data ...string) eventstore.Stamp {
	l.t.Helper()
	l.now = l.now.Add(500 * time.Millisecond)
	var events []eventstore.Proposed
	for i, d := range data {
		id := uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "%s %d", stream, int(l.last[stream].Next())+i))
		events = append(events, eventstore.Proposed{ID: id, Type: name, Schema: 1, Data: []byte(d), Metadata: []byte(testMetadata)})
	}
	a, err := l.store.Append(l.t.Context(), stream, l.last[stream], events)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, s := range a.Records {
		l.notary.Grow(s.Leaf)
	}
	l.last[stream] = eventstore.At(a.Last().Revision, a.Last().Leaf)
	return a.Last()
}

const testMetadata = `{"command_id":"6f1b7e3a-8f0d-5c58-9f0b-0a5a3c1d9e01","command":"Test","digest":"","ordinal":0,"count":1,` +
	`"occurred_at":"2026-03-02T09:00:00Z","actor":{"kind":"system","ref":"test"},"policy_version":1}`

// fill appends so many events, seven to a stream, and signs after each seven.
func (l *sealedLog) fill(n int) {
	l.t.Helper()
	for i := 0; i < n; i += 7 {
		var data []string
		for k := i; k < min(i+7, n); k++ {
			data = append(data, fmt.Sprintf(`{"n":%d}`, k))
		}
		l.add(fmt.Sprintf("user-%d", i/7%5), "ResponseRejected", data...)
		if len(data) == 7 {
			l.notary.Publish(l.now)
		}
	}
}

func (l *sealedLog) rotate(seed uint32, epoch uint32) {
	l.t.Helper()
	data := fmt.Sprintf(`{"kind":"signing","key_id":"s%d","epoch":%d,"public_key":%q}`, epoch, epoch, base64.StdEncoding.EncodeToString(merkletest.Public(seed)))
	s := l.add(domain.KeyringStream(), "KeyRotated", data)
	l.notary.Rotate(seed, uint64(s.Sequence))
}

// check is the question an auditor without anything of his own asks.
func (l *sealedLog) check() LogCheck {
	l.t.Helper()
	reader, err := sqlitestore.OpenReader(l.dir)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = reader.Close() })
	return LogCheck{Records: reader, History: l.notary, Codec: codec.New(nil)}
}

func verified(t *testing.T, c LogCheck) LogReport {
	t.Helper()
	r, _, err := VerifyLog(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// mechanisms lists what failed, each mechanism once, in order of appearance.
func mechanisms(r LogReport) []Mechanism {
	out := []Mechanism{}
	seen := map[Mechanism]bool{}
	for _, f := range r.Failures {
		if !seen[f.Mechanism] {
			out = append(out, f.Mechanism)
		}
		seen[f.Mechanism] = true
	}
	return out
}

func TestVerifyLogFindsNothingWrong(t *testing.T) {
	t.Parallel()
	l := newSealedLog(t)
	l.notary.Publish(l.now) // the empty log
	l.fill(602)
	held := l.notary.Publish(l.now)
	l.notary.Cosign("witness.example/w", 50, l.now.Add(2*time.Second))
	l.rotate(2, 2)
	l.fill(15)
	l.now = l.now.Add(time.Minute)
	l.notary.Publish(l.now) // a heartbeat
	l.add("user-9", "ResponseRejected", `{}`)
	keys, _ := l.notary.Keys(t.Context())
	keys.Epochs = keys.Epochs[:1] // the auditor's copy is older than the rotation
	c := l.check()
	c.Keys, c.Held, c.Policy = &keys, [][]byte{held}, merkletest.Policy(t, "witness.example/w", 50)
	r := verified(t, c)
	if r.Failed > 0 {
		t.Fatalf("failures in a log nobody touched: %+v", r.Failures)
	}
	root, _ := merkle.Unverified(mustLatest(t, l.notary))
	want := LogReport{
		Records: 619, Head: 619, Streams: 7, Checkpoints: l.notary.Revision(), Sealed: 618, SignedAt: l.now.Add(-500 * time.Millisecond).Truncate(time.Second),
		Epochs: 2, KeysPinned: true, Held: 1, Anchored: 619, Cosigned: 1, CosignedTo: 602, Failures: []Failure{},
		Findings: []string{"records @603 to @618 stand under no checkpoint with a quorum of witnesses yet", "records @619 to @619 are not sealed yet"},
	}
	got := r
	got.Root, got.RootHex = eventstore.Hash{}, ""
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if root.Size != 618 || r.RootHex != r.Root.String() {
		t.Errorf("newest checkpoint has size %d, root %s", root.Size, r.RootHex)
	}
}

func mustLatest(t *testing.T, h merkle.History) []byte {
	t.Helper()
	p, err := h.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p.Signed
}

// TestVerifyLogWithoutRunningHashes walks a log through the interface every
// store has.
func TestVerifyLogWithoutRunningHashes(t *testing.T) {
	t.Parallel()
	l := newSealedLog(t)
	l.fill(70)
	c := l.check()
	c.Records = Plain(l.store)
	if r := verified(t, c); r.Failed > 0 || r.Records != 70 || r.Anchored != 0 {
		t.Errorf("report %+v", r)
	}
}

// A time stamp is over the bytes that the log signed, not over the lines that
// witnesses added to them.
func TestVerifyLogNamesTheNewestTimeStamp(t *testing.T) {
	t.Parallel()
	l := newSealedLog(t)
	l.fill(70)
	signed := string(l.notary.Publish(l.now))
	l.notary.Cosign("witness.example/w", 50, l.now)
	l.notary.Stamp("tsa.example", []byte("token"))
	at := l.now.Add(time.Second)
	c := l.check()
	c.Stamp = func(stamped []byte, s merkle.Stamp) (time.Time, error) {
		if string(stamped) != signed || string(s.Token) != "token" {
			return time.Time{}, errors.New("it is over something else")
		}
		return at, nil
	}
	r := verified(t, c)
	if r.Failed > 0 || r.Stamps != 1 || r.StampedBy != "tsa.example" || !r.StampedAt.Equal(at) || r.StampedTo != 70 {
		t.Errorf("report %+v", r)
	}
	c.Stamp = nil
	if r := verified(t, c); r.Failed > 0 || r.Stamps != 0 || r.Unchecked != 1 || r.StampedBy != "" {
		t.Errorf("with nobody trusted: report %+v", r)
	}
}

// TestVerifyLogChecksWhatIsSigned changes the history of checkpoints and leaves
// the records as they are.
func TestVerifyLogChecksWhatIsSigned(t *testing.T) {
	t.Parallel()
	type world struct {
		*sealedLog
		c *LogCheck
	}
	for name, c := range map[string]struct {
		change func(w world)
		want   []Mechanism
	}{
		"nothing was ever signed": {func(w world) { w.notary.Drop(0) }, []Mechanism{ByCheckpoint}},
		"a checkpoint is missing": {func(w world) { w.notary.Remove(3) }, []Mechanism{ByCheckpoint}},
		"another root is signed": {func(w world) {
			signed, _ := merkle.Checkpoint{Origin: testOrigin, Size: 70, Root: eventstore.Hash{1}}.Sign(w.now, merkletest.Signer(1))
			w.notary.Append(signed)
		}, []Mechanism{ByCheckpoint}},
		"a checkpoint is signed by another key": {func(w world) {
			forged := merkletest.New(w.t, testOrigin, 7)
			w.notary.Append(forged.Publish(w.now))
		}, []Mechanism{BySignature}},
		"sizes go back": {func(w world) {
			old, _ := w.notary.Covering(w.t.Context(), 20)
			again, _ := merkle.Unverified(old.Signed)
			signed, _ := again.Sign(w.now, merkletest.Signer(1))
			w.notary.Append(signed)
		}, []Mechanism{ByCheckpoint}},
		"signed times go back":     {func(w world) { w.notary.Publish(w.now.Add(-time.Hour)) }, []Mechanism{ByCheckpoint}},
		"a size was never reached": {func(w world) { w.notary.Grow(eventstore.Hash{1}); w.notary.Publish(w.now) }, []Mechanism{ByCheckpoint}},
		"the keys are not the auditor's": {func(w world) {
			w.c.Keys = &merkle.Keys{Origin: testOrigin, Epochs: []merkle.Epoch{{Number: 1, Public: merkletest.Public(9)}}}
		}, []Mechanism{ByKeys, BySignature}},
		"a key epoch that no record announces": {func(w world) { w.notary.Rotate(2, 60) }, []Mechanism{BySignature, ByKeys}},
		"a key takes over by itself": {func(w world) {
			w.rotate(2, 2)
			signed, _ := merkle.Checkpoint{Origin: testOrigin, Size: w.notary.Size(), Root: w.notary.Root()}.Sign(w.now, merkletest.Signer(2))
			w.notary.Append(signed)
		}, []Mechanism{ByKeys}},
		"the auditor holds another history": {func(w world) {
			other := merkletest.New(w.t, testOrigin, 1)
			other.Grow(eventstore.Hash{1})
			w.c.Held = [][]byte{other.Publish(w.now)}
		}, []Mechanism{ByHeld}},
		"the auditor holds a longer history": {func(w world) {
			other := w.notary.Clone()
			other.Grow(eventstore.Hash{1})
			w.c.Held = [][]byte{other.Publish(w.now)}
		}, []Mechanism{ByHeld}},
		"no witness ever saw it": {func(w world) { w.c.Policy = merkletest.Policy(w.t, "witness.example/w", 50) }, []Mechanism{ByWitness}},
		"a record is older than the last word of a witness": {func(w world) {
			w.c.Policy = merkletest.Policy(w.t, "witness.example/w", 50)
			w.notary.Publish(w.now)
			w.notary.Cosign("witness.example/w", 50, w.now.Add(time.Hour))
			w.add("user-1", "ResponseRejected", `{}`)
		}, []Mechanism{ByTime}},
		"a record is older than the last word of the log": {func(w world) {
			w.notary.Publish(w.now.Add(time.Minute))
			w.add("user-1", "ResponseRejected", `{}`)
		}, []Mechanism{ByTime}},
		"a time stamp does not verify": {func(w world) {
			w.notary.Stamp("tsa.example", []byte("token"))
			w.c.Stamp = func([]byte, merkle.Stamp) (time.Time, error) { return time.Time{}, errors.New("not of this authority") }
		}, []Mechanism{ByStamp}},
		"a time stamp is older than what it stamps": {func(w world) {
			w.notary.Stamp("tsa.example", []byte("token"))
			w.c.Stamp = func([]byte, merkle.Stamp) (time.Time, error) { return w.now.Add(-time.Hour), nil }
		}, []Mechanism{ByStamp}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newSealedLog(t)
			l.fill(70)
			check := l.check()
			c.change(world{l, &check})
			r := verified(t, check)
			if diff := cmp.Diff(c.want, mechanisms(r)); diff != "" {
				t.Errorf("mechanisms (-want +got):\n%s\n%+v", diff, r.Failures)
			}
		})
	}
}

// TestVerifyLogGoesOn interrupts at many places; the end must not tell.
func TestVerifyLogGoesOn(t *testing.T) {
	t.Parallel()
	l := newSealedLog(t)
	l.fill(2 * chunkRecords)
	l.rotate(2, 2)
	l.fill(40)
	whole := verified(t, l.check())
	if whole.Failed > 0 {
		t.Fatalf("failures: %+v", whole.Failures)
	}
	var resumed LogReport
	var at *State
	runs := 0
	for {
		ctx, stop := context.WithCancel(t.Context())
		c := l.check()
		c.Resume, c.Progress = at, func(done, _ uint64) {
			if at == nil || done > uint64(at.Mark.Sequence) {
				stop()
			}
		}
		r, state, err := VerifyLog(ctx, c)
		stop()
		if runs++; err == nil {
			resumed = r
			break
		}
		if !errors.Is(err, context.Canceled) || runs > 10 {
			t.Fatalf("run %d: %v", runs, err)
		}
		b, err := state.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		at = &State{}
		if err := at.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
	}
	if runs < 2 {
		t.Errorf("the verification was never interrupted")
	}
	resumed.ResumedAt = 0
	if diff := cmp.Diff(whole, resumed); diff != "" {
		t.Errorf("resumed (-whole +resumed):\n%s", diff)
	}
}

func TestStateIsRefused(t *testing.T) {
	t.Parallel()
	l := newSealedLog(t)
	l.fill(chunkRecords + 100)
	stand := func() *State {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		c := l.check()
		c.Progress = func(uint64, uint64) { stop() }
		_, state, err := VerifyLog(ctx, c)
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		return state
	}
	other := newSealedLog(t)
	other.add("user-9", "ResponseRejected", `{"other":true}`)
	other.fill(chunkRecords + 100)
	for name, change := range map[string]func(c *LogCheck, s *State){
		"of another log":   func(c *LogCheck, _ *State) { c.Records, c.History = other.check().Records, other.notary },
		"of another leaf":  func(_ *LogCheck, s *State) { s.LastLeaf[0]++ },
		"of another sum":   func(_ *LogCheck, s *State) { s.Mark.Running[0]++ },
		"behind the end":   func(_ *LogCheck, s *State) { s.Mark.Sequence += 1000 },
		"other questions":  func(c *LogCheck, _ *State) { c.Held = [][]byte{mustLatest(t, l.notary)} },
		"half of the tree": func(_ *LogCheck, s *State) { s.Tree = s.Tree[:1] },
	} {
		c, s := l.check(), stand()
		c.Resume = s
		change(&c, s)
		if _, _, err := VerifyLog(t.Context(), c); !errors.Is(err, ErrUsage) {
			t.Errorf("%s: error %v, want ErrUsage", name, err)
		}
	}
	b, err := stand().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, len(stateMagic) + 3, len(b) / 2, len(b) - 1} {
		bad := append([]byte(nil), b...)
		bad[at] ^= 1
		if err := new(State).UnmarshalBinary(bad); !errors.Is(err, ErrState) {
			t.Errorf("byte %d changed: error %v, want ErrState", at, err)
		}
	}
}

func TestVerifyEvent(t *testing.T) {
	t.Parallel()
	l := newSealedLog(t)
	var ids []eventstore.EventID
	for i := range 300 {
		s := l.add(fmt.Sprintf("user-%d", i%5), "ResponseRejected", fmt.Sprintf(`{"n":%d}`, i))
		ids = append(ids, uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "user-%d %d", i%5, s.Revision)))
	}
	l.notary.Publish(l.now)
	for i, id := range ids {
		r, err := VerifyEvent(t.Context(), l.store, l.notary, nil, id)
		if err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
		if r.Sequence != uint64(i)+1 || len(r.Steps) == 0 || r.Steps[len(r.Steps)-1].Gives != r.Root {
			t.Errorf("event %d: the steps do not end at the root: %+v", i, r)
		}
	}
	late := l.add("user-1", "ResponseRejected", `{}`)
	_, err := VerifyEvent(t.Context(), l.store, l.notary, nil, uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "user-1 %d", late.Revision)))
	if !errors.Is(err, ErrUnsealed) {
		t.Errorf("a record after the checkpoint: %v, want ErrUnsealed", err)
	}
	if _, err := VerifyEvent(t.Context(), l.store, l.notary, nil, uuid.New()); !errors.Is(err, eventstore.ErrNotFound) {
		t.Errorf("an unknown id: %v, want ErrNotFound", err)
	}
	forged := merkletest.New(t, testOrigin, 1)
	for range l.notary.Size() {
		forged.Grow(eventstore.Hash{1})
	}
	forged.Publish(l.now)
	if _, err := VerifyEvent(t.Context(), l.store, forged, nil, ids[0]); !errors.Is(err, ErrUntrue) || !strings.Contains(err.Error(), ids[0].String()) {
		t.Errorf("another tree: %v, want ErrUntrue that names the event", err)
	}
}

// TestBacklogIsNotBackDated: records that stood in the ledger when a full step of
// a backlog was signed are older than the signature, and that is all right; after
// a step that was not full it is not.
func TestBacklogIsNotBackDated(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		step int
		want []Mechanism
	}{
		"a full step":    {backlogStep, []Mechanism{}},
		"a smaller step": {backlogStep - 1, []Mechanism{ByTime}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newSealedLog(t)
			leaves := []eventstore.Hash{}
			for n := 0; n < backlogStep+10; {
				var data []string
				for range min(1000, backlogStep+10-n) {
					data = append(data, `{}`)
				}
				l.add(fmt.Sprintf("user-%d", n/1000%5), "ResponseRejected", data...)
				n += len(data)
			}
			for r, err := range l.store.ReadAll(t.Context(), 0) {
				if err != nil {
					t.Fatal(err)
				}
				leaves = append(leaves, r.Leaf())
			}
			notary := merkletest.New(t, testOrigin, 1)
			notary.Grow(leaves[:c.step]...)
			notary.Publish(l.now.Add(time.Hour))
			notary.Grow(leaves[c.step:]...)
			notary.Publish(l.now.Add(time.Hour))
			check := l.check()
			check.History = notary
			if diff := cmp.Diff(c.want, mechanisms(verified(t, check))); diff != "" {
				t.Errorf("mechanisms (-want +got):\n%s", diff)
			}
		})
	}
}
