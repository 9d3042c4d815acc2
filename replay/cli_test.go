package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

var update = flag.Bool("update", false, "write the golden files of this package anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; write it with: go test ./replay -update", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got); if this is intended: go test ./replay -update\n%s", name, diff)
	}
}

func args(l *ledger, user string, f Format) Args {
	return Args{Reader: l.store, Codec: codec.New(nil), User: user, Format: f, Now: l.now.Add(time.Hour)}
}

func TestStateAtOutput(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	for name, a := range map[string]StateArgs{
		"state.table.golden":    {Args: args(l, reference, Table)},
		"state.json.golden":     {Args: args(l, reference, JSON)},
		"state.jsonl.golden":    {Args: args(l, userID, JSONLines), At: "-8h"},
		"before.table.golden":   {Args: args(l, userID, Table), At: "2026-03-01"},
		"sequence.table.golden": {Args: args(l, userID, Table), At: "@12"},
		"opted.table.golden":    {Args: args(l, userID, Table), At: "2026-03-02T11:30:00Z"},
	} {
		a.Policy = l.base
		var stdout, stderr bytes.Buffer
		if err := RunStateAt(t.Context(), a, &stdout, &stderr); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		golden(t, name, stdout.Bytes())
		if want := map[bool]string{true: "user " + userID + "\n"}[a.User == reference]; stderr.String() != want {
			t.Errorf("%s: messages %q, want %q", name, stderr.String(), want)
		}
	}
}

// TestGrownStateOutput: a user whose card is lost, who has a temporary passcode
// and in whose name several things are under way.
func TestGrownStateOutput(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	clientID := codec.ClientIDOf("acme")
	l.must(domain.RegisterClient{ClientID: clientID, Kind: domain.Individual, CarryingEntity: "IB-IE", CarryingCC: "IE"}, domain.Facts{})
	w := newWalker(l, reference, clientID)
	for _, a := range []act{getIBKey, getDevice, passcode, orderDevice, deferUnification} {
		l.wait(time.Minute)
		w.step(a, true)
	}
	l.wait(time.Minute)
	w.step(func(w *walker, _ bool) []func() domain.Command {
		return append(list(w.start(domain.PurposeMigration, domain.IBKRMobileIOS, true)), func() domain.Command {
			return domain.StartMigration{UserID: w.id, InstallationID: w.installations[1], TxnID: w.txn}
		})
	}, true)
	for name, f := range map[string]Format{"grown.table.golden": Table, "grown.json.golden": JSON} {
		a := args(l, w.id, f)
		a.Now = l.now.Add(time.Minute)
		var stdout, stderr bytes.Buffer
		if err := RunStateAt(t.Context(), StateArgs{Args: a, Policy: l.base}, &stdout, &stderr); err != nil {
			t.Error(err)
		}
		golden(t, name, stdout.Bytes())
	}
}

func TestTimelineOutput(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	for name, a := range map[string]TimelineArgs{
		"timeline.table.golden": {Args: args(l, userID, Table)},
		"timeline.json.golden":  {Args: args(l, userID, JSON), To: "@6"},
		"timeline.jsonl.golden": {Args: args(l, userID, JSONLines), From: "-9h", Types: []string{"OptOutGranted", "UserLocked"}},
		"none.table.golden":     {Args: args(l, userID, Table), To: "2026-03-01"},
		"none.json.golden":      {Args: args(l, userID, JSON), To: "2026-03-01"},
	} {
		var stdout, stderr bytes.Buffer
		if err := RunTimeline(t.Context(), a, &stdout, &stderr); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		golden(t, name, stdout.Bytes())
		if !strings.HasSuffix(stderr.String(), " of "+userID+"\n") {
			t.Errorf("%s: messages %q", name, stderr.String())
		}
		checkJSON(t, name, a.Format, stdout.Bytes())
	}
}

func checkJSON(t *testing.T, name string, f Format, text []byte) {
	t.Helper()
	var array []Entry
	switch f {
	case JSON:
		if err := json.Unmarshal(text, &array); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	case JSONLines:
		for line := range bytes.Lines(text) {
			var e Entry
			if err := json.Unmarshal(line, &e); err != nil || e.EventID == "" {
				t.Errorf("%s: line %s: %v", name, line, err)
			}
		}
	}
}

func TestResolveUser(t *testing.T) {
	t.Parallel()
	const key = "c9hpkgj4d5r7s2u0vm1n3b6e8k"
	for text, want := range map[string]string{
		"usr_" + key:         "usr_" + key,
		"chl_" + key + "_8":  "usr_" + key,
		"acme/ada":           codec.UserIDOf("acme/ada"),
		"U1234567":           codec.UserIDOf("U1234567"),
		"usr " + key:         codec.UserIDOf("usr " + key),
		"chl_" + key + "_08": codec.UserIDOf("chl_" + key + "_08"),
	} {
		if got, err := ResolveUser(text); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "usr_", "usr_short", "usr_" + strings.ToUpper(key), "clt_" + key, "ins_" + key} {
		if got, err := ResolveUser(text); !errors.Is(err, ErrUsage) {
			t.Errorf("%q: %s, %v; want a usage error", text, got, err)
		}
	}
}

func TestParseFormat(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Format{"table": Table, "json": JSON, "jsonl": JSONLines} {
		if got, err := ParseFormat(text); err != nil || got != want {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	if _, err := ParseFormat("xml"); !errors.Is(err, ErrUsage) {
		t.Errorf("xml: %v", err)
	}
}

// TestCommandErrorsSayWhatToDo: each kind has its sentinel, for the exit code,
// and its advice.
func TestCommandErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	torn := records(t, l, userID)
	torn = append(torn[:5], torn[6:]...)
	damaged := records(t, l, userID)[:1]
	damaged[0].Data = []byte(`{"user_id":`)
	future := newLedger(t)
	future.raw(domain.UserStream(userID), []eventstore.Proposed{{ID: eventstore.EventIDOf(eventstore.EventID{1}, 0), Type: "PasskeyEnrolled", Schema: 1, Data: []byte("{}"), Metadata: []byte("{}")}}, nil)
	for name, test := range map[string]struct {
		change func(*Args)
		at     string
		want   error
		says   string
	}{
		"no user":               {func(a *Args) { a.User = "" }, "", ErrUsage, "name a user"},
		"unreadable moment":     {func(*Args) {}, "noon", ErrUsage, "-36h"},
		"unknown reference":     {func(a *Args) { a.User = "acme/eve" }, "", ErrNotFound, "exact reference"},
		"unknown id":            {func(a *Args) { a.User = codec.UserIDOf("eve") }, "", ErrNotFound, "no user usr_"},
		"torn log":              {func(a *Args) { a.Reader = forged{Reader: l.store, records: torn} }, "", new(BrokenChainError), "backup"},
		"damaged log":           {func(a *Args) { a.Reader = forged{Reader: l.store, records: damaged} }, "", codec.ErrMalformed, "backup"},
		"log of a newer ledger": {func(a *Args) { a.Reader = future.store }, "", codec.ErrUnknownType, "newer authledger"},
	} {
		a := args(l, userID, JSON)
		test.change(&a)
		var out, messages bytes.Buffer
		for _, err := range []error{
			RunStateAt(t.Context(), StateArgs{Args: a, Policy: l.base, At: test.at}, &out, &messages),
			RunTimeline(t.Context(), TimelineArgs{Args: a, From: test.at}, &out, &messages),
			RunTimeline(t.Context(), TimelineArgs{Args: a, To: test.at}, &out, &messages),
		} {
			if !is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: %v; want it to say %q", name, err, test.says)
			}
		}
		if json.Valid(out.Bytes()) {
			t.Errorf("%s: the output looks whole: %s", name, out.String())
		}
	}
}

func is(err, target error) bool {
	var broken *BrokenChainError
	if errors.As(target, &broken) {
		return errors.As(err, &broken)
	}
	return errors.Is(err, target)
}

// TestHintFitsTheError: a record that does not exist is not blamed on the user.
func TestHintFitsTheError(t *testing.T) {
	t.Parallel()
	l, _ := story(t)
	nobody := codec.UserIDOf("eve")
	if err := RunTimeline(t.Context(), TimelineArgs{Args: args(l, nobody, Table)}, &bytes.Buffer{}, &bytes.Buffer{}); !errors.Is(err, ErrNotFound) || strings.Contains(err.Error(), "reference") {
		t.Errorf("an id that was given: %v", err)
	}
	err := RunStateAt(t.Context(), StateArgs{Args: args(l, reference, Table), Policy: l.base, At: "@100000"}, &bytes.Buffer{}, &bytes.Buffer{})
	if !errors.Is(err, ErrNotFound) || strings.Contains(err.Error(), "reference") || !strings.Contains(err.Error(), "the log ends at @") {
		t.Errorf("error %v", err)
	}
}

// full is a disk without space after some bytes.
type full struct{ room int }

var errFull = errors.New("no space left")

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.room {
		n := f.room
		f.room = 0
		return n, errFull
	}
	f.room -= len(p)
	return len(p), nil
}

func TestOutputThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	for _, room := range []int{0, 100, 5000} {
		for _, f := range []Format{Table, JSON, JSONLines} {
			if err := RunTimeline(t.Context(), TimelineArgs{Args: args(l, userID, f)}, &full{room: room}, &bytes.Buffer{}); !errors.Is(err, errFull) {
				t.Errorf("timeline %q with room for %d bytes: %v", f, room, err)
			}
			if err := RunTimeline(t.Context(), TimelineArgs{Args: args(l, userID, f), To: "@2"}, &full{room: min(room, 10)}, &bytes.Buffer{}); !errors.Is(err, errFull) {
				t.Errorf("one entry of a timeline %q with no room: %v", f, err)
			}
			if room > 1000 {
				continue // the state may fit
			}
			if err := RunStateAt(t.Context(), StateArgs{Args: args(l, userID, f), Policy: l.base}, &full{room: room}, &bytes.Buffer{}); !errors.Is(err, errFull) {
				t.Errorf("state %q with room for %d bytes: %v", f, room, err)
			}
		}
	}
}
