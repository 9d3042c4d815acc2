package journal

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
)

// portalLogin logs the user in to the client portal by SMS and returns the
// transaction.
func (w *world) portalLogin() (txnID string) {
	w.t.Helper()
	w.clock.advance(3 * time.Minute)
	out := w.do(domain.StartAuthentication{UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.ClientPortal, PrimaryVerified: true})
	i := event[domain.LoginCodeIssued](w.t, out)
	out = w.do(domain.SubmitResponse{
		ChallengeID: i.ChallengeID, Response: w.code(domain.PurposeLogin, i.ChallengeID, domain.Issued{Seq: i.Seq, Kid: i.Kid, Len: i.CodeLen}),
	})
	return event[domain.AuthenticationSucceeded](w.t, out).TxnID
}

// cells reads a card that waits for its activation.
func (w *world) cells(cardID string) []string {
	w.t.Helper()
	cells, err := w.j.CodeCard(w.t.Context(), w.user, cardID)
	if err != nil {
		w.t.Fatal(err)
	}
	w.remember(strings.Join(cells, ""))
	w.remember(strings.Join(cells, ","))
	return cells
}

// typed is the answer to a grid challenge.
func typed(cells []string, c domain.ChallengeIssued) string {
	return cells[c.GridIndices[0]-1] + cells[c.GridIndices[1]-1]
}

// onlineCard issues an online card and answers its cells.
func (w *world) onlineCard() (cardID string, cells []string) {
	w.t.Helper()
	issued := event[domain.OnlineCodeCardIssued](w.t, w.do(domain.IssueCodeCard{UserID: w.user, Kind: domain.KindOSCC, TxnID: w.portalLogin()}))
	return issued.AuthenticatorID, w.cells(issued.AuthenticatorID)
}

func TestCellsOfACard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	id, cells := w.onlineCard()
	if len(cells) != 224 || slices.ContainsFunc(cells, func(c string) bool {
		return len(c) != 3 || strings.Trim(c, cellAlphabet) != ""
	}) {
		t.Fatalf("%d cells, or some of another form", len(cells))
	}
	if again := w.cells(id); !slices.Equal(again, cells) {
		t.Error("the card changed while it waits")
	}
	c := event[domain.ChallengeIssued](t, w.do(domain.ActivateCodeCard{AuthenticatorID: id}))
	right := typed(cells, c)
	wrong := cells[c.GridIndices[1]-1] + cells[c.GridIndices[0]-1]
	for name, tc := range map[string]struct {
		typed string
		want  domain.Code
	}{
		"nothing":             {"", domain.ReasonMalformed},
		"one cell":            {right[:3], domain.ReasonMalformed},
		"a character more":    {right + "A", domain.ReasonMalformed},
		"a hyphen":            {right[:3] + "-" + right[4:], domain.ReasonMalformed},
		"letters of no card":  {"ÄÖÜ", domain.ReasonMalformed},
		"the cells turned":    {wrong, domain.ReasonResponseWrong},
		"a character another": {changedAt(right, 5), domain.ReasonResponseWrong},
	} {
		if got := w.submit(c.ChallengeID, domain.Secret(tc.typed)); got != tc.want {
			t.Errorf("%s: %q, want %s", name, got, tc.want)
		}
	}
	out := w.do(domain.SubmitResponse{ChallengeID: c.ChallengeID, Response: domain.Secret(" " + strings.ToLower(right[:3]) + " " + right[3:] + " ")})
	if a := event[domain.AuthenticatorEnrolled](t, out); a.AuthenticatorID != id || a.Kind != domain.KindOSCC || a.Cells != 224 {
		t.Errorf("enrolled %+v", a)
	}
	if _, err := w.j.CodeCard(t.Context(), w.user, id); code(t, err) != domain.Unknown {
		t.Errorf("an activated card is shown: %v", err)
	}
}

func changedAt(s string, i int) string {
	b := []byte(s)
	b[i] = cellAlphabet[(strings.IndexByte(cellAlphabet, b[i])+1)%len(cellAlphabet)]
	return string(b)
}

// A login asks for two cells picked at random, whichever command asks.
func TestCardAnswersALogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	id, cells := w.onlineCard()
	c := event[domain.ChallengeIssued](t, w.do(domain.ActivateCodeCard{AuthenticatorID: id}))
	if got := w.submit(c.ChallengeID, domain.Secret(typed(cells, c))); got != "" {
		t.Fatal(got)
	}
	asked := map[string]bool{}
	for range 5 {
		w.clock.advance(time.Minute)
		started := w.do(domain.StartAuthentication{UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS, PrimaryVerified: true})
		offered := event[domain.SecondFactorOffered](t, started)
		c := event[domain.ChallengeIssued](t, w.do(domain.IssueChallenge{TxnID: offered.TxnID, AuthenticatorID: id}))
		a, b := c.GridIndices[0], c.GridIndices[1]
		if c.Mode != domain.ModeGrid || a == b || min(a, b) < 1 || max(a, b) > len(cells) {
			t.Fatalf("asked for cells %v in mode %s", c.GridIndices, c.Mode)
		}
		asked[strconv.Itoa(a)+","+strconv.Itoa(b)] = true
		if got := w.submit(c.ChallengeID, domain.Secret(typed(cells, c))); got != "" {
			t.Errorf("cells %v: %q", c.GridIndices, got)
		}
	}
	if len(asked) < 4 {
		t.Errorf("only %d different questions in 5", len(asked))
	}
}

// Two cards of one user are not taken for one another, and each waits apart.
func TestTwoCards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	first, firstCells := w.onlineCard()
	second, secondCells := w.onlineCard()
	if slices.Equal(firstCells, secondCells) || first == second {
		t.Fatal("two cards are equal")
	}
	c := event[domain.ChallengeIssued](t, w.do(domain.ActivateCodeCard{AuthenticatorID: second}))
	if got := w.submit(c.ChallengeID, domain.Secret(typed(firstCells, c))); got != domain.ReasonResponseWrong {
		t.Errorf("the cells of another card: %q", got)
	}
	if got := w.submit(c.ChallengeID, domain.Secret(typed(secondCells, c))); got != "" {
		t.Errorf("its own cells: %q", got)
	}
	if _, err := w.j.CodeCard(t.Context(), w.person("u-2", "+491700000002"), first); code(t, err) != domain.Unknown {
		t.Errorf("the card of another user: %v", err)
	}
	if _, err := w.j.CodeCard(t.Context(), "usr_x", first); code(t, err) != domain.Unknown {
		t.Errorf("the card of nobody: %v", err)
	}
}

// The printed card is issued when the rule book says so; alone it answers a
// login at once.
func TestPrintedCard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	ask := domain.IssueCodeCard{UserID: w.user, Kind: domain.KindSCC}
	if r := event[domain.SecurityCodeCardRefused](t, w.do(ask)); r.Reason != domain.ReasonCardNotIssued {
		t.Errorf("before the rule book allows it: %s", r.Reason)
	}
	w.compliance(domain.SetParameter{Parameter: "scc.issue", Value: 1, EffectiveFrom: "2026-01-01", Reason: "a pilot"})
	id := event[domain.SecurityCodeCardIssued](t, w.do(ask)).AuthenticatorID
	cells := w.cells(id)
	c := event[domain.ChallengeIssued](t, w.do(domain.ActivateCodeCard{AuthenticatorID: id, TxnID: w.begin(w.user, domain.PurposeActivation)}))
	if got := w.submit(c.ChallengeID, domain.Secret(typed(cells, c))); got != "" {
		t.Fatal(got)
	}
	c = w.ask(w.user, domain.TWS)
	if got := w.submit(c.ChallengeID, domain.Secret(typed(cells, c))); c.Mode != domain.ModeGrid || got != "" {
		t.Errorf("login by %s: %q", c.Mode, got)
	}
	w.do(domain.ReportLost{AuthenticatorID: id, By: "client"})
	c = event[domain.ChallengeIssued](t, w.do(domain.ReactivateAuthenticator{
		AuthenticatorID: id, Proof: "own_response", TxnID: w.begin(w.user, domain.PurposeActivation),
	}))
	out := w.do(domain.SubmitResponse{ChallengeID: c.ChallengeID, Response: domain.Secret(typed(cells, c))})
	event[domain.AuthenticatorReactivated](t, out)
}

// Every command that can ask a card picks its cells at random.
func TestEveryQuestionToACardIsRandom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.bind()
	w.compliance(domain.SetParameter{Parameter: "scc.issue", Value: 1, EffectiveFrom: "2026-01-01", Reason: "a pilot"})
	id := event[domain.SecurityCodeCardIssued](t, w.do(domain.IssueCodeCard{UserID: w.user, Kind: domain.KindSCC})).AuthenticatorID
	cells := w.cells(id)
	stepped := func() string {
		t.Helper()
		txn := w.begin(w.user, domain.PurposeActivation)
		push := event[domain.ChallengeIssued](t, w.do(domain.IssueChallenge{TxnID: txn, AuthenticatorID: w.ibkey}))
		w.do(w.decision(push, nil))
		return txn
	}
	random := func(name string, ask func() domain.Command) (last domain.ChallengeIssued) {
		t.Helper()
		asked := map[string]bool{}
		for range 3 {
			w.clock.advance(time.Hour) // past what is allowed of pushes
			last = event[domain.ChallengeIssued](t, w.do(ask()))
			asked[fmt.Sprint(last.GridIndices)] = true
		}
		if len(asked) < 2 {
			t.Errorf("%s asks the same cells three times", name)
		}
		return last
	}
	c := random("activation", func() domain.Command { return domain.ActivateCodeCard{AuthenticatorID: id, TxnID: stepped()} })
	if got := w.submit(c.ChallengeID, domain.Secret(typed(cells, c))); got != "" {
		t.Fatal(got)
	}
	other := w.app(domain.AppIBKRMobile, domain.IOS, "handset-2")
	again := w.app(domain.AppIBKRMobile, domain.IOS, "handset-1")
	random("migration", func() domain.Command {
		return domain.StartMigration{UserID: w.user, InstallationID: other.id, TxnID: w.begin(w.user, domain.PurposeMigration)}
	})
	random("recovery", func() domain.Command {
		return domain.StartRecovery{
			UserID: w.user, InstallationID: again.id, TxnID: w.begin(w.user, domain.PurposeRecovery), Cause: "reinstalled",
		}
	})
	w.do(domain.RevokeAuthenticator{AuthenticatorID: w.ibkey, Reason: "client_request"})
	random("login", func() domain.Command {
		return domain.StartAuthentication{UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS, PrimaryVerified: true}
	})
	w.do(domain.ReportLost{AuthenticatorID: id, By: "client"})
	random("reactivation", func() domain.Command {
		return domain.ReactivateAuthenticator{AuthenticatorID: id, Proof: "own_response", TxnID: w.begin(w.user, domain.PurposeActivation)}
	})
}

// temporary gives the user a passcode for the IB Key they miss.
func (w *world) temporary() (authenticatorID, passcode string) {
	w.t.Helper()
	w.verified(w.user)
	issued := event[domain.TemporaryPasscodeIssued](w.t, w.do(domain.IssueTemporaryPasscode{UserID: w.user, MissingAuthenticatorID: w.ibkey}))
	passcode, err := w.j.TemporaryPasscode(w.t.Context(), w.user, issued.AuthenticatorID)
	if err != nil || len(passcode) != 8 {
		w.t.Fatalf("passcode of %d characters, %v", len(passcode), err)
	}
	return issued.AuthenticatorID, w.remember(passcode)
}

func TestTemporaryPasscode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.bind()
	id, passcode := w.temporary()
	challenge := w.ask(w.user, domain.TWS)
	if challenge.Mode != domain.ModeStaticCode || challenge.AuthenticatorID != id {
		t.Fatalf("asked by %s", challenge.Mode)
	}
	for name, tc := range map[string]struct {
		typed string
		want  domain.Code
	}{
		"too short":                {passcode[:7], domain.ReasonMalformed},
		"a letter that is in none": {"U" + passcode[1:], domain.ReasonMalformed},
		"wrong":                    {flippedText(passcode), domain.ReasonResponseWrong},
	} {
		if got := w.submit(challenge.ChallengeID, domain.Secret(tc.typed)); got != tc.want {
			t.Errorf("%s: %q, want %s", name, got, tc.want)
		}
	}
	spelled := strings.ToLower(passcode[:4]) + "-" + passcode[4:]
	out := w.do(domain.SubmitResponse{ChallengeID: challenge.ChallengeID, Response: domain.Secret(w.remember(spelled))})
	if s := event[domain.AuthenticationSucceeded](t, out); s.Scope != "full" || s.AuthenticatorKind != domain.KindTempCode {
		t.Errorf("session %+v", s)
	}
	// It is static: the same text opens the portal after two days, for recovery.
	w.clock.advance(48 * time.Hour)
	portal := w.ask(w.user, domain.ClientPortal)
	out = w.do(domain.SubmitResponse{ChallengeID: portal.ChallengeID, Response: domain.Secret(passcode)})
	if s := event[domain.AuthenticationSucceeded](t, out); s.Scope != "recovery_only" {
		t.Errorf("after two days: scope %s", s.Scope)
	}
	w.clock.advance(10 * 24 * time.Hour)
	if _, err := w.j.TemporaryPasscode(t.Context(), w.user, id); code(t, err) != domain.Unknown {
		t.Errorf("an expired passcode is told: %v", err)
	}
	if _, err := w.j.TemporaryPasscode(t.Context(), w.user, w.ibkey); code(t, err) != domain.Unknown {
		t.Errorf("the passcode of an IB Key: %v", err)
	}
}

// flippedText changes the last character within the alphabet of passcodes.
func flippedText(code string) string {
	if strings.HasSuffix(code, "0") {
		return code[:len(code)-1] + "2"
	}
	return code[:len(code)-1] + "0"
}

// The scope of a passcode is a question of the clients' laws at the moment of
// its use: the evidence is read anew for question and answer.
func TestPasscodeScopeIsReadAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.bind()
	_, passcode := w.temporary()
	before := w.ask(w.user, domain.TWS)
	w.do(domain.AssignCarryingEntity{ClientID: w.client, CarryingEntity: "IB-HK", CarryingCC: "HK", EffectiveOn: "2026-01-01"})
	if got := w.submit(before.ChallengeID, domain.Secret(passcode)); got != domain.ReasonScopeRecovery {
		t.Errorf("an answer after the move: %q", got)
	}
	out := w.do(domain.StartAuthentication{UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS, PrimaryVerified: true})
	if f := event[domain.AuthenticationFailed](t, out); f.Reason != domain.ReasonScopeRecovery {
		t.Errorf("a login after the move: %s", f.Reason)
	}
	portal := w.ask(w.user, domain.ClientPortal)
	if got := w.submit(portal.ChallengeID, domain.Secret(passcode)); got != "" {
		t.Errorf("the portal: %q", got)
	}
}
