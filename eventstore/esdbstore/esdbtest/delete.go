package esdbtest

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

// Delete soft-deletes a stream.
func (s *streamsService) Delete(ctx context.Context, request *streams.DeleteReq) (*streams.DeleteResp, error) {
	position, err := s.remove(ctx, request.GetOptions(), s.m.server.log.delete)
	if err != nil {
		return nil, err
	}
	return &streams.DeleteResp{PositionOption: &streams.DeleteResp_Position_{
		Position: &streams.DeleteResp_Position{CommitPosition: position, PreparePosition: position},
	}}, nil
}

// Tombstone deletes a stream for good.
func (s *streamsService) Tombstone(ctx context.Context, request *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	position, err := s.remove(ctx, request.GetOptions(), s.m.server.log.tombstone)
	if err != nil {
		return nil, err
	}
	return &streams.TombstoneResp{PositionOption: &streams.TombstoneResp_Position_{
		Position: &streams.TombstoneResp_Position{CommitPosition: position, PreparePosition: position},
	}}, nil
}

func (s *streamsService) remove(ctx context.Context, options revisionOptions, do func(string, expected) (uint64, error)) (uint64, error) {
	name, want := string(options.GetStreamIdentifier().GetStreamName()), expectedOf(options)
	s.m.server.counts.add(ctx, "", want.String())
	if err := s.m.server.authorize(ctx, name, rightDelete); err != nil {
		return 0, err
	}
	if err := s.m.server.beforeWrite(); err != nil {
		return 0, err
	}
	position, err := do(name, want)
	if err != nil {
		return 0, refused(ctx, name, err)
	}
	return position, s.m.afterWrite(ctx)
}
