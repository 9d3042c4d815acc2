package phone

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// state is the phone's file: one app on one phone.
type state struct {
	Server         string    `json:"server"`
	InstallationID string    `json:"installationId"`
	App            string    `json:"app,omitempty"` // empty means ibkr_mobile
	OS             string    `json:"os"`
	HandsetID      string    `json:"handsetId"`
	PrivateKey     []byte    `json:"privateKey"` // PKCS #8
	Users          []account `json:"users"`
	PIN            *pin      `json:"pin,omitempty"`    // Android
	Former         []former  `json:"former,omitempty"` // what the keychain kept from before the app was installed again; iOS
}

// former is an installation that is no more, and whose IB Keys it carried.
type former struct {
	InstallationID string   `json:"installationId"`
	PrivateKey     []byte   `json:"privateKey"` // PKCS #8
	Users          []string `json:"users"`
}

// account is one user who activated IB Key on this phone.
type account struct {
	UserID          string `json:"userId"`
	AuthenticatorID string `json:"authenticatorId"`
	Suite           string `json:"suite"`
	Secret          []byte `json:"secret"`
}

// ErrNotRegistered means that the file does not exist yet.
var ErrNotRegistered = errors.New("this phone is not registered; run `authledger phone register` first")

func newKey() ([]byte, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make the phone's key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the phone's key: %w", err)
	}
	return der, key, nil
}

func (s *state) key() (*ecdsa.PrivateKey, error) { return parseKey(s.PrivateKey) }

func parseKey(der []byte) (*ecdsa.PrivateKey, error) {
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("read the phone's key: %w", err)
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the phone's key is not a P-256 key")
	}
	return key, nil
}

// keep stores an account in place of the one its user had here.
func (s *state) keep(a account) {
	s.drop(a.UserID)
	s.Users = append(s.Users, a)
}

// drop forgets a user.
func (s *state) drop(userID string) {
	s.Users = slices.DeleteFunc(s.Users, func(u account) bool { return u.UserID == userID })
}

// user returns the account of a user, or the only one when userID is empty.
func (s *state) user(userID string) (*account, error) {
	if userID == "" && len(s.Users) == 1 {
		return &s.Users[0], nil
	}
	for i := range s.Users {
		if s.Users[i].UserID == userID {
			return &s.Users[i], nil
		}
	}
	if userID == "" {
		return nil, fmt.Errorf("%d users are active on this phone; name one with --user", len(s.Users))
	}
	return nil, fmt.Errorf("%s is not active on this phone", userID)
}

func load(path string) (*state, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotRegistered
	}
	if err != nil {
		return nil, fmt.Errorf("read the phone's file: %w", err)
	}
	s := &state{}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("read the phone's file %s: %w", path, err)
	}
	return s, nil
}

// save replaces the file, so that a crash leaves the old or the new one.
func (s *state) save(path string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the phone's file: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".phone-*")
	if err != nil {
		return fmt.Errorf("write the phone's file: %w", err)
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(b); err != nil {
		return errors.Join(fmt.Errorf("write the phone's file: %w", err), tmp.Close())
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write the phone's file: %w", err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("write the phone's file: %w", err)
	}
	return nil
}
