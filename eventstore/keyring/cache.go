package keyring

import (
	"container/list"
	"sync"
)

// cache keeps the most recently used values. Its generation lets a destroyed
// key stay gone: a value that was loaded before an eviction is not accepted
// after it.
type cache[V any] struct {
	limit int

	mu         sync.Mutex // guards all below
	order      *list.List // of *entry[V], most recently used first
	entries    map[string]*list.Element
	generation uint64
}

type entry[V any] struct {
	key   string
	value V
}

func newCache[V any](limit int) *cache[V] {
	return &cache[V]{limit: limit, order: list.New(), entries: make(map[string]*list.Element)}
}

// get returns the value, or the generation that put wants after loading it.
func (c *cache[V]) get(key string) (v V, generation uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok {
		return v, c.generation, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*entry[V]).value, c.generation, true
}

// put keeps a value loaded since generation, unless something was evicted in
// between.
func (c *cache[V]) put(generation uint64, key string, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation != c.generation {
		return
	}
	if e, ok := c.entries[key]; ok {
		e.Value.(*entry[V]).value = v
		c.order.MoveToFront(e)
		return
	}
	c.entries[key] = c.order.PushFront(&entry[V]{key: key, value: v})
	if c.order.Len() > c.limit {
		oldest := c.order.Back()
		c.order.Remove(oldest)
		delete(c.entries, oldest.Value.(*entry[V]).key)
	}
}

// evict forgets the keys, after their destruction is durable.
func (c *cache[V]) evict(keys ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	for _, k := range keys {
		if e, ok := c.entries[k]; ok {
			c.order.Remove(e)
			delete(c.entries, k)
		}
	}
}

// clear forgets everything.
func (c *cache[V]) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	c.order.Init()
	clear(c.entries)
}
