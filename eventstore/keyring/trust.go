package keyring

import "time"

// What a cache holds may have been destroyed by another node since. A vault
// that several nodes share is watched, and what the watch tells is evicted at
// once; these are the bounds for when the watch is down, and for when it only
// seems to be up.
const (
	// trustedUnwatched is how long a key is used after it was last seen alive
	// while nothing is heard of changes, and how long a watch must run before it
	// counts: a watch is not told when it has begun.
	trustedUnwatched = 5 * time.Second
	// trustedWatched is the same while the watch is up and says nothing: a
	// connection may be dead without an error.
	trustedWatched = time.Minute
)

// watchState is how much of what happens in a vault is heard.
type watchState struct {
	alone bool      // nobody else changes it
	run   uint64    // number of the watch that runs, from 1; 0 while none does
	since time.Time // when it began
}

// held is a value in a cache and when the vault last confirmed it.
type held[V any] struct {
	value V
	at    time.Time  // by the clock, before the vault was asked
	watch watchState // at that time
}

// hold marks a value as confirmed at a moment.
func hold[V any](m moment, v V) held[V] { return held[V]{value: v, at: m.at, watch: m.watch} }

// moment is when somebody began to ask the vault.
type moment struct {
	at         time.Time
	watch      watchState
	generation uint64 // of the cache the answer goes into
}

// look returns a value that may still be used, or the moment to hold one from.
func look[V any](k *Keyring, c *cache[held[V]], key string) (V, moment, bool) {
	h, generation, ok := c.get(key)
	m := moment{watch: k.vault.watching(), generation: generation}
	if m.watch.alone {
		return h.value, m, ok
	}
	m.at = k.clock()
	return h.value, m, ok && m.trusts(h.at, h.watch)
}

// keep puts a value into a cache that was read since a moment.
func keep[V any](c *cache[held[V]], m moment, key string, v V) {
	c.put(m.generation, key, hold(m, v))
}

// trusts reports whether what was confirmed at another moment may be used now.
func (m moment) trusts(at time.Time, watch watchState) bool {
	age := m.at.Sub(at)
	heard := m.watch.run != 0 && m.watch.run == watch.run && at.Sub(watch.since) >= trustedUnwatched
	return age >= 0 && (age < trustedUnwatched || heard && age < trustedWatched)
}
