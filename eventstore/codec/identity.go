package codec

import (
	"encoding/base32"
	"strings"

	"github.com/authledger/authledger/domain"
	"github.com/google/uuid"
)

// The ids of users and clients derive from the broker's own references, so
// that registering one reference twice meets the stream's expected revision,
// on any node. The id of an installation derives from its public key, that of
// a physical unit from what its manufacturer engraved. The name spaces are
// fixed for ever.

// UserIDOf is the user's id for the broker's reference.
func UserIDOf(reference string) string {
	return domain.UserID(derivedKey("e57a1a80-3d5c-5a86-9c5f-6a5b8e0d7c11", reference))
}

// ClientIDOf is the client's id for the broker's reference.
func ClientIDOf(reference string) string {
	return domain.ClientID(derivedKey("2c8e3f64-7b1d-5c0a-8f39-1d4b6a9e5f22", reference))
}

// InstallationIDOf is the installation's id for its public key, the DER of the
// SubjectPublicKeyInfo.
func InstallationIDOf(publicKey []byte) string {
	return domain.InstallationID(derivedKey("9a4d7c51-6e2f-5b38-8d10-3c7f5e1b4a33", string(publicKey)))
}

// DeviceIDOf is the physical unit's id for its manufacturer and serial number,
// of which the name is made as manufacturer ‖ 0x1F ‖ serial.
func DeviceIDOf(manufacturer, serial string) string {
	return domain.DeviceID(derivedKey("5d1f8b27-94c6-5e7a-a3d2-60b8c9f71e44", manufacturer+"\x1f"+serial))
}

func derivedKey(namespace, name string) string {
	id := uuid.NewSHA1(uuid.MustParse(namespace), []byte(name))
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(id[:]))
}
