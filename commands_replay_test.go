package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/replay"
)

// decidedLedger is a data directory in which one opt-out was denied in Hong
// Kong. With forged, the log also holds a decision that nobody took.
func decidedLedger(t *testing.T, forged bool) (dir, userID string) {
	t.Helper()
	dir, now := t.TempDir(), time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	s, err := openStores(t.Context(), dir, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	clientID := codec.ClientIDOf("acme")
	userID = codec.UserIDOf("acme/ada")
	var denied domain.OptOutDenied
	for _, c := range []domain.Command{
		domain.RegisterClient{ClientID: clientID, Kind: domain.Individual, CarryingEntity: "IB-HK", CarryingCC: "HK"},
		domain.RegisterUser{UserID: userID, ClientID: clientID, Role: domain.RoleOwner, Username: domain.Clear("ada"), Locale: "en", Residence: "HK"},
		domain.RequestOptOut{UserID: userID, RequestedBy: userID, AgreementVersion: "1", Acknowledged: true},
	} {
		out, err := s.journal.Execute(t.Context(), journal.Request{Command: c, CommandID: uuid.New(), Actor: domain.Actor{Kind: domain.ActorClient, Ref: "test"}})
		if err != nil {
			t.Fatal(err)
		}
		denied, _ = out.Events[len(out.Events)-1].Event.(domain.OptOutDenied)
	}
	if forged {
		denied.Decision.DecisiveRuleID = "DEFAULT-1"
		forge(t, s, userID, denied)
	}
	return dir, userID
}

func forge(t *testing.T, s *stores, userID string, e domain.Event) {
	t.Helper()
	stream, last := domain.UserStream(userID), eventstore.NoStream()
	for r, err := range s.log.ReadStream(t.Context(), stream, 0) {
		if err != nil {
			t.Fatal(err)
		}
		last = eventstore.At(r.Revision, r.Leaf())
	}
	command := uuid.New()
	p, err := s.codec.Encode(t.Context(), stream, eventstore.EventIDOf(command, 0), e, codec.Metadata{
		CommandID: command, Command: "RequestOptOut", Count: 1, OccurredAt: s.journal.Now(), PolicyVersion: s.policy.Version,
	})
	if err == nil {
		_, err = s.log.Append(t.Context(), stream, last, []eventstore.Proposed{p})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ask runs a command line and returns what it printed and its exit code.
func ask(t *testing.T, args ...string) (stdout string, code int) {
	t.Helper()
	var out, messages bytes.Buffer
	cmd := newRootCommand()
	cmd.SetArgs(append([]string{"replay"}, args...))
	cmd.SetOut(&out)
	cmd.SetErr(&messages)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		return out.String(), exitCode(err)
	}
	return out.String(), 0
}

func TestAuditorsAskTheLog(t *testing.T) {
	dir, _ := decidedLedger(t, false)
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"rules":        {[]string{"rules", "--at", "2018-05-02"}, "HK-2FA-1"},
		"rules, known": {[]string{"rules", "--at", "2018-05-02", "--known-at", "newest", "-o", "json"}, `"rule_id": "HK-2FA-1"`},
		"decision":     {[]string{"decision", "--user", "acme/ada", "--at", "2026-03-03"}, "deny_opt_out"},
		"state, known": {[]string{"state-at", "--user", "acme/ada", "--at", "2026-03-03", "--known-at", "@3"}, "what was recorded by @3"},
		"check":        {[]string{"check-decisions"}, "OptOutDenied"},
		"check, lines": {[]string{"check-decisions", "--jsonl"}, `"differ":0`},
	} {
		out, code := ask(t, append(test.args, "--data", dir)...)
		if code != 0 || !strings.Contains(out, test.says) {
			t.Errorf("%s: exit code %d, want %q in\n%s", name, code, test.says, out)
		}
	}
}

func TestExitCodesOfAuditorsCommands(t *testing.T) {
	dir, _ := decidedLedger(t, true)
	out, code := ask(t, "check-decisions", "--data", dir, "-o", "json")
	var c replay.Check
	if err := json.Unmarshal([]byte(out), &c); err != nil || code != exitDiffers || c.Differ != 1 || c.First == nil {
		t.Errorf("a forged decision: exit code %d and %v after\n%s", code, err, out)
	}
	for want, args := range map[int][]string{
		exitUsage:    {"rules", "--at", "2018-05-02", "-o", "xml"},
		exitNotFound: {"decision", "--user", "acme/eve"},
	} {
		if _, code := ask(t, append(args, "--data", dir)...); code != want {
			t.Errorf("%v: exit code %d, want %d", args, code, want)
		}
	}
	if code := exitCode(errors.Join(errors.New("closing"), replay.ErrDiffers)); code != exitDiffers {
		t.Errorf("a difference and another error: exit code %d", code)
	}
}
