package keyring

import (
	"context"
	"fmt"
)

// blindSize is the length of a blind index in bytes. 128 bits keep chance
// matches out of any number of phone numbers.
const blindSize = 16

// Blind turns a value into 16 bytes that are equal exactly for equal values of
// one kind, so that a view can look up a phone number that it does not hold:
// the first 128 bits of HMAC-SHA-256(index key, kind ‖ 0x1F ‖ value). The caller
// normalises the value, keeps the result in a view that can forget it, and
// never puts it into an event: whoever has the key could guess the value.
func (k *Keyring) Blind(ctx context.Context, kind, value string) ([]byte, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := checkName("kind", kind); err != nil {
		return nil, fmt.Errorf("blind index: %w", err)
	}
	return mac(k.indexKey, []byte(kind+string(separator)+value))[:blindSize], nil
}
