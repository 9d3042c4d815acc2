package phone

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/authledger/authledger/api/client"
	"github.com/authledger/authledger/api/gen"
)

// What the owner of the phone does to unlock the app, and the PIN of Android,
// which never leaves the phone: the server is told that it was set by the
// policy, which rule a PIN broke, and that it was tried too often.

const (
	android = "android"
	appPIN  = "app_pin"
	// pinPolicy is the version of the policy this app applies (D-23).
	pinPolicy = 1
	// mostWrong is how many wrong PINs in a row block the app (D-25).
	mostWrong = 10
	// iterations make a stolen file expensive to guess by; six characters stay
	// six characters.
	iterations = 20_000
)

// What can be wrong with a PIN; compare with errors.Is.
var (
	ErrPINPolicy   = errors.New("the PIN has four to six letters and digits, at least one of them a digit")
	ErrPINMismatch = errors.New("the two entries of the PIN differ")
	ErrNoPIN       = errors.New("this app has no PIN yet; set one by `authledger phone pin`")
	ErrPINWrong    = errors.New("the PIN is wrong")
	ErrPINBlocked  = errors.New("the PIN was wrong ten times in a row; set a new one by `authledger phone pin` and recover each user by `authledger phone recover`")
	ErrNotAndroid  = errors.New("only Android apps have a PIN; this phone is an iPhone")
)

// pin is what an Android app keeps of its PIN.
type pin struct {
	Salt     []byte `json:"salt"`
	Hash     []byte `json:"hash"`
	Wrong    int    `json:"wrong,omitempty"` // in a row
	Blocked  bool   `json:"blocked,omitempty"`
	Reported bool   `json:"reported,omitempty"` // the server knows that it is blocked
}

// Unlock is the local check: which one, and for app_pin what was typed.
type Unlock struct {
	UV  string // empty means app_pin when a PIN is given, otherwise face_id or fingerprint
	PIN string
}

// conforms reports whether a PIN keeps to the policy: [A-Za-z0-9]{4,6} with a
// digit.
func conforms(text string) bool {
	digit := false
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9':
			digit = true
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		default:
			return false
		}
	}
	return digit && len(text) >= 4 && len(text) <= 6
}

// SetPIN sets the app's PIN, or another one. A PIN that breaks the policy or is
// entered differently the second time is not set, and the server is told which
// of the two it was.
func (p *Phone) SetPIN(ctx context.Context, first, second string) error {
	s, err := load(p.path)
	if err != nil {
		return err
	}
	if s.OS != android {
		return ErrNotAndroid
	}
	refused, violation := error(nil), gen.AttestPinRequestViolation("")
	switch {
	case !conforms(first):
		refused, violation = ErrPINPolicy, gen.PINPOLICY
	case first != second:
		refused, violation = ErrPINMismatch, gen.PINMISMATCH
	}
	if refused == nil {
		set, err := newPIN(first)
		if err != nil {
			return err
		}
		if s.PIN != nil {
			// A new PIN is no way out of a block: that takes a recovery.
			set.Blocked, set.Reported = s.PIN.Blocked, s.PIN.Reported
		}
		s.PIN = set
	}
	body := gen.AttestPinRequest{PinPolicyVersion: pinPolicy, Violation: violation}
	if _, err := client.New(s.Server, p.key).Post(ctx, "/v1/installations/"+s.InstallationID+"/pin", body, nil); err != nil {
		return errors.Join(refused, err)
	}
	if refused != nil {
		return refused
	}
	return s.save(p.path)
}

func newPIN(text string) (*pin, error) {
	set := &pin{Salt: make([]byte, 16)}
	_, _ = rand.Read(set.Salt) // never fails; see crypto/rand
	var err error
	set.Hash, err = set.digest(text)
	return set, err
}

func (n *pin) digest(text string) ([]byte, error) {
	hash, err := pbkdf2.Key(sha256.New, text, n.Salt, iterations, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("digest the PIN: %w", err)
	}
	return hash, nil
}

// unlocked makes the local check and answers the app and the check that was
// made. A wrong PIN is counted in the file before it is refused.
func (p *Phone) unlocked(ctx context.Context, u Unlock) (*state, string, error) {
	s, err := load(p.path)
	if err != nil {
		return nil, "", err
	}
	if s.PIN != nil && s.PIN.Blocked {
		return nil, "", errors.Join(ErrPINBlocked, p.reportBlock(ctx, s))
	}
	uv, err := p.check(ctx, s, u)
	return s, uv, err
}

// check makes the local check and answers which one it was.
func (p *Phone) check(ctx context.Context, s *state, u Unlock) (uv string, err error) {
	switch {
	case u.UV != "":
		uv = u.UV
	case s.OS != android:
		uv = "face_id"
	case u.PIN != "":
		uv = appPIN
	default:
		uv = "fingerprint"
	}
	if uv == appPIN {
		err = p.enter(ctx, s, u.PIN)
	}
	return uv, err
}

// enter compares what was typed with the PIN.
func (p *Phone) enter(ctx context.Context, s *state, typed string) error {
	switch {
	case s.OS != android:
		return ErrNotAndroid
	case s.PIN == nil:
		return ErrNoPIN
	}
	hash, err := s.PIN.digest(typed)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(hash, s.PIN.Hash) == 1 {
		if s.PIN.Wrong == 0 {
			return nil
		}
		s.PIN.Wrong = 0
		return s.save(p.path)
	}
	s.PIN.Wrong++
	s.PIN.Blocked = s.PIN.Blocked || s.PIN.Wrong >= mostWrong
	if err := s.save(p.path); err != nil {
		return err
	}
	if s.PIN.Wrong >= mostWrong {
		return errors.Join(ErrPINBlocked, p.reportBlock(ctx, s))
	}
	return fmt.Errorf("%w; %d more and the app is blocked", ErrPINWrong, mostWrong-s.PIN.Wrong)
}

// reportBlock tells the server once that the PIN is blocked. A phone without a
// network stays blocked and tells it when it comes online.
func (p *Phone) reportBlock(ctx context.Context, s *state) error {
	if s.PIN == nil || !s.PIN.Blocked || s.PIN.Reported {
		return nil
	}
	path := "/v1/installations/" + s.InstallationID + "/pin-block"
	if _, err := client.New(s.Server, p.key).Post(ctx, path, gen.PinBlockRequest{WrongEntries: mostWrong}, nil); err != nil {
		return fmt.Errorf("report the blocked PIN: %w", err)
	}
	s.PIN.Reported = true
	return s.save(p.path)
}
