package timestamp

import (
	"bytes"
	"crypto"
	"crypto/sha1" // names certificates in tokens by the older of two rules
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/digitorus/pkcs7"
	"github.com/digitorus/timestamp"
)

// ErrToken means an answer that proves nothing: of somebody else, about
// something else, or changed since. Compare with errors.Is.
var ErrToken = errors.New("the time stamp does not verify")

// MaxToken limits an answer of an authority, in bytes. Usual ones have 2 to 8
// KiB, most of it certificates.
const MaxToken = 64 << 10

// Object identifiers of what a token must say.
var (
	oidTSTInfo       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}  // RFC 3161 §2.4.2
	oidSigningCert   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12} // RFC 2634 §5.4
	oidSigningCertV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47} // RFC 5035 §3
	oidExtKeyUsage   = asn1.ObjectIdentifier{2, 5, 29, 37}                       // RFC 5280 §4.2.1.12
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
)

// ReadRoots reads the certificates, in PEM, of the authorities to trust.
func ReadRoots(text []byte) (*x509.CertPool, error) {
	roots, found := x509.NewCertPool(), false
	for len(bytes.TrimSpace(text)) > 0 {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("want certificates in PEM, found a block %q", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read a certificate of the authority: %w", err)
		}
		roots.AddCert(c)
		found = true
	}
	if !found {
		return nil, errors.New("no certificate in PEM; want that of the authority's root")
	}
	return roots, nil
}

// Check verifies an RFC 3161 response in DER over signed and returns the time
// that the authority says. The chain to roots must have been valid at that time:
// a certificate that expired since takes nothing away. Errors wrap ErrToken.
func Check(token, signed []byte, roots *x509.CertPool) (time.Time, error) {
	stamp, err := check(token, signed, roots)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return stamp.Time.UTC(), nil
}

func check(token, signed []byte, roots *x509.CertPool) (*timestamp.Timestamp, error) {
	if roots == nil {
		return nil, errors.New("no authority is trusted")
	}
	stamp, envelope, err := parse(token)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(signed)
	if stamp.HashAlgorithm != crypto.SHA256 || subtle.ConstantTimeCompare(stamp.HashedMessage, sum[:]) != 1 {
		return nil, errors.New("it is over something else")
	}
	signer := envelope.GetOnlySigner()
	if signer == nil {
		return nil, errors.New("want one signer, with its certificate")
	}
	if err := checkAttributes(envelope, signer); err != nil {
		return nil, err
	}
	return stamp, checkSigner(signer, stamp, roots)
}

// parsing lets one goroutine at a time into pkcs7, which counts its depth in a
// global variable.
var parsing sync.Mutex

// parse reads a response and verifies the signature by the certificate inside.
func parse(token []byte) (*timestamp.Timestamp, *pkcs7.PKCS7, error) {
	if len(token) > MaxToken {
		return nil, nil, fmt.Errorf("%d bytes, at most %d", len(token), MaxToken)
	}
	if err := checkForm(token); err != nil {
		return nil, nil, err
	}
	parsing.Lock()
	defer parsing.Unlock()
	stamp, err := timestamp.ParseResponse(token)
	if err != nil {
		return nil, nil, err
	}
	// Without certificates, ParseResponse has checked no signature.
	if len(stamp.Certificates) == 0 {
		return nil, nil, errors.New("it has no certificate")
	}
	envelope, err := pkcs7.Parse(stamp.RawToken)
	return stamp, envelope, err
}

// checkAttributes makes sure that the signature was meant for a time stamp, and
// was made with this certificate and no other of the same key (RFC 3161 §2.4.2,
// RFC 5816).
func checkAttributes(envelope *pkcs7.PKCS7, signer *x509.Certificate) error {
	var content asn1.ObjectIdentifier
	if err := envelope.UnmarshalSignedAttribute(pkcs7.OIDAttributeContentType, &content); err != nil {
		return fmt.Errorf("read the type of what is signed: %w", err)
	}
	if !content.Equal(oidTSTInfo) {
		return fmt.Errorf("type %s is signed, which is no time stamp", content)
	}
	var v2 struct {
		Certs []struct {
			Hash         pkix.AlgorithmIdentifier `asn1:"optional"` // SHA-256 when absent
			CertHash     []byte
			IssuerSerial asn1.RawValue `asn1:"optional"`
		}
		Policies asn1.RawValue `asn1:"optional"`
	}
	if err := envelope.UnmarshalSignedAttribute(oidSigningCertV2, &v2); err == nil && len(v2.Certs) > 0 {
		if alg := v2.Certs[0].Hash.Algorithm; len(alg) > 0 && !alg.Equal(oidSHA256) {
			return fmt.Errorf("its certificate is named by hash algorithm %s; want SHA-256", alg)
		}
		sum := sha256.Sum256(signer.Raw)
		return wantHash(sum[:], v2.Certs[0].CertHash)
	}
	var v1 struct {
		Certs []struct {
			CertHash     []byte
			IssuerSerial asn1.RawValue `asn1:"optional"`
		}
		Policies asn1.RawValue `asn1:"optional"`
	}
	if err := envelope.UnmarshalSignedAttribute(oidSigningCert, &v1); err != nil || len(v1.Certs) == 0 {
		return errors.New("it does not say which certificate signed it")
	}
	sum := sha1.Sum(signer.Raw)
	return wantHash(sum[:], v1.Certs[0].CertHash)
}

func wantHash(sum, said []byte) error {
	if !bytes.Equal(said, sum) {
		return errors.New("it names another certificate than the one that signed it")
	}
	return nil
}

// checkSigner accepts a certificate for time stamps and nothing else (RFC 3161
// §2.3), with a chain that was valid when it stamped.
func checkSigner(signer *x509.Certificate, stamp *timestamp.Timestamp, roots *x509.CertPool) error {
	critical := false
	for _, e := range signer.Extensions {
		critical = critical || e.Id.Equal(oidExtKeyUsage) && e.Critical
	}
	only := len(signer.ExtKeyUsage) == 1 && len(signer.UnknownExtKeyUsage) == 0 && signer.ExtKeyUsage[0] == x509.ExtKeyUsageTimeStamping
	if !critical || !only {
		return errors.New("its certificate is not for time stamps alone (critical extended key usage timeStamping)")
	}
	between := x509.NewCertPool()
	for _, c := range stamp.Certificates {
		between.AddCert(c)
	}
	_, err := signer.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: stamp.Time, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	})
	return err
}

func sameNonce(got, want *big.Int) bool { return got != nil && got.Cmp(want) == 0 }
