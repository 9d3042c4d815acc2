package eventstore_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
)

func TestCheckStream(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"a", "0", "user-vg3k0d", "A.b_c/d:e%f", "a$", "a'b\"c`;--", "..", "é", "e\u0301", "日本語", "🔑", "~!@#^&*()+={}[]|\\<>,?",
		strings.Repeat("x", eventstore.MaxStreamName), strings.Repeat("é", eventstore.MaxStreamName/2),
	} {
		if err := eventstore.CheckStream(name); err != nil {
			t.Errorf("%q: got %v", name, err)
		}
	}
	for why, name := range map[string]string{
		"empty": "", "system": "$all", "system only": "$", "too long": strings.Repeat("x", eventstore.MaxStreamName+1),
		"too long in bytes": strings.Repeat("é", eventstore.MaxStreamName/2+1), "space": "a b", "leading space": " a", "tab": "a\tb",
		"line feed": "a\n", "carriage return": "a\rb", "zero": "a\x00", "escape": "\x1b[0m", "delete": "a\x7f", "C1 control": "a\u0085b",
		"line separator": "a\u2028b", "paragraph separator": "a\u2029b", "broken UTF-8": "a\xff", "cut rune": "a\xe2\x82", "surrogate": "a\xed\xa0\x80",
		"replacement character": "a\ufffdb", "no-break space": "a\u00a0b", "ideographic space": "a\u3000b", "em space": "a\u2003b",
		"zero width space": "a\u200bb", "zero width joiner": "a\u200db", "right-to-left mark": "a\u200fb", "right-to-left override": "a\u202eb",
		"byte order mark": "\ufeffa", "soft hyphen": "a\u00adb", "private use": "a\ue000b", "noncharacter": "a\U0001fffeb",
	} {
		if err := eventstore.CheckStream(name); !errors.Is(err, eventstore.ErrInvalid) {
			t.Errorf("%s (%q): got %v, want %v", why, name, err, eventstore.ErrInvalid)
		}
	}
}

func FuzzCheckStream(f *testing.F) {
	for _, seed := range []string{"user-1", "", "$all", "a b", "é\u0301", "a\xff", "\u200f", strings.Repeat("🔑", 31)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		err := eventstore.CheckStream(name)
		if err != nil {
			if !errors.Is(err, eventstore.ErrInvalid) {
				t.Errorf("%q: got %v, want %v", name, err, eventstore.ErrInvalid)
			}
			if len(err.Error()) > 10*(len(name)+20) || strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q: error cannot be logged on one line: %q", name, err)
			}
			return
		}
		if name == "" || len(name) > eventstore.MaxStreamName || !utf8.ValidString(name) || name[0] == '$' {
			t.Errorf("%q was accepted", name)
		}
		for _, r := range name {
			if unicode.IsSpace(r) || unicode.IsControl(r) || !unicode.IsPrint(r) {
				t.Errorf("%q was accepted with %U", name, r)
			}
		}
	})
}

func proposed(n int) []eventstore.Proposed {
	events := make([]eventstore.Proposed, n)
	for i := range events {
		events[i] = eventstore.Proposed{ID: eventstore.EventIDOf(uuid.Nil, i), Type: "A", Schema: 1, Data: []byte(`{}`), Metadata: []byte(`{}`)}
	}
	return events
}

func TestCheckAppend(t *testing.T) {
	t.Parallel()
	sized := func(data, metadata int) func([]eventstore.Proposed) {
		return func(e []eventstore.Proposed) {
			e[0].Data = []byte("{" + strings.Repeat(" ", data-2) + "}")
			e[1].Metadata = []byte(`{"a":1` + strings.Repeat(" ", metadata-7) + "}")
		}
	}
	const others = 4 // bytes of the data and metadata sized leaves alone
	for _, c := range []struct {
		name   string
		change func([]eventstore.Proposed)
		want   error
	}{
		{"as it should be", func([]eventstore.Proposed) {}, nil},
		{"longest type", func(e []eventstore.Proposed) { e[1].Type = strings.Repeat("t", eventstore.MaxTypeName) }, nil},
		{"greatest schema", func(e []eventstore.Proposed) { e[1].Schema = math.MaxUint16 }, nil},
		{"largest", sized(eventstore.MaxAppendBytes-100-others, 100), nil},
		{"one byte more", sized(eventstore.MaxAppendBytes-100-others, 101), eventstore.ErrTooLarge},
		{"nil id", func(e []eventstore.Proposed) { e[1].ID = uuid.Nil }, eventstore.ErrInvalid},
		{"id twice", func(e []eventstore.Proposed) { e[1].ID = e[0].ID }, eventstore.ErrInvalid},
		{"no type", func(e []eventstore.Proposed) { e[1].Type = "" }, eventstore.ErrInvalid},
		{"type too long", func(e []eventstore.Proposed) { e[1].Type = strings.Repeat("t", eventstore.MaxTypeName+1) }, eventstore.ErrInvalid},
		{"type with space", func(e []eventstore.Proposed) { e[1].Type = "A B" }, eventstore.ErrInvalid},
		{"type with line feed", func(e []eventstore.Proposed) { e[1].Type = "A\n" }, eventstore.ErrInvalid},
		{"schema 0", func(e []eventstore.Proposed) { e[1].Schema = 0 }, eventstore.ErrInvalid},
		{"nil data", func(e []eventstore.Proposed) { e[1].Data = nil }, eventstore.ErrInvalid},
		{"empty data", func(e []eventstore.Proposed) { e[1].Data = []byte{} }, eventstore.ErrInvalid},
		{"one brace", func(e []eventstore.Proposed) { e[1].Data = []byte("{") }, eventstore.ErrInvalid},
		{"array", func(e []eventstore.Proposed) { e[1].Data = []byte("[]") }, eventstore.ErrInvalid},
		{"null", func(e []eventstore.Proposed) { e[1].Data = []byte("null") }, eventstore.ErrInvalid},
		{"trailing byte", func(e []eventstore.Proposed) { e[1].Data = []byte("{} ") }, eventstore.ErrInvalid},
		{"nil metadata", func(e []eventstore.Proposed) { e[1].Metadata = nil }, eventstore.ErrInvalid},
		{"metadata beginning with a space", func(e []eventstore.Proposed) { e[1].Metadata = []byte("{ }") }, eventstore.ErrInvalid},
		{"metadata a string", func(e []eventstore.Proposed) { e[1].Metadata = []byte(`"x"`) }, eventstore.ErrInvalid},
	} {
		events := proposed(2)
		c.change(events)
		if err := eventstore.CheckAppend("user-1", events); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	for n, want := range map[int]error{0: eventstore.ErrInvalid, 1: nil, eventstore.MaxAppendCount: nil, eventstore.MaxAppendCount + 1: eventstore.ErrTooLarge} {
		if err := eventstore.CheckAppend("user-1", proposed(n)); !errors.Is(err, want) {
			t.Errorf("%d events: got %v, want %v", n, err, want)
		}
	}
	if err := eventstore.CheckAppend("$all", proposed(1)); !errors.Is(err, eventstore.ErrInvalid) {
		t.Errorf("stream name: got %v, want %v", err, eventstore.ErrInvalid)
	}
}

// TestCheckAppendSaysNothing looks for the payload in errors, which are logged.
func TestCheckAppendSaysNothing(t *testing.T) {
	t.Parallel()
	events := proposed(1)
	events[0].Data = []byte(`"+4915112345678"`)
	err := eventstore.CheckAppend("user-1", events)
	if err == nil || bytes.Contains([]byte(err.Error()), []byte("491511")) {
		t.Errorf("got %v, want an error without the data", err)
	}
}

func TestExpected(t *testing.T) {
	t.Parallel()
	leaf := eventstore.Hash{7}
	for _, c := range []struct {
		expected eventstore.Expected
		exists   bool
		next     eventstore.Revision
		leaf     eventstore.Hash
		text     string
	}{
		{eventstore.Expected{}, false, 0, eventstore.Hash{}, "no stream"},
		{eventstore.NoStream(), false, 0, eventstore.Hash{}, "no stream"},
		{eventstore.At(0, leaf), true, 1, leaf, "revision 0"},
		{eventstore.At(41, leaf), true, 42, leaf, "revision 41"},
	} {
		e := c.expected
		if e.Exists() != c.exists || e.Next() != c.next || e.Leaf() != c.leaf || e.String() != c.text {
			t.Errorf("%s: got exists %v, next %d, leaf %s", e, e.Exists(), e.Next(), e.Leaf())
		}
	}
	if (eventstore.Expected{}) != eventstore.NoStream() {
		t.Error("the zero value is not NoStream")
	}
}

func TestConflictError(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"append to s: expected no stream, found revision 4": &eventstore.ConflictError{Stream: "s", Actual: 4, Found: true},
		"append to s: expected revision 1, found no stream": &eventstore.ConflictError{Stream: "s", Expected: eventstore.At(1, eventstore.Hash{})},
	} {
		if err.Error() != want || !errors.Is(err, eventstore.ErrConflict) {
			t.Errorf("got %q, want %q and ErrConflict", err, want)
		}
	}
}
