package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/api/witness"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/projections"
	"github.com/authledger/authledger/replay/bundle"
)

// Journal is what the interface needs of *journal.Journal.
type Journal interface {
	Execute(ctx context.Context, r journal.Request) (journal.Outcome, error)
	Reveal(ctx context.Context, r journal.Request) (journal.Outcome, []journal.Revealed, error)
	User(ctx context.Context, userID string, read func(u *domain.User, now time.Time) error) error
	Installation(ctx context.Context, id string, read func(*domain.Installation)) error
	Device(ctx context.Context, id string, read func(*domain.Device)) error
	Watch(stream string) (changed <-chan struct{}, stop func())
	Shown(ctx context.Context, c domain.Challenge) (string, error)
	PhoneNumber(ctx context.Context, userID, phoneID string) (string, error)
	OCRASecret(ctx context.Context, userID, authenticatorID string) (keyring.Secret, string, error)
	CodeCard(ctx context.Context, userID, authenticatorID string) ([]string, error)
	TemporaryPasscode(ctx context.Context, userID, authenticatorID string) (string, error)
	Credential(ctx context.Context, deliveryID string) (domain.Secret, error)
	Policy() *domain.Policy
	PolicyKnownAt(ctx context.Context, knownAt time.Time) (*domain.Policy, error)
	Decision(ctx context.Context, userID string, asOf time.Time, p *domain.Policy) (domain.Decision, error)
	Now() time.Time
}

// Views is what it needs of *projections.Views: the lists and registers.
type Views interface {
	WaitFor(ctx context.Context, position eventstore.Position) error
	Position() eventstore.Position
	Status() projections.Status
	Events(ctx context.Context, f projections.EventFilter) (projections.Page[projections.EventRow], error)
	OptedOut(ctx context.Context, at time.Time) ([]projections.OptOut, error)
	OptOuts(ctx context.Context, f projections.OptOutFilter) (projections.Page[projections.OptOut], error)
	Messages(ctx context.Context, f projections.SMSFilter) (projections.Page[projections.SMS], error)
	Installation(ctx context.Context, id string) (projections.Installation, error)
	Device(ctx context.Context, id string) (projections.Device, error)
	Locks(ctx context.Context, f projections.LockFilter) (projections.Page[projections.Lock], error)
	Processes(ctx context.Context, f projections.ProcessFilter) (projections.Page[projections.Process], error)
	VoiceCalls(ctx context.Context, f projections.VoiceFilter) (projections.Page[projections.VoiceCall], error)
	Erasures(ctx context.Context, f projections.ErasureFilter) (projections.Page[projections.Erasure], error)
	LegalHolds(ctx context.Context, f projections.HoldFilter) (projections.Page[projections.LegalHold], error)
	Transactions(ctx context.Context, f projections.TransactionFilter) (projections.Page[projections.Transaction], error)
}

// Tokens keeps push tokens outside the ledger and gives the MAC of one.
// *keyring.Keyring is one.
type Tokens interface {
	PutSecret(ctx context.Context, subject, id string, secret []byte) error
	Blind(ctx context.Context, kind, value string) ([]byte, error)
}

// Keys lists the keys and rotates them. *keyring.Keyring is one.
type Keys interface {
	Keys(ctx context.Context) ([]keyring.KeyInfo, error)
	Rotate(ctx context.Context, kind keyring.RotationKind, request uuid.UUID) (keyring.Rotation, error)
	Rotations(ctx context.Context, after int64) ([]keyring.Rotation, error)
}

// PastUser is a user's state at a moment, as package replay folds it.
type PastUser struct {
	User      *domain.User
	Found     bool // whether any event of the user is that old
	Revision  eventstore.Revision
	LastEvent eventstore.EventID
}

// InboxMessage is a message the demo gateway was handed.
type InboxMessage struct {
	ID      string
	Channel string // sms, push
	To      string
	Text    string
	At      time.Time
}

// Inbox lists the demo gateway's messages, newest first.
type Inbox interface{ Messages() []InboxMessage }

// SimulatedClock is the clock of demo mode.
type SimulatedClock interface {
	Now() time.Time
	Set(time.Time) error
}

// StoreHealth is how an event store that several nodes share stands.
type StoreHealth struct {
	Live     bool     // what other nodes append arrives here
	Findings []string // codes of what takes away a promise of the log
}

// Config says what the interface works with. Fields are required unless they
// say otherwise; nothing given here is closed by the server.
type Config struct {
	Journal Journal
	Views   Views
	Store   eventstore.Reader
	Codec   *codec.Codec
	Tokens  Tokens
	Keys    Keys
	Access  *access.Store
	// Proofs is what the sealer published. Without it nothing below /v1/log can
	// be read, and no event be proved.
	Proofs Proofs
	// Witnesses says how collecting cosignatures goes; nil without a policy.
	Witnesses func() witness.Status
	// StoreHealth says how a store stands that several nodes share; nil for one
	// that belongs to this process.
	StoreHealth func() StoreHealth
	// StateAt folds a user's stream up to a moment of recording, as known at
	// another; a zero knownAt is the moment itself.
	StateAt func(ctx context.Context, userID string, asOf, knownAt time.Time) (PastUser, error)

	// DecisionAt is what the rules and facts known at a moment say, as of
	// another, about a user's opt-out; zero for a user who was not registered by
	// then. Without it the facts are those known now.
	DecisionAt func(ctx context.Context, userID string, asOf, knownAt time.Time) (domain.Decision, error)

	// TransportKey opens the seeds of a manufacturer's file, and ReadPSKC reads
	// one, all units or none; its errors are shown and quote nothing of the
	// file. Without them no physical device can be imported.
	TransportKey []byte
	ReadPSKC     func(r io.Reader, transportKey []byte) ([]ImportedToken, error)

	// Export writes an evidence bundle from what is sealed (bundle.Write).
	// Without it there is no evidence to be had: 503.
	Export func(ctx context.Context, r bundle.Request, out io.Writer) (bundle.Manifest, error)

	Demo  bool           // serve /dev
	Inbox Inbox          // required with Demo
	Clock SimulatedClock // required with Demo

	// ReceiptSecret, if set, is the Standard Webhooks secret ("whsec_…")
	// receipts must be signed with.
	ReceiptSecret string
	// TrustedProxies, if any, may name the caller's address in
	// X-Forwarded-For; from everybody else that header is ignored.
	TrustedProxies []netip.Prefix
	Limits         Limits
	MaxLag         uint64               // positions the views may be behind to be ready; 0 means 10,000
	Logger         *slog.Logger         // nil discards
	Registry       *prometheus.Registry // optional; the server adds its metrics to it and serves it
	// Console, if set, serves everything below /console with its own sessions;
	// keys, body rules and validation do not apply there.
	Console http.Handler
}

// Server is the HTTP interface. It is safe for concurrent use.
type Server struct {
	journal Journal
	views   Views
	store   eventstore.Reader
	codec   *codec.Codec
	tokens  Tokens
	keys    Keys
	proofs  Proofs // nil when nothing is sealed

	witnesses func() witness.Status // nil without a policy
	// storeHealth is Config.StoreHealth.
	storeHealth func() StoreHealth
	access      *access.Store
	stateAt     func(ctx context.Context, userID string, asOf, knownAt time.Time) (PastUser, error)
	decision    func(ctx context.Context, userID string, asOf, knownAt time.Time) (domain.Decision, error)
	demo        bool
	inbox       Inbox
	clock       SimulatedClock
	receipts    *standardwebhooks.Webhook // nil: receipts need no signature
	limits      Limits
	maxLag      uint64
	viewWait    time.Duration // viewWait, shorter in tests
	sealWait    time.Duration // sealWait, shorter in tests
	log         *slog.Logger

	transportKey []byte
	readPSKC     func(r io.Reader, transportKey []byte) ([]ImportedToken, error)
	export       func(ctx context.Context, r bundle.Request, out io.Writer) (bundle.Manifest, error) // nil: 503

	echo       *echo.Echo
	operations map[string]*operation
	reference  reference
	registry   *prometheus.Registry
	metrics    *metrics
	callers    *buckets
	strangers  *buckets
	flying     gauges
	polling    gauges

	stopping chan struct{} // closed once, when long polls are to end
	stop     sync.Once
}

// New builds the interface. It starts nothing.
func New(c Config) (*Server, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("build API: %w", err)
	}
	doc, err := specification()
	if err != nil {
		return nil, fmt.Errorf("build API: %w", err)
	}
	s := &Server{
		journal: c.Journal, views: c.Views, store: c.Store, codec: c.Codec, tokens: c.Tokens, keys: c.Keys, proofs: c.Proofs, access: c.Access,
		stateAt: c.StateAt, demo: c.Demo, inbox: c.Inbox, clock: c.Clock, limits: c.Limits.withDefaults(), maxLag: c.MaxLag, viewWait: viewWait, sealWait: sealWait,
		log: c.Logger, operations: operations(doc), registry: c.Registry, stopping: make(chan struct{}),
		witnesses: c.Witnesses, storeHealth: c.StoreHealth, decision: c.DecisionAt, transportKey: c.TransportKey, readPSKC: c.ReadPSKC, export: c.Export,
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.maxLag == 0 {
		s.maxLag = 10_000
	}
	if s.registry == nil {
		s.registry = prometheus.NewRegistry()
	}
	if s.metrics, err = newMetrics(s.registry); err != nil {
		return nil, fmt.Errorf("build API: %w", err)
	}
	if s.proofs != nil {
		if err := s.registry.Register(sealMetrics{s}); err != nil {
			return nil, fmt.Errorf("build API: %w", err)
		}
	}
	if c.ReceiptSecret != "" {
		if s.receipts, err = standardwebhooks.NewWebhook(c.ReceiptSecret); err != nil {
			return nil, errors.New("build API: the secret for receipts is not a Standard Webhooks secret")
		}
	}
	// Limits go by the machine's clock: a simulated one may stand still.
	s.callers = newBuckets(s.limits.PerSecond, s.limits.Burst, time.Now)
	s.strangers = newBuckets(s.limits.Strangers, 5*s.limits.Strangers, time.Now)
	if s.reference, err = newReference(doc); err != nil {
		return nil, fmt.Errorf("build API: %w", err)
	}
	s.echo = s.routes(c)
	return s, nil
}

func (c Config) check() error {
	switch {
	case c.Journal == nil, c.Views == nil, c.Store == nil, c.Codec == nil, c.Tokens == nil, c.Keys == nil, c.Access == nil, c.StateAt == nil:
		return errors.New("journal, views, store, codec, tokens, keys, access and state-at are required")
	case len(c.TransportKey) > 0 && c.ReadPSKC == nil:
		return errors.New("a transport key needs a reader of files")
	case c.Demo && (c.Inbox == nil || c.Clock == nil):
		return errors.New("demo mode needs an inbox and a simulated clock")
	}
	return nil
}

// routes builds the chain, outermost link first, and everything it guards.
func (s *Server) routes(c Config) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Logger.SetOutput(discard{})
	e.IPExtractor = ipExtractor(c.TrustedProxies)
	e.HTTPErrorHandler = s.answerError
	e.Use(s.begin, secure, s.deadlines, protocol, s.authenticate, s.limit, body, s.verifyReceipts, s.idempotency, s.validate)

	gen.RegisterHandlers(e, gen.NewStrictHandler(s, []gen.StrictMiddlewareFunc{s.headers}))
	e.GET(routeTile, s.serveTile)
	e.GET("/openapi.yaml", s.serveSpecification)
	e.GET("/docs", s.serveReference)
	e.GET("/docs/style.css", s.serveStyle)
	e.GET("/problems/:code", s.serveProblem)
	e.GET("/metrics", echo.WrapHandler(s.MetricsHandler()))
	if c.Console != nil {
		e.Any(consolePath, echo.WrapHandler(c.Console))
		e.Any(consolePath+"/*", echo.WrapHandler(c.Console))
	}
	return e
}

// ipExtractor says whose address a request came from. Without trusted proxies
// it is the peer's, whatever headers claim.
func ipExtractor(trusted []netip.Prefix) echo.IPExtractor {
	if len(trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range trusted {
		bits := 128
		if p.Addr().Is4() {
			bits = 32
		}
		options = append(options, echo.TrustIPRange(&net.IPNet{
			IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), bits),
		}))
	}
	return echo.ExtractIPFromXFFHeader(options...)
}

// discard swallows what echo itself would print; the chain logs.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// Handler is the whole interface, for tests and other servers.
func (s *Server) Handler() http.Handler { return s.echo }

// shutdownGrace is how long requests under way may take after the end was
// asked for.
const shutdownGrace = 10 * time.Second

// Serve answers requests on the listener until ctx ends, then lets requests
// under way finish, long polls at once, and returns nil. It owns the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s.echo,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	s.EndPolls()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	err := server.Shutdown(grace)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("stop HTTP: %w", err)
	}
	return nil
}

// EndPolls answers all long polls now and lets later ones not wait.
func (s *Server) EndPolls() { s.stop.Do(func() { close(s.stopping) }) }
