package card

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authledger/authledger/api/pskc"
	"github.com/authledger/authledger/domain/ocra"
)

var transport = []byte("0123456789abcdef")

// one makes a card and returns its file and what its manufacturer says of it.
func one(t *testing.T, suite string) (string, pskc.Token) {
	t.Helper()
	var batch bytes.Buffer
	made, err := Manufacture(t.TempDir(), 1, suite, transport, &batch)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := pskc.Read(&batch, transport)
	if err != nil || len(tokens) != 1 || tokens[0].Serial != made[0].Serial || tokens[0].Suite != suite || tokens[0].Counter != 0 {
		t.Fatalf("%d tokens in the batch of one card, %v", len(tokens), err)
	}
	return made[0].File, tokens[0]
}

// ahead is how far in front of a counter a response matches, -1 for never.
func ahead(t *testing.T, k pskc.Token, from uint64, pin, challenge, response string) int {
	t.Helper()
	suite, err := ocra.Parse(k.Suite)
	if err != nil {
		t.Fatal(err)
	}
	in := ocra.Input{Question: challenge, Counter: from, PINHash: suite.HashPIN([]byte(pin))}
	m, err := ocra.Verify(suite, k.Seed, in, response, ocra.Window{LookAhead: 10})
	if err != nil {
		t.Fatal(err)
	}
	if !m.OK {
		return -1
	}
	return m.CounterOffset
}

func respond(t *testing.T, file, pin, challenge string) string {
	t.Helper()
	response, err := Open(file).Respond(pin, challenge)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func TestRespondMovesTheCounterOn(t *testing.T) {
	t.Parallel()
	for _, suite := range []string{SuitePINMixed, SuitePINLocal} {
		file, token := one(t, suite)
		if err := Open(file).SetPIN("1234"); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for i := range 4 {
			response := respond(t, file, "1234", "483921")
			if got := ahead(t, token, 0, "1234", "483921", response); got != i || len(response) != 8 || seen[response] {
				t.Errorf("%s: response %d is %d ahead", suite, i, got)
			}
			seen[response] = true
		}
	}
}

// Nobody learns from the card whether a PIN is right.
func TestWrongPINIsAWrongResponse(t *testing.T) {
	t.Parallel()
	for _, suite := range []string{SuitePINMixed, SuitePINLocal} {
		file, token := one(t, suite)
		if err := Open(file).SetPIN("1234"); err != nil {
			t.Fatal(err)
		}
		wrong := respond(t, file, "4321", "483921")
		if got := ahead(t, token, 0, "1234", "483921", wrong); got != -1 || len(wrong) != 8 {
			t.Errorf("%s: a wrong PIN gives a response of %d digits, %d ahead", suite, len(wrong), got)
		}
		if got := ahead(t, token, 0, "1234", "483921", respond(t, file, "1234", "483921")); got != 1 {
			t.Errorf("%s: after a wrong PIN the right one is %d ahead, want 1", suite, got)
		}
	}
}

func TestSetPIN(t *testing.T) {
	t.Parallel()
	file, token := one(t, SuitePINLocal)
	c := Open(file)
	if _, err := c.Respond("1234", "483921"); !errors.Is(err, ErrNoPIN) {
		t.Errorf("a card without a PIN: %v", err)
	}
	for _, pin := range []string{"1234", "5678"} {
		if err := c.SetPIN(pin); err != nil {
			t.Fatal(err)
		}
	}
	if got := ahead(t, token, 0, "", "483921", respond(t, file, "1234", "483921")); got != -1 {
		t.Error("the old PIN still works")
	}
	if got := ahead(t, token, 0, "", "483921", respond(t, file, "5678", "483921")); got != 1 {
		t.Error("the new PIN does not work")
	}
	// A card that mixes the PIN keeps none that its finder could read.
	file, _ = one(t, SuitePINMixed)
	if err := Open(file).SetPIN("9876"); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(file); err != nil || strings.Contains(string(b), "9876") {
		t.Errorf("the PIN stands in the file of a card that mixes it, %v", err)
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	file, _ := one(t, SuitePINMixed)
	cells := filepath.Join(t.TempDir(), "cells.json")
	if err := os.WriteFile(cells, []byte(`{"authenticatorId":"aut_1","cells":["ABC","DEF","GHJ"],"eventIds":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(broken, []byte(`{"pin":5551}`), 0o600); err != nil {
		t.Fatal(err)
	}
	response := func(file, pin, challenge string) error { _, err := Open(file).Respond(pin, challenge); return err }
	look := func(file string, a, b int) error { _, err := Open(file).Cells(a, b); return err }
	for name, tc := range map[string]struct{ got, want error }{
		"short PIN":          {response(file, "123", "483921"), ErrPIN},
		"PIN of letters":     {response(file, "12a4", "483921"), ErrPIN},
		"short challenge":    {response(file, "1234", "48392"), ErrChallenge},
		"no digits":          {response(file, "1234", "48392x"), ErrChallenge},
		"no card":            {response(file+"x", "1234", "483921"), ErrNoCard},
		"code card":          {response(cells, "1234", "483921"), ErrNoSeed},
		"set a short PIN":    {Open(file).SetPIN("12345"), ErrPIN},
		"PIN of a list":      {Open(cells).SetPIN("1234"), ErrNoSeed},
		"PIN of no card":     {Open(file + "x").SetPIN("1234"), ErrNoCard},
		"cells of a DSC+":    {look(file, 1, 2), ErrNoCells},
		"cells of no card":   {look(file+"x", 1, 2), ErrNoCard},
		"index 0":            {look(cells, 0, 2), ErrIndex},
		"index past the end": {look(cells, 1, 4), ErrIndex},
	} {
		if !errors.Is(tc.got, tc.want) {
			t.Errorf("%s: %v, want %v", name, tc.got, tc.want)
		}
	}
	if err := response(broken, "1234", "483921"); err == nil || strings.Contains(err.Error(), "5551") {
		t.Errorf("a broken file: %v", err)
	}
	if got, err := Open(cells).Cells(3, 1); err != nil || got != "GHJABC" {
		t.Errorf("cells 3 and 1: %q, %v", got, err)
	}
}

func TestManufacture(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cards")
	var batch bytes.Buffer
	made, err := Manufacture(dir, 20, SuitePINMixed, transport, &batch)
	if err != nil || len(made) != 20 {
		t.Fatalf("%d cards, %v", len(made), err)
	}
	tokens, err := pskc.Read(&batch, transport)
	if err != nil || len(tokens) != 20 {
		t.Fatalf("%d tokens, %v", len(tokens), err)
	}
	seeds := map[string]bool{}
	for i, m := range made {
		seeds[string(tokens[i].Seed)] = true
		info, err := os.Stat(m.File)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", m.File, info.Mode())
		}
		if tokens[i].Manufacturer != Manufacturer || tokens[i].Serial != m.Serial || len(tokens[i].Seed) != seedSize {
			t.Errorf("token %d is of another card", i)
		}
	}
	if len(seeds) != 20 {
		t.Errorf("%d seeds in 20 cards", len(seeds))
	}
}

func TestFactoryThatFailsLeavesNoCards(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is full")
	for name, tc := range map[string]struct {
		n     int
		suite string
		key   []byte
		batch failing
		want  error
	}{
		"the batch cannot be written": {3, SuitePINMixed, transport, failing{broken}, broken},
		"a suite with a clock":        {3, "OCRA-1:HOTP-SHA256-8:QN06-T1M", transport, failing{broken}, pskc.ErrSuite},
		"a short transport key":       {3, SuitePINMixed, transport[:8], failing{broken}, pskc.ErrKeyFormat},
		"no cards":                    {0, SuitePINMixed, transport, failing{broken}, pskc.ErrEmpty},
	} {
		dir := t.TempDir()
		made, err := Manufacture(dir, tc.n, tc.suite, tc.key, tc.batch)
		if !errors.Is(err, tc.want) || made != nil {
			t.Errorf("%s: %d cards, %v", name, len(made), err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("%s: %d files are left, %v", name, len(left), err)
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
