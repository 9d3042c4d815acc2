package esdbstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

	"github.com/authledger/authledger/eventstore"
)

// Finding is something about the server that takes away a promise of the log.
type Finding struct {
	Code   string // one of those below; stable
	Detail string // what to do about it; names no secret
}

// Codes of findings.
const (
	// StreamsAreCut: a ledger stream has $maxAge, $maxCount, $tb or the like, so
	// that the server drops records of it.
	StreamsAreCut = "streams_are_cut"
	// StreamDeleted: a ledger stream was deleted.
	StreamDeleted = "stream_deleted"
	// MayDelete: the user of the connection may delete ledger streams.
	MayDelete = "may_delete"
	// ServerTooOld: the server is older than 23.10, the oldest version supported.
	ServerTooOld = "server_too_old"
	// ClockDiffers: this machine's clock and the server's stand more than
	// MaxClockDifference apart.
	ClockDiffers = "clock_differs"
)

// MaxClockDifference leaves room for two nodes that err in opposite directions:
// together less than Disorder.
const MaxClockDifference = 2 * time.Second

// oldestServer is the oldest version that is supported: 23.10, major and minor.
var oldestServer = [2]int{23, 10}

// findings are what notice and CheckServer found, guarded by Store.mu.
type findings struct {
	cut     map[string]string // ledger streams that are cut or deleted, and how; at most maxCut
	checked []Finding         // by the last CheckServer
}

// maxCut bounds what is remembered of a database that is cut everywhere.
const maxCut = 100

// Findings lists what stands against the server now: what CheckServer found when
// it last ran, and what was noticed in the log. Empty is good.
func (s *Store) Findings() []Finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.checked)
	for name, how := range s.cut {
		code := StreamsAreCut
		if how == deleted {
			code = StreamDeleted
		}
		out = append(out, Finding{code, fmt.Sprintf("stream %s: %s", name, how)})
	}
	slices.SortFunc(out, func(a, b Finding) int { return strings.Compare(a.Code+a.Detail, b.Code+b.Detail) })
	return out
}

// Live reports whether the subscription that brings other nodes' records is up.
func (s *Store) Live() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}

// notice looks at an event that goes by for anything that cuts the ledger's
// streams. Every event of their metadata goes by, from the first on.
func (s *Store) notice(e *esdb.RecordedEvent) {
	name, how := "", ""
	switch {
	case strings.HasPrefix(e.StreamID, "$$"+s.names.ledger):
		name, how = strings.TrimPrefix(e.StreamID, "$$"), cuts(e.Data)
	case strings.HasPrefix(e.StreamID, s.names.ledger) && e.EventType == deleted:
		name, how = e.StreamID, deleted
	default:
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if how == "" {
		if s.cut[name] != deleted {
			delete(s.cut, name)
		}
		return
	}
	if s.cut == nil {
		s.cut = map[string]string{}
	}
	if len(s.cut) < maxCut {
		s.cut[name] = how
	}
	s.logger.Error("a ledger stream was cut", "stream", name, "how", how)
}

// cuts names what in a stream's metadata makes the server drop events.
func cuts(metadata []byte) string {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(metadata, &m); err != nil {
		return ""
	}
	var found []string
	for _, name := range []string{"$maxAge", "$maxCount", "$tb"} {
		if _, ok := m[name]; ok {
			found = append(found, name)
		}
	}
	return strings.Join(found, ", ")
}

// CheckServer finds out whether the server keeps the log's promises: its
// version, its clock, what this user may do, and whether a stream was cut. It is
// for the start and for every hour; it writes one entry to a side stream, whose
// time is the server's. The error says that the server could not be asked.
func (s *Store) CheckServer(ctx context.Context) ([]Finding, error) {
	own, leave, err := s.enter(ctx)
	if err != nil {
		return nil, outside("check the event database", err)
	}
	defer leave()
	var found []Finding
	for _, check := range []func(context.Context) (Finding, error){s.checkVersion, s.checkRights, s.checkClock} {
		f, err := check(own)
		if err != nil {
			return nil, outside("check the event database", s.ending(ctx, err))
		}
		if f.Code != "" {
			found = append(found, f)
		}
	}
	s.mu.Lock()
	s.checked = found
	s.mu.Unlock()
	return s.Findings(), nil
}

func (s *Store) checkVersion(ctx context.Context) (Finding, error) {
	v, err := patient(ctx, s.db, func(_ context.Context, c *esdb.Client) (*esdb.ServerVersion, error) { return c.GetServerVersion() })
	if err != nil {
		return Finding{}, err
	}
	if v.Major < oldestServer[0] || v.Major == oldestServer[0] && v.Minor < oldestServer[1] {
		return Finding{ServerTooOld, fmt.Sprintf("the server has version %d.%d.%d; use EventStoreDB %d.%d or later, or KurrentDB", v.Major, v.Minor, v.Patch, oldestServer[0], oldestServer[1])}, nil
	}
	return Finding{}, nil
}

// checkRights asks the server to delete a ledger stream that does not exist: it
// answers that it may not before it looks for the stream. The name belongs to
// no stream the ledger can have.
func (s *Store) checkRights(ctx context.Context) (Finding, error) {
	name := s.names.ledger + ".rights" + uuid.NewString()
	answer, err := patient(ctx, s.db, func(ctx context.Context, c *esdb.Client) (error, error) {
		_, err := c.DeleteStream(ctx, name, esdb.DeleteStreamOptions{ExpectedRevision: esdb.StreamExists{}})
		if c := classify(err); c != unknown && c != moved || statusOf(err) == codes.FailedPrecondition { // there is none, or may not
			return err, nil
		}
		return nil, err
	})
	switch {
	case err == nil && classify(answer) == denied:
		return Finding{}, nil
	case err != nil && (errors.Is(err, eventstore.ErrClosed) || retires(err) || ctx.Err() != nil):
		return Finding{}, err
	}
	return Finding{MayDelete, "the user of the connection may delete ledger streams: take $d away from it in the default ACL ($settings), and run with a user who is not in $admins"}, nil
}

// clockStream gets an entry at each check, and keeps the last few.
const clockStream = "clock"

// checkClock compares this machine's clock with the time the server gives an
// entry that is written in between two looks at it.
func (s *Store) checkClock(ctx context.Context) (Finding, error) {
	name := s.names.prefix + clockStream
	id := uuid.New()
	before := s.wall()
	_, err := patient(ctx, s.db, func(ctx context.Context, c *esdb.Client) (*esdb.WriteResult, error) {
		newest, err := s.newestEvent(ctx, c, name)
		if err != nil {
			return nil, err
		}
		var revision esdb.ExpectedRevision = esdb.NoStream{}
		if newest != nil {
			revision = esdb.Revision(newest.EventNumber)
		}
		w, err := c.AppendToStream(ctx, name, esdb.AppendToStreamOptions{ExpectedRevision: revision},
			esdb.EventData{EventID: id, EventType: sideEntry, ContentType: esdb.ContentTypeJson, Data: []byte("{}")})
		if classify(err) == conflict { // another node checks at this moment
			return nil, fmt.Errorf("%w: another node was faster", eventstore.ErrUnavailable)
		}
		return w, err
	})
	if err != nil {
		return Finding{}, err
	}
	after := s.wall()
	there, err := s.streamPage(ctx, name, esdb.End{}, esdb.Backwards, 20)
	if err != nil {
		return Finding{}, err
	}
	for _, e := range there {
		if e.EventID == id {
			return clockFinding(before, e.CreatedDate, after), nil
		}
	}
	return Finding{}, fmt.Errorf("%w: the entry that tells the server's clock is not there", eventstore.ErrUnavailable)
}

// newestEvent reads the last event of a stream of the database; nil without one.
func (s *Store) newestEvent(ctx context.Context, c *esdb.Client, name string) (*esdb.RecordedEvent, error) {
	stream, err := c.ReadStream(ctx, name, esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}, 1)
	if err != nil {
		return nil, err
	}
	events, err := collect(stream)
	if classify(err) == missing || err == nil && len(events) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return events[0], nil
}

// clockFinding judges the server's time of a moment between two of ours.
func clockFinding(before, server, after time.Time) Finding {
	var apart time.Duration
	switch {
	case server.Before(before):
		apart = before.Sub(server)
	case server.After(after):
		apart = server.Sub(after)
	}
	if apart <= MaxClockDifference {
		return Finding{}
	}
	return Finding{ClockDiffers, fmt.Sprintf("this machine's clock and the event database's stand %s apart: synchronise both (NTP)", apart.Round(time.Millisecond))}
}
