// Package erase carries out what the rules decided about a person's data: it
// destroys the data keys an event PersonalDataErased names, cleans what was made
// of the data, searches every file of the data directory for the keys and what
// they had sealed, and has the result certified in the log.
//
// It decides nothing: whether somebody may be forgotten is the rules' business,
// and every step here is harmless when it is done again. What it searches for
// exists in memory only, for as long as the search takes.
//
// Of several nodes that share a log, one carries an erasure out: it alone
// searches, in its own data directory, and the certificate says so. Every node
// empties its own read models and drops the keys it remembers.
//
// Most readers want Eraser.
package erase

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/projections"
)

// Journal is what an Eraser needs of *journal.Journal.
type Journal interface {
	Execute(ctx context.Context, r journal.Request) (journal.Outcome, error)
	Now() time.Time
}

// Log is what an Eraser needs of the log; every eventstore.Reader has it.
type Log interface {
	ReadStream(ctx context.Context, stream string, from eventstore.Revision) iter.Seq2[eventstore.Record, error]
	ReadAll(ctx context.Context, from eventstore.Sequence) iter.Seq2[eventstore.Record, error]
}

// Keys is what an Eraser needs of *keyring.Keyring.
type Keys interface {
	ErasurePatterns(ctx context.Context, subjects ...string) (keyring.Patterns, error)
	Destroy(ctx context.Context, subjects ...string) error
	Destroyed(ctx context.Context, subject string) (bool, error)
	Blind(ctx context.Context, kind, value string) ([]byte, error)
	Scan(ctx context.Context, dir string, p keyring.Patterns, progress func(keyring.ScanReport)) (keyring.ScanReport, error)
}

// Views is what an Eraser needs of *projections.Views.
type Views interface {
	WaitFor(ctx context.Context, position eventstore.Position) error
	Scrub(ctx context.Context) error
	DueErasures(ctx context.Context, now time.Time) ([]projections.Erasure, error)
	ErasedSubjects(ctx context.Context) ([]projections.Erasure, error)
	PhonesWithNumber(ctx context.Context, number string) ([]projections.Phone, error)
	From(ctx context.Context) (eventstore.Sequence, error)
}

// Config says what an Eraser works with. All fields but Node, Step and Logger
// are required.
type Config struct {
	Journal Journal
	Log     Log
	Codec   *codec.Codec
	Keys    Keys
	Views   Views
	Dir     string // data directory that is searched
	Node    string // of several nodes that share the log, the name of this one in certificates
	// Step, if not nil, is called behind each step of an erasure; its error ends
	// the attempt there, as a crash would.
	Step   func(name string) error
	Logger *slog.Logger // nil discards
}

// Eraser destroys what was decided to be destroyed. It is safe for concurrent
// use and starts no goroutines.
type Eraser struct {
	c      Config
	log    *slog.Logger
	shared bool // several nodes share the log

	mu sync.Mutex // guards all below
	// kept is what to look for after a search that found something or could not
	// be finished: once the keys are gone it cannot be known again.
	kept map[string]keyring.Patterns
	// done are searches that were clean and could not be certified yet.
	done map[string]domain.CertifyErasure
}

// New returns an Eraser. It closes nothing.
func New(c Config) (*Eraser, error) {
	if c.Journal == nil || c.Log == nil || c.Codec == nil || c.Keys == nil || c.Views == nil || c.Dir == "" {
		return nil, errors.New("erase: journal, log, codec, keys, views and directory are required")
	}
	if c.Step == nil {
		c.Step = func(string) error { return nil }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Eraser{c: c, log: c.Logger, shared: eventstore.IsShared(c.Log), kept: map[string]keyring.Patterns{}, done: map[string]domain.CertifyErasure{}}, nil
}

// HandlerName is the name of the handler on a router and of its checkpoint or
// group; fixed for ever.
const HandlerName = "erase"

// followName is the name of the handler that every node has beside it when the
// log is shared, and of its checkpoint; fixed for ever.
const followName = "erase-here"

// lease is how long a node that carries out an erasure may say nothing. What it
// searches for is known to no other node, so it tries for six hours (a quarter,
// see bridge.SharedConfig) before another one may finish without a search; one
// that goes away is replaced at once.
const lease = 24 * time.Hour

// headStart is how long another node, which finds the keys gone, leaves an
// erasure to the one that destroyed them: it may have lost its connection only,
// and be about to certify a search.
const headStart = 10 * time.Minute

// namespaceErase is the UUIDv5 name space of the commands that carry out a
// request whose time has come; fixed for ever.
var namespaceErase = uuid.MustParse("9a7e1c52-6d04-5f3b-8a1e-2c5b7f90d3e6")

var actor = domain.Actor{Kind: domain.ActorSystem, Ref: "reaction:" + HandlerName}

// Group is the group that shares erasures among the nodes of a log.
func Group() eventstore.Group {
	return eventstore.Group{Name: HandlerName, Types: []string{"PersonalDataErased"}, Lease: lease, Checkpoint: HandlerName}
}

// Register puts the Eraser on a router, behind its checkpoint. A search that
// finds something parks the handler, which tries again and shows in the router's
// status.
//
// When the log is an eventstore.Sharer, each erasure is carried out by one of the
// nodes, and every node has a second handler behind a checkpoint of its own.
func (e *Eraser) Register(router *bridge.Router, log eventstore.Follower, checkpoints bridge.Checkpoints) {
	if sharer, ok := log.(eventstore.Sharer); ok {
		g := Group()
		subscriber := bridge.NewSharedSubscriber(sharer, g.Name, g.Types, bridge.SharedConfig{Lease: g.Lease, InFlight: 1}, e.log)
		router.AddConsumerHandler(HandlerName, bridge.Topic, subscriber, e.handle)
		r := bridge.NewReactor(followName, checkpoints, e.Follow)
		router.AddConsumerHandler(followName, bridge.Topic, bridge.NewSubscriber(log, bridge.Config{From: r.From}, e.log), r.Handle)
		return
	}
	r := bridge.NewReactor(HandlerName, checkpoints, e.Act)
	router.AddConsumerHandler(HandlerName, bridge.Topic, bridge.NewSubscriber(log, bridge.Config{From: r.From}, e.log), r.Handle)
}

// handle carries out the erasures of a message of a shared log.
func (e *Eraser) handle(m *message.Message) error {
	records, err := bridge.Records(m)
	if err != nil {
		return err
	}
	for _, r := range records {
		if err := e.Act(m.Context(), r); err != nil {
			return &bridge.RecordError{Sequence: r.Sequence, Err: err}
		}
	}
	return nil
}

// Follow drops what this node holds of a person whom any node erases, and passes
// over other records. It is for a log that several nodes share.
//
// The read models are emptied at once. The keys are left alone until the erasure
// is certified: only who carries it out knows when it may do without them. Then
// destroying them again makes this node forget those it remembers.
func (e *Eraser) Follow(ctx context.Context, record eventstore.Record) error {
	if record.Type != "PersonalDataErased" && record.Type != "ErasureCertified" {
		return nil
	}
	d, err := e.c.Codec.Decode(record)
	if err != nil {
		return err
	}
	if err := e.c.Views.WaitFor(ctx, record.Position); err != nil {
		return fmt.Errorf("drop what is held here of %s: wait for the views: %w", record.Stream, err)
	}
	if c, ok := d.Event.(domain.ErasureCertified); ok {
		return e.scrub(ctx, append([]string{c.SubjectRef}, c.Also...))
	}
	return e.c.Views.Scrub(ctx)
}

// Act carries out the erasure a record decides, and passes over other records.
func (e *Eraser) Act(ctx context.Context, record eventstore.Record) error {
	if record.Type != "PersonalDataErased" {
		return nil
	}
	d, err := e.c.Codec.Decode(record)
	if err != nil {
		return err
	}
	erased, ok := d.Event.(domain.PersonalDataErased)
	if !ok {
		return fmt.Errorf("erase: record %d is no PersonalDataErased", record.Sequence)
	}
	if err := e.c.Views.WaitFor(ctx, record.Position); err != nil {
		return fmt.Errorf("erase %s: wait for the views: %w", erased.ErasureID, err)
	}
	certificate, ok := e.finished(erased.ErasureID)
	if !ok {
		if certificate, err = e.destroyShared(ctx, erased, record.RecordedAt); err != nil {
			return err
		}
	}
	_, err = e.c.Journal.Execute(ctx, journal.Request{
		Command: certificate, CommandID: uuid.NewSHA1(record.ID, []byte(HandlerName)), Actor: actor,
		CorrelationID: d.Meta.CorrelationID, CausationID: codec.EventIDText(record.ID),
	})
	var refused *domain.Error
	if errors.As(err, &refused) && refused.Code == domain.IdempotencyConflict {
		return nil // certified before, with the figures of that search
	}
	if err != nil {
		e.finish(certificate)
		return fmt.Errorf("certify erasure %s: %w", erased.ErasureID, err)
	}
	e.log.Info("personal data erased", "erasure", erased.ErasureID, "files", certificate.Files, "bytes", certificate.Bytes)
	return e.c.Step("certified")
}

// ErrElsewhere means that the node which began with an erasure is given time to
// certify it.
var ErrElsewhere = errors.New("another node destroyed the keys and may still be searching")

// destroyShared is Destroy, which on a shared log gives another node that has
// begun a head start.
func (e *Eraser) destroyShared(ctx context.Context, erased domain.PersonalDataErased, since time.Time) (domain.CertifyErasure, error) {
	if e.shared {
		begun, err := e.begunElsewhere(ctx, erased)
		if err != nil {
			return domain.CertifyErasure{}, err
		}
		if left := headStart - e.c.Journal.Now().Sub(since); begun && left > 0 {
			return domain.CertifyErasure{}, fmt.Errorf("erase %s: %w: taking over in %s", erased.ErasureID, ErrElsewhere, left.Round(time.Second))
		}
	}
	return e.Destroy(ctx, erased)
}

// begunElsewhere reports whether the keys are gone, and nobody here knows what
// to search for.
func (e *Eraser) begunElsewhere(ctx context.Context, erased domain.PersonalDataErased) (bool, error) {
	e.mu.Lock()
	_, kept := e.kept[erased.ErasureID]
	e.mu.Unlock()
	if kept || erased.KeyID == "" {
		return false, nil
	}
	return e.destroyed(ctx, append([]string{erased.SubjectRef}, erased.Also...))
}

// finished returns the certificate of a search that could not be recorded.
func (e *Eraser) finished(erasureID string) (c domain.CertifyErasure, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok = e.done[erasureID]
	delete(e.done, erasureID)
	return c, ok
}

func (e *Eraser) finish(c domain.CertifyErasure) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.done[c.ErasureID] = c
}

// Methods of a certificate.
const (
	methodWhole = "data keys overwritten and the key store's log emptied; every file searched for the keys, the wrapped keys and what they had sealed"
	// Behind a crash the keys are gone and nobody can say any more what to look
	// for, so nothing is searched and the figures are zero.
	methodAgain = "data keys overwritten and the key store's log emptied; the process ended before the search was clean, and what to search for went with it; tombstones verified"
	// The same on a shared log, where the process may live on, on another node.
	methodElsewhere = "data keys destroyed; the node that searched first ended or lost the erasure to another before its search was clean, and what to search for was known to it alone; tombstones verified"
	// methodHere follows methodWhole on a shared log.
	methodHere = "; searched was the data directory of the node that carried this out%s, not those of other nodes, whose read models empty themselves"
)

// method is how a certificate on this log describes a search, or that there was
// none.
func (e *Eraser) method(searched bool) string {
	switch {
	case !e.shared && searched:
		return methodWhole
	case !e.shared:
		return methodAgain
	case !searched:
		return methodElsewhere
	}
	name := ""
	if e.c.Node != "" {
		name = " (" + e.c.Node + ")"
	}
	return methodWhole + fmt.Sprintf(methodHere, name)
}

// Destroy destroys the keys of an erasure, scrubs the views, which must have
// applied it, and searches every file below the data directory. It returns the
// certificate to be recorded. A search that finds something is an error which
// names the files.
func (e *Eraser) Destroy(ctx context.Context, erased domain.PersonalDataErased) (domain.CertifyErasure, error) {
	c := domain.CertifyErasure{
		ErasureID: erased.ErasureID, SubjectRef: erased.SubjectRef, Also: erased.Also, KeyID: erased.KeyID, Method: e.method(true),
	}
	subjects := append([]string{erased.SubjectRef}, erased.Also...)
	gone, err := e.destroyed(ctx, subjects)
	if err != nil {
		return c, err
	}
	patterns, kept := e.take(c.ErasureID)
	if gone && !kept && erased.KeyID != "" {
		c.Method, c.DestroyedAt = e.method(false), e.c.Journal.Now()
		return c, e.scrub(ctx, subjects)
	}
	if !kept {
		if patterns, err = e.ahead(ctx, c.ErasureID, subjects); err != nil {
			patterns.Wipe()
			return c, fmt.Errorf("erase %s: %w", c.ErasureID, err)
		}
	}
	if err := e.destroy(ctx, subjects, patterns, &c); err != nil {
		e.keep(c.ErasureID, patterns)
		return c, err
	}
	patterns.Wipe()
	return c, nil
}

// take returns what an earlier attempt of this process would look for.
func (e *Eraser) take(erasureID string) (p keyring.Patterns, kept bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, kept = e.kept[erasureID]
	delete(e.kept, erasureID)
	return p, kept
}

func (e *Eraser) keep(erasureID string, p keyring.Patterns) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.kept[erasureID] = p
}

// destroy is Destroy for somebody who knows what to look for.
func (e *Eraser) destroy(ctx context.Context, subjects []string, patterns keyring.Patterns, c *domain.CertifyErasure) error {
	if err := e.c.Step("traces"); err != nil {
		return err
	}
	if err := e.scrub(ctx, subjects); err != nil {
		return fmt.Errorf("erase %s: %w", c.ErasureID, err)
	}
	c.DestroyedAt = e.c.Journal.Now()
	report, err := e.c.Keys.Scan(ctx, e.c.Dir, patterns, nil)
	if err != nil {
		return fmt.Errorf("erase %s: search the files: %w", c.ErasureID, err)
	}
	c.Files, c.Bytes, c.Findings = report.Files, report.Bytes, len(report.Findings)
	if len(report.Findings) > 0 {
		return &FoundError{ErasureID: c.ErasureID, Findings: report.Findings}
	}
	return e.c.Step("searched")
}

// scrub destroys the keys and empties what the read models kept of the data.
func (e *Eraser) scrub(ctx context.Context, subjects []string) error {
	if err := e.c.Keys.Destroy(ctx, subjects...); err != nil {
		return err
	}
	if err := e.c.Step("destroyed"); err != nil {
		return err
	}
	if err := e.c.Views.Scrub(ctx); err != nil {
		return err
	}
	return e.c.Step("scrubbed")
}
