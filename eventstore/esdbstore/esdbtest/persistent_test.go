package esdbtest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
)

const team = "senders"

// group makes a persistent subscription to the streams user-… of $all.
func group(t testing.TB, c *esdb.Client, change func(*esdb.PersistentSubscriptionSettings)) {
	t.Helper()
	settings := esdb.SubscriptionSettingsDefault()
	if change != nil {
		change(&settings)
	}
	err := c.CreatePersistentSubscriptionToAll(within(t), team, esdb.PersistentAllSubscriptionOptions{
		Settings: &settings, StartFrom: esdb.Start{},
		Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"user-"}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func join(t testing.TB, c *esdb.Client, buffer uint32) *esdb.PersistentSubscription {
	t.Helper()
	sub, err := c.SubscribeToPersistentSubscriptionToAll(within(t), team, esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: buffer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Close() })
	return sub
}

// next receives an event, which must be the one expected: stream, revision and
// retries as in "user-1/0 r0".
func next(t testing.TB, sub *esdb.PersistentSubscription, want string) *esdb.ResolvedEvent {
	t.Helper()
	e := sub.Recv()
	if e.EventAppeared == nil {
		t.Fatalf("dropped, want %s: %v", want, e.SubscriptionDropped.Error)
	}
	got := fmt.Sprintf("%s/%d r%d", e.EventAppeared.Event.Event.StreamID, e.EventAppeared.Event.Event.EventNumber, e.EventAppeared.RetryCount)
	if got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	return e.EventAppeared.Event
}

func ack(t testing.TB, sub *esdb.PersistentSubscription, e ...*esdb.ResolvedEvent) {
	t.Helper()
	if err := sub.Ack(e...); err != nil {
		t.Fatal(err)
	}
}

func nack(t testing.TB, sub *esdb.PersistentSubscription, action esdb.NackAction, e ...*esdb.ResolvedEvent) {
	t.Helper()
	if err := sub.Nack("a reason", action, e...); err != nil {
		t.Fatal(err)
	}
}

func info(t testing.TB, c *esdb.Client) *esdb.PersistentSubscriptionInfo {
	t.Helper()
	i, err := c.GetPersistentSubscriptionInfoToAll(within(t), team, esdb.GetPersistentSubscriptionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// settle waits until the server has taken the acknowledgements sent so far.
func settle(t testing.TB, c *esdb.Client, what string, ok func(*esdb.PersistentSubscriptionInfo) bool) {
	t.Helper()
	ctx := within(t)
	for !ok(info(t, c)) {
		if ctx.Err() != nil {
			t.Fatalf("%s: %+v", what, info(t, c).Stats)
		}
	}
}

func idle(i *esdb.PersistentSubscriptionInfo) bool { return i.Stats.TotalInFlightMessages == 0 }

func fill(t testing.TB, c *esdb.Client, stream string, n int) {
	t.Helper()
	for i := range n {
		write(t, c, stream, esdb.Any{}, esdb.EventData{EventType: "Asked", ContentType: esdb.ContentTypeJson, Data: fmt.Appendf(nil, "%d", i)})
	}
}

func TestGroupDeliversOnceAndLive(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	fill(t, c, "user-1", 2)
	s.Interleave(4)
	group(t, c, nil)
	sub := join(t, c, 10)
	first, second := next(t, sub, "user-1/0 r0"), next(t, sub, "user-1/1 r0")
	ack(t, sub, first, second)
	fill(t, c, "user-2", 1)
	ack(t, sub, next(t, sub, "user-2/0 r0"))
	settle(t, c, "all acknowledged", idle)
	i := info(t, c)
	if i.EventSource != "$all" || i.GroupName != team || len(i.Connections) != 1 || i.Stats.TotalItems != 3 ||
		i.Settings.ConsumerStrategyName != esdb.ConsumerStrategyRoundRobin || i.Settings.StartFrom != (esdb.Start{}) {
		t.Errorf("info %+v", i)
	}
	if end := last(s).Position; i.Stats.LastCheckpointedPosition.Commit != end || i.Stats.LastKnownPosition.Commit != end {
		t.Errorf("checkpoint %v, known %v, want %d", i.Stats.LastCheckpointedPosition, i.Stats.LastKnownPosition, end)
	}
}

func TestGroupOnAStream(t *testing.T) {
	t.Parallel()
	_, c := single(t)
	fill(t, c, "user-1", 3)
	for _, row := range []struct {
		group string
		from  esdb.StreamPosition
		want  string
	}{{"start", esdb.Start{}, "user-1/0 r0"}, {"revision", esdb.Revision(2), "user-1/2 r0"}, {"end", esdb.End{}, "user-1/3 r0"}} {
		if err := c.CreatePersistentSubscription(within(t), "user-1", row.group, esdb.PersistentStreamSubscriptionOptions{StartFrom: row.from}); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, c, "user-1", 1)
	for group, want := range map[string]string{"start": "user-1/0 r0", "revision": "user-1/2 r0", "end": "user-1/3 r0"} {
		sub, err := c.SubscribeToPersistentSubscription(within(t), "user-1", group, esdb.SubscribeToPersistentSubscriptionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ack(t, sub, next(t, sub, want))
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	}
	list, err := c.ListPersistentSubscriptionsForStream(within(t), "user-1", esdb.ListPersistentSubscriptionsOptions{})
	if err != nil || len(list) != 3 || list[0].GroupName != "end" || list[0].Settings.StartFrom != (esdb.End{}) {
		t.Errorf("list %+v, %v", list, err)
	}
}

func TestGroupsAreManaged(t *testing.T) {
	t.Parallel()
	_, c := single(t)
	_, err := c.ListAllPersistentSubscriptions(within(t), esdb.ListPersistentSubscriptionsOptions{})
	wantCode(t, "list none", err, esdb.ErrorCodeResourceNotFound)
	_, err = c.SubscribeToPersistentSubscriptionToAll(within(t), team, esdb.SubscribeToPersistentSubscriptionOptions{})
	wantCode(t, "join a missing group", err, esdb.ErrorCodeResourceNotFound)
	group(t, c, func(s *esdb.PersistentSubscriptionSettings) { s.MaxSubscriberCount = 1 })
	err = c.CreatePersistentSubscriptionToAll(within(t), team, esdb.PersistentAllSubscriptionOptions{})
	wantCode(t, "create twice", err, esdb.ErrorCodeResourceAlreadyExists)
	fill(t, c, "user-1", 1)
	sub := join(t, c, 1)
	_, err = c.SubscribeToPersistentSubscriptionToAll(within(t), team, esdb.SubscribeToPersistentSubscriptionOptions{})
	wantCode(t, "one consumer too many", err, esdb.ErrorCodeUnknown)
	next(t, sub, "user-1/0 r0")
	settings := esdb.SubscriptionSettingsDefault()
	settings.MaxRetryCount = 3
	if err := c.UpdatePersistentSubscriptionToAll(within(t), team, esdb.PersistentAllSubscriptionOptions{Settings: &settings, StartFrom: esdb.Start{}}); err != nil {
		t.Fatal(err)
	}
	if e := sub.Recv(); e.SubscriptionDropped == nil {
		t.Errorf("an update left the consumer: %+v", e)
	}
	if i := info(t, c); i.Settings.MaxRetryCount != 3 || len(i.Connections) != 0 {
		t.Errorf("updated to %+v", i.Settings)
	}
	fill(t, c, "key-1", 1)
	fill(t, c, "user-2", 1)
	sub = join(t, c, 5)
	next(t, sub, "user-1/0 r1")
	next(t, sub, "user-2/0 r0") // the filter stayed
	if err := c.DeletePersistentSubscriptionToAll(within(t), team, esdb.DeletePersistentSubscriptionOptions{}); err != nil {
		t.Fatal(err)
	}
	if e := sub.Recv(); e.SubscriptionDropped == nil {
		t.Errorf("a deleted group left the consumer: %+v", e)
	}
	err = c.DeletePersistentSubscriptionToAll(within(t), team, esdb.DeletePersistentSubscriptionOptions{})
	wantCode(t, "delete twice", err, esdb.ErrorCodeResourceNotFound)
}

func TestBufferSizeBoundsWhatAConsumerHolds(t *testing.T) {
	t.Parallel()
	_, c := single(t)
	fill(t, c, "user-1", 5)
	group(t, c, nil)
	sub := join(t, c, 2)
	first := next(t, sub, "user-1/0 r0")
	next(t, sub, "user-1/1 r0")
	if i := info(t, c); i.Stats.TotalInFlightMessages != 2 || i.Connections[0].AvailableSlots != 0 || i.Stats.ReadBufferCount != 3 {
		t.Errorf("stats %+v", i.Stats)
	}
	ack(t, sub, first)
	next(t, sub, "user-1/2 r0")
	settle(t, c, "two held again", func(i *esdb.PersistentSubscriptionInfo) bool { return i.Stats.TotalInFlightMessages == 2 })
}

func TestNackActions(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	fill(t, c, "user-1", 3)
	group(t, c, func(s *esdb.PersistentSubscriptionSettings) { s.MaxRetryCount = 2 })
	sub := join(t, c, 1)
	nack(t, sub, esdb.NackActionRetry, next(t, sub, "user-1/0 r0"))
	nack(t, sub, esdb.NackActionUnknown, next(t, sub, "user-1/0 r1"))
	nack(t, sub, esdb.NackActionRetry, next(t, sub, "user-1/0 r2")) // too often: parked
	nack(t, sub, esdb.NackActionSkip, next(t, sub, "user-1/1 r0"))
	nack(t, sub, esdb.NackActionPark, next(t, sub, "user-1/2 r0"))
	settle(t, c, "two parked", func(i *esdb.PersistentSubscriptionInfo) bool { return idle(i) && i.Stats.ParkedMessagesCount == 2 })
	if links := s.Events("$persistentsubscription-$all::" + team + "-parked"); len(links) != 2 || string(links[1].Data) != "2@user-1" {
		t.Errorf("links to the parked: %+v", links)
	}
	if err := c.ReplayParkedMessagesToAll(within(t), team, esdb.ReplayParkedMessagesOptions{StopAt: 1}); err != nil {
		t.Fatal(err)
	}
	ack(t, sub, next(t, sub, "user-1/0 r0"))
	if err := c.ReplayParkedMessagesToAll(within(t), team, esdb.ReplayParkedMessagesOptions{}); err != nil {
		t.Fatal(err)
	}
	held := next(t, sub, "user-1/2 r0")
	nack(t, sub, esdb.NackActionStop, held)
	if e := sub.Recv(); e.SubscriptionDropped == nil {
		t.Errorf("stop left the consumer: %+v", e)
	}
	next(t, join(t, c, 1), "user-1/2 r1")
}

func TestMessageTimeout(t *testing.T) {
	t.Parallel()
	var at clock
	s := esdbtest.Start(t, esdbtest.Options{Clock: at.now})
	c := connect(t, s.URL())
	fill(t, c, "user-1", 1)
	group(t, c, func(s *esdb.PersistentSubscriptionSettings) { s.MessageTimeout, s.MaxRetryCount = 30_000, 1 })
	sub := join(t, c, 5)
	next(t, sub, "user-1/0 r0")
	at.advance(29 * time.Second)
	s.Tick()
	fill(t, c, "user-2", 1)
	ack(t, sub, next(t, sub, "user-2/0 r0")) // and not user-1/0 again
	at.advance(time.Second)
	s.Tick()
	next(t, sub, "user-1/0 r1")
	at.advance(30 * time.Second)
	s.Tick()
	settle(t, c, "parked after its only retry", func(i *esdb.PersistentSubscriptionInfo) bool { return i.Stats.ParkedMessagesCount == 1 && idle(i) })
}

func TestConsumerGoesAway(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t, esdbtest.Options{})
	c := connect(t, s.URL())
	p := esdbtest.StartProxy(t, s.Address(0))
	fill(t, c, "user-1", 3)
	group(t, c, nil)
	dies := join(t, connect(t, s.URLAt(p.Address())), 3)
	ack(t, dies, next(t, dies, "user-1/0 r0"))
	next(t, dies, "user-1/1 r0")
	next(t, dies, "user-1/2 r0")
	settle(t, c, "one acknowledged", func(i *esdb.PersistentSubscriptionInfo) bool { return i.Stats.TotalInFlightMessages == 2 })
	lives := join(t, c, 3)
	p.Cut()
	ack(t, lives, next(t, lives, "user-1/1 r1"), next(t, lives, "user-1/2 r1"))
	settle(t, c, "all acknowledged by the other", idle)
	if i := info(t, c); len(i.Connections) != 1 || i.Stats.LastCheckpointedPosition.Commit != last(s).Position {
		t.Errorf("%d connections, checkpoint %v", len(i.Connections), i.Stats.LastCheckpointedPosition)
	}
}

func TestGroupGoesOnAfterRestart(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t, esdbtest.Options{})
	c := connect(t, s.URL())
	fill(t, c, "user-1", 5)
	group(t, c, nil)
	sub := join(t, c, 10)
	zero, one := next(t, sub, "user-1/0 r0"), next(t, sub, "user-1/1 r0")
	next(t, sub, "user-1/2 r0")
	three := next(t, sub, "user-1/3 r0")
	ack(t, sub, zero, one, three)
	settle(t, c, "three acknowledged", func(i *esdb.PersistentSubscriptionInfo) bool { return i.Stats.TotalInFlightMessages == 2 })
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if e := drop(sub); e == nil {
		t.Error("the restart left the consumer")
	}
	again := connect(t, s.URL())
	sub = join(t, again, 10)
	next(t, sub, "user-1/2 r0") // the first not acknowledged, and all behind it
	next(t, sub, "user-1/3 r0")
	ack(t, sub, next(t, sub, "user-1/4 r0"))
	settle(t, again, "one acknowledged", func(i *esdb.PersistentSubscriptionInfo) bool { return i.Stats.TotalInFlightMessages == 2 })
	s.RewindGroups(2)
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	next(t, join(t, connect(t, s.URL()), 10), "user-1/0 r0") // two before the checkpoint, acknowledged before
}

// drop reads until the subscription ends and returns why.
func drop(sub *esdb.PersistentSubscription) error {
	for {
		if e := sub.Recv(); e.SubscriptionDropped != nil {
			return e.SubscriptionDropped.Error
		}
	}
}

func TestGroupMovesWithTheLeader(t *testing.T) {
	t.Parallel()
	s := cluster(t)
	lead := to(t, s, 0)
	fill(t, lead, "user-1", 2)
	group(t, lead, nil)
	_, err := to(t, s, 2).SubscribeToPersistentSubscriptionToAll(within(t), team, esdb.SubscribeToPersistentSubscriptionOptions{})
	wantCode(t, "join at a follower", err, esdb.ErrorCodeNotLeader)
	sub := join(t, lead, 1)
	ack(t, sub, next(t, sub, "user-1/0 r0"))
	settle(t, lead, "one acknowledged", func(i *esdb.PersistentSubscriptionInfo) bool {
		return i.Stats.TotalItems == 2
	})
	s.MoveLeader()
	if drop(sub) == nil {
		t.Error("the move left the consumer")
	}
	next(t, join(t, to(t, s, 1), 1), "user-1/1 r0")
}

// deal gives one event of each stream to n consumers that hold on to what they
// get, and returns the streams of each.
func deal(t *testing.T, strategy esdb.ConsumerStrategy, buffer uint32, n int, streams []string) [][]string {
	t.Helper()
	s, c := single(t)
	group(t, c, func(s *esdb.PersistentSubscriptionSettings) { s.ConsumerStrategyName = strategy })
	subs := make([]*esdb.PersistentSubscription, n)
	for i := range subs {
		subs[i] = join(t, connect(t, s.URL()), buffer)
	}
	for _, stream := range streams {
		fill(t, c, stream, 1)
	}
	settle(t, c, "everything dealt", func(i *esdb.PersistentSubscriptionInfo) bool {
		return i.Stats.TotalInFlightMessages == min(int64(len(streams)), int64(n)*int64(buffer))
	})
	dealt := make([][]string, n)
	for i, connection := range info(t, c).Connections { // in the order they joined
		for range connection.InFlightMessages {
			e := subs[i].Recv()
			if e.EventAppeared == nil {
				t.Fatal(e.SubscriptionDropped.Error)
			}
			dealt[i] = append(dealt[i], e.EventAppeared.Event.Event.StreamID)
		}
	}
	return dealt
}

func TestConsumerStrategies(t *testing.T) {
	t.Parallel()
	six := []string{"user-0", "user-1", "user-2", "user-3", "user-4", "user-5"}
	for _, row := range []struct {
		strategy esdb.ConsumerStrategy
		buffer   uint32
		want     [][]string
	}{
		{esdb.ConsumerStrategyRoundRobin, 10, [][]string{{"user-0", "user-3"}, {"user-1", "user-4"}, {"user-2", "user-5"}}},
		{esdb.ConsumerStrategyDispatchToSingle, 10, [][]string{six, nil, nil}},
		{esdb.ConsumerStrategyDispatchToSingle, 4, [][]string{six[:4], six[4:], nil}},
	} {
		if diff := cmp.Diff(row.want, deal(t, row.strategy, row.buffer, 3, six)); diff != "" {
			t.Errorf("%s with buffers of %d (-want +got):\n%s", row.strategy, row.buffer, diff)
		}
	}
}

func TestPinnedStreamsStayTogether(t *testing.T) {
	t.Parallel()
	var streams []string
	for i := range 60 {
		streams = append(streams, fmt.Sprintf("user-%d", i%20))
	}
	seen := map[string]int{}
	for i, got := range deal(t, esdb.ConsumerStrategyPinned, 100, 3, streams) {
		if len(got) == 0 {
			t.Errorf("consumer %d got none of 20 streams", i)
		}
		for _, stream := range got {
			if other, ok := seen[stream]; ok && other != i {
				t.Errorf("%s went to consumers %d and %d", stream, other, i)
			}
			seen[stream] = i
		}
	}
	if len(seen) != 20 {
		t.Errorf("%d streams dealt, want 20", len(seen))
	}
}

func TestSubsystemRestarts(t *testing.T) {
	t.Parallel()
	_, c := single(t)
	fill(t, c, "user-1", 2)
	group(t, c, nil)
	sub := join(t, c, 1)
	ack(t, sub, next(t, sub, "user-1/0 r0"))
	next(t, sub, "user-1/1 r0")
	if err := c.RestartPersistentSubscriptionSubsystem(within(t), esdb.RestartPersistentSubscriptionSubsystemOptions{}); err != nil {
		t.Fatal(err)
	}
	if drop(sub) == nil {
		t.Error("the restart left the consumer")
	}
	next(t, join(t, c, 1), "user-1/1 r0")
}
