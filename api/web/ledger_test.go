package web

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/projections"
)

// world is the product behind the console, without its HTTP interface.
type world struct {
	t       *testing.T
	store   *memstore.Store
	keys    *keyring.Keyring
	views   *projections.Views
	journal *journal.Journal
	ledger  *Ledger
	user    string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	now := func() time.Time { return noon }
	keys, err := keyring.Open(t.Context(), keyring.Options{Dir: t.TempDir(), Clock: now})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, keys: keys, store: memstore.New(now)}
	c := codec.New(keys)
	w.views, err = projections.Open(t.Context(), projections.Options{
		Dir: t.TempDir(), Codec: c, Clock: now,
		Blind:  func(ctx context.Context, number string) ([]byte, error) { return keys.Blind(ctx, "phone", number) },
		Erased: func(err error) bool { return errors.Is(err, keyring.ErrKeyDestroyed) },
	})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := domain.LoadPolicy()
	if err != nil {
		t.Fatal(err)
	}
	w.journal, err = journal.New(journal.Config{Store: w.store, Codec: c, Keyring: keys, Policy: policy, Clock: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(w.views.Close(), w.store.Close(), keys.Close()); err != nil {
			t.Error(err)
		}
	})
	w.ledger = NewLedger(w.journal, w.views, w.store, c)
	client := codec.ClientIDOf("C-1")
	w.user = codec.UserIDOf("U-1")
	w.do(domain.RegisterClient{ClientID: client, Kind: domain.Individual, CarryingEntity: "IE", CarryingCC: "IE"})
	w.do(domain.RegisterUser{UserID: w.user, ClientID: client, Role: domain.RoleOwner, Username: domain.Clear("erika"), Locale: "de", Residence: "DE", ResidentOn: "2000-01-01"})
	return w
}

func (w *world) do(c domain.Command) journal.Outcome {
	w.t.Helper()
	o, err := w.journal.Execute(w.t.Context(), journal.Request{
		Command: c, CommandID: uuid.New(), Actor: domain.Actor{Kind: domain.ActorClient, Ref: "ak_test"},
	})
	if err != nil {
		w.t.Fatalf("%s: %v", c.Name(), err)
	}
	return o
}

// see lets the views catch up.
func (w *world) see() {
	w.t.Helper()
	at, err := w.views.From(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var records []eventstore.Record
	for r, err := range w.store.ReadAll(w.t.Context(), at+1) {
		if err != nil {
			w.t.Fatal(err)
		}
		records = append(records, r)
	}
	if err := w.views.Apply(w.t.Context(), records); err != nil {
		w.t.Fatal(err)
	}
}

func TestLedgerShowsAUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(domain.AddPhone{UserID: w.user, CC: "DE", Number: domain.Clear("+4915112345678"), Line: domain.LineMobile})
	for range 3 {
		w.do(domain.StartAuthentication{UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS})
	}
	w.see()
	for _, query := range []string{w.user, "U-1"} {
		if id, err := w.ledger.Find(t.Context(), query); err != nil || id != w.user {
			t.Errorf("find %s: %s, %v", query, id, err)
		}
	}
	for _, query := range []string{"U-2", codec.UserIDOf("U-2"), "", codec.ClientIDOf("C-1")} {
		if _, err := w.ledger.Find(t.Context(), query); !errors.Is(err, ErrNotFound) {
			t.Errorf("find %q: %v", query, err)
		}
	}
	u, err := w.ledger.User(t.Context(), w.user)
	if err != nil || u.Residence != "DE" || u.Failures != 3 || len(u.Phones) != 1 || u.Phones[0].Masked != "+49 •••• 5678" {
		t.Errorf("user %+v, %v", u, err)
	}
	if _, err := w.ledger.User(t.Context(), "usr_nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	w.do(domain.RecordNotification{UserID: w.user, Topic: "login_failed", Channel: "email", TemplateID: "t", Locale: "de", NoticeOf: "evt_1"})
	w.see()
	recent, err := w.ledger.Recent(t.Context(), 5)
	if err != nil || len(recent) != 1 || recent[0].UserID != w.user || recent[0].Type != "AuthenticationFailed" {
		t.Errorf("recent %+v, %v", recent, err)
	}
}

// A name that is misspelt would not be left out.
func TestHousekeepingNamesTypes(t *testing.T) {
	t.Parallel()
	n := 0
	for _, info := range codec.Types() {
		if housekeeping(info.Name) {
			n++
		}
	}
	if n != 6 {
		t.Errorf("%d types are housekeeping, want 6", n)
	}
}

func TestLedgerPagesThroughATimeline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 3 {
		w.do(domain.StartAuthentication{UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS})
	}
	w.see()
	var got []string
	place := ""
	for {
		page, err := w.ledger.Timeline(t.Context(), w.user, place, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page.Items {
			got = append(got, i.Type)
		}
		w.do(domain.StartAuthentication{UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS}) // does not shift the pages
		w.see()
		if place = page.Next; place == "" {
			break
		}
	}
	want := strings.Repeat("AuthenticationFailed PrimaryFactorRejected AuthenticationStarted ", 3) + "ResidenceChanged UserRegistered"
	if strings.Join(got, " ") != want {
		t.Errorf("timeline\n%s, want\n%s", strings.Join(got, " "), want)
	}
	if _, err := w.ledger.Timeline(t.Context(), w.user, "nonsense", 4); !errors.Is(err, ErrCursor) {
		t.Errorf("nonsense: %v", err)
	}
}

func TestLedgerShowsDevicesAndErasedSubjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	installation := codec.InstallationIDOf([]byte("key"))
	w.do(domain.RegisterInstallation{
		InstallationID: installation, App: domain.AppIBKRMobile, OS: domain.IOS, AppVersion: "1", HandsetID: "h",
		DeviceName: domain.Clear(hostile), KeyAlgorithm: domain.ES256, PublicKey: "AA", PublicKeyID: "AA",
	})
	phone := w.do(domain.AddPhone{UserID: w.user, CC: "DE", Number: domain.Clear("+4915112345678"), Line: domain.LineMobile}).Events[0].Event.(domain.PhoneNumberAdded).PhoneID
	if event, err := w.ledger.naming(t.Context(), installation); err != nil || event != "" {
		t.Errorf("before the views know it: %q, %v", event, err)
	}
	w.see()
	event, err := w.ledger.naming(t.Context(), installation)
	if err != nil || event == "" {
		t.Fatalf("event with the name: %q, %v", event, err)
	}
	if i, err := w.ledger.Sealed(t.Context(), event); err != nil || !slices.Equal(i.Personal, []string{"device_name"}) {
		t.Errorf("sealed %+v, %v", i, err)
	}
	for _, subject := range []string{domain.UserStream(w.user), domain.InstallationStream(installation)} {
		if err := w.keys.Destroy(t.Context(), subject); err != nil {
			t.Fatal(err)
		}
	}
	if masked, err := w.ledger.masked(t.Context(), w.user, phone); err != nil || masked != erased {
		t.Errorf("phone %q, %v", masked, err)
	}
}

func TestLedgerShowsNoPartOfANumberThatIsLockedAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	phone := w.do(domain.AddPhone{UserID: w.user, CC: "DE", Number: domain.Clear("+4915112345678"), Line: domain.LineMobile}).Events[0].Event.(domain.PhoneNumberAdded).PhoneID
	w.do(domain.CloseUser{UserID: w.user, Reason: "r"})
	w.do(domain.RequestErasure{UserID: w.user, Basis: domain.BasisSubjectRequest})
	if masked, err := w.ledger.masked(t.Context(), w.user, phone); err != nil || masked != restricted {
		t.Errorf("phone %q, %v", masked, err)
	}
}

func TestLedgerRecordsReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.ledger.RecordRead(t.Context(), Read{Reader: "ak_1", Operation: "console.user", Query: w.user, Rows: 7}); err != nil {
		t.Fatal(err)
	}
	for r, err := range w.store.ReadStream(t.Context(), "audit-2026-11", 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Type != "AuditQueryPerformed" || strings.Contains(string(r.Data), w.user) || !strings.Contains(string(r.Data), `"rows":7`) {
			t.Errorf("%s: %s", r.Type, r.Data)
		}
		return
	}
	t.Error("nothing was recorded")
}

func TestMaskShowsCountryAndLastDigits(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{"+4915112345678": "+49 •••• 5678", "+85261234567": "+852 •••• 4567", "": "•••• ••••", "x": "•••• ••••", "+4912": "•••• ••••"} {
		if got := Mask(number); got != want {
			t.Errorf("%s: %q, want %q", number, got, want)
		}
	}
}

// The console runs over the real ledger.
func TestConsoleOverTheLedger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(domain.RequestOptOut{UserID: w.user, RequestedBy: w.user, AgreementVersion: "1"})
	w.see()
	b := newBench(t, true)
	handler, err := New(Config{
		Data: w.ledger, Policy: w.journal.Policy, Keys: b.keys, Record: w.ledger.RecordRead, Demo: true,
		Clock: func() time.Time { return noon }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.handler = handler
	res, body := b.get("/console/users/" + w.user)
	b.expect(res, 200)
	b.safe(res, body)
	b.contains(body, `Opt-out 1 denied: <code class="reason refused">AGREEMENT_MISSING</code>`, "User registered", "No authenticator", "DEFAULT-1")
	b.lacks(body, "erika", "Dev inbox")
	res, body = b.get("/console")
	b.expect(res, 200)
	b.contains(body, w.user)
}
