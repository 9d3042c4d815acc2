package witness

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/authledger/authledger/eventstore/merkle"
)

// Key is a witness's name and private key.
type Key struct {
	Name   string
	Signer merkle.Signer
}

// CosignerKey is the public half as a policy file names it.
func (k Key) CosignerKey() (string, error) { return merkle.CosignerKey(k.Name, k.Signer.Public) }

// Format writes a fixed word for every verb: the key is private.
func (k Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "witness key "+k.Name) }

// ReadKey reads a file with a C2SP note signing key, PRIVATE+KEY+name+hash+key,
// as `authledger keys generate --kind witness` writes it. Only its owner may be
// able to read it.
func ReadKey(path string) (Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Key{}, fmt.Errorf("read the witness's key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return Key{}, fmt.Errorf("the witness's key %s can be read by others (mode %o): chmod 400", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Key{}, fmt.Errorf("read the witness's key: %w", err)
	}
	return ParseKey(strings.TrimSpace(string(text)))
}

// errKey never quotes what was read: it may be a key.
var errKey = errors.New("not a C2SP note signing key; make one with: authledger keys generate --kind witness")

// ParseKey reads PRIVATE+KEY+name+hash+key.
func ParseKey(text string) (Key, error) {
	signer, err := note.NewSigner(text) // checks the form and the hash
	if err != nil {
		return Key{}, errKey
	}
	raw, err := base64.StdEncoding.DecodeString(strings.SplitN(text, "+", 5)[4])
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return Key{}, errKey
	}
	private := ed25519.NewKeyFromSeed(raw[1:])
	return Key{Name: signer.Name(), Signer: merkle.Signer{
		Public: private.Public().(ed25519.PublicKey),
		Sign:   func(message []byte) ([]byte, error) { return ed25519.Sign(private, message), nil },
	}}, nil
}

// LogFile is a log's public keys in a file, read again when it changes: how the
// operator of a witness tells it of a log's next signing key.
type LogFile struct {
	path string

	mu   sync.Mutex // guards what follows
	read time.Time  // modification time of what was read
	keys merkle.Keys
}

// OpenLogFile reads a file as `authledger keys export-public` writes it.
func OpenLogFile(path string) (*LogFile, error) {
	f := &LogFile{path: path}
	if _, err := f.Keys(); err != nil {
		return nil, err
	}
	return f, nil
}

// Keys returns what the file says now. When a changed file cannot be read, the
// error says so and the keys are those before the change.
func (f *LogFile) Keys() (merkle.Keys, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if err != nil {
		return f.keys, fmt.Errorf("read the log's keys: %w", err)
	}
	if info.ModTime().Equal(f.read) {
		return f.keys, nil
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return f.keys, fmt.Errorf("read the log's keys: %w", err)
	}
	var k merkle.Keys
	if err := json.Unmarshal(text, &k); err != nil {
		return f.keys, fmt.Errorf("read the log's keys from %s: %w", f.path, err)
	}
	if f.keys.Origin != "" && f.keys.Origin != k.Origin {
		return f.keys, fmt.Errorf("read the log's keys from %s: they are of the log %s, want %s", f.path, k.Origin, f.keys.Origin)
	}
	f.keys, f.read = k, info.ModTime()
	return f.keys, nil
}
