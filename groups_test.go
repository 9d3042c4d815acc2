package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGroupsAreFrozen: an event database fixes what a group is sent when the
// group is made, and tells nobody later. A group whose types change would never
// be handed the new ones, so it must get another name, under which it begins with
// the log's first record; the old name stays retired. A line of the file is only
// ever added, or removed with its name.
func TestGroupsAreFrozen(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, g := range groups() {
		b.WriteString(g.Name + " " + strings.Join(g.Types, ",") + "\n")
	}
	path := filepath.Join("testdata", "groups.txt")
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the groups of consumers are\n%s\n%s has\n%s\ngive a group whose types changed another name", b.String(), path, want)
	}
}
