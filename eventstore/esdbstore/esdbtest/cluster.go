package esdbtest

import "fmt"

// Leader is the index of the leading member, -1 when there is none.
func (s *Server) Leader() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leader
}

// setLeader makes a member lead, or none with -1. What waits on the log looks
// again: consumers of persistent subscriptions have to move.
func (s *Server) setLeader(member int) {
	s.mu.Lock()
	s.leader = member
	s.mu.Unlock()
	s.log.wake()
}

// MoveLeader makes the next running member lead and returns its index. On a
// single node nothing changes. Consumers of persistent subscriptions are
// dropped; catch-up subscriptions and connections stay, as on a server.
func (s *Server) MoveLeader() int {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	to := s.nextRunning(s.Leader())
	s.moveTo(to)
	return to
}

func (s *Server) moveTo(leader int) {
	if leader == s.Leader() {
		return
	}
	s.groups.stop()
	s.groups.rewind()
	s.setLeader(leader)
	s.groups.start()
}

// nextRunning is the first running member after one, -1 when none runs.
func (s *Server) nextRunning(after int) int {
	n := len(s.members)
	for i := 1; i <= n; i++ {
		if at := (after + i + n) % n; s.members[at].running() {
			return at
		}
	}
	return -1
}

// electable is the member that leads or may be elected: -1 unless more than
// half of the members run.
func (s *Server) electable() int {
	running := 0
	for _, m := range s.members {
		if m.running() {
			running++
		}
	}
	leader := s.Leader()
	switch {
	case 2*running <= len(s.members):
		return -1
	case leader >= 0 && s.members[leader].running():
		return leader
	}
	return s.nextRunning(leader)
}

// StopMember ends a member as a crash would. If it led, the next running one
// leads at once, provided that more than half of the members run; else nobody
// does, and writes are answered with Unavailable.
func (s *Server) StopMember(member int) {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	s.members[member].stop()
	s.moveTo(s.electable())
}

// StartMember starts a stopped member on its old address.
func (s *Server) StartMember(member int) error {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if s.members[member].running() {
		return fmt.Errorf("member %d runs already", member)
	}
	if err := s.members[member].start(); err != nil {
		return err
	}
	s.moveTo(s.electable())
	return nil
}

// Lag lets a follower show the log without its last events; 0 lets it catch
// up. It has no effect on the leader.
func (s *Server) Lag(member, events int) {
	m := s.members[member]
	m.mu.Lock()
	m.lag = events
	m.mu.Unlock()
	s.log.wake()
}

// Advertise sets the address by which gossip and redirects name a member, say
// that of a Proxy before it.
func (s *Server) Advertise(member int, address string) {
	m := s.members[member]
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advertised = address
}
