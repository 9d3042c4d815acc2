package bridge_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
)

// A listener hears what comes, in order, and again what it could not take; it is
// not told what was there before.
func TestListenHearsWhatComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, deaf := newStore(t), true
		fill(t, store, 30)
		var heard []eventstore.Sequence
		r := newRouter(t, bridge.RouterConfig{}, quiet())
		bridge.Listen(r, "notice", store, bridge.Config{BatchSize: 4}, func(_ context.Context, records []eventstore.Record) error {
			if deaf && records[0].Sequence > 34 {
				deaf = false
				return errOutage
			}
			for _, r := range records {
				heard = append(heard, r.Sequence)
			}
			return nil
		}, quiet())
		stop := start(t, r)
		synctest.Wait()
		fill(t, store, 10)
		time.Sleep(time.Minute) // virtual
		stop()
		if diff := cmp.Diff(dense(40)[30:], heard); diff != "" {
			t.Errorf("heard (-want +got):\n%s", diff)
		}
	})
}
