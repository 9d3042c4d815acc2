package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
)

// ErrInvalidTopic marks a topic that cannot be a stream-name prefix.
var ErrInvalidTopic = errors.New("invalid topic")

// ErrInvalidMessage marks a message that cannot be stored, or a record of a
// topic that is not a message.
var ErrInvalidMessage = errors.New("invalid message")

const (
	// topicSeparator ends the topic in a stream name, so that no topic is a
	// prefix of another.
	topicSeparator = "/"
	// messagesStream is the stream of a topic's messages.
	messagesStream = "messages"

	messageType   = "MessagePublished"
	messageSchema = 1
)

// namespaceMessage is the UUIDv5 name space of message records; fixed for ever.
var namespaceMessage = uuid.MustParse("0b9d3a52-6f3e-5d0e-8a4c-7c1f5f2f6b77")

// envelope is the data of a record of type MessagePublished, schema 1. The
// payload is base64 in JSON, because it is any bytes and must come back as the
// same bytes.
type envelope struct {
	UUID     string            `json:"uuid"`
	Payload  []byte            `json:"payload"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// topicPrefix returns the prefix of the topic's streams.
func topicPrefix(topic string) (string, error) {
	if topic == "" || strings.Contains(topic, topicSeparator) {
		return "", fmt.Errorf("%w %q: want visible text without %q", ErrInvalidTopic, topic, topicSeparator)
	}
	prefix := topic + topicSeparator
	if err := eventstore.CheckStream(prefix + messagesStream); err != nil {
		return "", fmt.Errorf("%w %q: %w", ErrInvalidTopic, topic, err)
	}
	return prefix, nil
}

// propose turns a message into an event. The event's id derives from topic and
// message id, so publishing a message again changes nothing, and the same
// message may be published to several topics. A message without an id is new
// every time.
func propose(topic string, m *message.Message) (eventstore.Proposed, error) {
	e := envelope{UUID: m.UUID, Payload: m.Payload, Metadata: m.Metadata}
	if !e.valid() {
		return eventstore.Proposed{}, fmt.Errorf("%w %q for %s: id and metadata must be UTF-8", ErrInvalidMessage, m.UUID, topic)
	}
	data, err := json.Marshal(e)
	if err != nil {
		return eventstore.Proposed{}, fmt.Errorf("encode message %s for %s: %w", m.UUID, topic, err)
	}
	id := uuid.NewSHA1(namespaceMessage, []byte(topic+topicSeparator+m.UUID))
	if m.UUID == "" {
		id = uuid.New()
	}
	return eventstore.Proposed{ID: id, Type: messageType, Schema: messageSchema, Data: data, Metadata: []byte("{}")}, nil
}

// valid reports whether the text survives JSON, which would replace anything
// that is not UTF-8.
func (e envelope) valid() bool {
	ok := utf8.ValidString(e.UUID)
	for k, v := range e.Metadata {
		ok = ok && utf8.ValidString(k) && utf8.ValidString(v)
	}
	return ok
}

// publishedMessage builds the message a record holds.
func publishedMessage(records []eventstore.Record) (*message.Message, error) {
	r := records[0]
	if r.Type != messageType || r.Schema != messageSchema {
		return nil, fmt.Errorf("%w: record of type %s, schema %d in stream %s", ErrInvalidMessage, r.Type, r.Schema, r.Stream)
	}
	var e envelope
	if err := json.Unmarshal(r.Data, &e); err != nil {
		return nil, fmt.Errorf("%w: decode record of stream %s: %w", ErrInvalidMessage, r.Stream, err)
	}
	m := message.NewMessage(e.UUID, e.Payload)
	for k, v := range e.Metadata {
		m.Metadata.Set(k, v)
	}
	return m, nil
}
