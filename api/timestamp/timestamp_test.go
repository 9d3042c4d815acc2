package timestamp_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tsp "github.com/digitorus/timestamp"
	"go.uber.org/goleak"

	"github.com/authledger/authledger/api/timestamp"
	"github.com/authledger/authledger/api/timestamp/timestamptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var signed = []byte("ledger.example\n3\nroot\n\n— ledger.example signature\n")

// later is far enough off for a certificate to be valid now and expired then.
var later = time.Date(2090, 3, 4, 12, 0, 0, 0, time.UTC)

// noon is what the authorities of these tests say unless a test says otherwise.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func authority(t *testing.T) *timestamptest.Authority {
	a := timestamptest.New(t)
	a.Clock = func() time.Time { return noon }
	return a
}

func client(t *testing.T, a *timestamptest.Authority) *timestamp.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &timestamp.Client{URL: a.Serve(), Roots: a.Roots(), HTTP: &http.Client{Transport: transport}}
}

// stamp returns a token that verifies.
func stamp(t *testing.T, a *timestamptest.Authority) []byte {
	t.Helper()
	token, at, err := client(t, a).Stamp(t.Context(), signed)
	if err != nil || !at.Equal(noon) {
		t.Fatalf("stamped at %s, %v; want %s", at, err, noon)
	}
	if at, err := timestamp.Check(token, signed, a.Roots()); err != nil || !at.Equal(noon) {
		t.Fatalf("checked: %s, %v; want %s", at, err, noon)
	}
	return token
}

func wantRefused(t *testing.T, what string, token, signed []byte, roots *x509.CertPool) {
	t.Helper()
	if at, err := timestamp.Check(token, signed, roots); !errors.Is(err, timestamp.ErrToken) {
		t.Errorf("%s: got %s and %v, want ErrToken", what, at, err)
	}
}

func TestStampOfTheAuthorityVerifiesAndNothingElseDoes(t *testing.T) {
	t.Parallel()
	a := authority(t)
	token := stamp(t, a)
	for i := range signed {
		other := append([]byte(nil), signed...)
		other[i] ^= 1
		wantRefused(t, "a changed byte of the checkpoint", token, other, a.Roots())
	}
	wantRefused(t, "another root", token, signed, authority(t).Roots())
	wantRefused(t, "no roots", token, signed, nil)
	wantRefused(t, "nothing", nil, signed, a.Roots())
	wantRefused(t, "something behind it", append(token[:len(token):len(token)], 0), signed, a.Roots())
	wantRefused(t, "too much", make([]byte, timestamp.MaxToken+1), signed, a.Roots())
}

// Every bit of a token counts.
func TestChangedTokenIsRefused(t *testing.T) {
	t.Parallel()
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"ecdsa": timestamptest.NewKey(t), "rsa": long} {
		a := authority(t)
		a.Key, a.Cert = key, a.Issue(key.Public(), timestamptest.Usage(true, x509.ExtKeyUsageTimeStamping))
		token := stamp(t, a)
		for i := range token {
			for bit := range 8 {
				token[i] ^= 1 << bit
				if _, err := timestamp.Check(token, signed, a.Roots()); err == nil {
					t.Errorf("%s: bit %d of byte %d of %d is changed and not noticed", name, bit, i, len(token))
				}
				token[i] ^= 1 << bit
			}
		}
	}
}

func TestAuthorityThatIsNotOneIsRefused(t *testing.T) {
	t.Parallel()
	stamping := timestamptest.Usage(true, x509.ExtKeyUsageTimeStamping)
	tests := map[string]struct {
		change []func(*x509.Certificate)
		want   string
	}{
		"for servers":              {[]func(*x509.Certificate){timestamptest.Usage(true, x509.ExtKeyUsageServerAuth)}, "not for time stamps alone"},
		"for servers too":          {[]func(*x509.Certificate){timestamptest.Usage(true, x509.ExtKeyUsageTimeStamping, x509.ExtKeyUsageServerAuth)}, "not for time stamps alone"},
		"for anything":             {nil, "not for time stamps alone"},
		"the usage is no must":     {[]func(*x509.Certificate){timestamptest.Usage(false, x509.ExtKeyUsageTimeStamping)}, "not for time stamps alone"},
		"expired when it stamped":  {[]func(*x509.Certificate){stamping, func(c *x509.Certificate) { c.NotAfter = later.Add(-time.Second) }}, "has expired"},
		"not yet valid":            {[]func(*x509.Certificate){stamping, func(c *x509.Certificate) { c.NotBefore = later.Add(time.Second) }}, "certificate validity"},
		"with a must nobody knows": {[]func(*x509.Certificate){stamping, unknownMust}, "unhandled critical extension"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := authority(t)
			a.Clock = func() time.Time { return later }
			a.Cert = a.Issue(a.Key.Public(), test.change...)
			wantStampFails(t, client(t, a), test.want)
		})
	}
}

func unknownMust(c *x509.Certificate) {
	e := c.ExtraExtensions[0]
	e.Id = append(e.Id[:len(e.Id)-1:len(e.Id)-1], 9999)
	c.ExtraExtensions = append(c.ExtraExtensions, e)
}

func wantStampFails(t *testing.T, c *timestamp.Client, want string) {
	t.Helper()
	token, _, err := c.Stamp(t.Context(), signed)
	if !errors.Is(err, timestamp.ErrToken) || !strings.Contains(err.Error(), want) || token != nil {
		t.Errorf("got a token of %d bytes and %v, want ErrToken with %q", len(token), err, want)
	}
}

// A certificate that expires after it stamped takes nothing away.
func TestStampOutlivesTheCertificate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := timestamptest.New(t)
		made := time.Now().UTC()
		a.Cert = a.Issue(a.Key.Public(), timestamptest.Usage(true, x509.ExtKeyUsageTimeStamping), func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = made.Add(-time.Hour), made.Add(time.Hour)
		})
		sum := sha256.Sum256(signed)
		query, err := (&tsp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Certificates: true}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		token, err := a.Reply(query)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * 365 * 24 * time.Hour)
		if at, err := timestamp.Check(token, signed, a.Roots()); err != nil || !at.Equal(made) {
			t.Errorf("ten years later: %s, %v; want %s", at, err, made)
		}
	})
}

func TestAnswerToAnotherRequestIsRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		alter func(*tsp.Timestamp)
		want  string
	}{
		"another nonce":       {func(s *tsp.Timestamp) { s.Nonce = new(big.Int).Add(s.Nonce, big.NewInt(1)) }, "another request"},
		"no nonce":            {func(s *tsp.Timestamp) { s.Nonce = nil }, "another request"},
		"about another hash":  {func(s *tsp.Timestamp) { s.HashedMessage[0] ^= 1 }, "something else"},
		"without certificate": {func(s *tsp.Timestamp) { s.AddTSACertificate = false }, "no certificate"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := authority(t)
			a.Alter = test.alter
			wantStampFails(t, client(t, a), test.want)
		})
	}
}

// The signed attribute names the certificate: another one of the same key that
// the same root issued does not pass for it.
func TestSwappedCertificateIsRefused(t *testing.T) {
	t.Parallel()
	a := authority(t)
	honest := a.Cert
	for again := true; again; again = len(a.Cert.Raw) != len(honest.Raw) { // ECDSA signatures differ in length
		a.Cert = a.Issue(a.Key.Public(), timestamptest.Usage(true, x509.ExtKeyUsageTimeStamping), func(c *x509.Certificate) {
			c.SerialNumber = honest.SerialNumber // so that it is found in its place
			c.NotAfter = honest.NotAfter.Add(-time.Hour)
		})
	}
	token := stamp(t, a)
	at := strings.Index(string(token), string(a.Cert.Raw))
	copy(token[at:], honest.Raw)
	_, err := timestamp.Check(token, signed, a.Roots())
	if !errors.Is(err, timestamp.ErrToken) || !strings.Contains(err.Error(), "another certificate") {
		t.Errorf("got %v, want that it names another certificate", err)
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	refusal, err := tsp.CreateErrorResponse(tsp.Rejection, tsp.BadRequest)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		status int
		media  string
		body   string
		want   string
	}{
		"a refusal":     {200, "application/timestamp-reply", string(refusal), "the authority refused: status 2"},
		"no DER":        {200, "application/timestamp-reply", "hello", "read the response"},
		"a page":        {200, "text/html", "hello", "want 200 with application/timestamp-reply"},
		"an error":      {500, "application/timestamp-reply", "", "status 500"},
		"without end":   {200, "application/timestamp-reply", strings.Repeat("x", timestamp.MaxToken+1), "more than"},
		"an empty body": {200, "application/timestamp-reply", "", "read the response"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", test.media)
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			}))
			t.Cleanup(s.Close)
			c := client(t, authority(t))
			c.URL = s.URL
			token, _, err := c.Stamp(t.Context(), signed)
			if err == nil || !strings.Contains(err.Error(), test.want) || token != nil {
				t.Errorf("got %d bytes and %v, want an error with %q", len(token), err, test.want)
			}
		})
	}
}

func TestRootsAndAddresses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "tsa.example", "ftp://tsa.example", "https://user:word@tsa.example", "https://", "https://a/#b"} {
		if timestamp.CheckURL(bad) == nil {
			t.Errorf("address %q is accepted", bad)
		}
	}
	for _, good := range []string{"http://tsa.example/tsr", "https://tsa.example:8443/a?b=c"} {
		if err := timestamp.CheckURL(good); err != nil {
			t.Errorf("address %q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := timestamp.ReadRoots([]byte(bad)); err == nil {
			t.Errorf("roots are read from %q", bad)
		}
	}
}

// FuzzCheck: what an auditor is handed ends no verification.
func FuzzCheck(f *testing.F) {
	a := timestamptest.New(f)
	query, err := (&tsp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: make([]byte, 32), Certificates: true}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	token, err := a.Reply(query)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, token []byte) {
		if _, err := timestamp.Check(token, signed, a.Roots()); err == nil {
			t.Error("a token over something else verifies")
		}
	})
}
