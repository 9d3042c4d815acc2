package esdbtest

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
)

// Call is a kind of call the server has answered or refused after the request
// was read.
type Call struct {
	// Method is service and method: Streams/Append. A subscription is
	// Streams/Subscribe, though on the wire it is a Read.
	Method string
	// RequiresLeader says whether the call carried requires-leader: true.
	RequiresLeader bool
	// Expected is the expected revision of a write: any, no_stream,
	// stream_exists or revision.
	Expected string
}

// counts counts calls by kind: bounded, however long the server runs.
type counts struct {
	mu    sync.Mutex
	calls map[Call]int
}

// add counts a call, under another method name if one is given, and returns
// how many of its kind there were.
func (c *counts) add(ctx context.Context, method, expected string) int {
	from := callOf(ctx)
	kind := Call{Method: from.method, RequiresLeader: from.requiresLeader, Expected: expected}
	if method != "" {
		kind.Method = method
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == nil {
		c.calls = map[Call]int{}
	}
	c.calls[kind]++
	return c.calls[kind]
}

// CallKinds counts the calls so far by kind.
func (s *Server) CallKinds() map[Call]int {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	return maps.Clone(s.counts.calls)
}

// Calls counts the calls so far by method.
func (s *Server) Calls() map[string]int {
	calls := map[string]int{}
	for kind, n := range s.CallKinds() {
		calls[kind.Method] += n
	}
	return calls
}

// Events returns the events of the streams whose names begin with a prefix, in
// the order of $all: also of deleted ones, until Scavenge.
func (s *Server) Events(prefix string) []Event {
	end, _ := s.log.horizon(0)
	var events []Event
	for _, e := range s.log.readAll(end) {
		if strings.HasPrefix(e.Stream, prefix) {
			events = append(events, *e)
		}
	}
	return events
}

// Put appends to a stream from within: no size limit, no access control, no
// fault, no expected revision. It returns the recorded events.
func (s *Server) Put(stream string, events ...Proposed) ([]Event, error) {
	at, err := s.log.append(stream, expected{kind: anyRevision}, events)
	if err != nil {
		return nil, fmt.Errorf("put into %s: %w", stream, err)
	}
	return s.log.last(stream, at.revision, len(events)), nil
}

// Interleave writes n events that are none of our business: statistics of the
// server, events of another application, and metadata of its stream.
func (s *Server) Interleave(n int) {
	foreign := []struct{ stream, kind string }{
		{"$stats-127.0.0.1:2113", "$statsCollected"},
		{"orders-1047", "OrderPlaced"},
		{"$$orders-1047", metadataType},
	}
	for i := range n {
		f := foreign[i%len(foreign)]
		if _, err := s.log.append(f.stream, expected{kind: anyRevision}, []Proposed{{Type: f.kind, Data: []byte(`{}`)}}); err != nil {
			panic("esdbtest: append to " + f.stream + ": " + err.Error()) // nothing deletes these streams
		}
	}
}

// Scavenge removes what reads no longer show, from $all too: truncated events
// and those of streams with a tombstone. The last event of a stream stays.
func (s *Server) Scavenge() { s.log.scavenge() }
