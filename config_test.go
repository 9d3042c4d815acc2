package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// A command that knows only SQLite does not work beside the ledger that the
// environment names, and says no word of the password in it.
func TestSQLiteCommandsHeedTheStoreVariable(t *testing.T) {
	t.Setenv("AUTHLEDGER_STORE", "esdb://ledger:hidden@db1:2113?tls=false")
	dir := filepath.Join(t.TempDir(), "data")
	_, err := command(t, "seed", "--data", dir, "--users", "1")
	if exitCode(err) != exitUsage || !strings.Contains(err.Error(), "AUTHLEDGER_STORE") || strings.Contains(err.Error(), "hidden") {
		t.Errorf("seed: exit code %d, %v", exitCode(err), err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("it made the directory: %v", err)
	}
	for _, value := range []string{"", "sqlite"} {
		t.Setenv("AUTHLEDGER_STORE", value)
		if _, err := command(t, "seed", "--data", dir, "--users", "1", "--log-origin", "+"); err == nil || strings.Contains(err.Error(), "AUTHLEDGER_STORE") {
			t.Errorf("with %q: %v, want the usage error of the command itself", value, err)
		}
	}
}

// Every command that opens a data directory is one that knows the store, refuses
// another one, or says why neither is right.
func TestEveryCommandHeedsTheStoreVariable(t *testing.T) {
	t.Setenv("AUTHLEDGER_STORE", "esdb://db1:2113?tls=false")
	var refused, others []string
	walk(newRootCommand(), func(cmd *cobra.Command) {
		if cmd.HasSubCommands() {
			return
		}
		err := checkStoreVariable(cmd)
		switch flags := flagsOf(cmd); {
		case err != nil:
			refused = append(refused, cmd.Name())
		case slices.Contains(flags, "data") && !slices.Contains(flags, "store"):
			others = append(others, cmd.Name())
		}
	})
	if !slices.Equal(refused, []string{"seed"}) || !slices.Equal(others, []string{"migrate", "witness"}) {
		t.Errorf("refused %v, with stores of their own %v", refused, others)
	}
}
