package esdbtest

import (
	"cmp"
	"math"
	"slices"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// allStream is the name access lists and consumer groups know $all by.
const allStream = "$all"

// Read answers reads and catch-up subscriptions: one call on the wire.
func (s *streamsService) Read(request *streams.ReadReq, call streams.Streams_ReadServer) error {
	options := request.GetOptions()
	name, kind := allStream, ""
	if options.GetAll() == nil {
		name = string(options.GetStream().GetStreamIdentifier().GetStreamName())
	}
	if options.GetSubscription() != nil {
		kind = "Streams/Subscribe"
	}
	s.m.server.counts.add(call.Context(), kind, "")
	if name == "" {
		return status.Error(codes.InvalidArgument, "a read needs a stream or $all")
	}
	if err := s.m.server.authorize(call.Context(), name, readOf(name)); err != nil {
		return err
	}
	out := &delivery{m: s.m, call: call, left: s.m.server.faults.breaks()}
	if options.GetSubscription() != nil {
		return s.subscribe(options, out)
	}
	if options.GetAll() != nil {
		return s.readAll(options, out)
	}
	return s.readStream(name, options, out)
}

// readStream sends at most count events of a stream from a revision on, that
// one included.
func (s *streamsService) readStream(name string, options *streams.ReadReq_Options, out *delivery) error {
	below, _ := s.m.horizon()
	events, found, err := s.m.server.log.read(name, below)
	if err != nil {
		return refused(out.call.Context(), name, err)
	}
	if !found {
		return out.call.Send(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{
			StreamNotFound: &streams.ReadResp_StreamNotFound{StreamIdentifier: streamID(name)},
		}})
	}
	at, backwards := options.GetStream(), options.GetReadDirection() == streams.ReadReq_Options_Backwards
	switch {
	case at.GetEnd() != nil && backwards, at.GetStart() != nil && !backwards:
	case at.GetEnd() != nil, at.GetStart() != nil && backwards:
		// Forwards from the end there is nothing; backwards from the start only the
		// first event, when it is still there.
		if !backwards || len(events) == 0 || events[0].Revision != 0 {
			events = nil
		} else {
			events = events[:1]
		}
	case backwards:
		later := 0
		if at.GetRevision() < math.MaxUint64 {
			later = len(fromRevision(events, at.GetRevision()+1))
		}
		events = events[:len(events)-later]
	default:
		events = fromRevision(events, at.GetRevision())
	}
	return out.sendAll(cut(events, options.GetCount(), backwards))
}

// readAll sends at most count events of $all. A position points before its
// event: forwards the read includes that event, backwards it begins with the
// one before.
func (s *streamsService) readAll(options *streams.ReadReq_Options, out *delivery) error {
	match, err := filterOf(options)
	if err != nil {
		return err
	}
	below, _ := s.m.horizon()
	events, backwards := s.m.server.log.readAll(below), options.GetReadDirection() == streams.ReadReq_Options_Backwards
	switch at := options.GetAll(); {
	case at.GetEnd() != nil && !backwards, at.GetStart() != nil && backwards:
		events = nil
	case at.GetPosition() != nil && backwards:
		events = events[:after(events, at.GetPosition().GetCommitPosition())]
	case at.GetPosition() != nil:
		events = events[after(events, at.GetPosition().GetCommitPosition()):]
	}
	if !match.everything() {
		events = slices.DeleteFunc(slices.Clone(events), func(e *Event) bool { return !match.matches(e) })
	}
	return out.sendAll(cut(events, options.GetCount(), backwards))
}

// fromRevision drops the events of a stream before a revision.
func fromRevision(events []*Event, revision uint64) []*Event {
	i, _ := slices.BinarySearchFunc(events, revision, func(e *Event, r uint64) int { return cmp.Compare(e.Revision, r) })
	return events[i:]
}

// cut keeps count events in the order of the read.
func cut(events []*Event, count uint64, backwards bool) []*Event {
	count = min(count, uint64(len(events)))
	if !backwards {
		return events[:count]
	}
	events = slices.Clone(events[uint64(len(events))-count:])
	slices.Reverse(events)
	return events
}

// delivery sends the events of one call, with the faults asked for.
type delivery struct {
	m          *member
	call       streams.Streams_ReadServer
	left       int  // events until the connection breaks; -1 for never
	duplicates bool // a subscription, whose events may come twice
}

func (d *delivery) sendAll(events []*Event) error {
	for _, e := range events {
		if err := d.send(e); err != nil {
			return err
		}
	}
	return d.broken()
}

func (d *delivery) send(e *Event) error {
	if err := d.broken(); err != nil {
		return err
	}
	if d.left > 0 {
		d.left--
	}
	f := &d.m.server.faults
	if err := f.thawed(d.call.Context()); err != nil {
		return err
	}
	response := readResponse(e)
	if d.duplicates && f.take(&f.duplicates) {
		if err := d.call.Send(response); err != nil {
			return err
		}
	}
	return d.call.Send(response)
}

// broken ends the call when as many events were sent as a test allowed. A status
// lets the events before it through; closing the socket might lose them.
func (d *delivery) broken() error {
	if d.left != 0 {
		return nil
	}
	return status.Error(codes.Unavailable, "the connection was cut")
}
