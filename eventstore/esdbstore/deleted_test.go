package esdbstore_test

import (
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/esdbstore"
	"github.com/authledger/authledger/eventstore/storetest"
)

// TestStreamThatWasDeleted: whoever deletes a ledger stream is noticed by a node
// that runs and by one that starts later, and the rest of the log goes on.
func TestStreamThatWasDeleted(t *testing.T) {
	t.Parallel()
	url, prefix := server(t), newPrefix()
	s := closing(t, open(t, url, prefix, t.TempDir(), time.Now))
	if _, err := s.Append(soon(t), "user-1", eventstore.NoStream(), storetest.Events("first", 2)); err != nil {
		t.Fatal(err)
	}
	config, err := esdb.ParseConnectionString(url)
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = func(esdb.LogLevel, string, ...any) {}
	c, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.TombstoneStream(soon(t), prefix+".ledger-user-1", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Revision(1)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(soon(t), "user-2", eventstore.NoStream(), storetest.Events("second", 1)); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*esdbstore.Store{s, closing(t, open(t, url, prefix, t.TempDir(), time.Now))} {
		if n := len(log(t, s)); n != 3 {
			t.Errorf("the log has %d records, want 3 until a scavenge", n)
		}
		found := s.Findings()
		if len(found) != 1 || found[0].Code != esdbstore.StreamDeleted {
			t.Errorf("found %v, want %s", found, esdbstore.StreamDeleted)
		}
	}
}
