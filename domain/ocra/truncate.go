package ocra

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// minMAC is the digest size of SHA-1, the shortest MAC RFC 4226 truncates. Its
// last nibble selects four bytes from offset 0 to 15, so 19 bytes would do.
const minMAC = 20

// Truncate is the dynamic truncation of RFC 4226 §5.3: the 31-bit number the
// MAC's last nibble points at, modulo 10^digits, in decimal with leading
// zeros. Digits are 4 to 10; ten digits show the whole 31-bit number, so the
// first of them is 0, 1 or 2. Zero digits mean no truncation (RFC 6287 §6.2):
// the MAC in lower-case hexadecimal.
//
// It panics on other digits and on a MAC of less than 20 bytes: both are
// constants of the calling code.
func Truncate(mac []byte, digits int) string {
	if len(mac) < minMAC {
		panic(fmt.Sprintf("ocra: truncate a MAC of %d bytes, at least %d", len(mac), minMAC))
	}
	if digits == 0 {
		return hex.EncodeToString(mac)
	}
	if digits < 4 || digits > 10 {
		panic(fmt.Sprintf("ocra: truncate to %d digits, want 0 or 4 to 10", digits))
	}
	offset := mac[len(mac)-1] & 0x0f
	number := binary.BigEndian.Uint32(mac[offset:]) & 0x7fffffff
	var out [10]byte
	for i := digits - 1; i >= 0; i-- {
		out[i] = byte('0' + number%10)
		number /= 10
	}
	return string(out[:digits])
}
