package esdbtest

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// groupKey names a persistent subscription.
type groupKey struct{ stream, name string } // stream is $all for one to $all

// groups are the persistent subscriptions. They live on the leader: a change
// of leader and a restart drop every consumer and go on from the checkpoints.
type groups struct {
	server *Server

	mu      sync.Mutex // guards everything below
	byKey   map[groupKey]*group
	ctx     context.Context // of the running groups; nil while stopped
	cancel  context.CancelFunc
	runners sync.WaitGroup
}

func newGroups(s *Server) *groups {
	return &groups{server: s, byKey: map[groupKey]*group{}}
}

func (g *groups) start() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ctx != nil {
		return
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	for _, one := range g.byKey {
		g.run(one)
	}
}

func (g *groups) run(one *group) {
	ctx := g.ctx
	g.runners.Go(func() { one.run(ctx) })
}

// stop drops every consumer and waits for the groups to stand still.
func (g *groups) stop() {
	g.mu.Lock()
	if g.ctx == nil {
		g.mu.Unlock()
		return
	}
	g.ctx = nil
	g.cancel()
	for _, one := range g.byKey {
		one.dropAll()
	}
	g.mu.Unlock()
	g.runners.Wait()
}

// rewind forgets what a stopped leader had only in memory.
func (g *groups) rewind() {
	g.server.faults.mu.Lock()
	events := g.server.faults.rewind
	g.server.faults.rewind = 0
	g.server.faults.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, one := range g.byKey {
		one.rewind(events)
	}
}

// create adds a group; false when there is one of that name.
func (g *groups) create(key groupKey, s settings) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.byKey[key] != nil {
		return false
	}
	one := newGroup(g.server, key, s)
	g.byKey[key] = one
	if g.ctx != nil {
		g.run(one)
	}
	return true
}

func (g *groups) find(key groupKey) *group {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.byKey[key]
}

// join adds a consumer; nil while the groups stand still.
func (g *groups) join(one *group, user string, bufferSize int) (*consumer, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ctx == nil {
		return nil, true
	}
	return one.join(user, bufferSize)
}

// remove deletes a group; false when there is none.
func (g *groups) remove(key groupKey) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.byKey[key]
	if one == nil {
		return false
	}
	delete(g.byKey, key)
	one.end()
	return true
}

// list returns the groups of a stream, of all streams when it is empty.
func (g *groups) list(stream string) []*group {
	g.mu.Lock()
	defer g.mu.Unlock()
	var found []*group
	for key, one := range g.byKey {
		if stream == "" || key.stream == stream {
			found = append(found, one)
		}
	}
	slices.SortFunc(found, func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.key.stream, b.key.stream), cmp.Compare(a.key.name, b.key.name))
	})
	return found
}
