package card

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// state is the card's file. That of a code card has cells and nothing else; the
// server's answer to its issue, kept as it is, is such a file.
type state struct {
	Manufacturer string   `json:"manufacturer,omitempty"`
	Serial       string   `json:"serial,omitempty"`
	Suite        string   `json:"suite,omitempty"`
	Seed         []byte   `json:"seed,omitempty"`
	Counter      uint64   `json:"counter"` // of the next response
	PIN          string   `json:"pin,omitempty"`
	Cells        []string `json:"cells,omitempty"` // in order, the first has index 1
}

// ErrNoCard means that there is no such file.
var ErrNoCard = errors.New("there is no card in this file; make some with `authledger card make`")

func load(path string) (*state, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoCard
	}
	if err != nil {
		return nil, fmt.Errorf("read the card's file: %w", err)
	}
	s := &state{}
	if json.Unmarshal(b, s) != nil { // its error would quote the file
		return nil, fmt.Errorf("read the card's file %s: it is not one of a card", path)
	}
	return s, nil
}

// save replaces the file, so that a crash leaves the old or the new one.
func (s *state) save(path string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the card's file: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".card-*") // of mode 0600
	if err != nil {
		return fmt.Errorf("write the card's file: %w", err)
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(b); err != nil {
		return errors.Join(fmt.Errorf("write the card's file: %w", err), tmp.Close())
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write the card's file: %w", err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("write the card's file: %w", err)
	}
	return nil
}
