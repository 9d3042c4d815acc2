package timestamp

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/digitorus/timestamp"
)

// These are the parts of a response that no signature covers, or that the
// library reads past: RFC 3161 §2.4.2 and RFC 5652 §5.
type (
	answer struct {
		Status struct {
			Status int
			Text   []asn1.RawValue `asn1:"optional,omitempty"`
		}
		Token contentInfo
	}
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content signedData `asn1:"explicit,tag:0"`
	}
	signedData struct {
		Version      int
		Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
		Content      encapsulated
		Certificates asn1.RawValue `asn1:"optional,tag:0"`
		CRLs         asn1.RawValue `asn1:"optional,tag:1"`
		Signers      []signerInfo  `asn1:"set"`
	}
	encapsulated struct {
		Type    asn1.ObjectIdentifier
		Content []byte `asn1:"explicit,tag:0"`
	}
	signerInfo struct {
		Version   int
		Issuer    asn1.RawValue
		Digest    pkix.AlgorithmIdentifier
		Signed    asn1.RawValue `asn1:"optional,tag:0"`
		Algorithm pkix.AlgorithmIdentifier
		Signature []byte
		Unsigned  asn1.RawValue `asn1:"optional,tag:1"`
	}
	attribute struct {
		Type   asn1.ObjectIdentifier
		Values []asn1.RawValue `asn1:"set"`
	}
)

var oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}

// checkForm refuses a response that is not what it would be written as, so that
// there is little in it that can be changed without notice.
func checkForm(token []byte) error {
	var a answer
	rest, err := asn1.Unmarshal(token, &a)
	if err != nil {
		return refusal(token, err)
	}
	again, err := asn1.Marshal(a)
	if err != nil || len(rest) > 0 || !bytes.Equal(again, token) {
		return errors.New("it is not an RFC 3161 response in DER")
	}
	d := a.Token.Content
	if !a.Token.Type.Equal(oidSignedData) || !d.Content.Type.Equal(oidTSTInfo) {
		return errors.New("it holds no signed time stamp")
	}
	if d.Version != 3 || len(d.Signers) != 1 || d.Signers[0].Version != 1 {
		return errors.New("want one signer, named by its certificate's issuer and number")
	}
	if a.Status.Status != int(timestamp.Granted) {
		return fmt.Errorf("want status %d, granted; got %d", timestamp.Granted, a.Status.Status)
	}
	signer := d.Signers[0]
	var signed []attribute
	if rest, err := asn1.UnmarshalWithParams(signer.Signed.FullBytes, &signed, "set,tag:0"); err != nil || len(rest) > 0 {
		return errors.New("its signed attributes are not in DER")
	}
	if len(d.Digests) != 1 || !d.Digests[0].Algorithm.Equal(signer.Digest.Algorithm) {
		return errors.New("its digest algorithms do not agree")
	}
	if !plain(d.Digests[0]) || !plain(signer.Digest) || !plain(signer.Algorithm) {
		return errors.New("its algorithms have parameters")
	}
	return nil
}

// plain reports whether an algorithm has no parameters, or NULL.
func plain(a pkix.AlgorithmIdentifier) bool {
	full := a.Parameters.FullBytes
	return len(full) == 0 || bytes.Equal(full, asn1.NullBytes)
}

// refusal says what an authority that did not stamp said instead.
func refusal(token []byte, parse error) error {
	var a struct {
		Status struct {
			Status int
			Text   []asn1.RawValue `asn1:"optional"`
			Info   asn1.BitString  `asn1:"optional"`
		}
	}
	if rest, err := asn1.Unmarshal(token, &a); err != nil || len(rest) > 0 || a.Status.Status == 0 {
		return fmt.Errorf("read the response: %w", parse)
	}
	return fmt.Errorf("the authority refused: status %d, failure bits %x (RFC 3161 §2.4.2)", a.Status.Status, a.Status.Info.Bytes)
}
