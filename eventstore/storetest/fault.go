package storetest

import (
	"errors"
	"testing"

	"github.com/authledger/authledger/eventstore"
)

var errInjected = errors.New("injected fault")

func (s suite) faultChecks() []check {
	return []check{
		{"fault/append fails before it is written", s.faultBefore},
		{"fault/append persists but fails", s.faultUnknown},
		{"fault/read fails half way", s.faultRead},
		{"fault/follower fails half way and resumes", s.faultFollow},
	}
}

func (s suite) openFaulty(t *testing.T) *FaultyStore {
	t.Helper()
	store, _ := s.open(t)
	return Faulty(store)
}

func (s suite) faultBefore(t *testing.T) {
	store := s.openFaulty(t)
	store.FailAppends(2, errInjected)
	for range 2 {
		_, err := store.Append(limited(t), "user-1", eventstore.NoStream(), Events("first", 2))
		if !errors.Is(err, errInjected) || errors.Is(err, eventstore.ErrOutcomeUnknown) {
			t.Fatalf("append: got %v, want %v", err, errInjected)
		}
		wantLog(t, store, 0)
	}
	if a := mustAppend(t, store, "user-1", eventstore.NoStream(), Events("first", 2)); a.Repeated {
		t.Error("the append that failed had been written")
	}
	wantLog(t, store, 2)
}

// faultUnknown does what a caller must do after an unknown outcome: read back
// by id, or repeat the same append with the same ids.
func (s suite) faultUnknown(t *testing.T) {
	store := s.openFaulty(t)
	store.LoseAnswers(1, errInjected)
	events := Events("first", 2)
	_, err := store.Append(limited(t), "user-1", eventstore.NoStream(), events)
	if !errors.Is(err, eventstore.ErrOutcomeUnknown) || !errors.Is(err, errInjected) {
		t.Fatalf("append: got %v, want %v", err, eventstore.ErrOutcomeUnknown)
	}
	var want []eventstore.Stamp
	for _, e := range events {
		r, err := store.ByID(limited(t), e.ID)
		if err != nil {
			t.Fatalf("read back: %v", err)
		}
		stamp := eventstore.Stamp{Revision: r.Revision, Sequence: r.Sequence, RecordedAt: r.RecordedAt, Leaf: r.Leaf()}
		if !s.promises.SequenceOnAppend {
			stamp.Sequence = 0
		}
		want = append(want, stamp)
	}
	a := mustAppend(t, store, "user-1", eventstore.NoStream(), events)
	if !a.Repeated {
		t.Error("repeat: wrote again")
	}
	same(t, "stamps", a.Records, want)
	mustAppend(t, store, "user-1", after(a), Events("second", 1))
	wantLog(t, store, 3)
}

func (s suite) faultRead(t *testing.T) {
	store := s.openFaulty(t)
	log := fill(t, store, 12)
	for k := range 12 {
		store.FailReads(k, errInjected)
		got, err := drain(store.ReadAll(limited(t), 1))
		if !errors.Is(err, errInjected) {
			t.Fatalf("read failing after %d: got %v", k, err)
		}
		same(t, "records before the fault", len(got), k)
		pairs := 0
		for range store.ReadStream(limited(t), log[0].Stream, 0) {
			pairs++
		}
		if k < 2 && pairs != k+1 {
			t.Errorf("stream read failing after %d: got %d pairs, want the error once and last", k, pairs)
		}
	}
	store.Set(Faults{})
	wantLog(t, store, 12)
}

func (s suite) faultFollow(t *testing.T) {
	store := s.openFaulty(t)
	log := fill(t, store, 20)
	var got []eventstore.Record
	for len(got) < len(log) {
		store.FailReads(3, errInjected)
		more, err := follow(limited(t), store, eventstore.Sequence(len(got)), 7, len(log)-len(got))
		if err != nil && !errors.Is(err, errInjected) {
			t.Fatalf("follow: %v", err)
		}
		if len(more) == 0 {
			t.Fatalf("follow after %d: no progress", len(got))
		}
		got = append(got, more...)
	}
	same(t, "log over faults", got, log)
}
