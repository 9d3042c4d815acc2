package replay

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// sample is the newest frozen example of a type that the codec keeps: the one
// with every field.
func sample(t *testing.T, info codec.TypeInfo) (eventstore.Record, domain.Event) {
	t.Helper()
	dir := filepath.Join("..", "eventstore", "codec", "testdata", "events", info.Name)
	path := filepath.Join(dir, fmt.Sprintf("v%d.json", info.Version))
	for k := 2; ; k++ {
		grown := filepath.Join(dir, fmt.Sprintf("v%d-%d.json", info.Version, k))
		if _, err := os.Stat(grown); err != nil {
			break
		}
		path = grown
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Type           string
		Schema         uint16
		Stream         string
		Data, Metadata json.RawMessage
	}
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	r := eventstore.Record{Stream: g.Stream, Type: g.Type, Schema: g.Schema, Data: g.Data, Metadata: g.Metadata}
	d, err := codec.New(nil).Decode(r)
	if err != nil {
		t.Fatal(err)
	}
	return r, d.Event
}

// TestEveryTypeHasItsSentence compares with a file, one line for each type.
func TestEveryTypeHasItsSentence(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	seen := map[string]string{}
	for _, info := range codec.Types() {
		_, event := sample(t, info)
		s := Summary(event)
		if s == "" {
			t.Errorf("%s has no sentence", info.Name)
		}
		if other, ok := seen[s]; ok {
			t.Errorf("%s and %s read the same: %s", info.Name, other, s)
		}
		seen[s] = info.Name
		if len(info.Name) > 28 {
			t.Errorf("%s is wider than its column", info.Name)
		}
		all.WriteString(info.Name + ": " + s + "\n")
	}
	golden(t, "summaries.golden", []byte(all.String()))
}

// TestSummariesTellReasons: a refusal's code and a decision's rule are in the
// sentence; ciphertext and signatures are not.
func TestSummariesTellReasons(t *testing.T) {
	t.Parallel()
	for _, info := range codec.Types() {
		r, event := sample(t, info)
		var data struct {
			Reason, Cause, Failure, Signature string
			Decision                          struct {
				Rule string `json:"decisive_rule_id"`
			}
		}
		if err := json.Unmarshal(r.Data, &data); err != nil {
			t.Fatal(err)
		}
		s := Summary(event)
		for _, code := range []string{data.Reason, data.Cause, data.Failure} {
			if code != "" && !strings.Contains(s, ": "+code) {
				t.Errorf("%s does not say %s behind a colon: %s", info.Name, code, s)
			}
		}
		if !strings.Contains(s, data.Decision.Rule) {
			t.Errorf("%s does not say %s: %s", info.Name, data.Decision.Rule, s)
		}
		for _, hidden := range []string{"k1.", "redacted", "MEUC", "%!", "c2024-03-01"} {
			if strings.Contains(s, hidden) {
				t.Errorf("%s says %s: %s", info.Name, hidden, s)
			}
		}
	}
}

// TestSparseEventsReadWell: fields that may be absent leave no holes.
func TestSparseEventsReadWell(t *testing.T) {
	t.Parallel()
	const txn, chl, aut = "txn_c9hpkgj4d5r7s2u0vm1n3b6e8k_7", "chl_c9hpkgj4d5r7s2u0vm1n3b6e8k_8", "aut_c9hpkgj4d5r7s2u0vm1n3b6e8k_6"
	for want, e := range map[string]domain.Event{
		"Transaction 7: choice refused: NOT_OFFERED":                                     domain.SelectionRefused{TxnID: txn, Reason: domain.ReasonNotOffered},
		"Transaction 7: challenge refused: PUSH_RATE":                                    domain.ChallengeRefused{TxnID: txn, Reason: domain.ReasonPushRate},
		"Transaction 7 succeeded with 1 factor, scope full":                              domain.AuthenticationSucceeded{TxnID: txn, Factors: 1, Scope: "full"},
		"Enrolment of IB Key refused: PRIMARY_FACTOR_REQUIRED, flow activate":            domain.EnrollmentRefused{Flow: "activate", Kind: domain.KindIBKey, Reason: domain.ReasonPrimaryRequired},
		"Challenge 8: answer rejected: CODE_USED, attempt 1, 0 left, not counted":        domain.ResponseRejected{ChallengeID: chl, Reason: domain.ReasonCodeUsed, AttemptNo: 1},
		"\"\" denied: FACTS_INCOMPLETE; incomplete by no rule of policy 1":               domain.OptOutDenied{Reason: domain.ReasonFactsIncomplete, Decision: domain.Decision{Outcome: "incomplete", PolicyVersion: 1}},
		"Opt-out 3 requested by usr_x, agreement missing":                                domain.OptOutRequested{OptOutID: "opt_c9hpkgj4d5r7s2u0vm1n3b6e8k_3", RequestedBy: "usr_x"},
		"Opt-out 3 requested by usr_x, agreement v1 not acknowledged":                    domain.OptOutRequested{OptOutID: "opt_c9hpkgj4d5r7s2u0vm1n3b6e8k_3", RequestedBy: "usr_x", AgreementVersion: "v1"},
		"User unlocked, the lock had run out":                                            domain.UserUnlocked{By: "elapsed"},
		"Residence DE from 2000-01-01 on":                                                domain.ResidenceChanged{To: "DE", EffectiveOn: "2000-01-01"},
		"Challenge 8: right answer by SMS code from authenticator 6, attempt 1 after 0s": domain.ResponseVerified{ChallengeID: chl, Mode: domain.ModeSMSCode, AuthenticatorID: aut, UV: domain.UVNone, AttemptNo: 1},
		"Read by auditor-3 with listEvents: 1 row":                                       domain.AuditQueryPerformed{AuditorRef: "auditor-3", Operation: "listEvents", Rows: 1},
	} {
		if got := Summary(e); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestSummaryIsOneHarmlessLine: text an app or a caller chose cannot write on
// the terminal of who reads it.
func TestSummaryIsOneHarmlessLine(t *testing.T) {
	t.Parallel()
	s := Summary(domain.UserClosed{Reason: "x\x1b[2J\r\nSEQ @1 ok\u202e\u0085\xff"})
	for _, r := range s {
		if !unicode.IsPrint(r) && r != unicode.ReplacementChar {
			t.Errorf("%q holds %U", s, r)
		}
	}
	if !strings.HasPrefix(s, "User closed: x") {
		t.Errorf("summary %q", s)
	}
}
