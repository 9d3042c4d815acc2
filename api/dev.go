package api

import (
	"context"

	"github.com/authledger/authledger/api/gen"
)

// What only demo mode has. The role table answers 404 otherwise.

// GetInbox implements gen.StrictServerInterface, as do all methods here.
func (s *Server) GetInbox(context.Context, gen.GetInboxRequestObject) (gen.GetInboxResponseObject, error) {
	items := []gen.InboxMessage{}
	for _, m := range s.inbox.Messages() {
		items = append(items, gen.InboxMessage{Id: m.ID, Channel: m.Channel, To: m.To, Text: m.Text, At: m.At})
	}
	return gen.GetInbox200JSONResponse{Items: items}, nil
}

func (s *Server) GetClock(context.Context, gen.GetClockRequestObject) (gen.GetClockResponseObject, error) {
	return gen.GetClock200JSONResponse{Now: s.clock.Now()}, nil
}

func (s *Server) SetClock(_ context.Context, r gen.SetClockRequestObject) (gen.SetClockResponseObject, error) {
	if err := s.clock.Set(r.Body.Now); err != nil {
		return nil, faultAt("/now", "order", "the simulated time only moves forward")
	}
	return gen.SetClock200JSONResponse{Now: s.clock.Now()}, nil
}
