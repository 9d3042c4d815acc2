package esdbtest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
)

// short is long enough for a loopback call and bounds one that must hang.
const short = 300 * time.Millisecond

func TestDroppedAnswerWasWritten(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	write(t, c, "user-1", esdb.NoStream{}, event(1))
	s.DropAnswers(1)
	_, err := c.AppendToStream(within(t), "user-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Revision(0)}, events(2, 3)...)
	if err == nil {
		t.Fatal("the answer came")
	}
	if n := len(s.Events("user-1")); n != 3 {
		t.Fatalf("%d events, want 3: the append took effect", n)
	}
	result := (*esdb.WriteResult)(nil)
	eventually(t, "the same append again", func(ctx context.Context) (err error) {
		result, err = c.AppendToStream(ctx, "user-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Revision(0)}, events(2, 3)...)
		return err
	})
	if stored := s.Events("user-1"); result.NextExpectedVersion != 2 || result.CommitPosition != stored[2].Position || len(stored) != 3 {
		t.Errorf("repeat: %+v, %d events", result, len(stored))
	}
	s.DropAnswers(1)
	if _, err := c.TombstoneStream(within(t), "user-1", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Revision(2)}); err == nil {
		t.Error("the answer of the tombstone came")
	}
	if last(s).Type != "$streamDeleted" {
		t.Error("the tombstone was not written")
	}
}

func TestRefusedWriteIsNotWritten(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	s.RefuseWrites(2)
	for range 2 {
		_, err := c.AppendToStream(within(t), "user-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, event(1))
		wantCode(t, "refused append", err, esdb.ErrorUnavailable)
	}
	if len(s.Events("user-1")) != 0 {
		t.Error("written all the same")
	}
	write(t, c, "user-1", esdb.NoStream{}, event(1))
}

func TestCountedRefusals(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	write(t, c, "user-1", esdb.NoStream{}, event(1))
	s.Unavailable(1)
	_, err := readStream(t, c, "user-1", esdb.ReadStreamOptions{}, 1)
	wantCode(t, "a node that is not ready", err, esdb.ErrorUnavailable)
	s.RejectNotLeader(1)
	_, err = readStream(t, c, "user-1", esdb.ReadStreamOptions{}, 1)
	wantCode(t, "a redirect", err, esdb.ErrorCodeNotLeader)
	if got, err := readStream(t, c, "user-1", esdb.ReadStreamOptions{}, 1); err != nil || len(got) != 1 {
		t.Errorf("then: %d events, %v", len(got), err)
	}
}

func TestBrokenReads(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	write(t, c, "user-1", esdb.NoStream{}, events(1, 5)...)
	for after := range 6 {
		s.BreakReads(1, after)
		got, err := readStream(t, c, "user-1", esdb.ReadStreamOptions{}, 100)
		if len(got) != after || code(err) != esdb.ErrorUnavailable {
			t.Errorf("break after %d: %d events, %v", after, len(got), err)
		}
	}
	s.BreakReads(1, 2)
	sub := subscribeStream(t, c, "user-1", esdb.Start{})
	for want := range uint64(2) {
		if e := sub.Recv(); e.EventAppeared == nil || e.EventAppeared.Event.EventNumber != want {
			t.Fatalf("got %+v, want revision %d", e, want)
		}
	}
	if e := sub.Recv(); e.SubscriptionDropped == nil {
		t.Errorf("the subscription goes on with %+v", e)
	}
	if got := follow(t, subscribeStream(t, c, "user-1", esdb.Revision(1)), 3); got != "2 3 4 live" {
		t.Errorf("resumed: %s", got)
	}
}

func TestDuplicateDeliveries(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	write(t, c, "user-1", esdb.NoStream{}, events(1, 3)...)
	s.DuplicateDeliveries(2)
	if got := follow(t, subscribeStream(t, c, "user-1", esdb.Start{}), 5); got != "0 0 1 1 2 live" {
		t.Errorf("got %s", got)
	}
	s.DuplicateDeliveries(1)
	if got, err := readStream(t, c, "user-1", esdb.ReadStreamOptions{}, 100); err != nil || len(got) != 3 {
		t.Errorf("a read of %d events, %v, want no duplicates", len(got), err)
	}
}

func TestFreezeAndThaw(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	sub := subscribeStream(t, c, "user-1", esdb.Start{})
	if got := follow(t, sub, 0); got != "live" {
		t.Fatal(got)
	}
	s.Freeze()
	s.Freeze() // twice is once
	ctx, cancel := context.WithTimeout(within(t), short)
	defer cancel()
	_, err := c.AppendToStream(ctx, "user-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, event(1))
	wantCode(t, "append at a frozen server", err, esdb.ErrorCodeDeadlineExceeded)
	put(t, s, "user-1", "Counted", "{}")
	received := make(chan *esdb.SubscriptionEvent, 1)
	go func() { received <- sub.Recv() }()
	select {
	case e := <-received:
		t.Fatalf("a frozen server sent %+v", e)
	case <-time.After(short):
	}
	s.Thaw()
	s.Thaw()
	if e := <-received; e.EventAppeared == nil {
		t.Errorf("after the thaw: %+v", e)
	}
	write(t, c, "user-1", esdb.Revision(0), event(2))
}

func TestDelay(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	write(t, c, "user-1", esdb.NoStream{}, event(1))
	s.Delay(short)
	began := time.Now()
	write(t, c, "user-1", esdb.Revision(0), event(2))
	if took := time.Since(began); took < short {
		t.Errorf("took %v, want at least %v", took, short)
	}
}

func TestCutEndsSubscriptions(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	sub := subscribeStream(t, c, "user-1", esdb.Start{})
	if got := follow(t, sub, 0); got != "live" {
		t.Fatal(got)
	}
	s.Cut()
	if e := sub.Recv(); e.SubscriptionDropped == nil {
		t.Errorf("goes on with %+v", e)
	}
	eventually(t, "append after the cut", appendOne(c, "user-1", esdb.NoStream{}, 1))
}

func TestRestartKeepsTheLog(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	write(t, c, "user-1", esdb.NoStream{}, event(1))
	url := s.URL()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if s.URL() != url {
		t.Errorf("address changed: %s, %s", url, s.URL())
	}
	eventually(t, "append after the restart", appendOne(c, "user-1", esdb.Revision(0), 2))
	if got := s.Events("user-1"); len(got) != 2 || got[1].Position <= got[0].Position {
		t.Errorf("log %+v", got)
	}
}

func TestClockOffset(t *testing.T) {
	t.Parallel()
	var at clock
	s := esdbtest.Start(t, esdbtest.Options{Clock: at.now})
	c := connect(t, s.URL())
	write(t, c, "user-1", esdb.NoStream{}, event(1))
	s.OffsetClock(-time.Hour)
	write(t, c, "user-1", esdb.Revision(0), event(2))
	got, err := readStream(t, c, "user-1", esdb.ReadStreamOptions{}, 2)
	if err != nil || !got[0].CreatedDate.Equal(at.now()) || !got[1].CreatedDate.Equal(at.now().Add(-time.Hour)) {
		t.Errorf("created %v and %v, %v", got[0].CreatedDate, got[1].CreatedDate, err)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t, esdbtest.Options{Version: "23.10.4"})
	v, err := connect(t, s.URL()).GetServerVersion()
	if err != nil || v.Major != 23 || v.Minor != 10 || v.Patch != 4 {
		t.Errorf("version %+v, %v", v, err)
	}
}

func TestBlackHole(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t, esdbtest.Options{})
	c := connect(t, s.URLAt(esdbtest.BlackHole(t))+"&gossipTimeout=1&maxDiscoverAttempts=1")
	if _, err := c.GetServerVersion(); err == nil {
		t.Error("a black hole answered")
	}
}

func TestProxy(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t, esdbtest.Options{TLS: true, User: "ledger", Password: "secret", Admin: true})
	p := esdbtest.StartProxy(t, s.Address(0))
	behind, beside := connect(t, s.URLAt(p.Address())), connect(t, s.URL())
	write(t, behind, "user-1", esdb.NoStream{}, event(1))
	p.Cut()
	eventually(t, "append through the proxy after a cut", appendOne(behind, "user-1", esdb.Revision(0), 2))
	p.Hole()
	ctx, cancel := context.WithTimeout(within(t), short)
	defer cancel()
	_, err := behind.AppendToStream(ctx, "user-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Revision(1)}, event(3))
	wantCode(t, "append into the hole", err, esdb.ErrorCodeDeadlineExceeded)
	write(t, beside, "user-2", esdb.NoStream{}, event(4))
	p.Heal()
	eventually(t, "append after healing", appendOne(behind, "user-1", esdb.Revision(1), 3))
	if n := len(s.Events("user-1")); n != 3 {
		t.Errorf("%d events, want 3", n)
	}
}

func TestProxyToNothing(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t, esdbtest.Options{})
	p := esdbtest.StartProxy(t, s.Address(0))
	s.StopMember(0)
	c := connect(t, s.URLAt(p.Address())+"&maxDiscoverAttempts=1")
	if _, err := c.GetServerVersion(); err == nil {
		t.Error("connected to a stopped server")
	}
}

func TestOversizedEventBreaksAnUnfilteredReader(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	write(t, c, "user-1", esdb.NoStream{}, event(1))
	if _, err := s.Put("foreign-1", esdbtest.Proposed{Type: "Blob", Data: make([]byte, 18<<20)}); err != nil {
		t.Fatal(err) // the client takes messages of up to 17 MiB
	}
	write(t, c, "user-1", esdb.Revision(0), event(2))
	if r, err := c.ReadAll(within(t), esdb.ReadAllOptions{}, 100); err != nil {
		t.Error(err)
	} else if _, err := drain(r); err == nil || !strings.Contains(err.Error(), "larger than max") {
		t.Errorf("read past an event of 18 MiB: %v", err)
	}
	sub := subscribeAll(t, c, esdb.SubscribeToAllOptions{
		From: esdb.Start{}, Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"user-"}}, MaxSearchWindow: 100,
	})
	if got := follow(t, sub, 2); got != "0 1 c live" {
		t.Errorf("with a filter: %s", got)
	}
}

func TestCloseEndsCallsThatHang(t *testing.T) {
	t.Parallel()
	s, err := esdbtest.New(esdbtest.Options{Members: 3})
	if err != nil {
		t.Fatal(err)
	}
	c := to(t, s, 0)
	write(t, c, "user-1", esdb.NoStream{}, event(1))
	sub := subscribeStream(t, c, "user-1", esdb.End{})
	s.Freeze()
	result := make(chan error, 1)
	go func() {
		_, err := c.AppendToStream(t.Context(), "user-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Revision(0)}, event(2))
		result <- err
	}()
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if err := <-result; err == nil {
		t.Error("a frozen server answered")
	}
	for {
		if e := sub.Recv(); e.SubscriptionDropped != nil {
			return
		}
	}
}
