package esdbstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/esdbstore"
	"github.com/authledger/authledger/eventstore/storetest"
)

// promises are what this store declares. It is durable; sequences are learned
// later than at the append, positions are the database's own, and an id that
// stands elsewhere in the log is not recognised.
var promises = storetest.Promises{Durable: true}

// factory keeps one ledger for each directory, so that opening a directory again
// shows the same log.
func factory(url string) storetest.Factory {
	var mu sync.Mutex
	prefixes := map[string]string{}
	return func(t testing.TB, dir string, clock func() time.Time) eventstore.Store {
		t.Helper()
		mu.Lock()
		prefix, ok := prefixes[dir]
		if !ok {
			prefix = newPrefix()
			prefixes[dir] = prefix
		}
		mu.Unlock()
		return open(t, url, prefix, dir, clock)
	}
}

func open(t testing.TB, url, prefix, dir string, clock func() time.Time) *esdbstore.Store {
	t.Helper()
	store, err := esdbstore.Open(context.Background(), esdbstore.Options{URL: url, Prefix: prefix, Dir: dir, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// closing closes a store at the end, if the test has not.
func closing(t testing.TB, s *esdbstore.Store) *esdbstore.Store {
	t.Helper()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, factory(server(t)), promises)
}

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, factory(server(b))) }

// BenchmarkReadStream reads a stream of a thousand records, as a decision does
// that finds nothing in memory.
func BenchmarkReadStream(b *testing.B) {
	s := factory(server(b))(b, b.TempDir(), time.Now)
	defer s.Close()
	if _, err := s.Append(b.Context(), "user-1", eventstore.NoStream(), storetest.Events("stream", 1000)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range s.ReadStream(b.Context(), "user-1", 0) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkNewNode opens a log of twenty thousand records on an empty directory,
// which counts them.
func BenchmarkNewNode(b *testing.B) {
	const records = 20_000
	url, prefix := server(b), newPrefix()
	s := open(b, url, prefix, b.TempDir(), time.Now)
	defer s.Close()
	for i := range records / 20 {
		if _, err := s.Append(b.Context(), fmt.Sprint("user-", i), eventstore.NoStream(), storetest.Events(fmt.Sprint(i), 20)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		node := open(b, url, prefix, b.TempDir(), time.Now)
		if n, _, err := node.Head(b.Context()); n != records || err != nil {
			b.Fatalf("counted %d, %v", n, err)
		}
		if err := node.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(records*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func TestSideContract(t *testing.T) {
	t.Parallel()
	url := server(t)
	var mu sync.Mutex
	prefixes := map[string]string{}
	storetest.RunSide(t, func(t testing.TB, name string) eventstore.Side {
		t.Helper()
		mu.Lock()
		prefix, ok := prefixes[name]
		if !ok {
			prefix = newPrefix()
			prefixes[name] = prefix
		}
		mu.Unlock()
		return closing(t, open(t, url, prefix, t.TempDir(), time.Now))
	})
}

func TestImporterContract(t *testing.T) {
	t.Parallel()
	storetest.RunImporter(t, factory(server(t)), promises)
}

func TestSharerContract(t *testing.T) {
	t.Parallel()
	storetest.RunSharer(t, func(t testing.TB, nodes int) []storetest.SharedStore {
		t.Helper()
		url, prefix := server(t), newPrefix()
		out := make([]storetest.SharedStore, nodes)
		for i := range out {
			out[i] = closing(t, open(t, url, prefix, t.TempDir(), time.Now))
		}
		return out
	}, storetest.SharerPromises{Lease: 2 * time.Second, Records: 300})
}
