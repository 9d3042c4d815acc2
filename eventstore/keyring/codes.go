package keyring

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Codes are functions of a key, so nothing has to be kept to verify one. All
// begin with
//
//	MAC = HMAC-SHA-256(K[kid], purpose ‖ 0x1F ‖ subject ‖ 0x1F ‖ seq)
//
// with seq in decimal. One (purpose, subject, seq) must be used for one kind of
// code only: a digit code and a challenge of the same input are equal.

// separator ends purpose and subject, neither of which can contain it.
const separator = '\x1f'

// Digits of a code. A code of 10 digits would begin with 0, 1 or 2.
const (
	minDigits = 4
	maxDigits = 9
)

// Digits derives a decimal code of n digits (4 to 9), leading zeros kept:
// RFC 4226 §5.3 truncation of the MAC, modulo 10^n. It returns ErrKeyDestroyed
// when the epoch has expired and ErrKeyNotFound for a kid never issued here.
func (k *Keyring) Digits(ctx context.Context, kid, purpose, subject string, seq, n int) (string, error) {
	if n < minDigits || n > maxDigits {
		return "", fmt.Errorf("derive code: %w: %d digits, want %d to %d", ErrInvalid, n, minDigits, maxDigits)
	}
	key, input, err := k.derivation(ctx, kid, purpose, subject, seq)
	if err != nil {
		return "", err
	}
	return decimal(truncate(mac(key, input)), n), nil
}

// Challenge derives a number from 100000 to 999999, the range in which no two
// OCRA questions encode alike (security.md §5.3). It is the 6-digit code of the
// MAC when that is in range, else of the MAC over the input ‖ 0x1F ‖ retry with
// retry = 1, 2, … in decimal until it is. Errors are those of Digits.
func (k *Keyring) Challenge(ctx context.Context, kid, purpose, subject string, seq int) (string, error) {
	key, input, err := k.derivation(ctx, kid, purpose, subject, seq)
	if err != nil {
		return "", err
	}
	for retry, attempt := 1, input; ; retry++ {
		code := decimal(truncate(mac(key, attempt)), 6)
		if code[0] != '0' {
			return code, nil
		}
		attempt = strconv.AppendInt(append(input[:len(input):len(input)], separator), int64(retry), 10)
	}
}

// Activation derives 8 characters of Crockford's base32, upper case: the first
// 40 bits of the MAC, most significant first. Errors are those of Digits.
func (k *Keyring) Activation(ctx context.Context, kid, purpose, subject string, seq int) (string, error) {
	key, input, err := k.derivation(ctx, kid, purpose, subject, seq)
	if err != nil {
		return "", err
	}
	return crockford().EncodeToString(mac(key, input)[:5]), nil
}

const (
	crockfordAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	activationLength  = 8
)

func crockford() *base32.Encoding {
	return base32.NewEncoding(crockfordAlphabet).WithPadding(base32.NoPadding)
}

// NormalizeActivation turns what a user typed into the form Activation returns:
// lower case becomes upper, I and L become 1, O becomes 0, hyphens and spaces
// go. It reports false when the result is not an activation code.
func NormalizeActivation(typed string) (string, bool) {
	if len(typed) > 4*activationLength {
		return "", false
	}
	code := strings.NewReplacer("-", "", " ", "", "I", "1", "L", "1", "O", "0").Replace(strings.ToUpper(typed))
	if len(code) != activationLength {
		return "", false
	}
	for i := range len(code) {
		if strings.IndexByte(crockfordAlphabet, code[i]) < 0 {
			return "", false
		}
	}
	return code, true
}

// Equal compares two codes in a time that depends only on their lengths.
func Equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// derivation checks the arguments and returns the epoch's key and the MAC's
// input.
func (k *Keyring) derivation(ctx context.Context, kid, purpose, subject string, seq int) (Secret, []byte, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	if err := checkName("purpose", purpose); err != nil {
		return nil, nil, fmt.Errorf("derive code: %w", err)
	}
	if err := checkName("subject", subject); err != nil {
		return nil, nil, fmt.Errorf("derive code: %w", err)
	}
	if seq < 0 {
		return nil, nil, fmt.Errorf("derive code: %w: negative sequence", ErrInvalid)
	}
	key, err := k.epochKey(ctx, kid)
	if err != nil {
		return nil, nil, fmt.Errorf("derive code: %w", err)
	}
	return key, codeInput(purpose, subject, seq), nil
}

func codeInput(purpose, subject string, seq int) []byte {
	b := make([]byte, 0, len(purpose)+len(subject)+24)
	b = append(b, purpose...)
	b = append(b, separator)
	b = append(b, subject...)
	b = append(b, separator)
	return strconv.AppendInt(b, int64(seq), 10)
}

func mac(key Secret, input []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(input)
	return h.Sum(nil)
}

// truncate is the dynamic truncation of RFC 4226 §5.3 over a MAC of at least
// 20 bytes: 31 bits from the offset that the last four bits give.
func truncate(mac []byte) uint32 {
	offset := mac[len(mac)-1] & 0x0f
	return binary.BigEndian.Uint32(mac[offset:]) & 0x7fffffff
}

// decimal writes the last n digits of v, with leading zeros.
func decimal(v uint32, n int) string {
	digits := make([]byte, n)
	for i := n - 1; i >= 0; i-- {
		digits[i] = byte('0' + v%10)
		v /= 10
	}
	return string(digits)
}
