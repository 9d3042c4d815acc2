// Package timestamptest is a time stamp authority (RFC 3161) in memory, for
// tests. Its certificates are made for each one and trusted by nobody.
package timestamptest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
)

// Authority answers requests. Its fields may be changed before the first one.
type Authority struct {
	CA   *x509.Certificate // of the root
	Cert *x509.Certificate // that stamps, issued by CA
	Key  crypto.Signer     // of Cert

	Clock func() time.Time           // what time it says; time.Now by New
	Alter func(*timestamp.Timestamp) // what it does to a stamp before it signs; nil: nothing

	t      testing.TB
	caKey  crypto.Signer
	asked  atomic.Int64
	failed atomic.Bool
}

// Validity of the certificates, fixed so that any time in a test lies inside.
var (
	notBefore = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

var oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}

// New makes an authority with a root and a certificate of its own.
func New(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, Clock: time.Now, caKey: NewKey(t)}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"}, NotBefore: notBefore, NotAfter: notAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.CA = a.sign(root, root, a.caKey.Public())
	a.Key = NewKey(t)
	a.Cert = a.Issue(a.Key.Public(), Usage(true, x509.ExtKeyUsageTimeStamping))
	return a
}

// NewKey makes a private key.
func NewKey(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Issue makes a certificate under the authority's root. change alters the
// template, which by itself is for nothing.
func (a *Authority) Issue(public crypto.PublicKey, change ...func(*x509.Certificate)) *x509.Certificate {
	a.t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "test authority"}, NotBefore: notBefore, NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	for _, f := range change {
		f(c)
	}
	return a.sign(c, a.CA, public)
}

// Usage is an extended key usage for Issue.
func Usage(critical bool, usages ...x509.ExtKeyUsage) func(*x509.Certificate) {
	ids := map[x509.ExtKeyUsage]asn1.ObjectIdentifier{
		x509.ExtKeyUsageTimeStamping: {1, 3, 6, 1, 5, 5, 7, 3, 8},
		x509.ExtKeyUsageServerAuth:   {1, 3, 6, 1, 5, 5, 7, 3, 1},
	}
	return func(c *x509.Certificate) {
		var list []asn1.ObjectIdentifier
		for _, u := range usages {
			list = append(list, ids[u])
		}
		value, err := asn1.Marshal(list)
		if err != nil {
			panic("object identifiers always marshal: " + err.Error())
		}
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oidExtKeyUsage, Critical: critical, Value: value})
	}
}

func (a *Authority) sign(c, parent *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, a.caKey)
	if err != nil {
		a.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return out
}

// Roots trusts the authority's root.
func (a *Authority) Roots() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.CA)
	return p
}

// RootFile writes the root to a new PEM file and returns its name.
func (a *Authority) RootFile() string {
	a.t.Helper()
	name := filepath.Join(a.t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.CA.Raw}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return name
}

// Serve answers on an address of its own until the test ends.
func (a *Authority) Serve() (url string) {
	s := httptest.NewServer(a)
	a.t.Cleanup(s.Close)
	return s.URL
}

// Fail makes the authority answer 503 or end that.
func (a *Authority) Fail(fail bool) { a.failed.Store(fail) }

// Asked counts the requests.
func (a *Authority) Asked() int { return int(a.asked.Load()) }

// ServeHTTP implements http.Handler.
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.asked.Add(1)
	if a.failed.Load() {
		http.Error(w, "closed", http.StatusServiceUnavailable)
		return
	}
	query, err := io.ReadAll(r.Body)
	if err == nil && r.Header.Get("Content-Type") != "application/timestamp-query" {
		http.Error(w, "want a time stamp query", http.StatusUnsupportedMediaType)
		return
	}
	reply, err := a.Reply(query)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	_, _ = w.Write(reply) // the client sees a short answer
}

// Reply answers a request in DER.
func (a *Authority) Reply(query []byte) ([]byte, error) {
	r, err := timestamp.ParseRequest(query)
	if err != nil {
		return nil, err
	}
	stamp := &timestamp.Timestamp{
		HashAlgorithm: r.HashAlgorithm, HashedMessage: r.HashedMessage, Nonce: r.Nonce, Time: a.Clock().UTC().Truncate(time.Second),
		Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, AddTSACertificate: r.Certificates,
	}
	if a.Alter != nil {
		a.Alter(stamp)
	}
	return stamp.CreateResponseWithOpts(a.Cert, a.Key, crypto.SHA256)
}
