package projections

import (
	"encoding/base32"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/authledger/authledger/domain"
)

// keyAlphabet is the text form of the 16 bytes in every id.
var keyAlphabet = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// prefixes by their code in packed ids. Codes are the index plus one; a new
// prefix goes to the end, and another order needs another schemaVersion.
var prefixes = [...]string{
	domain.PrefixUser, domain.PrefixClient, domain.PrefixInstallation, domain.PrefixPhone,
	domain.PrefixVerification, domain.PrefixSMS, domain.PrefixEnrollment, domain.PrefixAuthenticator,
	domain.PrefixTransaction, domain.PrefixChallenge, domain.PrefixPush, domain.PrefixOptOut,
	domain.PrefixSession, domain.PrefixIDV, domain.PrefixNotification,
	domain.PrefixCall, domain.PrefixMigration, domain.PrefixUnification, domain.PrefixRecovery,
	domain.PrefixRequest, domain.PrefixSharing, domain.PrefixDelivery, domain.PrefixDevice,
	domain.PrefixErasure, domain.PrefixHold, domain.PrefixReveal,
}

// Codes of the prefixes that the audit timeline tells apart.
const (
	codeUser          = 1
	codeClient        = 2
	codeInstallation  = 3
	codePhone         = 4
	codeEnrollment    = 7
	codeAuthenticator = 8
	codeTransaction   = 9
	codeMigration     = 17
	codeUnification   = 18
	codeRecovery      = 19
	codeRequest       = 20
	codeSharing       = 21
	codeDevice        = 23
)

// packID is the short form of an id in the large tables, half as long as its
// text:
//
//	1 byte     code of the prefix, 1 to 26
//	16 bytes   key
//	1–9 bytes  number, unsigned varint; absent for users, clients, installations, devices
//
// Anything else, such as the name of an audit stream, is stored as it is; its
// first byte is a visible character and so never a code.
func packID(id string) []byte {
	if len(id) < 4+keyLength || id[3] != '_' {
		return []byte(id)
	}
	out := make([]byte, 1, 1+16+binary.MaxVarintLen64)
	out[0] = prefixCode(id[:3])
	out, ok := appendKey(out, id[4:4+keyLength])
	if out[0] == 0 || !ok {
		return []byte(id)
	}
	rest := id[4+keyLength:]
	if rest == "" {
		return out
	}
	n, err := strconv.ParseUint(rest[1:], 10, 64)
	if rest[0] != '_' || err != nil || strconv.FormatUint(n, 10) != rest[1:] {
		return []byte(id)
	}
	return binary.AppendUvarint(out, n)
}

const keyLength = 26 // characters of a key

func prefixCode(prefix string) byte {
	for i, p := range prefixes {
		if p == prefix {
			return byte(i + 1)
		}
	}
	return 0
}

// appendKey decodes a key. ok is false for a text that would not come back the
// same: 26 characters hold two bits more than 16 bytes.
func appendKey(out []byte, key string) ([]byte, bool) {
	var bits, have uint
	for i := range len(key) {
		c := uint(key[i])
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'v':
			c -= 'a' - 10
		default:
			return out, false
		}
		bits, have = bits<<5|c, have+5
		if have >= 8 {
			have -= 8
			out = append(out, byte(bits>>have))
		}
	}
	return out, bits&(1<<have-1) == 0
}

// unpackID is the inverse of packID.
func unpackID(b []byte) string {
	if len(b) < 17 || b[0] == 0 || int(b[0]) > len(prefixes) {
		return string(b)
	}
	id := prefixes[b[0]-1] + "_" + keyAlphabet.EncodeToString(b[1:17])
	if len(b) > 17 {
		n, _ := binary.Uvarint(b[17:])
		id += "_" + strconv.FormatUint(n, 10)
	}
	return id
}

// joinIDs makes one value of packed ids, each behind a byte with its length.
func joinIDs(packed [][]byte) []byte {
	out := make([]byte, 0, 20*len(packed)) // an empty value, not NULL
	for _, p := range packed {
		out = append(append(out, byte(len(p))), p...)
	}
	return out
}

// splitIDs is the inverse of joinIDs.
func splitIDs(joined []byte) [][]byte {
	var out [][]byte
	for len(joined) > 0 && int(joined[0]) < len(joined) {
		n := int(joined[0]) + 1
		out, joined = append(out, joined[1:n]), joined[n:]
	}
	return out
}

// streamOwner is the id of the user, client, installation or physical unit whose
// stream this is; another stream's name stands for itself.
func streamOwner(stream string) string {
	category, key, _ := strings.Cut(stream, "-")
	var id string
	switch category {
	case "user":
		id = domain.UserID(key)
	case "client":
		id = domain.ClientID(key)
	case "installation":
		id = domain.InstallationID(key)
	case "device":
		id = domain.DeviceID(key)
	}
	if _, ok := domain.ParseRef(id); !ok {
		return stream
	}
	return id
}

// streamName is the inverse of streamOwner.
func streamName(owner string) string {
	ref, ok := domain.ParseRef(owner)
	switch {
	case !ok:
		return owner
	case ref.Prefix == domain.PrefixUser:
		return domain.UserStream(owner)
	case ref.Prefix == domain.PrefixClient:
		return domain.ClientStream(owner)
	case ref.Prefix == domain.PrefixInstallation:
		return domain.InstallationStream(owner)
	case ref.Prefix == domain.PrefixDevice:
		return domain.DeviceStream(owner)
	}
	return owner
}
