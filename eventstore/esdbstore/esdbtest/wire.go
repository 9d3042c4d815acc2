package esdbtest

import (
	"encoding/binary"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
)

func protoUUID(id uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:8])),
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])),
	}}}
}

func uuidOf(id *shared.UUID) (uuid.UUID, error) {
	s := id.GetStructured()
	if s == nil {
		return uuid.Parse(id.GetString_())
	}
	var out uuid.UUID
	binary.BigEndian.PutUint64(out[:8], uint64(s.MostSignificantBits))
	binary.BigEndian.PutUint64(out[8:], uint64(s.LeastSignificantBits))
	return out, nil
}

// ticks is the server's time on the wire: steps of 100 ns since 1970.
func ticks(t time.Time) int64 { return t.UnixNano() / 100 }

func (e *Event) systemMetadata() map[string]string {
	return map[string]string{
		"type": e.Type, "content-type": e.ContentType,
		"created": strconv.FormatInt(ticks(e.Created), 10),
	}
}

func streamID(name string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(name)}
}

func readResponse(e *Event) *streams.ReadResp {
	return &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{
		Event: &streams.ReadResp_ReadEvent_RecordedEvent{
			Id: protoUUID(e.ID), StreamIdentifier: streamID(e.Stream), StreamRevision: e.Revision,
			CommitPosition: e.Position, PreparePosition: e.Position,
			Metadata: e.systemMetadata(), CustomMetadata: e.Metadata, Data: e.Data,
		},
		Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: e.Position},
	}}}
}

func groupResponse(e *Event, retries int) *persistent.ReadResp {
	return &persistent.ReadResp{Content: &persistent.ReadResp_Event{Event: &persistent.ReadResp_ReadEvent{
		Event: &persistent.ReadResp_ReadEvent_RecordedEvent{
			Id: protoUUID(e.ID), StreamIdentifier: streamID(e.Stream), StreamRevision: e.Revision,
			CommitPosition: e.Position, PreparePosition: e.Position,
			Metadata: e.systemMetadata(), CustomMetadata: e.Metadata, Data: e.Data,
		},
		Position: &persistent.ReadResp_ReadEvent_CommitPosition{CommitPosition: e.Position},
		Count:    &persistent.ReadResp_ReadEvent_RetryCount{RetryCount: int32(retries)},
	}}}
}
