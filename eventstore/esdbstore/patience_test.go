package esdbstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
	"github.com/authledger/authledger/eventstore/storetest"
)

// TestCallersWhoGiveUp: a caller whose context ends is let go at once, also when
// others wait for the same thing, and takes the connection from nobody.
func TestCallersWhoGiveUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, esdbtest.Options{})
	s := w.node(t, "")
	if _, err := s.Append(soon(t), "user-1", eventstore.NoStream(), storetest.Events("first", 1)); err != nil {
		t.Fatal(err)
	}
	log(t, s)
	connected := w.Calls()["ServerFeatures/GetSupportedMethods"]
	w.Freeze()
	const callers = 20
	ended := make(chan error, callers)
	for range callers {
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_, err := s.ByID(ctx, storetest.Events("nobody", 1)[0].ID) // reads the log up to its end
			ended <- err
		}()
	}
	limit := time.NewTimer(4 * time.Second) // less than a call's own bound
	defer limit.Stop()
	for range callers {
		select {
		case err := <-ended:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
			}
		case <-limit.C:
			t.Fatal("a caller whose time was over still waits")
		}
	}
	w.Thaw()
	log(t, s)
	if _, err := s.Append(soon(t), "user-2", eventstore.NoStream(), storetest.Events("second", 1)); err != nil {
		t.Fatal(err)
	}
	if again := w.Calls()["ServerFeatures/GetSupportedMethods"]; again != connected {
		t.Errorf("%d new connections were made because callers gave up", again-connected)
	}
}
