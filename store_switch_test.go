package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/google/uuid"
)

// testStore names the switch: with esdb the built program runs on an event
// database, one of this process or the real one that AUTHLEDGER_TEST_ESDB
// names, instead of SQLite. The tests are the same.
const testStore = "AUTHLEDGER_TEST_STORE"

// onEventDatabase reports whether the switch is set.
func onEventDatabase() bool { return os.Getenv(testStore) == "esdb" }

var (
	environments   sync.Mutex // guards environmentsBy
	environmentsBy = map[string][]string{}
)

// storeEnvironment is the environment that puts a program on the store under
// test. Programs with one data directory share a ledger, so that a restart finds
// it again.
func storeEnvironment(t testing.TB, data string) []string {
	t.Helper()
	if !onEventDatabase() {
		return nil
	}
	environments.Lock()
	defer environments.Unlock()
	data, err := filepath.Abs(data)
	if err != nil {
		t.Fatal(err)
	}
	if env, ok := environmentsBy[data]; ok {
		return env
	}
	url := os.Getenv("AUTHLEDGER_TEST_ESDB")
	if url == "" {
		url = esdbtest.Start(t, esdbtest.Options{}).URL()
	}
	kek := filepath.Join(t.TempDir(), "kek.json")
	if _, err := keyring.CreateKEKFile(kek); err != nil {
		t.Fatal(err)
	}
	env := []string{
		"AUTHLEDGER_STORE=" + url, "AUTHLEDGER_KEK_FILE=" + kek,
		"AUTHLEDGER_STORE_PREFIX=" + newLedgerPrefix(),
	}
	environmentsBy[data] = env
	return env
}

// newLedgerPrefix names a ledger that no other test and no other run uses.
func newLedgerPrefix() string {
	return "e2e_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:20]
}
