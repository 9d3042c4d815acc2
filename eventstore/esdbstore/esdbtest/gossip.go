package esdbtest

import (
	"context"
	"net"
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type gossipService struct {
	gossip.UnimplementedGossipServer
	m *member
}

// Read lists the members: every running one knows the state of all at once.
func (g *gossipService) Read(ctx context.Context, _ *shared.Empty) (*gossip.ClusterInfo, error) {
	s := g.m.server
	times := s.counts.add(ctx, "", "")
	info := &gossip.ClusterInfo{}
	for _, m := range s.members {
		member, err := m.info()
		if err != nil {
			return nil, err
		}
		info.Members = append(info.Members, member)
	}
	s.faults.mu.Lock()
	rotate := s.faults.rotateGossip
	s.faults.mu.Unlock()
	if by := times % len(info.Members); rotate {
		info.Members = append(info.Members[by:], info.Members[:by]...)
	}
	return info, nil
}

func (m *member) info() (*gossip.MemberInfo, error) {
	host, digits, err := net.SplitHostPort(m.endpoint())
	if err != nil {
		return nil, status.Errorf(codes.Internal, "address of member %d: %v", m.index, err)
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "port of member %d: %v", m.index, err)
	}
	return &gossip.MemberInfo{
		InstanceId: protoUUID(m.id),
		TimeStamp:  ticks(m.server.log.now()),
		State:      m.state(),
		IsAlive:    m.running(),
		HttpEndPoint: &gossip.EndPoint{
			Address: host,
			Port:    uint32(port),
		},
	}, nil
}

func (m *member) state() gossip.MemberInfo_VNodeState {
	switch leader := m.server.Leader(); {
	case !m.running():
		return gossip.MemberInfo_Shutdown
	case leader == m.index:
		return gossip.MemberInfo_Leader
	case leader < 0:
		return gossip.MemberInfo_Unknown
	default:
		return gossip.MemberInfo_Follower
	}
}
