package replay

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// forged is a reader of records somebody laid hands on.
type forged struct {
	eventstore.Reader
	records []eventstore.Record
}

func (f forged) ReadStream(_ context.Context, stream string, _ eventstore.Revision) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		if stream == domain.PolicyStream() {
			return // untouched, and empty
		}
		for _, r := range f.records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func records(t *testing.T, l *ledger, userID string) []eventstore.Record {
	t.Helper()
	var out []eventstore.Record
	for r, err := range l.store.ReadStream(t.Context(), domain.UserStream(userID), 0) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// TestBrokenChainIsNamed: whatever is done to a stream, both readers stop and
// say where.
func TestBrokenChainIsNamed(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	whole := records(t, l, userID)
	edit := func(i int, change func(*eventstore.Record)) func([]eventstore.Record) []eventstore.Record {
		return func(rs []eventstore.Record) []eventstore.Record {
			change(&rs[i])
			return rs
		}
	}
	for name, test := range map[string]struct {
		forge   func([]eventstore.Record) []eventstore.Record
		at      int // index of the record that does not fit, in the whole stream
		problem string
	}{
		"data altered": {edit(4, func(r *eventstore.Record) {
			r.Data = bytes.Replace(r.Data, []byte("vrf_"), []byte("vrg_"), 1)
		}), 5, "prev is not the leaf hash of revision 4"},
		"metadata altered": {edit(4, func(r *eventstore.Record) {
			r.Metadata = bytes.Replace(r.Metadata, []byte("login-frontend"), []byte("login-frontenb"), 1)
		}), 5, "prev is not the leaf hash of revision 4"},
		"time altered": {edit(4, func(r *eventstore.Record) { r.RecordedAt = r.RecordedAt.Add(time.Microsecond) }), 5, "prev"},
		"type altered": {edit(4, func(r *eventstore.Record) { r.Type = "PhoneNumberRemoved" }), 4, ""},
		"prev altered": {edit(4, func(r *eventstore.Record) {
			r.Metadata = bytes.Replace(r.Metadata, r.Metadata[9:13], []byte("0000"), 1)
		}), 4, "prev"},
		"prev in upper case": {edit(4, func(r *eventstore.Record) { copy(r.Metadata[9:73], bytes.ToUpper(r.Metadata[9:73])) }), 4, "does not begin"},
		"prev missing":       {edit(4, func(r *eventstore.Record) { r.Metadata = append([]byte("{"), r.Metadata[75:]...) }), 4, "does not begin"},
		"metadata cut short": {edit(4, func(r *eventstore.Record) { r.Metadata = r.Metadata[:40] }), 4, "does not begin"},
		"first record gone":  {func(rs []eventstore.Record) []eventstore.Record { return rs[1:] }, 1, "revision 0 was expected"},
		"record gone":        {func(rs []eventstore.Record) []eventstore.Record { return append(rs[:3], rs[4:]...) }, 4, "revision 3 was expected"},
		"record repeated": {func(rs []eventstore.Record) []eventstore.Record {
			return append(rs[:4:4], rs[3:]...)
		}, 3, "revision 4 was expected"},
		"records swapped": {func(rs []eventstore.Record) []eventstore.Record {
			rs[3], rs[4] = rs[4], rs[3]
			return rs
		}, 4, "revision 3 was expected"},
		"renumbered after a gap": {func(rs []eventstore.Record) []eventstore.Record {
			rs = append(rs[:3], rs[4:]...)
			rs[3].Revision = 3
			return rs
		}, 4, "prev is not the leaf hash of revision 2"},
		"of another stream":          {edit(4, func(r *eventstore.Record) { r.Stream = domain.UserStream(codec.UserIDOf("eve")) }), 4, "belongs to"},
		"sequence does not follow":   {edit(4, func(r *eventstore.Record) { r.Sequence = 3 }), 4, "sequence does not follow"},
		"sequence repeated":          {edit(4, func(r *eventstore.Record) { r.Sequence-- }), 4, "sequence does not follow"},
		"something before the first": {edit(0, func(r *eventstore.Record) { r.Metadata[9] = 'f' }), 0, "first record names a previous one"},
		"recorded too early":         {edit(9, func(r *eventstore.Record) { r.RecordedAt = r.RecordedAt.Add(-time.Hour) }), 9, "recorded before"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			copied := make([]eventstore.Record, len(whole))
			for i, r := range whole {
				r.Data, r.Metadata = bytes.Clone(r.Data), bytes.Clone(r.Metadata)
				copied[i] = r
			}
			reader := forged{Reader: l.store, records: test.forge(copied)}
			_, err := StateAt(t.Context(), reader, codec.New(nil), l.base, userID, AtTime(l.now.Add(time.Hour)))
			checkBroken(t, err, whole[test.at], test.problem)
			var last error
			for _, err := range Timeline(t.Context(), reader, codec.New(nil), userID, Filter{From: AtTime(l.now)}) {
				last = err
			}
			checkBroken(t, last, whole[test.at], test.problem)
		})
	}
}

// checkBroken wants the chain's error, or the codec's where problem is "".
func checkBroken(t *testing.T, err error, at eventstore.Record, problem string) {
	t.Helper()
	if problem == "" {
		if !errors.Is(err, codec.ErrMalformed) {
			t.Errorf("error %v, want a malformed record", err)
		}
		return
	}
	var broken *BrokenChainError
	if !errors.As(err, &broken) {
		t.Fatalf("error %v, want a broken chain", err)
	}
	if broken.Revision != at.Revision && !strings.Contains(problem, "revision") || broken.Stream == "" || !strings.Contains(broken.Problem, problem) {
		t.Errorf("broken at %s revision %d @%d: %s; want revision %d: %s", broken.Stream, broken.Revision, broken.Sequence, broken.Problem, at.Revision, problem)
	}
	for _, part := range []string{broken.Stream, "revision", "@"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
}

// TestLastRecordIsSealedByTheNext: a state up to a record that was altered is
// refused although the record after it is not part of the state.
func TestLastRecordIsSealedByTheNext(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	rs := records(t, l, userID)
	rs[4].Data = bytes.Replace(bytes.Clone(rs[4].Data), []byte(`"`), []byte(` "`), 1) // means the same, is not the same
	reader := forged{Reader: l.store, records: rs}
	var broken *BrokenChainError
	if _, err := StateAt(t.Context(), reader, l.codec, l.base, userID, AtSequence(rs[4].Sequence)); !errors.As(err, &broken) || broken.Revision != 5 {
		t.Errorf("error %v, want a chain broken at revision 5", err)
	}
	if _, err := StateAt(t.Context(), reader, l.codec, l.base, userID, AtSequence(rs[2].Sequence)); err != nil {
		t.Errorf("a state before the altered record: %v", err)
	}
}

// skipping is a reader of a log that lacks the record asked for.
type skipping struct{ eventstore.Reader }

func (s skipping) ReadAll(ctx context.Context, from eventstore.Sequence) iter.Seq2[eventstore.Record, error] {
	return s.Reader.ReadAll(ctx, from+1)
}

// TestMomentOfAMissingRecord: the time of another record is not made up into
// that of the one asked for.
func TestMomentOfAMissingRecord(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	if _, err := StateAt(t.Context(), skipping{l.store}, l.codec, l.base, userID, AtSequence(1)); err == nil || !strings.Contains(err.Error(), "answered @2") {
		t.Errorf("error %v", err)
	}
}

// TestUnknownTypeStops: an event of a newer program is never skipped, and does
// not matter before it happened.
func TestUnknownTypeStops(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	known := l.head()
	l.wait(time.Minute)
	stream := domain.UserStream(userID)
	l.raw(stream, []eventstore.Proposed{{ID: uuid.NewSHA1(uuid.Nil, []byte("new")), Type: "PasskeyEnrolled", Schema: 1, Data: []byte("{}"), Metadata: []byte("{}")}}, nil)
	if _, err := StateAt(t.Context(), l.store, l.codec, l.base, userID, AtTime(l.now.Add(time.Hour))); !errors.Is(err, codec.ErrUnknownType) {
		t.Errorf("state: %v", err)
	}
	n := 0
	var last error
	for _, err := range Timeline(t.Context(), l.store, l.codec, userID, Filter{}) {
		n, last = n+1, err
	}
	if !errors.Is(last, codec.ErrUnknownType) || n != len(records(t, l, userID)) || !strings.Contains(last.Error(), stream) {
		t.Errorf("timeline: %d pairs, the last with %v", n, last)
	}
	if r := stateAt(t, l, userID, AtSequence(known)); !r.State.Locked {
		t.Error("the state before the unknown event is not the one of the story")
	}
}
