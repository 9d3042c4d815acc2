package esdbstore_test

import (
	"fmt"
	"testing"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
	"github.com/authledger/authledger/eventstore/storetest"
)

// TestOneOfThreeIsDead: a connection string of three members finds the leader
// while one of them is dead, wherever it stands in the list, and a store that is
// open goes on when another member comes and it goes.
func TestOneOfThreeIsDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, esdbtest.Options{Members: 3})
	for dead := range 3 {
		w.StopMember(dead)
		s := w.node(t, w.URLAt(w.Address(0), w.Address(1), w.Address(2)))
		if _, err := s.Append(soon(t), fmt.Sprintf("user-%d", dead), eventstore.NoStream(), storetest.Events(fmt.Sprint(dead), 2)); err != nil {
			t.Fatalf("with member %d dead: %v", dead, err)
		}
		if err := w.StartMember(dead); err != nil {
			t.Fatal(err)
		}
		w.StopMember((dead + 1) % 3)
		if n := len(log(t, s)); n != 2*(dead+1) {
			t.Errorf("with member %d dead: the log has %d records, want %d", (dead+1)%3, n, 2*(dead+1))
		}
		if err := w.StartMember((dead + 1) % 3); err != nil {
			t.Fatal(err)
		}
	}
}
