package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/authledger/authledger/domain"
)

// Kind says how a message reaches its user.
type Kind string

// Kinds of messages.
const (
	SMS    Kind = "sms"    // To and Text
	Voice  Kind = "voice"  // a call to To; Text is the script to speak
	Email  Kind = "email"  // a copy of a code; the broker knows the user's address
	Push   Kind = "push"   // a hint to an installation; it carries no number and no code
	Notice Kind = "notice" // a security notice; the broker knows the user's address
)

// Message is one thing to tell a user. Its text and number print as redacted;
// a gateway converts them to strings where they leave the process.
type Message struct {
	// ID is stable: the same message handed over again has the same ID. It is
	// the sms or call id, the challenge id of a push, or the id of the copy or
	// the notice alone.
	ID         string
	Kind       Kind
	UserID     string
	To         domain.Secret // E.164; SMS and voice
	Text       domain.Secret
	TemplateID string // name@version
	Locale     string // of the text, BCP 47

	InstallationID string    // push
	ChallengeID    string    // push
	ExpiresAt      time.Time // when a code or challenge ends; zero for notices
	Topic          string    // notice
	Channel        string    // notice and copy of a code: email
	SenderPrefix   string    // SMS: what the sender's name must begin with where a rule says so, such as "#"
}

// String names the message without its number and text.
func (m Message) String() string { return fmt.Sprintf("%s %s", m.Kind, m.ID) }

// GoString is String.
func (m Message) GoString() string { return m.String() }

// LogValue names the message without its number and text.
func (m Message) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", m.ID), slog.String("kind", string(m.Kind)), slog.String("template", m.TemplateID))
}

// MarshalJSON writes what String says: a message leaves the process only in
// the form its gateway builds.
func (m Message) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `{"id":%q,"kind":%q}`, m.ID, m.Kind), nil
}

// Outcome is what a gateway knows about a message after handing it over. The
// zero value is Uncertain.
type Outcome int

// Outcomes of a hand-over.
const (
	Uncertain Outcome = iota // it may or may not be on its way
	Accepted                 // the provider took it
	Rejected                 // the provider refused it; it is not on its way
)

// Result is a gateway's answer.
type Result struct {
	Outcome Outcome
	Ref     string // the provider's id of the message
	Sender  string // what the user sees as sender; begins with the message's SenderPrefix
	Code    string // the provider's reason, or a word of ours; never free text
}

// Gateway hands messages to a provider.
//
// Send MUST try at most once, MUST return before the context ends or soon
// after, and MUST answer Rejected only when the message is certainly not on its
// way. It MUST be safe for concurrent use and MUST NOT log text or number.
type Gateway interface {
	Name() string
	Send(ctx context.Context, m Message) Result
}
