// Package storetest is the contract of package eventstore as tests: one suite
// every store runs, a shared benchmark, and a store wrapper that injects
// faults for tests further up.
//
// It knows the contract only. Where stores may differ, a store declares
// Promises; nothing is skipped silently. Most readers want Run and Faulty.
package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// Factory opens the log kept in dir, creating it when there is none; records
// are stamped with clock. A store that promises to be durable must show the
// same log when dir is opened again after Close; a store without files uses
// dir as a name or not at all. The suite closes what it opens.
type Factory func(t testing.TB, dir string, clock func() time.Time) eventstore.Store

// Promises says what a store keeps beyond the common contract.
type Promises struct {
	// Durable: opening the same directory again shows the same log.
	Durable bool
	// SequenceOnAppend: Stamp.Sequence is set when Append returns.
	SequenceOnAppend bool
	// PositionEqualsSequence: positions are dense, from 1.
	PositionEqualsSequence bool
	// UniqueIDs: ErrDuplicateID is returned for an id that stands anywhere in
	// the log. Without it only ids at the expected revisions are recognised.
	UniqueIDs bool
}

// Run checks a store against the whole contract.
func Run(t *testing.T, factory Factory, promises Promises) {
	t.Helper()
	s := suite{factory: factory, promises: promises}
	for _, group := range [][]check{
		s.appendChecks(), s.conflictChecks(), s.repeatChecks(), s.inputChecks(),
		s.readChecks(), s.followChecks(), s.faultChecks(), s.closeChecks(),
	} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(t)
			})
		}
	}
}

type check struct {
	name string
	run  func(t *testing.T)
}

type suite struct {
	factory  Factory
	promises Promises
}

// open returns an empty store that the test's end closes, and its clock.
func (s suite) open(t *testing.T) (eventstore.Store, *Clock) {
	t.Helper()
	clock := NewClock()
	return s.reopen(t, t.TempDir(), clock), clock
}

func (s suite) reopen(t *testing.T, dir string, clock *Clock) eventstore.Store {
	t.Helper()
	store := s.factory(t, dir, clock.Now)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return store
}

// limited bounds a check, so that a store that never answers fails by name.
func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}
