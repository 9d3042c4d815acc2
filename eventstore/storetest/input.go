package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/authledger/authledger/eventstore"
)

func (s suite) inputChecks() []check {
	return []check{
		{"input/hostile stream names", s.inputNames},
		{"input/invalid appends", s.inputInvalid},
		{"input/context ended before", s.inputContext},
	}
}

// hostileNames are valid names that break careless joining, matching, quoting
// or ordering.
func hostileNames() []string {
	return []string{
		"a", "A", "a-b", "a-", "-a", "a/b", "a//b", `a\b`, "a:b", "a.b", "..", "../a", "a%b", "a_b", "%", "_", "a%", "a?b", "?", "*", "a*",
		"'", "''", `"`, `a"b`, "`", "[a]", "a';DROP/**/TABLE/**/records;--", "--", "/*", ";", "x'00'", "NULL", "null", "0", "00", "-1", "1e3",
		"a$b", "a@b", "a#b", "a&b", "a=b", "a+b", "a,b", "a|b", "a<b>", "{}", "a~b", "a!b", "é", "e\u0301", "日本語", "🔑", "ß", "ſ", "İ", "ı",
		strings.Repeat("a", eventstore.MaxStreamName), strings.Repeat("a", eventstore.MaxStreamName-1), strings.Repeat("🔑", eventstore.MaxStreamName/4),
	}
}

func (s suite) inputNames(t *testing.T) {
	store, _ := s.open(t)
	names := hostileNames()
	for i, name := range names {
		a := mustAppend(t, store, name, eventstore.NoStream(), Events(fmt.Sprintf("name %d", i), 1))
		mustAppend(t, store, name, after(a), Events(fmt.Sprintf("name %d again", i), 1))
	}
	log := wantLog(t, store, 2*len(names))
	for i, name := range names {
		got := collect(t, store.ReadStream(limited(t), name, 0))
		same(t, fmt.Sprintf("stream %q", name), got, log[2*i:2*i+2])
	}
}

func (s suite) inputInvalid(t *testing.T) {
	store, _ := s.open(t)
	event := func(change func(*eventstore.Proposed)) []eventstore.Proposed {
		events := Events("invalid", 2)
		change(&events[1])
		return events
	}
	big := []byte(`{"text":"` + string(bytes.Repeat([]byte("x"), eventstore.MaxAppendBytes)) + `"}`)
	for _, c := range []struct {
		name   string
		stream string
		events []eventstore.Proposed
		want   error
	}{
		{"empty name", "", Events("e", 1), eventstore.ErrInvalid},
		{"system name", "$all", Events("e", 1), eventstore.ErrInvalid},
		{"white space", "a b", Events("e", 1), eventstore.ErrInvalid},
		{"zero byte", "a\x00b", Events("e", 1), eventstore.ErrInvalid},
		{"not UTF-8", "a\xffb", Events("e", 1), eventstore.ErrInvalid},
		{"name too long", strings.Repeat("a", eventstore.MaxStreamName+1), Events("e", 1), eventstore.ErrInvalid},
		{"no events", "user-1", nil, eventstore.ErrInvalid},
		{"no id", "user-1", event(func(e *eventstore.Proposed) { e.ID = eventstore.EventID{} }), eventstore.ErrInvalid},
		{"id twice", "user-1", event(func(e *eventstore.Proposed) { e.ID = Events("invalid", 1)[0].ID }), eventstore.ErrInvalid},
		{"no type", "user-1", event(func(e *eventstore.Proposed) { e.Type = "" }), eventstore.ErrInvalid},
		{"no schema version", "user-1", event(func(e *eventstore.Proposed) { e.Schema = 0 }), eventstore.ErrInvalid},
		{"data not an object", "user-1", event(func(e *eventstore.Proposed) { e.Data = []byte(`[]`) }), eventstore.ErrInvalid},
		{"metadata missing", "user-1", event(func(e *eventstore.Proposed) { e.Metadata = nil }), eventstore.ErrInvalid},
		{"data too large", "user-1", event(func(e *eventstore.Proposed) { e.Data = big }), eventstore.ErrTooLarge},
		{"metadata too large", "user-1", event(func(e *eventstore.Proposed) { e.Metadata = big }), eventstore.ErrTooLarge},
		{"too many events", "user-1", Events("many", eventstore.MaxAppendCount+1), eventstore.ErrTooLarge},
	} {
		if _, err := store.Append(limited(t), c.stream, eventstore.NoStream(), c.events); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	wantLog(t, store, 0)
}

func (s suite) inputContext(t *testing.T) {
	store, _ := s.open(t)
	want := fill(t, store, 5)
	ctx, cancel := context.WithCancel(limited(t))
	cancel()
	_, err := store.Append(ctx, "user-1", eventstore.NoStream(), Events("late", 1))
	if !errors.Is(err, context.Canceled) || errors.Is(err, eventstore.ErrOutcomeUnknown) {
		t.Errorf("append: got %v, want %v", err, context.Canceled)
	}
	if got, err := drain(store.ReadAll(ctx, 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("read all: got %d records, %v, want %v", len(got), err, context.Canceled)
	}
	if got, err := drain(store.ReadStream(ctx, "fill-0", 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("read stream: got %d records, %v, want %v", len(got), err, context.Canceled)
	}
	if _, err := store.ByID(ctx, want[0].ID); !errors.Is(err, context.Canceled) {
		t.Errorf("by id: got %v, want %v", err, context.Canceled)
	}
	if _, _, err := store.Head(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("head: got %v, want %v", err, context.Canceled)
	}
	if got, err := follow(ctx, store, 0, 10, 5); err != nil || len(got) != 0 {
		t.Errorf("follow: got %d records, %v, want none and no error", len(got), err)
	}
	wantLog(t, store, 5)
}
