// Package sweep takes off an event database what a run of tests has left there:
// streams by the prefix of their names, and the groups of consumers. It is for
// servers that stay when the tests have gone; the server in this process goes
// with them. Most readers want Begin and Run.Clear.
//
// It deletes for good, so production code must not import it; a test holds that.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Variable names the environment variable with the connection string of a real
// server that tests run against. Its user must be in $admins, or the server
// insecure.
const Variable = "AUTHLEDGER_TEST_ESDB"

// Run is one run of tests on a server.
type Run struct {
	url, prefix string
	since       esdb.AllPosition // everything of the run lies behind this
}

// Begin notes how far the server's log has come. The streams and groups of the
// run are those whose names begin with prefix, which no other run may share.
func Begin(ctx context.Context, url, prefix string) (*Run, error) {
	if prefix == "" || strings.HasPrefix(prefix, "$") {
		return nil, fmt.Errorf("sweep streams %q*: want the prefix of one run", prefix)
	}
	c, err := connect(url)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // never fails
	r := &Run{url: url, prefix: prefix, since: esdb.Start{}}
	newest, err := page(ctx, c, esdb.ReadAllOptions{From: esdb.End{}, Direction: esdb.Backwards}, 1)
	if err != nil {
		return nil, fmt.Errorf("read the end of the event database's log: %w", err)
	}
	if len(newest) > 0 {
		r.since = newest[0].Position
	}
	return r, nil
}

// Cleared counts what Clear has removed.
type Cleared struct{ Streams, Groups int }

// Clear puts a tombstone on every stream of the run and deletes its groups.
// When it returns without an error there are none left. What the server's files
// held of them goes with its next scavenge, but for the tombstones.
func (r *Run) Clear(ctx context.Context) (Cleared, error) {
	var done Cleared
	c, err := connect(r.url)
	if err != nil {
		return done, err
	}
	defer func() { _ = c.Close() }() // never fails
	if done.Groups, err = r.clearGroups(ctx, c); err != nil {
		return done, err
	}
	for range passes {
		left, err := r.streams(ctx, c)
		if err != nil {
			return done, fmt.Errorf("list the streams of the tests: %w", err)
		}
		if len(left) == 0 {
			return done, nil
		}
		if err := bury(ctx, c, left); err != nil {
			return done, err
		}
		done.Streams += len(left)
	}
	return done, fmt.Errorf("clear %s*: somebody goes on making streams of this name", r.prefix)
}

// passes bounds how often Clear looks again for what came meanwhile; the last
// pass finds nothing.
const passes = 5

// connect makes a client that gives up when nobody answers.
func connect(url string) (*esdb.Client, error) {
	scheme, rest, _ := strings.Cut(url, "://")
	known := "esdb://" // kurrentdb:// means the same, and the client does not know it
	if strings.HasSuffix(scheme, "+discover") {
		known = "esdb+discover://"
	}
	config, err := esdb.ParseConnectionString(known + rest)
	if err != nil {
		return nil, fmt.Errorf("%s is no connection string of an event database", Variable) // the error repeats it, with its password
	}
	config.Logger = func(esdb.LogLevel, string, ...any) {}
	config.NodePreference = esdb.NodePreferenceLeader
	c, err := esdb.NewClient(config)
	if err != nil {
		return nil, errors.New("connect to the event database of " + Variable)
	}
	return c, nil
}

// streams names the streams of the run that have no tombstone.
func (r *Run) streams(ctx context.Context, c *esdb.Client) ([]string, error) {
	const size = 1000
	there := map[string]bool{}
	for from := r.since; ; {
		events, err := page(ctx, c, esdb.ReadAllOptions{From: from, Direction: esdb.Forwards}, size)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			if strings.HasPrefix(e.StreamID, r.prefix) {
				there[e.StreamID] = e.EventType != tombstone
			}
		}
		if len(events) < size {
			break
		}
		from = events[len(events)-1].Position
	}
	var names []string
	for name, alive := range there {
		if alive {
			names = append(names, name)
		}
	}
	return names, nil
}

// tombstone is the type of the event that ends a stream for good.
const tombstone = "$streamDeleted"

// bury puts tombstones on streams, some at once.
func bury(ctx context.Context, c *esdb.Client, names []string) error {
	const diggers = 16
	queue := make(chan string, len(names))
	for _, name := range names {
		queue <- name
	}
	close(queue)
	var group sync.WaitGroup
	failures := make([]error, diggers)
	for i := range diggers {
		group.Go(func() {
			for name := range queue {
				if failures[i] = buryOne(ctx, c, name); failures[i] != nil {
					return
				}
			}
		})
	}
	group.Wait()
	return errors.Join(failures...)
}

func buryOne(ctx context.Context, c *esdb.Client, name string) error {
	_, err := again(ctx, func(ctx context.Context) (*esdb.DeleteResult, error) {
		return c.TombstoneStream(ctx, name, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
	})
	if err != nil && !is(err, esdb.ErrorCodeStreamDeleted) {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}

// clearGroups deletes the run's persistent subscriptions to $all.
func (r *Run) clearGroups(ctx context.Context, c *esdb.Client) (int, error) {
	all, err := again(ctx, func(ctx context.Context) ([]esdb.PersistentSubscriptionInfo, error) {
		return c.ListPersistentSubscriptionsToAll(ctx, esdb.ListPersistentSubscriptionsOptions{})
	})
	if err != nil && !is(err, esdb.ErrorCodeResourceNotFound) {
		return 0, fmt.Errorf("list the groups of consumers: %w", err)
	}
	n := 0
	for _, g := range all {
		if !strings.HasPrefix(g.GroupName, r.prefix) {
			continue
		}
		_, err := again(ctx, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, c.DeletePersistentSubscriptionToAll(ctx, g.GroupName, esdb.DeletePersistentSubscriptionOptions{})
		})
		if err != nil && !is(err, esdb.ErrorCodeResourceNotFound) {
			return n, fmt.Errorf("delete the group %s: %w", g.GroupName, err)
		}
		n++
	}
	return n, nil
}

func page(ctx context.Context, c *esdb.Client, o esdb.ReadAllOptions, n uint64) ([]*esdb.RecordedEvent, error) {
	return again(ctx, func(ctx context.Context) ([]*esdb.RecordedEvent, error) {
		stream, err := c.ReadAll(ctx, o, n)
		if err != nil {
			return nil, err
		}
		defer stream.Close()
		var events []*esdb.RecordedEvent
		for {
			e, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return events, nil
			}
			if err != nil {
				return nil, err
			}
			events = append(events, e.OriginalEvent())
		}
	})
}

// again makes a call that may be made twice, and asks the leader: another node
// may not have all of it yet. A cluster may be looking for one.
func again[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	const tries = 8
	own := metadata.AppendToOutgoingContext(ctx, "requires-leader", "true")
	for try := 0; ; try++ {
		v, err := call(own)
		if err == nil || try == tries || !passing(err) {
			return v, err
		}
		t := time.NewTimer(50 * time.Millisecond << min(try, 4))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return v, ctx.Err()
		}
	}
}

// passing reports whether another try may have more luck.
func passing(err error) bool {
	if is(err, esdb.ErrorCodeNotLeader) || is(err, esdb.ErrorUnavailable) || is(err, esdb.ErrorCodeDeadlineExceeded) {
		return true
	}
	for ; err != nil; err = errors.Unwrap(err) {
		if s, ok := status.FromError(err); ok && s.Code() == codes.Unavailable {
			return true
		}
	}
	return false
}

// is looks for a code in all of an error; the library looks at its outside only.
func is(err error, code esdb.ErrorCode) bool {
	var e *esdb.Error
	return errors.As(err, &e) && e.Code() == code
}
