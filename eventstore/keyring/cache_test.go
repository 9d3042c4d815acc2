package keyring

import (
	"slices"
	"testing"
)

// kept lists the keys of a cache that are still there.
func kept(c *cache[int], keys ...string) []string {
	return slices.DeleteFunc(keys, func(k string) bool {
		_, _, ok := c.get(k)
		return !ok
	})
}

func TestCacheDropsTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	c := newCache[int](2)
	c.put(0, "a", 1)
	c.put(0, "b", 2)
	c.get("a")
	c.put(0, "c", 3)
	if got := kept(c, "a", "b", "c"); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("kept %v", got)
	}
	c.put(0, "a", 4)
	if v, _, _ := c.get("a"); v != 4 || c.order.Len() != 2 {
		t.Errorf("replaced value %d among %d", v, c.order.Len())
	}
}

// A key loaded from the file before its destruction must not come back through
// the cache after it.
func TestCacheRefusesWhatWasLoadedBeforeAnEviction(t *testing.T) {
	t.Parallel()
	c := newCache[int](8)
	_, loaded, _ := c.get("a")
	c.evict("a")
	c.put(loaded, "a", 1)
	if got := kept(c, "a"); len(got) != 0 {
		t.Errorf("kept %v after its eviction", got)
	}
	_, loaded, _ = c.get("a")
	c.clear()
	c.put(loaded, "a", 1)
	if got := kept(c, "a"); len(got) != 0 {
		t.Errorf("kept %v after clearing", got)
	}
	_, loaded, _ = c.get("a")
	c.put(loaded, "a", 1)
	c.put(loaded, "b", 2)
	c.evict("b", "absent")
	if got := kept(c, "a", "b"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("kept %v", got)
	}
}
