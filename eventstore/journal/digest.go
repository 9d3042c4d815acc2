package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"reflect"
	"strconv"
	"time"

	"github.com/authledger/authledger/domain"
)

// fingerprint tells one request from another that came with the same command
// id. It is SHA-256 over texts, each as u32 big-endian length ‖ bytes:
// "authledger/command/v1", the command's name, and name and value of each of
// its fields that is not zero, in the order of the struct. Leaving zeros out
// lets a command grow a field without changing what older requests were.
//
// Secrets and personal data are left out: a fingerprint of a six-digit code or
// a phone number is as good as the thing itself. So is what the rules compare
// and the log must not hold: a client's equity could be found by trying amounts.
func fingerprint(c domain.Command) (string, error) {
	if order, ok := c.(domain.RequestPhysicalDevice); ok {
		order.EquityUSDMinor = 0
		c = order
	}
	h := sha256.New()
	part(h, "authledger/command/v1")
	part(h, c.Name())
	err := publicFields(c, func(name, text string) {
		part(h, name)
		part(h, text)
	})
	if err != nil {
		return "", fmt.Errorf("fingerprint %s: %w", c.Name(), err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// publicFields gives every field that is neither zero, secret nor personal.
func publicFields(c domain.Command, give func(name, text string)) error {
	v := reflect.ValueOf(c)
	if v.Kind() != reflect.Struct {
		return fmt.Errorf("a command is a struct, not a %s", v.Kind())
	}
	for i := range v.NumField() {
		text, ok := fieldText(v.Field(i).Interface())
		if !ok {
			return fmt.Errorf("field %s has no text", v.Type().Field(i).Name)
		}
		if text != "" {
			give(v.Type().Field(i).Name, text)
		}
	}
	return nil
}

func part(h hash.Hash, s string) {
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(s)))
	h.Write(n[:])
	h.Write([]byte(s))
}

// fieldText is a field's value as text, "" for zero and for what must stay out.
func fieldText(value any) (text string, ok bool) {
	switch v := value.(type) {
	case domain.Secret, domain.Personal:
		return "", true
	case []string:
		if len(v) == 0 {
			return "", true
		}
		text, err := json.Marshal(v)
		return string(text), err == nil
	case time.Time:
		if v.IsZero() {
			return "", true
		}
		return v.UTC().Format(time.RFC3339Nano), true
	}
	v := reflect.ValueOf(value)
	switch {
	case v.IsZero():
		return "", v.Kind() == reflect.String || v.CanInt() || v.CanUint() || v.Kind() == reflect.Bool || v.Kind() == reflect.Struct
	case v.Kind() == reflect.String:
		return v.String(), true
	case v.Kind() == reflect.Bool:
		return "true", true
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10), true
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10), true
	case v.Kind() == reflect.Struct: // a row of the rule book, an amount: nothing secret, in one order
		text, err := json.Marshal(value)
		return string(text), err == nil
	}
	return "", false
}
