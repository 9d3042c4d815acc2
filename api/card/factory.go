package card

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/authledger/authledger/api/pskc"
	"github.com/authledger/authledger/domain"
)

// Manufacturer is who made the simulated cards.
const Manufacturer = "Simulated Cards"

// seedSize is the length of a seed in bytes, that of the suite's hash.
const seedSize = 32

// Made is a card that left the factory.
type Made struct{ Serial, File string }

// Manufacture makes n cards of a suite, each in a file <serial>.card.json of
// the directory, and writes their seeds to batch under the transport key. When
// it fails it leaves no card behind.
func Manufacture(dir string, n int, suite string, transportKey []byte, batch io.Writer) (made []Made, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make cards: %w", err)
	}
	defer func() {
		if err != nil {
			for _, m := range made {
				err = errors.Join(err, os.Remove(m.File))
			}
			made = nil
		}
	}()
	tokens := make([]pskc.Token, n)
	for i := range tokens {
		t := pskc.Token{Manufacturer: Manufacturer, Serial: "SIM-" + rand.Text()[:12], Model: domain.ModelDSCPlus, Suite: suite}
		t.Seed = make(pskc.Secret, seedSize)
		_, _ = rand.Read(t.Seed) // never fails; see crypto/rand
		defer clear(t.Seed)
		file := filepath.Join(dir, t.Serial+".card.json")
		if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
			return made, fmt.Errorf("make cards: %s exists already", file)
		}
		s := state{Manufacturer: t.Manufacturer, Serial: t.Serial, Suite: t.Suite, Seed: t.Seed}
		if err := s.save(file); err != nil {
			return made, err
		}
		made, tokens[i] = append(made, Made{Serial: t.Serial, File: file}), t
	}
	if err := pskc.Write(batch, transportKey, tokens); err != nil {
		return made, fmt.Errorf("write the batch: %w", err)
	}
	return made, nil
}
