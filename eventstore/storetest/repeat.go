package storetest

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/authledger/authledger/eventstore"
)

func (s suite) repeatChecks() []check {
	return []check{
		{"repeat/whole", s.repeatWhole},
		{"repeat/partial and elsewhere", s.repeatElsewhere},
		{"repeat/same append by many at once", s.repeatConcurrent},
	}
}

// commandOf reads back the name Events was given.
func commandOf(r eventstore.Record) string {
	var m struct{ Command string }
	if err := json.Unmarshal(r.Metadata, &m); err != nil {
		return ""
	}
	return m.Command
}

func (s suite) repeatWhole(t *testing.T) {
	store, clock := s.open(t)
	first := mustAppend(t, store, "user-1", eventstore.NoStream(), Events("first", 3))
	clock.Add(1e9)
	second := mustAppend(t, store, "user-1", after(first), Events("second", 2))
	mustAppend(t, store, "user-2", eventstore.NoStream(), Events("other", 1))
	check := func(name string, expected eventstore.Expected, events []eventstore.Proposed, want eventstore.Appended) {
		t.Helper()
		want.Repeated = true
		same(t, name, mustAppend(t, store, "user-1", expected, events), want)
	}
	changed := Events("first", 3)
	changed[0].Data = []byte(`{"changed":true}`)
	check("first again, more appended since", eventstore.NoStream(), Events("first", 3), first)
	check("first again with other data", eventstore.NoStream(), changed, first)
	check("newest again", after(first), Events("second", 2), second)
	check("newest again under another leaf", eventstore.At(2, eventstore.Hash{9}), Events("second", 2), second)
	check("twice again", after(first), Events("second", 2), second)
	wantLog(t, store, 6)
	mustAppend(t, store, "user-1", after(second), Events("third", 1))
	check("after more", after(first), Events("second", 2), second)
	wantLog(t, store, 7)
}

func (s suite) repeatElsewhere(t *testing.T) {
	store, _ := s.open(t)
	first := mustAppend(t, store, "user-1", eventstore.NoStream(), Events("first", 3))
	second := mustAppend(t, store, "user-1", after(first), Events("second", 2))
	fresh := Events("fresh", 4)
	f := Events("first", 3)
	for _, c := range []struct {
		name     string
		stream   string
		expected eventstore.Expected
		events   []eventstore.Proposed
		anywhere bool // found only by a store that promises unique ids
	}{
		{"first part stands, rest is new", "user-1", eventstore.NoStream(), []eventstore.Proposed{f[0], f[1], fresh[0]}, false},
		{"last part stands, first is new", "user-1", eventstore.NoStream(), []eventstore.Proposed{fresh[0], f[1], f[2]}, false},
		{"more than was appended", "user-1", after(first), append(Events("second", 2), fresh[0]), false},
		{"other order", "user-1", eventstore.NoStream(), []eventstore.Proposed{f[1], f[0], f[2]}, true},
		{"at another revision", "user-1", after(second), f, true},
		{"at the greatest revision", "user-1", eventstore.At(math.MaxUint64, eventstore.Hash{}), f, true},
		{"one old id behind new ones", "user-1", after(second), []eventstore.Proposed{fresh[0], f[2]}, true},
		{"another stream, new", "user-2", eventstore.NoStream(), f, true},
		{"another stream, one of two", "user-2", eventstore.NoStream(), []eventstore.Proposed{fresh[0], f[2]}, true},
	} {
		_, err := store.Append(limited(t), c.stream, c.expected, c.events)
		if c.anywhere && !s.promises.UniqueIDs {
			continue
		}
		if !errors.Is(err, eventstore.ErrDuplicateID) {
			t.Errorf("%s: got %v, want a duplicate id", c.name, err)
		}
	}
	if s.promises.UniqueIDs {
		wantLog(t, store, 5)
	}
}

func (s suite) repeatConcurrent(t *testing.T) {
	const callers = 32
	store, _ := s.open(t)
	ctx := limited(t)
	type answer struct {
		appended eventstore.Appended
		err      error
	}
	answers := make(chan answer, callers)
	for range callers {
		go func() {
			a, err := store.Append(ctx, "user-1", eventstore.NoStream(), Events("same", 3))
			answers <- answer{a, err}
		}()
	}
	written := 0
	var stamps []eventstore.Stamp
	for range callers {
		a := <-answers
		if a.err != nil {
			t.Fatalf("append: %v", a.err)
		}
		if !a.appended.Repeated {
			written++
		}
		if stamps != nil {
			same(t, "stamps", a.appended.Records, stamps)
		}
		stamps = a.appended.Records
	}
	if written != 1 {
		t.Errorf("%d of %d callers wrote, want 1", written, callers)
	}
	wantLog(t, store, 3)
}
