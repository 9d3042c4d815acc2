package pskc

import (
	"bytes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
)

const (
	// MaxSize is the greatest size of a file in bytes, MaxTokens the greatest
	// number of its keys.
	MaxSize   = 4 << 20
	MaxTokens = 10_000
)

// Read reads a file that was encrypted under the transport key, which must be
// of 16, 24 or 32 bytes as the file's algorithm takes it. It returns all tokens
// of the file, in its order, or none and why: an error of this package, with
// the position of the key package where it is of one, or that of the reader.
func Read(r io.Reader, transportKey []byte) ([]Token, error) {
	if !keySize(len(transportKey)) {
		return nil, ErrKeyFormat
	}
	text, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the key container: %w", err)
	case len(text) > MaxSize:
		return nil, ErrTooLarge
	}
	c := container{key: transportKey, seen: map[[2]string]bool{}}
	defer func() { clear(c.macKey) }()
	if err := c.read(xml.NewDecoder(bytes.NewReader(text))); err != nil {
		for _, t := range c.tokens {
			clear(t.Seed)
		}
		return nil, err
	}
	return c.tokens, nil
}

// container is a file while it is read.
type container struct {
	key    []byte // transport key
	named  bool   // an EncryptionKey with a KeyName was there
	hash   func() hash.Hash
	macKey []byte
	tokens []Token
	seen   map[[2]string]bool // manufacturer and serial number
}

const (
	nsPSKC = "urn:ietf:params:xml:ns:keyprov:pskc"
	nsDS   = "http://www.w3.org/2000/09/xmldsig#"
	nsXEnc = "http://www.w3.org/2001/04/xmlenc#"
)

// The elements that are read. Every list must have exactly one element, or at
// most one where it says so: a reader that takes the first of two and another
// that takes the last would see two files in one.
type (
	encryptionKey struct {
		KeyName []string  `xml:"http://www.w3.org/2000/09/xmldsig# KeyName"`
		Other   []element `xml:",any"`
	}
	macMethod struct {
		Algorithm string           `xml:"Algorithm,attr"`
		MACKey    []encryptedValue `xml:"urn:ietf:params:xml:ns:keyprov:pskc MACKey"`
	}
	encryptedValue struct {
		Method []struct {
			Algorithm string `xml:"Algorithm,attr"`
		} `xml:"http://www.w3.org/2001/04/xmlenc# EncryptionMethod"`
		Data []struct {
			Value []string `xml:"http://www.w3.org/2001/04/xmlenc# CipherValue"`
		} `xml:"http://www.w3.org/2001/04/xmlenc# CipherData"`
	}
	keyPackage struct {
		Device []struct {
			Manufacturer []string `xml:"urn:ietf:params:xml:ns:keyprov:pskc Manufacturer"`
			Serial       []string `xml:"urn:ietf:params:xml:ns:keyprov:pskc SerialNo"`
			Model        []string `xml:"urn:ietf:params:xml:ns:keyprov:pskc Model"` // at most one
		} `xml:"urn:ietf:params:xml:ns:keyprov:pskc DeviceInfo"`
		Key []key `xml:"urn:ietf:params:xml:ns:keyprov:pskc Key"`
	}
	key struct {
		Algorithm string `xml:"Algorithm,attr"`
		Parameter []struct {
			Suite []string `xml:"urn:ietf:params:xml:ns:keyprov:pskc Suite"`
		} `xml:"urn:ietf:params:xml:ns:keyprov:pskc AlgorithmParameters"`
		Data []struct {
			Secret  []secret  `xml:"urn:ietf:params:xml:ns:keyprov:pskc Secret"`
			Counter []counter `xml:"urn:ietf:params:xml:ns:keyprov:pskc Counter"`
		} `xml:"urn:ietf:params:xml:ns:keyprov:pskc Data"`
		Policy []element `xml:"urn:ietf:params:xml:ns:keyprov:pskc Policy"` // none
	}
	secret struct {
		Plain     []element        `xml:"urn:ietf:params:xml:ns:keyprov:pskc PlainValue"` // none
		Encrypted []encryptedValue `xml:"urn:ietf:params:xml:ns:keyprov:pskc EncryptedValue"`
		MAC       []string         `xml:"urn:ietf:params:xml:ns:keyprov:pskc ValueMAC"`
	}
	counter struct {
		Plain []string `xml:"urn:ietf:params:xml:ns:keyprov:pskc PlainValue"`
	}
	element struct{}
)

// read takes the container's parts as they come, so that the number of keys is
// bounded before they are all in memory. RFC 6030 puts EncryptionKey and
// MACMethod in front of the keys.
func (c *container) read(d *xml.Decoder) error {
	if err := root(d); err != nil {
		return err
	}
	for {
		t, err := d.Token()
		if err != nil {
			return malformed(err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			if err := c.part(d, t); err != nil {
				return err
			}
		case xml.EndElement: // of the container
			if len(c.tokens) == 0 {
				return ErrEmpty
			}
			return end(d)
		case xml.Directive:
			return ErrMalformed
		}
	}
}

// root finds the start of the container.
func root(d *xml.Decoder) error {
	for {
		t, err := d.Token()
		if err != nil {
			return malformed(err)
		}
		switch t := t.(type) {
		case xml.Directive: // a document type could define what the text means
			return ErrMalformed
		case xml.StartElement:
			if t.Name != (xml.Name{Space: nsPSKC, Local: "KeyContainer"}) {
				return ErrMalformed
			}
			for _, a := range t.Attr {
				if a.Name.Local == "Version" && a.Value == "1.0" {
					return nil
				}
			}
			return ErrMalformed
		}
	}
}

// end makes sure that nothing but white space and comments follows.
func end(d *xml.Decoder) error {
	for {
		t, err := d.Token()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return malformed(err)
		}
		switch t := t.(type) {
		case xml.Comment:
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return ErrMalformed
			}
		default:
			return ErrMalformed
		}
	}
}

// malformed says in which line the XML ends to be XML, and nothing of what
// stands there.
func malformed(err error) error {
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("line %d: %w", syntax.Line, ErrMalformed)
	}
	return ErrMalformed
}

// part reads one element of the container; those that say nothing about seeds
// are passed over.
func (c *container) part(d *xml.Decoder, start xml.StartElement) error {
	if start.Name.Space != nsPSKC {
		return malformedUnless(d.Skip())
	}
	switch start.Name.Local {
	case "EncryptionKey":
		var e encryptionKey
		if err := d.DecodeElement(&e, &start); err != nil {
			return malformed(err)
		}
		if _, ok := one(e.KeyName); !ok || len(e.Other) > 0 || c.named {
			return ErrProtection
		}
		c.named = true
	case "MACMethod":
		var m macMethod
		if err := d.DecodeElement(&m, &start); err != nil {
			return malformed(err)
		}
		return c.macMethod(m)
	case "KeyPackage":
		if len(c.tokens) == MaxTokens {
			return ErrTooMany
		}
		var p keyPackage
		if err := d.DecodeElement(&p, &start); err != nil {
			return malformed(err)
		}
		n := len(c.tokens) + 1
		t, err := c.token(p)
		if err != nil {
			return at(n, err)
		}
		name := [2]string{t.Manufacturer, t.Serial}
		c.tokens = append(c.tokens, t)
		if c.seen[name] {
			return at(n, ErrDuplicate)
		}
		c.seen[name] = true
	default:
		return malformedUnless(d.Skip())
	}
	return nil
}

func malformedUnless(err error) error {
	if err != nil {
		return malformed(err)
	}
	return nil
}

// macMethod opens the MAC key. It has no MAC of its own: that it is the right
// one shows at the first seed.
func (c *container) macMethod(m macMethod) (err error) {
	if c.macKey != nil {
		return ErrMalformed
	}
	if c.hash, err = hashFor(m.Algorithm); err != nil {
		return err
	}
	sealed, ok := one(m.MACKey)
	if !ok {
		return ErrMACMissing
	}
	block, value, err := c.sealed(sealed)
	if err != nil {
		return err
	}
	if c.macKey, ok = decrypt(block, value); !ok || len(c.macKey) < minSeed {
		return ErrNotGenuine
	}
	return nil
}

// token reads one key package.
func (c *container) token(p keyPackage) (Token, error) {
	device, ok := one(p.Device)
	if !ok {
		return Token{}, ErrText
	}
	t := Token{}
	manufacturer, hasManufacturer := one(device.Manufacturer)
	serial, hasSerial := one(device.Serial)
	if !hasManufacturer || !hasSerial || len(device.Model) > 1 {
		return Token{}, ErrText
	}
	t.Manufacturer, t.Serial, t.Model = strings.TrimSpace(manufacturer), strings.TrimSpace(serial), strings.TrimSpace(strings.Join(device.Model, ""))
	k, ok := one(p.Key)
	if !ok {
		return Token{}, ErrMalformed
	}
	err := c.fill(&t, k)
	if err == nil {
		err = t.check()
	}
	if err != nil {
		clear(t.Seed)
		return Token{}, err
	}
	return t, nil
}

// fill adds what the key says.
func (c *container) fill(t *Token, k key) error {
	if k.Algorithm != algorithmOCRA && !strings.EqualFold(k.Algorithm, "ocra") {
		return ErrAlgorithm
	}
	if len(k.Policy) > 0 {
		return ErrUsagePolicy
	}
	parameters, _ := one(k.Parameter)
	suite, ok := one(parameters.Suite)
	if !ok {
		return ErrSuite
	}
	t.Suite = strings.TrimSpace(suite)
	data, ok := one(k.Data)
	if !ok {
		return ErrMalformed
	}
	number, _ := one(data.Counter)
	text, ok := one(number.Plain)
	next, err := strconv.ParseUint(strings.TrimSpace(text), 10, 63)
	if !ok || err != nil {
		return ErrCounter
	}
	t.Counter = next
	s, ok := one(data.Secret)
	if !ok {
		return ErrMalformed
	}
	t.Seed, err = c.seed(s)
	return err
}

// algorithmOCRA is the name RFC 6287 keys have in a container.
const algorithmOCRA = "urn:ietf:params:xml:ns:keyprov:pskc:ocra-1"

// seed opens an encrypted seed, after its MAC.
func (c *container) seed(s secret) (Secret, error) {
	sealed, ok := one(s.Encrypted)
	if len(s.Plain) > 0 || !ok {
		return nil, ErrNotSealed
	}
	if !c.named {
		return nil, ErrProtection
	}
	text, ok := one(s.MAC)
	if !ok || c.macKey == nil {
		return nil, ErrMACMissing
	}
	block, value, err := c.sealed(sealed)
	if err != nil {
		return nil, err
	}
	want, ok := binary(text)
	if !ok || !same(mac(c.hash, c.macKey, value), want) {
		return nil, ErrNotGenuine
	}
	clear, ok := decrypt(block, value)
	if !ok {
		return nil, ErrNotGenuine
	}
	return clear, nil
}

// sealed takes an encrypted value apart.
func (c *container) sealed(e encryptedValue) (block cipher.Block, value []byte, err error) {
	method, ok := one(e.Method)
	if !ok {
		return nil, nil, ErrCipher
	}
	if block, err = cipherFor(method.Algorithm, c.key); err != nil {
		return nil, nil, err
	}
	data, _ := one(e.Data)
	text, ok := one(data.Value)
	if !ok {
		return nil, nil, ErrMalformed
	}
	if value, ok = binary(text); !ok {
		return nil, nil, ErrMalformed
	}
	return block, value, nil
}

// one is the only element of a list.
func one[T any](list []T) (v T, ok bool) {
	if len(list) != 1 {
		return v, false
	}
	return list[0], true
}

// binary reads base64 with white space in it, as XML wraps it.
func binary(text string) ([]byte, bool) {
	b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	return b, err == nil
}
