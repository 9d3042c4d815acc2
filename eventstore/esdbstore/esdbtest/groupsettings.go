package esdbtest

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
)

// wireSettings is what the settings of create and update share.
type wireSettings interface {
	GetMaxRetryCount() int32
	GetMaxSubscriberCount() int32
	GetHistoryBufferSize() int32
	GetMessageTimeoutMs() int32
	GetMessageTimeoutTicks() int64
}

func settingsOf(w wireSettings, strategy string) settings {
	timeout := time.Duration(w.GetMessageTimeoutMs()) * time.Millisecond
	if ticks := w.GetMessageTimeoutTicks(); ticks > 0 {
		timeout = time.Duration(ticks) * 100 * time.Nanosecond
	}
	return settings{
		strategy: strategy, messageTimeout: timeout,
		maxRetries: int(w.GetMaxRetryCount()), maxSubscribers: int(w.GetMaxSubscriberCount()),
		readAhead: cmp.Or(int(w.GetHistoryBufferSize()), defaultReadAhead),
	}
}

func createSettings(o *persistent.CreateReq_Options) (settings, error) {
	w := o.GetSettings()
	//lint:ignore SA1019 the client sends the strategy in this field only
	named := w.GetNamedConsumerStrategy().String()
	s := settingsOf(w, cmp.Or(w.GetConsumerStrategy(), named))
	if stream := o.GetStream(); stream != nil {
		s.start = start{at: stream.GetRevision(), end: stream.GetEnd() != nil}
		return s, nil
	}
	all := o.GetAll()
	s.start = start{at: all.GetPosition().GetCommitPosition(), end: all.GetEnd() != nil}
	f := all.GetFilter()
	var err error
	switch {
	case f.GetStreamIdentifier() != nil:
		s.match, err = newFilter(f.GetStreamIdentifier(), false)
	case f.GetEventType() != nil:
		s.match, err = newFilter(f.GetEventType(), true)
	}
	return s, err
}

// updateSettings leaves the filter out: an update cannot carry one.
func updateSettings(o *persistent.UpdateReq_Options) settings {
	s := settingsOf(o.GetSettings(), o.GetSettings().GetNamedConsumerStrategy().String())
	if stream := o.GetStream(); stream != nil {
		s.start = start{at: stream.GetRevision(), end: stream.GetEnd() != nil}
	} else {
		s.start = start{at: o.GetAll().GetPosition().GetCommitPosition(), end: o.GetAll().GetEnd() != nil}
	}
	return s
}

// info describes the group in the forms the client parses: a revision for a
// stream, C:n/P:n for $all.
func (g *group) info() *persistent.SubscriptionInfo {
	g.mu.Lock()
	defer g.mu.Unlock()
	info := &persistent.SubscriptionInfo{
		EventSource: g.key.stream, GroupName: g.key.name, Status: "Live",
		TotalItems: g.given, StartFrom: g.startText(),
		MessageTimeoutMilliseconds: int32(g.settings.messageTimeout / time.Millisecond),
		MaxRetryCount:              int32(g.settings.maxRetries),
		MaxSubscriberCount:         int32(g.settings.maxSubscribers),
		BufferSize:                 int32(g.settings.readAhead),
		NamedConsumerStrategy:      g.settings.strategy,
		ParkedMessageCount:         int64(len(g.parked)),
	}
	for _, m := range g.pending {
		if m.retries > 0 {
			info.RetryBufferCount++
		} else {
			info.ReadBufferCount++
		}
	}
	for _, c := range g.consumers {
		held := int32(len(c.holds))
		info.TotalInFlightMessages += held
		info.OutstandingMessagesCount += held
		info.Connections = append(info.Connections, &persistent.SubscriptionInfo_ConnectionInfo{
			Username: c.user, TotalItems: c.given, InFlightMessages: held, AvailableSlots: int32(c.size) - held,
			ConnectionName: c.id.String(),
		})
	}
	info.LastCheckpointedEventPosition, info.LastKnownEventPosition = g.lastBefore(g.checkpoint()), g.lastBefore(g.server.log.endOf(g.key.stream))
	return info
}

func (g *group) startText() string {
	switch s := g.settings.start; {
	case g.key.stream != allStream && s.end:
		return "-1"
	case g.key.stream != allStream:
		return strconv.FormatUint(s.at, 10)
	case s.end:
		return "C:-1/P:-1"
	default:
		return positionText(s.at)
	}
}

// lastBefore is the last event before a place, empty when there is none.
func (g *group) lastBefore(place uint64) string {
	if g.key.stream != allStream {
		if place == 0 {
			return ""
		}
		return strconv.FormatUint(place-1, 10)
	}
	events := g.server.log.readAll(place)
	if len(events) == 0 {
		return ""
	}
	return positionText(events[len(events)-1].Position)
}

func positionText(p uint64) string { return fmt.Sprintf("C:%d/P:%d", p, p) }
