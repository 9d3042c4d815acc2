package esdbtest

import (
	"context"
	"errors"
	"io"
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type streamsService struct {
	streams.UnimplementedStreamsServer
	m *member
}

// Append takes options and events to the end of the request, then writes all
// of them or none. A wrong expected version is an answer, not an error.
func (s *streamsService) Append(call streams.Streams_AppendServer) error {
	ctx, server := call.Context(), s.m.server
	first, err := call.Recv()
	if err != nil {
		return err
	}
	options := first.GetOptions()
	name := string(options.GetStreamIdentifier().GetStreamName())
	if name == "" {
		return status.Error(codes.InvalidArgument, "the first message must carry options with a stream")
	}
	want := expectedOf(options)
	server.counts.add(ctx, "", want.String())
	if err := server.authorize(ctx, name, writeOf(name)); err != nil {
		return err
	}
	events, err := s.proposals(call)
	if err != nil {
		return err
	}
	if err := s.m.checkReady(ctx, callOf(ctx)); err != nil {
		return err
	}
	if err := server.beforeWrite(); err != nil {
		return err
	}
	at, err := server.log.append(name, want, events)
	var mismatch *wrongVersion
	if errors.As(err, &mismatch) {
		return call.SendAndClose(mismatch.response())
	}
	if err != nil {
		return refused(ctx, name, err)
	}
	if err := s.m.afterWrite(ctx); err != nil {
		return err
	}
	return call.SendAndClose(at.response())
}

// proposals reads the events and refuses them when they are too large, at once,
// as a server does: the client may still be sending.
func (s *streamsService) proposals(call streams.Streams_AppendServer) ([]Proposed, error) {
	limit, size := s.m.server.faults.appendLimit(), 0
	var events []Proposed
	for {
		message, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return nil, err
		}
		event, err := proposalOf(call.Context(), message.GetProposedMessage())
		if err != nil {
			return nil, err
		}
		size += len(event.Data) + len(event.Metadata) + 2*len(event.Type)
		if size > limit {
			return nil, refuse(call.Context(), codes.InvalidArgument, "maximum-append-size-exceeded",
				"Maximum Append Size of "+strconv.Itoa(limit)+" Exceeded.", "maximum-append-size", strconv.Itoa(limit))
		}
		events = append(events, event)
	}
}

func proposalOf(ctx context.Context, message *streams.AppendReq_ProposedMessage) (Proposed, error) {
	if message == nil {
		return Proposed{}, status.Error(codes.InvalidArgument, "a message after the first must be a proposed message")
	}
	for _, key := range []string{"type", "content-type"} {
		if message.Metadata[key] == "" {
			return Proposed{}, refuse(ctx, codes.InvalidArgument, "missing-required-metadata-property",
				"Required metadata property '"+key+"' is missing", "required-metadata-properties", "type,content-type")
		}
	}
	id, err := uuidOf(message.Id)
	if err != nil {
		return Proposed{}, status.Errorf(codes.InvalidArgument, "event id: %v", err)
	}
	return Proposed{
		ID: id, Type: message.Metadata["type"], ContentType: message.Metadata["content-type"],
		Data: message.Data, Metadata: message.CustomMetadata,
	}, nil
}

// beforeWrite refuses a write when a test asked for it or nobody leads. A
// follower that got a write forwards it: to the one log there is.
func (s *Server) beforeWrite() error {
	if s.faults.take(&s.faults.refuseWrites) || s.Leader() < 0 {
		return status.Error(codes.Unavailable, "Server Is Not Ready")
	}
	return nil
}

// afterWrite loses the answer of a write when a test asked for it.
func (m *member) afterWrite(ctx context.Context) error {
	if !m.server.faults.take(&m.server.faults.dropAnswers) {
		return nil
	}
	m.hangUp(ctx)
	return status.Error(codes.Unavailable, "the connection was cut before the answer")
}

func (p place) response() *streams.AppendResp {
	success := &streams.AppendResp_Success{}
	if p.none {
		success.CurrentRevisionOption = &streams.AppendResp_Success_NoStream{NoStream: &shared.Empty{}}
		success.PositionOption = &streams.AppendResp_Success_NoPosition{NoPosition: &shared.Empty{}}
	} else {
		success.CurrentRevisionOption = &streams.AppendResp_Success_CurrentRevision{CurrentRevision: p.revision}
		success.PositionOption = &streams.AppendResp_Success_Position{
			Position: &streams.AppendResp_Position{CommitPosition: p.position, PreparePosition: p.position},
		}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_Success_{Success: success}}
}

func (w *wrongVersion) response() *streams.AppendResp {
	answer := &streams.AppendResp_WrongExpectedVersion{}
	if w.exists {
		answer.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: w.current}
	} else {
		answer.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &shared.Empty{}}
	}
	switch w.want.kind {
	case anyRevision:
		answer.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedAny{ExpectedAny: &shared.Empty{}}
	case noStream:
		answer.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &shared.Empty{}}
	case streamExists:
		answer.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &shared.Empty{}}
	case exactRevision:
		answer.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: w.want.revision}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: answer}}
}
