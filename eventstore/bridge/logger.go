package bridge

import (
	"log/slog"

	"github.com/ThreeDotsLabs/watermill"
)

// NewLogger adapts a logger for watermill. Only the fields named below pass:
// watermill logs whole messages when publishing them fails, and what it may
// log in a later version is not ours to decide.
func NewLogger(logger *slog.Logger) watermill.LoggerAdapter {
	return guardedLogger{watermill.NewSlogLogger(logger)}
}

type guardedLogger struct{ next watermill.LoggerAdapter }

func (l guardedLogger) Error(msg string, err error, fields watermill.LogFields) {
	l.next.Error(msg, err, harmless(fields))
}

func (l guardedLogger) Info(msg string, fields watermill.LogFields) {
	l.next.Info(msg, harmless(fields))
}

func (l guardedLogger) Debug(msg string, fields watermill.LogFields) {
	l.next.Debug(msg, harmless(fields))
}

func (l guardedLogger) Trace(msg string, fields watermill.LogFields) {
	l.next.Trace(msg, harmless(fields))
}

func (l guardedLogger) With(fields watermill.LogFields) watermill.LoggerAdapter {
	return guardedLogger{l.next.With(harmless(fields))}
}

// harmless keeps the fields that name things and drops those that hold them.
func harmless(fields watermill.LogFields) watermill.LogFields {
	out := make(watermill.LogFields, len(fields))
	for k, v := range fields {
		switch k {
		case "handler_name", "handlerName", "subscriber_name", "topic", "publish_topic", "message_uuid",
			"count", "timeout", "produced_messages_count":
			out[k] = v
		}
	}
	return out
}
