package delivery

import (
	"context"
	"sync"
	"time"
)

// inboxSize is how many messages the inbox keeps.
const inboxSize = 500

// InboxName is the provider's name in the ledger for messages that went to the
// inbox.
const InboxName = "inbox"

// Inbox is the gateway of demonstrations and development: it sends and calls
// nobody and keeps the last 500 messages in memory, with their codes, for the page that
// shows them. It must never be used with real users.
type Inbox struct {
	now func() time.Time

	mu       sync.Mutex // guards the rest
	messages []InboxMessage
	next     int    // where the ring goes on, once it is full
	version  uint64 // counts changes
}

// InboxMessage is a message in the inbox.
type InboxMessage struct {
	Message
	At time.Time
}

// NewInbox returns an empty inbox.
func NewInbox(now func() time.Time) *Inbox { return &Inbox{now: now} }

// Name implements Gateway.
func (b *Inbox) Name() string { return InboxName }

// Send implements Gateway: it accepts everything. A message that is there
// already is not kept twice.
func (b *Inbox) Send(_ context.Context, m Message) Result {
	at := b.now().UTC()
	accepted := Result{Outcome: Accepted, Ref: m.ID, Sender: m.SenderPrefix + InboxName}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.messages {
		if b.messages[i].ID == m.ID {
			return accepted
		}
	}
	b.version++
	entry := InboxMessage{Message: m, At: at}
	if len(b.messages) < inboxSize {
		b.messages = append(b.messages, entry)
	} else {
		b.messages[b.next] = entry
		b.next = (b.next + 1) % inboxSize
	}
	return accepted
}

// Messages lists what is kept, newest first; only one user's unless userID is
// empty. Converting a Text to a string shows the code.
func (b *Inbox) Messages(userID string) []InboxMessage {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := []InboxMessage{}
	for i := range b.messages {
		m := b.messages[(b.next+len(b.messages)-1-i)%len(b.messages)]
		if userID == "" || m.UserID == userID {
			out = append(out, m)
		}
	}
	return out
}

// Version changes whenever a message arrives.
func (b *Inbox) Version() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.version
}
