package storetest

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/authledger/authledger/eventstore"
)

// Faults says what goes wrong. A nil hook lets everything pass; hooks may be
// called from many goroutines at once and may themselves use the store inside.
type Faults struct {
	// BeforeAppend runs before an append reaches the store. Its error is
	// returned, wrapped, and nothing is written.
	BeforeAppend func(stream string, events []eventstore.Proposed) error
	// AfterAppend runs after an append that wrote its events. Its error is
	// returned wrapped in ErrOutcomeUnknown, though the events are durable.
	AfterAppend func(stream string, appended eventstore.Appended) error
	// BeforeRecord runs before a read hands out its record number n, from 0,
	// counted per iterator (ByID asks with 0). Its error ends the read.
	BeforeRecord func(n int) error
}

// FaultyStore is a store that fails as told.
type FaultyStore struct {
	eventstore.Store

	mu     sync.Mutex
	faults Faults // guarded by mu
}

// Faulty wraps a store, which it takes over: closing the wrapper closes it.
func Faulty(store eventstore.Store) *FaultyStore { return &FaultyStore{Store: store} }

// Set replaces the faults; the zero value heals the store.
func (f *FaultyStore) Set(faults Faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = faults
}

// Times returns err for the first n calls of a hook and nil afterwards.
func Times(n int, err error) func() error {
	var mu sync.Mutex
	return func() error {
		mu.Lock()
		defer mu.Unlock()
		if n == 0 {
			return nil
		}
		n--
		return err
	}
}

// FailAppends makes the next n appends fail with err before they are written.
func (f *FaultyStore) FailAppends(n int, err error) {
	next := Times(n, err)
	f.Set(Faults{BeforeAppend: func(string, []eventstore.Proposed) error { return next() }})
}

// LoseAnswers makes the next n appends persist but answer ErrOutcomeUnknown,
// wrapping err.
func (f *FaultyStore) LoseAnswers(n int, err error) {
	next := Times(n, err)
	f.Set(Faults{AfterAppend: func(string, eventstore.Appended) error { return next() }})
}

// FailReads makes every read fail with err after k records.
func (f *FaultyStore) FailReads(k int, err error) {
	f.Set(Faults{BeforeRecord: func(n int) error {
		if n < k {
			return nil
		}
		return err
	}})
}

func (f *FaultyStore) current() Faults {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.faults
}

func (f *FaultyStore) beforeRecord(n int) error {
	if hook := f.current().BeforeRecord; hook != nil {
		return hook(n)
	}
	return nil
}

// Append implements eventstore.Appender.
func (f *FaultyStore) Append(ctx context.Context, stream string, expected eventstore.Expected, events []eventstore.Proposed) (eventstore.Appended, error) {
	faults := f.current()
	if faults.BeforeAppend != nil {
		if err := faults.BeforeAppend(stream, events); err != nil {
			return eventstore.Appended{}, fmt.Errorf("append to %s: %w", stream, err)
		}
	}
	appended, err := f.Store.Append(ctx, stream, expected, events)
	if err != nil || faults.AfterAppend == nil {
		return appended, err
	}
	if err := faults.AfterAppend(stream, appended); err != nil {
		return eventstore.Appended{}, fmt.Errorf("append to %s: %w: %w", stream, eventstore.ErrOutcomeUnknown, err)
	}
	return appended, nil
}

// ReadStream implements eventstore.Reader.
func (f *FaultyStore) ReadStream(ctx context.Context, stream string, from eventstore.Revision) iter.Seq2[eventstore.Record, error] {
	return f.read(f.Store.ReadStream(ctx, stream, from))
}

// ReadAll implements eventstore.Reader.
func (f *FaultyStore) ReadAll(ctx context.Context, from eventstore.Sequence) iter.Seq2[eventstore.Record, error] {
	return f.read(f.Store.ReadAll(ctx, from))
}

func (f *FaultyStore) read(records iter.Seq2[eventstore.Record, error]) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		n := 0
		for r, err := range records {
			if err == nil {
				err = f.beforeRecord(n)
			}
			if err != nil {
				yield(eventstore.Record{}, err)
				return
			}
			if n++; !yield(r, nil) {
				return
			}
		}
	}
}

// ByID implements eventstore.Reader.
func (f *FaultyStore) ByID(ctx context.Context, id eventstore.EventID) (eventstore.Record, error) {
	if err := f.beforeRecord(0); err != nil {
		return eventstore.Record{}, fmt.Errorf("read event %s: %w", id, err)
	}
	return f.Store.ByID(ctx, id)
}

// Follow implements eventstore.Follower. A batch that the fault falls into is
// cut short before the error.
func (f *FaultyStore) Follow(ctx context.Context, after eventstore.Sequence, max int) iter.Seq2[[]eventstore.Record, error] {
	return func(yield func([]eventstore.Record, error) bool) {
		n := 0
		for batch, err := range f.Store.Follow(ctx, after, max) {
			good := len(batch)
			for i := range batch {
				if err = f.beforeRecord(n); err != nil {
					good = i
					break
				}
				n++
			}
			if good > 0 && !yield(batch[:good], nil) {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}
