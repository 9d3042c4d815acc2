package phone

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain/ocra"
	"github.com/authledger/authledger/eventstore/journal"
)

// desk is a server that writes down what it is told and answers from a list.
type desk struct {
	*httptest.Server
	answers map[string]any // by the last part of the path

	mu   sync.Mutex // guards told
	told []call
}

type call struct {
	path string
	body map[string]any
}

func newDesk(t *testing.T, answers map[string]any) *desk {
	t.Helper()
	d := &desk{answers: answers}
	d.Server = httptest.NewServer(http.HandlerFunc(d.serve))
	t.Cleanup(d.Close)
	return d
}

func (d *desk) serve(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	c := call{path: r.URL.Path}
	_ = json.Unmarshal(b, &c.body) // a GET has none
	if proof := r.Header.Get("Authledger-Installation-Proof"); proof != "" {
		c.body = map[string]any{"proof": proof}
	}
	d.mu.Lock()
	d.told = append(d.told, c)
	d.mu.Unlock()
	last := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	answer, ok := d.answers[last]
	if !ok {
		answer = map[string]any{}
	}
	if last == "installations" { // the id depends on the key, as the real one does
		sum := sha256.Sum256([]byte(c.body["publicKey"].(string)))
		answer = map[string]any{"installationId": "ins_" + base64.RawURLEncoding.EncodeToString(sum[:8])}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// to lists the bodies sent to paths that end so.
func (d *desk) to(suffix string) []map[string]any {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []map[string]any
	for _, c := range d.told {
		if strings.HasSuffix(c.path, suffix) {
			out = append(out, c.body)
		}
	}
	return out
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// registered is a phone at a desk.
func registered(t *testing.T, d *desk, r Registration) (*Phone, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "phone.json")
	p := Open(path, "key", func() time.Time { return noon })
	r.Server = d.URL
	if _, err := p.Register(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return p, path
}

func onFile(t *testing.T, path string) *state {
	t.Helper()
	s, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// signed reports whether a signature is that of a private key over a text.
func signed(t *testing.T, der []byte, text, signature string) bool {
	t.Helper()
	key, err := parseKey(der)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(text))
	return ecdsa.VerifyASN1(&key.PublicKey, digest[:], sig)
}

const suite = "OCRA-1:HOTP-SHA256-8:QN06-T1M"

var enrolled = map[string]any{
	"activation": gen.Enrollment{Status: gen.EnrollmentStatusCodeAccepted},
	"complete": map[string]any{
		"status": "enrolled", "authenticatorId": "aut_1",
		"ocra": gen.OCRA{Secret: base64.RawURLEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef")), Suite: suite},
	},
}

func TestRegister(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	p, path := registered(t, d, Registration{OS: "ios", App: "ibkey_standalone", Handset: "my-phone"})
	again, err := p.Register(t.Context(), Registration{Server: d.URL, OS: "ios"})
	if err != nil || again != onFile(t, path).InstallationID {
		t.Errorf("registering again: %q, %v; want the same installation", again, err)
	}
	sent := d.to("/v1/installations")
	if len(sent) != 1 || sent[0]["app"] != "ibkey_standalone" || sent[0]["handsetId"] != "my-phone" || sent[0]["os"] != "ios" {
		t.Errorf("registered %v", sent)
	}
	der, err := base64.RawURLEncoding.DecodeString(sent[0]["publicKey"].(string))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x509.ParsePKIXPublicKey(der); err != nil {
		t.Errorf("the public key: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the file: %v, %v; want 0600", info.Mode(), err)
	}
}

func TestSeveralUsers(t *testing.T) {
	t.Parallel()
	d := newDesk(t, enrolled)
	p, path := registered(t, d, Registration{OS: "ios"})
	if _, err := p.AddUser(t.Context(), "usr_b", "enr_b", "7K2M9QXA", Unlock{}); !errors.Is(err, ErrNobodyHere) {
		t.Errorf("add a user to an empty phone: %v", err)
	}
	if _, err := p.Activate(t.Context(), "usr_a", "enr_a", "7K2M9QXA", Unlock{}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.AddUser(t.Context(), "usr_b", "enr_b", "7K2M9QXA", Unlock{}); err != nil {
		t.Fatal(err)
	}
	if n := len(onFile(t, path).Users); n != 2 {
		t.Fatalf("%d users on the phone, want 2", n)
	}
	if _, err := p.Respond(t.Context(), "", "483921", ""); err == nil {
		t.Error("a response without saying whose, with two users")
	}
	got, err := p.Respond(t.Context(), "usr_b", "483921", "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ocra.Parse(suite)
	if err != nil {
		t.Fatal(err)
	}
	want, err := s.Compute([]byte("0123456789abcdef0123456789abcdef"), ocra.Input{Question: "483921", Time: s.TimeStep(noon)})
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("response %s, want %s", got, want)
	}
	if uv := d.to("/complete")[0]["uv"]; uv != "face_id" {
		t.Errorf("the local check of an iPhone was %v", uv)
	}
}

func TestPINPolicy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"ab12": true, "1234": true, "abcd1": true, "A1b2C3": true, "abcd": false, "ab1": false, "abcde12": false, "": false,
		"ab 1": false, "äb12": false, "ab1٣": false, "ab-12": false,
	} {
		if got := conforms(text); got != want {
			t.Errorf("conforms(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestSetPIN(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	p, path := registered(t, d, Registration{OS: "android"})
	for _, c := range []struct {
		first, second string
		want          error
		violation     any
	}{
		{"abcd", "abcd", ErrPINPolicy, "PIN_POLICY"},
		{"abc12", "abc13", ErrPINMismatch, "PIN_MISMATCH"},
		{"abc12", "abc12", nil, nil},
	} {
		if err := p.SetPIN(t.Context(), c.first, c.second); !errors.Is(err, c.want) {
			t.Errorf("SetPIN(%q, %q) = %v, want %v", c.first, c.second, err, c.want)
		}
		told := d.to("/pin")
		if got := told[len(told)-1]["violation"]; got != c.violation {
			t.Errorf("SetPIN(%q, %q) told the violation %v, want %v", c.first, c.second, got, c.violation)
		}
		if set := onFile(t, path).PIN != nil; set != (c.want == nil) {
			t.Errorf("SetPIN(%q, %q): the PIN is set: %v", c.first, c.second, set)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(b), "abc12") {
		t.Errorf("the PIN stands in the file: %v", err)
	}
	iphone, _ := registered(t, d, Registration{OS: "ios"})
	if err := iphone.SetPIN(t.Context(), "abc12", "abc12"); !errors.Is(err, ErrNotAndroid) {
		t.Errorf("a PIN on an iPhone: %v", err)
	}
}

// withPIN is an Android phone with a user and the PIN abc12.
func withPIN(t *testing.T, d *desk) (*Phone, string) {
	t.Helper()
	p, path := registered(t, d, Registration{OS: "android"})
	if _, err := p.Activate(t.Context(), "usr_a", "enr_a", "7K2M9QXA", Unlock{UV: appPIN, PIN: "abc12"}); !errors.Is(err, ErrNoPIN) {
		t.Errorf("activation with a PIN that was never set: %v", err)
	}
	if err := p.SetPIN(t.Context(), "abc12", "abc12"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Activate(t.Context(), "usr_a", "enr_a", "7K2M9QXA", Unlock{PIN: "abc12"}); err != nil {
		t.Fatal(err)
	}
	if uv := d.to("/complete")[0]["uv"]; uv != appPIN {
		t.Errorf("the local check was %v, want %s", uv, appPIN)
	}
	return p, path
}

// wrong types a wrong PIN.
func wrong(t *testing.T, p *Phone, want error) {
	t.Helper()
	if _, err := p.Respond(t.Context(), "", "483921", "abc13"); !errors.Is(err, want) {
		t.Errorf("a wrong PIN: %v, want %v", err, want)
	}
}

func TestTenWrongPINsBlock(t *testing.T) {
	t.Parallel()
	d := newDesk(t, enrolled)
	p, path := withPIN(t, d)
	for range mostWrong - 1 {
		wrong(t, p, ErrPINWrong)
	}
	if _, err := p.Respond(t.Context(), "", "483921", "abc12"); err != nil {
		t.Fatalf("the right PIN after nine wrong ones: %v", err)
	}
	for range mostWrong - 1 {
		wrong(t, p, ErrPINWrong) // it counts in a row
	}
	if n := len(d.to("/pin-block")); n != 0 {
		t.Fatalf("reported %d times before the tenth", n)
	}
	wrong(t, p, ErrPINBlocked)
	if _, err := p.Respond(t.Context(), "", "483921", "abc12"); !errors.Is(err, ErrPINBlocked) {
		t.Errorf("the right PIN after the block: %v", err)
	}
	if got := d.to("/pin-block"); len(got) != 1 || got[0]["wrongEntries"] != float64(mostWrong) {
		t.Errorf("reported %v, want ten wrong entries once", got)
	}
	if _, err := p.Decide(t.Context(), gen.PendingChallenge{}, "483921", Unlock{UV: "fingerprint"}); !errors.Is(err, ErrPINBlocked) {
		t.Errorf("a fingerprint after the block: %v", err)
	}
	if !onFile(t, path).PIN.Blocked {
		t.Error("the block is not on file")
	}
}

func TestBlockedOfflineIsReportedLater(t *testing.T) {
	t.Parallel()
	d := newDesk(t, enrolled)
	p, path := withPIN(t, d)
	s := onFile(t, path)
	s.Server = "http://127.0.0.1:1" // no network
	if err := s.save(path); err != nil {
		t.Fatal(err)
	}
	for range mostWrong - 1 {
		wrong(t, p, ErrPINWrong)
	}
	wrong(t, p, ErrPINBlocked)
	s = onFile(t, path)
	s.Server = d.URL
	if err := s.save(path); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := p.Reachable(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(d.to("/pin-block")); n != 1 {
		t.Errorf("reported %d times, want once", n)
	}
}

// A blocked PIN ends with a recovery after a new PIN was set, and not before.
func TestRecoveryEndsTheBlock(t *testing.T) {
	t.Parallel()
	d := newDesk(t, enrolled)
	p, path := withPIN(t, d)
	for range mostWrong {
		_, _ = p.Respond(t.Context(), "", "483921", "abc13")
	}
	recovered := func() error {
		_, err := p.Recover(t.Context(), "usr_a", "rec_1", "7K2M9QXA", Unlock{PIN: "new99"})
		return err
	}
	d.answers = map[string]any{
		"proof":    gen.Recovery{Status: gen.RecoveryStatusProved},
		"complete": map[string]any{"status": "completed", "authenticatorId": "aut_2", "ocra": gen.OCRA{Secret: "AAAA", Suite: suite}},
	}
	if err := recovered(); !errors.Is(err, ErrPINBlocked) {
		t.Errorf("recovery without a new PIN: %v", err)
	}
	if err := p.SetPIN(t.Context(), "new99", "new99"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Respond(t.Context(), "", "483921", "new99"); !errors.Is(err, ErrPINBlocked) {
		t.Errorf("the new PIN before the recovery: %v", err)
	}
	if err := recovered(); err != nil {
		t.Fatal(err)
	}
	s := onFile(t, path)
	if s.PIN.Blocked || len(s.Users) != 1 || s.Users[0].AuthenticatorID != "aut_2" {
		t.Errorf("after the recovery: blocked %v, users %d", s.PIN.Blocked, len(s.Users))
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	d := newDesk(t, map[string]any{
		"proof":    gen.Migration{Status: gen.MigrationStatusProved},
		"complete": map[string]any{"status": "completed", "authenticatorId": "aut_2", "ocra": gen.OCRA{Secret: "AAAA", Suite: suite}},
	})
	p, path := registered(t, d, Registration{OS: "ios"})
	if _, err := p.Migrate(t.Context(), "usr_a", "mig_1", "7K2M9QXA", Unlock{}); err != nil {
		t.Fatal(err)
	}
	if got := d.to("/v1/migrations/mig_1/proof"); len(got) != 1 || got[0]["code"] != "7K2M9QXA" {
		t.Errorf("proved by %v", got)
	}
	if _, err := p.Migrate(t.Context(), "usr_a", "mig_1", "", Unlock{}); err != nil {
		t.Fatal(err)
	}
	if n := len(d.to("/proof")); n != 1 {
		t.Errorf("%d proofs; none is sent without a code", n)
	}
	if s := onFile(t, path); len(s.Users) != 1 || s.Users[0].AuthenticatorID != "aut_2" {
		t.Errorf("users on the phone: %d", len(s.Users))
	}
}

// The keychain of an iPhone keeps the key that IB Key lives with; an Android
// phone keeps nothing.
func TestReinstallAndHandOver(t *testing.T) {
	t.Parallel()
	d := newDesk(t, enrolled)
	p, path := registered(t, d, Registration{OS: "ios"})
	for _, user := range []string{"usr_a", "usr_b"} {
		if _, err := p.Activate(t.Context(), user, "enr_1", "7K2M9QXA", Unlock{}); err != nil {
			t.Fatal(err)
		}
	}
	first := onFile(t, path)
	reinstall := func() *state {
		t.Helper()
		if _, err := p.Reinstall(t.Context()); err != nil {
			t.Fatal(err)
		}
		return onFile(t, path)
	}
	second := reinstall()
	if second.InstallationID == first.InstallationID || second.HandsetID != first.HandsetID || len(second.Users) != 0 {
		t.Errorf("reinstalled as %s on %s with %d users", second.InstallationID, second.HandsetID, len(second.Users))
	}
	handsOver := func(from, to *state, user string) {
		t.Helper()
		signature, err := to.handover(user)
		if err != nil {
			t.Fatal(err)
		}
		text := "authledger/handover/v1\n" + journal.HandoverText(user, from.InstallationID, to.InstallationID)
		if !signed(t, from.PrivateKey, text, signature) {
			t.Errorf("%s does not hand %s over to %s", from.InstallationID, user, to.InstallationID)
		}
	}
	handsOver(first, second, "usr_a")
	// usr_a is recovered, usr_b not yet; then the app is installed once more.
	second.keep(account{UserID: "usr_a", AuthenticatorID: "aut_3", Suite: suite})
	if err := second.save(path); err != nil {
		t.Fatal(err)
	}
	third := reinstall()
	handsOver(second, third, "usr_a")
	handsOver(first, third, "usr_b")
	handsOver(third, third, "usr_c") // whose system was upgraded

	robot, path := registered(t, d, Registration{OS: "android"})
	if _, err := robot.Reinstall(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := onFile(t, path)
	if signature, err := s.handover("usr_a"); signature != "" || err != nil || s.Former != nil || s.PIN != nil {
		t.Errorf("an Android phone kept %v, %v, %q, %v", s.Former, s.PIN, signature, err)
	}
}

func TestStartRecovery(t *testing.T) {
	t.Parallel()
	d := newDesk(t, map[string]any{"recoveries": gen.Recovery{Status: gen.RecoveryStatusRefused, ReasonCode: "RECOVERY_HANDSET"}})
	p, _ := registered(t, d, Registration{OS: "ios"})
	if _, err := p.StartRecovery(t.Context(), "usr_a", "txn_1", "os_upgraded"); err == nil || !strings.Contains(err.Error(), "RECOVERY_HANDSET") {
		t.Errorf("a refused recovery: %v", err)
	}
	sent := d.to("/v1/users/usr_a/recoveries")
	if len(sent) != 1 || sent[0]["cause"] != "os_upgraded" || sent[0]["authenticationId"] != "txn_1" || sent[0]["handover"] == nil {
		t.Errorf("sent %v", sent)
	}
}

func TestUnify(t *testing.T) {
	t.Parallel()
	d := newDesk(t, enrolled)
	old, oldPath := registered(t, d, Registration{OS: "ios", App: "ibkey_standalone", Handset: "my-phone"})
	if _, err := old.Activate(t.Context(), "usr_a", "enr_1", "7K2M9QXA", Unlock{}); err != nil {
		t.Fatal(err)
	}
	d.answers = map[string]any{
		"unifications": gen.Unification{Status: gen.UnificationStatusOffered, UnificationId: "uni_1"},
		"complete":     map[string]any{"status": "completed", "authenticatorId": "aut_1", "ocra": gen.OCRA{Secret: "AAAA", Suite: suite}},
	}
	p, path := registered(t, d, Registration{OS: "ios", Handset: "my-phone"})
	offer, err := p.DetectUnification(t.Context(), "usr_a", oldPath, "auth_only")
	if err != nil || offer.UnificationId != "uni_1" {
		t.Fatalf("offered %v, %v", offer.UnificationId, err)
	}
	if _, err := p.Unify(t.Context(), "usr_a", "uni_1", oldPath); err != nil {
		t.Fatal(err)
	}
	from, to := onFile(t, oldPath), onFile(t, path)
	found := d.to("/v1/users/usr_a/unifications")[0]
	want := map[string]any{"installationId": to.InstallationID, "standaloneInstallationId": from.InstallationID, "case": "auth_only"}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	signature, _ := d.to("/v1/unifications/uni_1/complete")[0]["handover"].(string)
	text := "authledger/handover/v1\n" + journal.HandoverText("usr_a", from.InstallationID, to.InstallationID)
	if !signed(t, from.PrivateKey, text, signature) {
		t.Error("the standalone app's key did not sign the handover")
	}
	if len(from.Users) != 0 || len(to.Users) != 1 {
		t.Errorf("%d users stay in the standalone app, %d are in the new one", len(from.Users), len(to.Users))
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	d := newDesk(t, map[string]any{
		"credentials": gen.CredentialList{Items: []gen.WaitingCredential{{DeliveryId: "dlv_1", What: "temp_code"}}},
		"collection":  gen.CollectedCredential{DeliveryId: "dlv_1", Credential: "7K2M9QXA"},
	})
	p, path := registered(t, d, Registration{OS: "ios"})
	list, err := p.Credentials(t.Context())
	if err != nil || len(list) != 1 || list[0].DeliveryId != "dlv_1" {
		t.Fatalf("waiting: %v, %v", list, err)
	}
	text, err := p.Collect(t.Context(), "dlv_1", Unlock{})
	if err != nil || text != "7K2M9QXA" {
		t.Errorf("collected %q, %v", text, err)
	}
	s := onFile(t, path)
	at := "1772366400000"
	base := "/v1/installations/" + s.InstallationID + "/credentials"
	for suffix, want := range map[string]string{
		base:                       "authledger/request/v1\nGET\n" + base + "\n" + at,
		base + "/dlv_1/collection": "authledger/collect/v1\ndlv_1\n" + at,
	} {
		proof, _ := d.to(suffix)[0]["proof"].(string)
		ms, signature, _ := strings.Cut(proof, ".")
		if ms != at || !signed(t, s.PrivateKey, want, signature) {
			t.Errorf("the proof to %s is not one over %q", suffix, want)
		}
	}
}

func TestNotRegistered(t *testing.T) {
	t.Parallel()
	p := Open(filepath.Join(t.TempDir(), "none.json"), "", time.Now)
	for name, do := range map[string]func(context.Context) error{
		"respond":   func(ctx context.Context) error { _, err := p.Respond(ctx, "", "483921", ""); return err },
		"pin":       func(ctx context.Context) error { return p.SetPIN(ctx, "ab12", "ab12") },
		"reinstall": func(ctx context.Context) error { _, err := p.Reinstall(ctx); return err },
		"collect":   func(ctx context.Context) error { _, err := p.Collect(ctx, "dlv_1", Unlock{}); return err },
	} {
		if err := do(t.Context()); !errors.Is(err, ErrNotRegistered) {
			t.Errorf("%s without a registration: %v", name, err)
		}
	}
}
