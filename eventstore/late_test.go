package eventstore_test

import (
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	const s, us = time.Second, time.Microsecond
	for _, c := range []struct {
		older, allowed, disorder time.Duration
		want                     eventstore.Lateness
	}{
		{-s, 0, 0, eventstore.InTime},
		{0, 0, 0, eventstore.InTime},
		{us, 0, 0, eventstore.BackDated},
		{5 * s, 5 * s, 0, eventstore.InTime},
		{5*s + us, 5 * s, 0, eventstore.BackDated},
		{5 * s, 5 * s, 5 * s, eventstore.InTime},
		{5*s + us, 5 * s, 5 * s, eventstore.Late},
		{eventstore.LateLimit, 5 * s, 5 * s, eventstore.Late},
		{eventstore.LateLimit + us, 5 * s, 5 * s, eventstore.BackDated},
		{2 * eventstore.LateLimit, 3 * eventstore.LateLimit, 3 * eventstore.LateLimit, eventstore.InTime},
	} {
		if got := eventstore.Judge(c.older, c.allowed, c.disorder); got != c.want {
			t.Errorf("%v older, %v allowed, disorder %v: got %d, want %d", c.older, c.allowed, c.disorder, got, c.want)
		}
	}
}
