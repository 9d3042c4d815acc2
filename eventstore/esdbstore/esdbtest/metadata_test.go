package esdbtest_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
)

// clock is a fake one that starts at a fixed time.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(c.ahead.Load()))
}

func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

func limits(t testing.TB, c *esdb.Client, stream string, set func(*esdb.StreamMetadata)) {
	t.Helper()
	var meta esdb.StreamMetadata
	set(&meta)
	if _, err := c.SetStreamMetadata(within(t), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, meta); err != nil {
		t.Fatal(err)
	}
}

func TestStreamMetadataLimitsReads(t *testing.T) {
	t.Parallel()
	var at clock
	s := esdbtest.Start(t, esdbtest.Options{Clock: at.now})
	c := connect(t, s.URL())
	for n := range 5 {
		write(t, c, "user-1", esdb.Any{}, event(n))
		at.advance(time.Minute)
	}
	expect := func(name, want string) {
		t.Helper()
		got, err := readStream(t, c, "user-1", esdb.ReadStreamOptions{}, 100)
		if err != nil || revisions(got) != want {
			t.Errorf("%s: %s, %v, want %s", name, revisions(got), err, want)
		}
	}
	expect("without metadata", "[0 1 2 3 4]")
	limits(t, c, "user-1", func(m *esdb.StreamMetadata) { m.SetMaxCount(3) })
	expect("$maxCount 3", "[2 3 4]")
	limits(t, c, "user-1", func(m *esdb.StreamMetadata) { m.SetTruncateBefore(4) })
	expect("$tb 4, which replaces the count", "[4]")
	limits(t, c, "user-1", func(m *esdb.StreamMetadata) { m.SetMaxAge(150 * time.Second) })
	expect("$maxAge 150 s, 5 min after the first", "[3 4]")
	at.advance(time.Minute)
	expect("and a minute later", "[4]")
	read, err := c.GetStreamMetadata(within(t), "user-1", esdb.ReadStreamOptions{})
	if err != nil || read.MaxAge() == nil || *read.MaxAge() != 150*time.Second || read.MaxCount() != nil {
		t.Errorf("metadata read back: %+v, %v: want the newest", read, err)
	}
	if n := len(s.Events("user-1")); n != 5 {
		t.Errorf("$all holds %d events, want all 5", n)
	}
	s.Scavenge()
	if n := len(s.Events("user-1")); n != 1 {
		t.Errorf("after scavenging $all holds %d events, want 1", n)
	}
	limits(t, c, "user-1", func(*esdb.StreamMetadata) {})
	expect("scavenged events stay away", "[4]")
	write(t, c, "user-1", esdb.Revision(4), event(6))
	expect("revisions go on", "[4 5]")
}
