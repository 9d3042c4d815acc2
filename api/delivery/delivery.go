package delivery

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
)

// Journal is what the reactors need of *journal.Journal.
type Journal interface {
	Execute(ctx context.Context, r journal.Request) (journal.Outcome, error)
	User(ctx context.Context, userID string, read func(u *domain.User, now time.Time) error) error
	UserAt(ctx context.Context, userID string, least eventstore.Revision, read func(u *domain.User, now time.Time) error) error
	PhoneNumber(ctx context.Context, userID, phoneID string) (string, error)
	CodeText(ctx context.Context, purpose domain.Purpose, subjectID string, i domain.Issued) (string, error)
	Policy() *domain.Policy
	PolicyAt(ctx context.Context, least eventstore.Revision) (*domain.Policy, error)
	Matching(ctx context.Context, userID, effect string) ([]domain.Rule, error)
	MatchingAt(ctx context.Context, userID, effect string, at time.Time) ([]domain.Rule, error)
	Now() time.Time
}

var _ Journal = (*journal.Journal)(nil)

// Log finds a record by its id and reads a stream; every eventstore.Reader
// does.
type Log interface {
	ByID(ctx context.Context, id eventstore.EventID) (eventstore.Record, error)
	ReadStream(ctx context.Context, stream string, from eventstore.Revision) iter.Seq2[eventstore.Record, error]
}

// Config says what the reactors work with. All fields but DueDevices and
// ExpiredProcesses are required.
type Config struct {
	Journal Journal
	Log     Log
	Codec   *codec.Codec
	Gateway Gateway
	Texts   *Texts
	// OptedOut lists the users whose opt-out is in force now, as of a state of
	// the log that includes the position; zero asks for any state. It may name
	// users who have opted back in since.
	OptedOut func(ctx context.Context, least eventstore.Position) ([]string, error)
	Logger   *slog.Logger

	// DueDevices lists the physical devices whose activation window has ended by
	// a moment, with the users they were sent to. It may name some that were
	// activated or returned since. Without it no device is activated by time on
	// this node.
	DueDevices func(ctx context.Context, now time.Time) ([]Due, error)
	// ExpiredProcesses lists users, or things in users' streams, with something
	// that has expired by a moment and not been noted. Without it nothing is
	// tidied by time on this node.
	ExpiredProcesses func(ctx context.Context, now time.Time) ([]string, error)
}

// Reaction is a named consumer of the log with a position of its own.
type Reaction struct {
	Name  string // of its checkpoint or group; fixed for ever
	Types []string
	// everywhere makes every node that shares a log react to every record, for
	// what it brings along on the node itself. The others are done once, by
	// whichever node a record is handed to.
	everywhere bool
	// act is called in the order of the stream, at least once, for several
	// streams at the same time.
	act func(ctx context.Context, d codec.Decoded) error
}

// Delivery is the set of reactions. It starts no goroutines.
type Delivery struct {
	c         Config
	reactions []Reaction
	texter    *texter
	caller    *caller
	copier    *copier
	regime    *regime
}

// New returns the reactions over a journal. It closes nothing.
func New(c Config) (*Delivery, error) {
	if c.Journal == nil || c.Log == nil || c.Codec == nil || c.Gateway == nil || c.Texts == nil ||
		c.OptedOut == nil || c.Logger == nil {
		return nil, errors.New("delivery: every field of Config but the two about deadlines is required")
	}
	d := &Delivery{
		c: c, texter: &texter{courier{c: c}}, caller: &caller{courier{c: c}}, copier: &copier{c: c}, regime: &regime{c: c},
	}
	d.reactions = d.all()
	if c.Gateway.Name() == InboxName {
		d.reactions = append(d.reactions, d.receipts())
	}
	return d, nil
}

func (d *Delivery) receipts() Reaction {
	return Reaction{Name: "inbox-receipts", Types: []string{"SMSSent", "VoiceCallPlaced"}, act: (&receipts{c: d.c}).act}
}

// all are the reactions whatever the gateway.
func (d *Delivery) all() []Reaction {
	c := d.c
	return []Reaction{
		{Name: "sms", Types: []string{"SMSRequested"}, act: d.texter.act},
		{Name: "voice", Types: []string{"VoiceCallRequested"}, act: d.caller.act},
		{Name: "code-email", Types: []string{"SMSSent"}, act: d.copier.act},
		{Name: "push", Types: []string{"ChallengeIssued"}, act: (&pusher{c: c}).act},
		{Name: "auto-sms", Types: []string{"PhoneNumberVerified"}, act: (&enroller{c: c}).act},
		{Name: "notices", Types: noticeTypes(), act: (&notifier{c: c}).act},
		{Name: "hosts", Types: hostTypes(), act: (&hosts{c: c}).act},
		// It brings the node's own policy up to the record, and its commands are
		// the same on every node.
		{Name: "regime", Types: regimeTypes(), act: d.regime.act, everywhere: true},
	}
}

// group is the group that shares a reaction.
func (r Reaction) group() eventstore.Group {
	return eventstore.Group{Name: "delivery-" + r.Name, Types: r.Types, Lease: lease, Checkpoint: r.Name}
}

// Groups lists the groups that nodes which share a log have for the reactions,
// with any gateway.
func Groups() []eventstore.Group {
	d := &Delivery{texter: &texter{}, caller: &caller{}, copier: &copier{}, regime: &regime{}}
	var groups []eventstore.Group
	for _, r := range append(d.all(), d.receipts()) {
		if !r.everywhere {
			groups = append(groups, r.group())
		}
	}
	return groups
}

// Reactions lists what Register registers.
func (d *Delivery) Reactions() []Reaction { return d.reactions }

// lease is how long a node may keep a record that it shares with others. By
// bridge.SharedConfig a reaction begins in the first quarter and its context
// ends with the third, so it has thirty seconds: fifteen to find out what to do
// and record that it begins, and sendTimeout for the provider. The last quarter
// is for recording what the provider said (recordTimeout). So nobody else finds
// a message dispatched and without an outcome while it is still being sent.
const lease = time.Minute

// Register gives every reaction a handler of its own on the router, fed from
// the log behind its checkpoint. When the log is an eventstore.Sharer, most of
// them share it with other nodes instead, in a group that keeps the place; a new
// group begins with the log's first record. The returned subscribers end with
// the router; closing them is needed only when the router never ran.
func (d *Delivery) Register(router *bridge.Router, log eventstore.Follower, checkpoints bridge.Checkpoints) []*bridge.Subscriber {
	var subscribers []*bridge.Subscriber
	sharer, shared := log.(eventstore.Sharer)
	for _, r := range d.reactions {
		name := r.group().Name
		if shared && !r.everywhere {
			cfg := bridge.SharedConfig{Lease: lease, InFlight: laneWidth}
			subscriber := bridge.NewSharedSubscriber(sharer, name, r.Types, cfg, d.c.Logger)
			router.AddConsumerHandler(name, bridge.Topic, subscriber, handler(d.Act(r)))
			subscribers = append(subscribers, subscriber)
			continue
		}
		l := &lanes{name: r.Name, checkpoints: checkpoints, wanted: r.wanted(), act: d.Act(r), every: 250 * time.Millisecond}
		subscriber := bridge.NewSubscriber(log, bridge.Config{From: l.from}, d.c.Logger)
		router.AddConsumerHandler(name, bridge.Topic, subscriber, l.handle)
		subscribers = append(subscribers, subscriber)
	}
	return subscribers
}

// handler acts on the records of a message, one after the other.
func handler(act func(context.Context, eventstore.Record) error) message.NoPublishHandlerFunc {
	return func(m *message.Message) error {
		records, err := bridge.Records(m)
		if err != nil {
			return err
		}
		for _, r := range records {
			if err := act(m.Context(), r); err != nil {
				return &bridge.RecordError{Sequence: r.Sequence, Err: err}
			}
		}
		return nil
	}
}

// Act is a reaction as a function over records; records of other types are
// passed over undecoded.
func (d *Delivery) Act(r Reaction) func(context.Context, eventstore.Record) error {
	wanted := r.wanted()
	return func(ctx context.Context, record eventstore.Record) error {
		if !wanted[record.Type] {
			return nil
		}
		decoded, err := d.c.Codec.Decode(record)
		if err != nil {
			return fmt.Errorf("react %s: %w", r.Name, err)
		}
		if err := r.act(ctx, decoded); err != nil {
			return fmt.Errorf("react %s to %s: %w", r.Name, codec.EventIDText(record.ID), err)
		}
		return nil
	}
}

func (r Reaction) wanted() map[string]bool {
	out := make(map[string]bool, len(r.Types))
	for _, t := range r.Types {
		out[t] = true
	}
	return out
}

// commandID is the id of the command a reaction answers an event with: the
// same event always leads to the same command.
func commandID(cause uuid.UUID, reaction string) uuid.UUID {
	return uuid.NewSHA1(cause, []byte(reaction))
}

// request is a command as the reaction to an event.
func request(cause codec.Decoded, reaction string, actor domain.Actor, c domain.Command) journal.Request {
	correlation := cause.Meta.CorrelationID
	if correlation == "" {
		correlation = codec.EventIDText(cause.Record.ID)
	}
	return journal.Request{
		Command: c, CommandID: commandID(cause.Record.ID, reaction), Actor: actor,
		CorrelationID: correlation, CausationID: codec.EventIDText(cause.Record.ID),
	}
}

// system is the actor of a reaction.
func system(reaction string) domain.Actor {
	return domain.Actor{Kind: domain.ActorSystem, Ref: "reaction:" + reaction}
}

// provider is the actor of what a gateway reported.
func provider(g Gateway) domain.Actor { return domain.Actor{Kind: domain.ActorProvider, Ref: g.Name()} }

// upTo brings the state of a user up to what the record says of it, which may
// have been appended by another node: a command decided on the state before
// would find nothing to do.
func (c Config) upTo(ctx context.Context, d codec.Decoded) error {
	_, key, _ := cutStream(d.Record.Stream)
	err := c.Journal.UserAt(ctx, domain.UserID(key), d.Record.Revision, func(*domain.User, time.Time) error { return nil })
	if moot(err) {
		return nil
	}
	return err
}

// sendTimeout bounds one hand-over. It is longer than a provider is given
// (WebhookConfig.Timeout) and short enough for the lease.
const sendTimeout = 15 * time.Second

// send hands a message over. When there is no time left it does not begin, which
// the caller, who has recorded that it would, must take for uncertain.
func (c Config) send(ctx context.Context, m Message) Result {
	if ctx.Err() != nil {
		return Result{Outcome: Uncertain, Code: codeNoTime}
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return c.Gateway.Send(ctx, m)
}

// moot reports whether an error means that there is nothing left to react to:
// the user was closed, or the thing is long over. Anything else, an outage
// above all, must be tried again.
func moot(err error) bool {
	var refused *domain.Error
	return errors.As(err, &refused) && (refused.Code == domain.ReasonUserClosed || refused.Code == domain.Unknown)
}

// enroller answers a verified phone with automatic SMS enrolment.
type enroller struct{ c Config }

func (r *enroller) act(ctx context.Context, d codec.Decoded) error {
	e := d.Event.(domain.PhoneNumberVerified)
	const name = "auto-sms"
	cmd := domain.EvaluateAutoSMS{UserID: domain.UserOf(e.PhoneID), PhoneID: e.PhoneID}
	if err := r.c.upTo(ctx, d); err != nil {
		return err
	}
	_, err := r.c.Journal.Execute(ctx, request(d, name, system(name), cmd))
	if moot(err) {
		return nil
	}
	return err
}

// receipts reports what the inbox took as delivered, as a handset would, and
// its calls as answered.
type receipts struct{ c Config }

// inboxCallS is how long a call that the inbox takes lasts in seconds: about
// what it takes to speak the script.
const inboxCallS = 20

func (r *receipts) act(ctx context.Context, d codec.Decoded) error {
	var cmd domain.Command
	by := ""
	switch e := d.Event.(type) {
	case domain.SMSSent:
		by = e.Provider
		cmd = domain.RecordSMSDelivered{SMSID: e.SMSID, ProviderRef: e.ProviderRef, DeliveredAt: e.AcceptedAt, Receipt: "handset"}
	case domain.VoiceCallPlaced:
		by = e.Provider
		cmd = domain.RecordVoiceAnswered{CallID: e.CallID, DurationS: inboxCallS}
	}
	if by != InboxName {
		return nil
	}
	if err := r.c.upTo(ctx, d); err != nil {
		return err
	}
	_, err := r.c.Journal.Execute(ctx, request(d, "inbox-receipts", provider(r.c.Gateway), cmd))
	if moot(err) {
		return nil
	}
	return err
}
