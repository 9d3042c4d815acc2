package projections

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// dawn is when the worlds of the tests begin.
var dawn = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

var errKeyGone = errors.New("key is destroyed")

// vault is a sealer that spells backwards, with keys that can be destroyed.
type vault struct {
	mu   sync.Mutex
	gone map[string]bool // by subject
}

func newVault() *vault { return &vault{gone: map[string]bool{}} }

func (v *vault) destroy(subject string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gone[subject] = true
}

func (v *vault) Seal(_ context.Context, _ string, _ uuid.UUID, _ string, clear []byte) (string, error) {
	return "sealed:" + backwards(string(clear)), nil
}

func (v *vault) Open(_ context.Context, subject string, _ uuid.UUID, _, sealed string) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.gone[subject] {
		return nil, errKeyGone
	}
	return []byte(backwards(strings.TrimPrefix(sealed, "sealed:"))), nil
}

func backwards(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

// blind is a stand-in for the keyed index: enough to tell numbers apart.
func blind(_ context.Context, number string) ([]byte, error) {
	return []byte("blind:" + backwards(number))[:min(16, len(number)+6)], nil
}

// world writes a log of plausible histories.
type world struct {
	t           testing.TB
	codec       *codec.Codec
	vault       *vault
	now         time.Time
	log         []eventstore.Record
	heads       map[string]eventstore.Expected
	numbers     map[string]int // last number given out, by user
	correlation string
	actor       domain.Actor
}

func newWorld(t testing.TB) *world {
	v := newVault()
	return &world{
		t: t, codec: codec.New(v), vault: v, now: dawn, heads: map[string]eventstore.Expected{}, numbers: map[string]int{},
		actor: domain.Actor{Kind: domain.ActorClient, Ref: "frontend"},
	}
}

// options are those of views of this world.
func (w *world) options() Options {
	return Options{
		Dir: w.t.TempDir(), Codec: w.codec, Blind: blind, Clock: func() time.Time { return w.now },
		Erased: func(err error) bool { return errors.Is(err, errKeyGone) },
	}
}

func (w *world) open(o Options) *Views {
	w.t.Helper()
	v, err := Open(context.Background(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = v.Close() })
	return v
}

// views returns views that have applied the whole log.
func (w *world) views() *Views {
	w.t.Helper()
	v := w.open(w.options())
	w.apply(v)
	return v
}

// apply hands over what the views have not seen.
func (w *world) apply(v *Views) {
	w.t.Helper()
	if err := v.Apply(context.Background(), w.log); err != nil {
		w.t.Fatal(err)
	}
}

// key is the text of the n-th key.
func key(n int) string { return keyAlphabet.EncodeToString(fmt.Appendf(nil, "key-%012d", n)) }

func user(n int) string         { return domain.UserID(key(n)) }
func client(n int) string       { return domain.ClientID(key(n)) }
func installation(n int) string { return domain.InstallationID(key(n)) }
func unit(n int) string         { return domain.DeviceID(key(n)) }

// id gives out the next id of a user's things.
func (w *world) id(prefix, userID string) string {
	w.numbers[userID]++
	return fmt.Sprintf("%s_%s_%d", prefix, strings.TrimPrefix(userID, "usr_"), w.numbers[userID])
}

// pass lets time pass.
func (w *world) pass(d time.Duration) { w.now = w.now.Add(d) }

// in appends events to the stream of a user, client, installation or unit in one
// append, a millisecond after they happened.
func (w *world) in(owner string, events ...domain.Event) {
	w.t.Helper()
	stream := streamName(owner)
	command := uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "command %d", len(w.log)))
	proposed := make([]eventstore.Proposed, len(events))
	for i, e := range events {
		var err error
		proposed[i], err = w.codec.Encode(context.Background(), stream, eventstore.EventIDOf(command, i), e, codec.Metadata{
			CommandID: command, Command: "Test", Digest: "digest", Ordinal: i, Count: len(events), OccurredAt: w.now,
			CorrelationID: w.correlation, Actor: w.actor, PolicyVersion: 1,
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	records, leaves := eventstore.Chain(stream, w.heads[stream], w.now.Add(time.Millisecond), proposed)
	for _, r := range records {
		r.Sequence = eventstore.Sequence(len(w.log) + 1)
		r.Position = eventstore.Position(r.Sequence) * 10 // sparse, as in a distributed store
		w.log = append(w.log, r)
	}
	w.heads[stream] = eventstore.At(records[len(records)-1].Revision, leaves[len(leaves)-1])
}

// last is the id of the newest event.
func (w *world) last() eventstore.EventID { return w.log[len(w.log)-1].ID }

func (w *world) head() eventstore.Sequence { return eventstore.Sequence(len(w.log)) }

// reader is the world's log as a store would show it now.
func (w *world) reader() sliceLog { return sliceLog(w.log) }

// sliceLog is a log in memory. Its sequences are dense from 1.
type sliceLog []eventstore.Record

func (l sliceLog) ReadAll(ctx context.Context, from eventstore.Sequence) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		for _, r := range l[min(max(int(from)-1, 0), len(l)):] {
			if err := ctx.Err(); err != nil {
				yield(eventstore.Record{}, err)
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (l sliceLog) ReadStream(context.Context, string, eventstore.Revision) iter.Seq2[eventstore.Record, error] {
	panic("not read by views")
}

func (l sliceLog) ByID(context.Context, eventstore.EventID) (eventstore.Record, error) {
	panic("not read by views")
}

func (l sliceLog) Head(context.Context) (eventstore.Sequence, eventstore.Position, error) {
	return eventstore.Sequence(len(l)), eventstore.Position(len(l)) * 10, nil
}

func meta(at time.Time) codec.Metadata {
	return codec.Metadata{
		CommandID: uuid.UUID{1}, Command: "Test", Digest: "digest", Count: 1, OccurredAt: at,
		Actor: domain.Actor{Kind: domain.ActorClient, Ref: "frontend"}, PolicyVersion: 1,
	}
}
