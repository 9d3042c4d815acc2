package esdbtest

import (
	"context"
	"errors"
	"io"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type persistentService struct {
	persistent.UnimplementedPersistentSubscriptionsServer
	m *member
}

// groupOptions is what the options of all calls about one group share.
type groupOptions interface{ GetGroupName() string }

func keyOf(o groupOptions, stream *shared.StreamIdentifier) groupKey {
	key := groupKey{stream: allStream, name: o.GetGroupName()}
	if stream != nil {
		key.stream = string(stream.GetStreamName())
	}
	return key
}

func noGroup(ctx context.Context, key groupKey) error {
	return refuse(ctx, codes.NotFound, "persistent-subscription-does-not-exist",
		"Subscription group "+key.name+" on stream "+key.stream+" does not exist.",
		"stream-name", key.stream, "group-name", key.name)
}

// Create makes a group; one of that name must not exist.
func (p *persistentService) Create(ctx context.Context, request *persistent.CreateReq) (*persistent.CreateResp, error) {
	p.m.server.counts.add(ctx, "", "")
	if err := p.m.server.requireOps(ctx); err != nil {
		return nil, err
	}
	o := request.GetOptions()
	key := keyOf(o, o.GetStream().GetStreamIdentifier())
	with, err := createSettings(o)
	if err != nil {
		return nil, err
	}
	if !p.m.server.groups.create(key, with) {
		return nil, refuse(ctx, codes.AlreadyExists, "persistent-subscription-exists",
			"Subscription group "+key.name+" on stream "+key.stream+" already exists.",
			"stream-name", key.stream, "group-name", key.name)
	}
	return &persistent.CreateResp{}, nil
}

// Update changes a group's settings and drops its consumers.
func (p *persistentService) Update(ctx context.Context, request *persistent.UpdateReq) (*persistent.UpdateResp, error) {
	o := request.GetOptions()
	g, err := p.manage(ctx, keyOf(o, o.GetStream().GetStreamIdentifier()))
	if err != nil {
		return nil, err
	}
	g.update(updateSettings(o))
	return &persistent.UpdateResp{}, nil
}

// Delete removes a group and drops its consumers.
func (p *persistentService) Delete(ctx context.Context, request *persistent.DeleteReq) (*persistent.DeleteResp, error) {
	key := keyOf(request.GetOptions(), request.GetOptions().GetStreamIdentifier())
	if _, err := p.manage(ctx, key); err != nil {
		return nil, err
	}
	p.m.server.groups.remove(key)
	return &persistent.DeleteResp{}, nil
}

// GetInfo describes a group.
func (p *persistentService) GetInfo(ctx context.Context, request *persistent.GetInfoReq) (*persistent.GetInfoResp, error) {
	g, err := p.manage(ctx, keyOf(request.GetOptions(), request.GetOptions().GetStreamIdentifier()))
	if err != nil {
		return nil, err
	}
	return &persistent.GetInfoResp{SubscriptionInfo: g.info()}, nil
}

// ReplayParked sends parked messages again.
func (p *persistentService) ReplayParked(ctx context.Context, request *persistent.ReplayParkedReq) (*persistent.ReplayParkedResp, error) {
	o := request.GetOptions()
	g, err := p.manage(ctx, keyOf(o, o.GetStreamIdentifier()))
	if err != nil {
		return nil, err
	}
	most := int64(-1)
	if o.GetNoLimit() == nil {
		most = o.GetStopAt()
	}
	g.replay(most)
	return &persistent.ReplayParkedResp{}, nil
}

// List describes the groups of a stream, or all. None is an error, as on a
// server.
func (p *persistentService) List(ctx context.Context, request *persistent.ListReq) (*persistent.ListResp, error) {
	p.m.server.counts.add(ctx, "", "")
	if err := p.m.server.requireOps(ctx); err != nil {
		return nil, err
	}
	stream := ""
	if of := request.GetOptions().GetListForStream(); of != nil {
		stream = keyOf(&persistent.DeleteReq_Options{}, of.GetStream()).stream
	}
	found := p.m.server.groups.list(stream)
	if len(found) == 0 {
		return nil, noGroup(ctx, groupKey{stream: stream})
	}
	answer := &persistent.ListResp{}
	for _, g := range found {
		answer.Subscriptions = append(answer.Subscriptions, g.info())
	}
	return answer, nil
}

// RestartSubsystem drops all consumers and goes on from the checkpoints.
func (p *persistentService) RestartSubsystem(ctx context.Context, _ *shared.Empty) (*shared.Empty, error) {
	s := p.m.server
	s.counts.add(ctx, "", "")
	if err := s.requireOps(ctx); err != nil {
		return nil, err
	}
	s.groups.stop()
	s.groups.rewind()
	s.groups.start()
	return &shared.Empty{}, nil
}

// manage counts and admits a call about an existing group.
func (p *persistentService) manage(ctx context.Context, key groupKey) (*group, error) {
	p.m.server.counts.add(ctx, "", "")
	if err := p.m.server.requireOps(ctx); err != nil {
		return nil, err
	}
	g := p.m.server.groups.find(key)
	if g == nil {
		return nil, noGroup(ctx, key)
	}
	return g, nil
}

// Read connects a consumer: events one way, acknowledgements the other.
func (p *persistentService) Read(call persistent.PersistentSubscriptions_ReadServer) error {
	first, err := call.Recv()
	if err != nil {
		return err
	}
	ctx, s, o := call.Context(), p.m.server, first.GetOptions()
	s.counts.add(ctx, "", "")
	key := keyOf(o, o.GetStreamIdentifier())
	if err := s.authorize(ctx, key.stream, readOf(key.stream)); err != nil {
		return err
	}
	g := s.groups.find(key)
	if g == nil {
		return noGroup(ctx, key)
	}
	c, ok := s.groups.join(g, callOf(ctx).user, int(o.GetBufferSize()))
	switch {
	case !ok:
		return refuse(ctx, codes.FailedPrecondition, "maximum-subscribers-reached",
			"Maximum subscriptions reached for subscription group "+key.name+" on stream "+key.stream+".",
			"stream-name", key.stream, "group-name", key.name)
	case c == nil:
		return status.Error(codes.Unavailable, "Server Is Not Ready")
	}
	defer g.leave(c)
	if err := call.Send(&persistent.ReadResp{Content: &persistent.ReadResp_SubscriptionConfirmation_{
		SubscriptionConfirmation: &persistent.ReadResp_SubscriptionConfirmation{SubscriptionId: c.id.String()},
	}}); err != nil {
		return err
	}
	return p.serve(call, g, c)
}

func (p *persistentService) serve(call persistent.PersistentSubscriptions_ReadServer, g *group, c *consumer) error {
	ctx := call.Context()
	answers := make(chan error, 1)
	go func() { answers <- takeAnswers(call, g, c) }() // ends with the call: Recv fails then
	for {
		select {
		case <-c.ready:
			for _, m := range g.take(c) {
				if err := p.send(call, m); err != nil {
					return err
				}
			}
		case <-c.dropped:
			return refuse(ctx, codes.Canceled, "persistent-subscription-dropped", "Subscription group "+g.key.name+" on stream "+g.key.stream+" was dropped.",
				"stream-name", g.key.stream, "group-name", g.key.name)
		case err := <-answers:
			return err
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// send sends one event, twice when a test asked for that.
func (p *persistentService) send(call persistent.PersistentSubscriptions_ReadServer, m message) error {
	f := &p.m.server.faults
	if err := f.thawed(call.Context()); err != nil {
		return err
	}
	response := groupResponse(m.event, m.retries)
	if f.take(&f.duplicates) {
		if err := call.Send(response); err != nil {
			return err
		}
	}
	return call.Send(response)
}

// takeAnswers acts on acknowledgements until the consumer sends no more.
func takeAnswers(call persistent.PersistentSubscriptions_ReadServer, g *group, c *consumer) error {
	for {
		request, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		ids, err := uuidsOf(append(request.GetAck().GetIds(), request.GetNack().GetIds()...))
		if err != nil {
			return status.Errorf(codes.InvalidArgument, "event id: %v", err)
		}
		if nack := request.GetNack(); nack != nil {
			g.nack(c, nack.GetAction(), nack.GetReason(), ids)
		} else {
			g.ack(c, ids)
		}
	}
}

func uuidsOf(ids []*shared.UUID) ([]uuid.UUID, error) {
	out := make([]uuid.UUID, len(ids))
	for i, id := range ids {
		parsed, err := uuidOf(id)
		if err != nil {
			return nil, err
		}
		out[i] = parsed
	}
	return out, nil
}
