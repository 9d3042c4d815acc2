package pskc

import (
	"errors"
	"fmt"
)

// What can be wrong with a file. Each says what to do and quotes nothing of the
// file; compare with errors.Is.
var (
	ErrKeyFormat   = errors.New("the transport key must be 32, 48 or 64 hexadecimal digits; make one with `openssl rand -hex 16`")
	ErrTooLarge    = errors.New("the file is larger than 4 MiB; ask the manufacturer to split the batch")
	ErrTooMany     = errors.New("the file holds more than 10,000 keys; ask the manufacturer to split the batch")
	ErrMalformed   = errors.New("the file is not a key container of RFC 6030; ask the manufacturer for PSKC version 1.0 in UTF-8")
	ErrEmpty       = errors.New("the file holds no keys; check that it is the right file")
	ErrNotSealed   = errors.New("a seed is not encrypted; have all of them encrypted, and treat those of this file as known to others")
	ErrProtection  = errors.New("the file is protected in another way than by a pre-shared key; ask for EncryptionKey with a KeyName (RFC 6030 §6.1)")
	ErrCipher      = errors.New("the encryption algorithm is not known; ask for aes128-cbc, aes192-cbc or aes256-cbc")
	ErrKeyLength   = errors.New("the transport key is of another length than the encryption algorithm takes; use the key agreed for this file")
	ErrMACMissing  = errors.New("a MAC is missing; ask for MACMethod with an encrypted MACKey and a ValueMAC on every seed")
	ErrMACMethod   = errors.New("the MAC algorithm is not known; ask for hmac-sha1 or hmac-sha256")
	ErrNotGenuine  = errors.New("a MAC does not match; check the transport key, then fetch the file again, for it may have been changed")
	ErrAlgorithm   = errors.New("a key is not for OCRA; ask for keys with the algorithm urn:ietf:params:xml:ns:keyprov:pskc:ocra-1")
	ErrSuite       = errors.New("the OCRA suite is not one of these cards; ask for OCRA-1:HOTP-SHA256-8:C-QN06, or with -PSHA1 where the card mixes the PIN in")
	ErrSeed        = errors.New("a seed is shorter than 16 or longer than 64 bytes (RFC 4226 R6); ask for seeds of 32 bytes")
	ErrCounter     = errors.New("a counter is missing or not a whole number from 0 to 9223372036854775807; ask for Data/Counter/PlainValue")
	ErrText        = errors.New("manufacturer or serial number is missing, or one of them or the model is not plain text of up to 100 characters; correct it")
	ErrDuplicate   = errors.New("a serial number occurs twice; ask the manufacturer which of the two keys the card has")
	ErrUsagePolicy = errors.New("a key restricts its use by a Policy element, which this ledger could not enforce; ask for keys without one")
)

// at says at which key package of the file something is wrong, counted from 1.
func at(n int, err error) error { return fmt.Errorf("key package %d: %w", n, err) }
