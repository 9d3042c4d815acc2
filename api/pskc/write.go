package pskc

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
)

// keyName is what a written file calls the transport key.
const keyName = "authledger-transport-key"

// Write writes tokens as the simulated manufacturer does: AES-CBC with the
// transport key's length, HMAC-SHA256 under a fresh key. It writes only what
// Read would take, and nothing at all otherwise.
func Write(w io.Writer, transportKey []byte, tokens []Token) error {
	if !keySize(len(transportKey)) {
		return ErrKeyFormat
	}
	if err := writable(tokens); err != nil {
		return err
	}
	block, err := aes.NewCipher(transportKey)
	if err != nil {
		return fmt.Errorf("write the key container: %w", err)
	}
	f := &file{block: block, algorithm: map[int]string{16: aes128CBC, 24: aes192CBC, 32: aes256CBC}[len(transportKey)]}
	f.macKey = make([]byte, sha256.Size)
	_, _ = rand.Read(f.macKey) // never fails; see crypto/rand
	defer clear(f.macKey)
	f.head()
	for i, t := range tokens {
		f.keyPackage(i+1, t)
	}
	f.add("</KeyContainer>\n")
	if f.text.Len() > MaxSize {
		return ErrTooLarge
	}
	if _, err := w.Write(f.text.Bytes()); err != nil {
		return fmt.Errorf("write the key container: %w", err)
	}
	return nil
}

func writable(tokens []Token) error {
	switch {
	case len(tokens) == 0:
		return ErrEmpty
	case len(tokens) > MaxTokens:
		return ErrTooMany
	}
	seen := map[[2]string]bool{}
	for i, t := range tokens {
		if err := t.check(); err != nil {
			return at(i+1, err)
		}
		if seen[[2]string{t.Manufacturer, t.Serial}] {
			return at(i+1, ErrDuplicate)
		}
		seen[[2]string{t.Manufacturer, t.Serial}] = true
	}
	return nil
}

// file is a container while it is written.
type file struct {
	block     cipher.Block
	algorithm string
	macKey    []byte
	text      bytes.Buffer
}

func (f *file) add(format string, args ...any) { fmt.Fprintf(&f.text, format, args...) }

func (f *file) head() {
	f.add(`<?xml version="1.0" encoding="UTF-8"?>
<KeyContainer Version="1.0" xmlns=%q xmlns:ds=%q xmlns:xenc=%q>
<EncryptionKey><ds:KeyName>%s</ds:KeyName></EncryptionKey>
<MACMethod Algorithm=%q><MACKey>%s</MACKey></MACMethod>
`, nsPSKC, nsDS, nsXEnc, keyName, hmacSHA256, f.encrypted(encrypt(f.block, f.macKey)))
}

func (f *file) encrypted(value []byte) string {
	return fmt.Sprintf(`<xenc:EncryptionMethod Algorithm=%q/><xenc:CipherData><xenc:CipherValue>%s</xenc:CipherValue></xenc:CipherData>`,
		f.algorithm, base64.StdEncoding.EncodeToString(value))
}

func (f *file) keyPackage(n int, t Token) {
	value := encrypt(f.block, t.Seed)
	f.add("<KeyPackage><DeviceInfo><Manufacturer>%s</Manufacturer><SerialNo>%s</SerialNo>", escaped(t.Manufacturer), escaped(t.Serial))
	if t.Model != "" {
		f.add("<Model>%s</Model>", escaped(t.Model))
	}
	f.add(`</DeviceInfo><Key Id="%d" Algorithm=%q><AlgorithmParameters><Suite>%s</Suite></AlgorithmParameters>`, n, algorithmOCRA, t.Suite)
	f.add("<Data><Secret><EncryptedValue>%s</EncryptedValue><ValueMAC>%s</ValueMAC></Secret>",
		f.encrypted(value), base64.StdEncoding.EncodeToString(mac(sha256.New, f.macKey, value)))
	f.add("<Counter><PlainValue>%d</PlainValue></Counter></Data></Key></KeyPackage>\n", t.Counter)
}

func escaped(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer takes everything
	return b.String()
}
