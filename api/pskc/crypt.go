package pskc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"hash"
)

// Algorithms, by the names XML Encryption and XML Signature give them.
const (
	aes128CBC  = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
	aes192CBC  = "http://www.w3.org/2001/04/xmlenc#aes192-cbc"
	aes256CBC  = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
	hmacSHA1   = "http://www.w3.org/2000/09/xmldsig#hmac-sha1"
	hmacSHA256 = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"
)

// cipherFor is the block cipher of an algorithm under a key.
func cipherFor(algorithm string, key []byte) (cipher.Block, error) {
	size := map[string]int{aes128CBC: 16, aes192CBC: 24, aes256CBC: 32}[algorithm]
	switch {
	case size == 0:
		return nil, ErrCipher
	case len(key) != size:
		return nil, ErrKeyLength
	}
	return aes.NewCipher(key)
}

// hashFor is the hash of a MAC algorithm. SHA-1 stays for older card systems:
// HMAC does not rest on its collision resistance.
func hashFor(algorithm string) (func() hash.Hash, error) {
	switch algorithm {
	case hmacSHA1:
		return sha1.New, nil
	case hmacSHA256:
		return sha256.New, nil
	}
	return nil, ErrMACMethod
}

// decrypt opens a CipherValue: the initialisation vector, then CBC blocks, the
// last of which ends with the number of bytes of padding, whatever those are
// (XML Encryption §5.2). ok is false when it cannot be one; the caller must
// have checked a MAC before, or must not tell this from a wrong MAC.
func decrypt(b cipher.Block, value []byte) (clear []byte, ok bool) {
	n := b.BlockSize()
	if len(value) < 2*n || len(value)%n != 0 {
		return nil, false
	}
	clear = make([]byte, len(value)-n)
	cipher.NewCBCDecrypter(b, value[:n]).CryptBlocks(clear, value[n:])
	padding := int(clear[len(clear)-1])
	if padding < 1 || padding > n {
		return nil, false
	}
	return clear[:len(clear)-padding], true
}

// encrypt makes a CipherValue, with random padding before its length.
func encrypt(b cipher.Block, clear []byte) []byte {
	n := b.BlockSize()
	padding := n - len(clear)%n
	value := make([]byte, n+len(clear)+padding)
	_, _ = rand.Read(value) // never fails; see crypto/rand
	copy(value[n:], clear)
	value[len(value)-1] = byte(padding)
	cipher.NewCBCEncrypter(b, value[:n]).CryptBlocks(value[n:], value[n:])
	return value
}

// mac authenticates a CipherValue with its vector.
func mac(h func() hash.Hash, key, value []byte) []byte {
	m := hmac.New(h, key)
	m.Write(value)
	return m.Sum(nil)
}

func same(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }
