package bundle_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/authledger/authledger/api/timestamp"
	"github.com/authledger/authledger/api/timestamp/timestamptest"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/replay/bundle"
)

// The stamp of a cosigned checkpoint goes into the bundle and is checked there
// by the root of its authority, and by no other.
func TestTimeStampInBundle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10)
	authority := timestamptest.New(t)
	authority.Clock = func() time.Time { return w.now }
	c := timestamp.Client{URL: authority.Serve(), Roots: authority.Roots(), HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	token, at, err := c.Stamp(t.Context(), merkle.AsLogSigned(w.history.published.Signed, origin))
	if err != nil {
		t.Fatal(err)
	}
	w.history.published.Stamps = []merkle.Stamp{{Authority: c.URL, Token: token}}
	packed := w.write(t, request(bundle.Query{}))
	by := func(a *timestamptest.Authority) bundle.Options {
		return bundle.Options{Stamp: func(token, signed []byte) (time.Time, error) { return timestamp.Check(token, signed, a.Roots()) }}
	}
	if r, err := verify(packed, by(authority)); err != nil || len(r.Stamps) != 1 || !r.Stamps[0].Equal(at) {
		t.Errorf("got stamps %v, %v; want one of %s", r.Stamps, err, at)
	}
	r, err := verify(packed, by(timestamptest.New(t)))
	if !errors.Is(err, bundle.ErrEvidence) || len(r.Failures) != 1 || r.Failures[0].Mechanism != bundle.ByStamp {
		t.Errorf("by another root: %+v, %v; want that the time stamp fails", r.Failures, err)
	}
	if r, err := verify(packed, bundle.Options{}); err != nil || len(r.Stamps) != 0 {
		t.Errorf("with nobody trusted: stamps %v, %v", r.Stamps, err)
	}
}
