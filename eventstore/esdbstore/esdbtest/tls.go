package esdbtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority is a certificate authority made for one server, in a directory of
// its own, and the server's certificate.
type authority struct {
	dir    string
	file   string // PEM of the authority
	config *tls.Config
}

func newAuthority() (*authority, error) {
	root := template(1, "esdbtest authority")
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	rootKey, rootDER, err := sign(root, nil, nil)
	if err != nil {
		return nil, err
	}
	leaf := template(2, "esdbtest node")
	leaf.DNSNames, leaf.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	leafKey, leafDER, err := sign(leaf, root, rootKey)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "esdbtest-")
	if err != nil {
		return nil, fmt.Errorf("directory of the test authority: %w", err)
	}
	a := &authority{dir: dir, file: filepath.Join(dir, "ca.pem"), config: &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{{Certificate: [][]byte{leafDER}, PrivateKey: leafKey}},
	}}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})
	if err := os.WriteFile(a.file, text, 0o600); err != nil {
		return nil, fmt.Errorf("write the test authority: %w", err)
	}
	return a, nil
}

// template has a fixed validity, so that it holds whatever the clock says.
func template(serial int64, name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

// sign makes a key and its certificate, signed by itself without a parent.
func sign(c, parent *x509.Certificate, by *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("key of %s: %w", c.Subject.CommonName, err)
	}
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate of %s: %w", c.Subject.CommonName, err)
	}
	return key, der, nil
}
