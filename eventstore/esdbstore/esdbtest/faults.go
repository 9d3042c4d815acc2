package esdbtest

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/status"
)

// faults are what a test has asked to go wrong.
type faults struct {
	mu            sync.Mutex // guards everything below
	frozen        chan struct{}
	delay         time.Duration
	offset        time.Duration
	maxAppendSize int
	dropAnswers   int
	refuseWrites  int
	unavailable   int
	notLeader     int
	duplicates    int
	breakReads    int
	breakAfter    int
	rewind        int
	rotateGossip  bool
	late          bool
}

// take uses up one of a counted fault.
func (f *faults) take(counter *int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *counter <= 0 {
		return false
	}
	*counter--
	return true
}

func (f *faults) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// pass holds up a call.
func (f *faults) pass(ctx context.Context) error {
	if err := f.thawed(ctx); err != nil {
		return err
	}
	return f.delayed(ctx)
}

// thawed waits while the server is frozen.
func (f *faults) thawed(ctx context.Context) error {
	for {
		f.mu.Lock()
		frozen := f.frozen
		f.mu.Unlock()
		if frozen == nil {
			return nil
		}
		select {
		case <-frozen:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

func (f *faults) delayed(ctx context.Context) error {
	f.mu.Lock()
	delay := f.delay
	f.mu.Unlock()
	if delay <= 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

func (f *faults) clockOffset() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.offset
}

func (f *faults) appendLimit() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.maxAppendSize
}

func (f *faults) refusesLate() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.late
}

// breaks tells a read after how many events its connection ends; -1 for never.
func (f *faults) breaks() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.breakReads <= 0 {
		return -1
	}
	f.breakReads--
	return f.breakAfter
}

// DropAnswers makes the next n writes take effect and end their connection
// instead of an answer. A write is an append, a delete or a tombstone that the
// server would have answered with success.
func (s *Server) DropAnswers(n int) { s.faults.set(func() { s.faults.dropAnswers = n }) }

// RefuseWrites answers the next n writes with Unavailable and writes nothing.
func (s *Server) RefuseWrites(n int) { s.faults.set(func() { s.faults.refuseWrites = n }) }

// Unavailable answers the next n calls to streams and persistent
// subscriptions with Unavailable, as a node that is starting does.
func (s *Server) Unavailable(n int) { s.faults.set(func() { s.faults.unavailable = n }) }

// RejectNotLeader answers the next n calls to streams and persistent
// subscriptions with not-leader and the address of the leader.
func (s *Server) RejectNotLeader(n int) { s.faults.set(func() { s.faults.notLeader = n }) }

// Delay holds up every call by d of real time before it is looked at; 0 ends
// that.
func (s *Server) Delay(d time.Duration) { s.faults.set(func() { s.faults.delay = d }) }

// BreakReads ends the next n reads and subscriptions with Unavailable, which is
// what a lost connection leaves the client with, after so many events.
func (s *Server) BreakReads(n, afterEvents int) {
	s.faults.set(func() { s.faults.breakReads, s.faults.breakAfter = n, afterEvents })
}

// DuplicateDeliveries sends each of the next n events of subscriptions twice,
// catch-up and persistent.
func (s *Server) DuplicateDeliveries(n int) { s.faults.set(func() { s.faults.duplicates = n }) }

// RefuseLate makes the server read an append to its end before it refuses it.
// As a server does it otherwise refuses a wrong password, a missing right and
// too large an append at once, and the client, still sending, may report EOF
// instead of the reason. Tests of the reason set this; tests of the adapter's
// patience do not.
func (s *Server) RefuseLate(on bool) { s.faults.set(func() { s.faults.late = on }) }

// RotateGossip lists the members in another order in every answer.
func (s *Server) RotateGossip(on bool) { s.faults.set(func() { s.faults.rotateGossip = on }) }

// SetMaxAppendSize changes the limit of Options while the server runs.
func (s *Server) SetMaxAppendSize(bytes int) {
	s.faults.set(func() { s.faults.maxAppendSize = bytes })
}

// OffsetClock puts the server's clock ahead of Options.Clock, or behind with a
// negative d. Times of later events show it, and may go back.
func (s *Server) OffsetClock(d time.Duration) { s.faults.set(func() { s.faults.offset = d }) }

// RewindGroups makes persistent subscriptions go on n events before their
// checkpoint at the next restart or change of leader, as on a server that
// writes checkpoints now and then only: acknowledged events come again.
func (s *Server) RewindGroups(n int) { s.faults.set(func() { s.faults.rewind = n }) }

// Freeze makes every call hang, and subscriptions send nothing, until Thaw or
// until the caller gives up. Connections stay open.
func (s *Server) Freeze() {
	s.faults.set(func() {
		if s.faults.frozen == nil {
			s.faults.frozen = make(chan struct{})
		}
	})
}

// Thaw ends Freeze.
func (s *Server) Thaw() {
	s.faults.set(func() {
		if s.faults.frozen != nil {
			close(s.faults.frozen)
			s.faults.frozen = nil
		}
	})
}

// Cut closes every connection to every member. New ones are accepted.
func (s *Server) Cut() {
	for _, m := range s.members {
		m.cut()
	}
}

// CutMember closes the connections of one member.
func (s *Server) CutMember(member int) { s.members[member].cut() }
