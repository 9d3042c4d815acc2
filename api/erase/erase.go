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
	"slices"
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

// FoundError means that a file still holds what an erasure should have taken
// out of it. It names places, never content.
type FoundError struct {
	ErasureID string
	Findings  []keyring.Finding
}

func (e *FoundError) Error() string {
	f := e.Findings[0]
	return fmt.Sprintf("erase %s: %s still stands in %s at byte %d (%d places in all); it is searched for again", e.ErasureID, f.Kind, f.File, f.Offset, len(e.Findings))
}

// ahead returns what to search for, after a first search: personal data may stand
// in no file before the erasure either, and while the keys live another process
// can still find out what it is.
func (e *Eraser) ahead(ctx context.Context, erasureID string, subjects []string) (keyring.Patterns, error) {
	clear, all, err := e.traces(ctx, subjects)
	defer clear.Wipe()
	if err != nil {
		return all, err
	}
	report, err := e.c.Keys.Scan(ctx, e.c.Dir, clear, nil)
	if err == nil && len(report.Findings) > 0 {
		err = &FoundError{ErasureID: erasureID, Findings: report.Findings}
	}
	return all, err
}

// traces are what no file may hold afterwards: keys and secrets, and the personal
// data that can be told from other text; and the latter alone. Subjects whose
// keys are gone have none. The caller must wipe both, also beside an error.
func (e *Eraser) traces(ctx context.Context, subjects []string) (clear, all keyring.Patterns, err error) {
	if all, err = e.c.Keys.ErasurePatterns(ctx, subjects...); err != nil {
		return clear, all, err
	}
	for _, stream := range subjects {
		for r, err := range e.c.Log.ReadStream(ctx, stream, 0) {
			if err == nil {
				err = e.addClear(ctx, &clear, &all, r)
			}
			if err != nil {
				return clear, all, fmt.Errorf("collect what to look for in %s: %w", stream, err)
			}
		}
	}
	return clear, all, nil
}

// shortest is how long a datum in clear must be to be looked for, in bytes:
// shorter ones are words that stand in files for other reasons.
const shortest = 8

// telling are the personal fields whose values belong to one person. Names of
// devices and addresses of networks are shared by strangers, whose own records
// may show them.
var telling = []string{"number", "username", "ship_to"}

// addClear adds what a record holds in clear to both lists, and what the read
// models made of it to the second.
func (e *Eraser) addClear(ctx context.Context, clear, all *keyring.Patterns, r eventstore.Record) error {
	d, err := e.c.Codec.Decode(r)
	if err != nil {
		return err
	}
	for _, field := range e.c.Codec.SealedFields(d) {
		if !slices.Contains(telling, field) {
			continue
		}
		value, err := e.c.Codec.Reveal(ctx, d, field)
		if errors.Is(err, keyring.ErrKeyDestroyed) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(value) >= shortest {
			if err := errors.Join(clear.Add(field, []byte(value)), all.Add(field, []byte(value))); err != nil {
				return err
			}
		}
		if field == "number" {
			if err := e.addIndex(ctx, all, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// addIndex adds the digest of a number, unless somebody else still has the same
// number, whom it must go on finding.
func (e *Eraser) addIndex(ctx context.Context, all *keyring.Patterns, number string) error {
	others, err := e.c.Views.PhonesWithNumber(ctx, number)
	if err != nil || len(others) > 0 {
		return err
	}
	index, err := e.c.Keys.Blind(ctx, "phone", number)
	if err != nil {
		return err
	}
	return all.Add("blind index of a number", index)
}

func (e *Eraser) destroyed(ctx context.Context, subjects []string) (bool, error) {
	for _, s := range subjects {
		if gone, err := e.c.Keys.Destroyed(ctx, s); err != nil || !gone {
			return false, err
		}
	}
	return true, nil
}

// Repeat destroys again what was erased and lives in the keyring, because an
// older copy of its file was put back or a crash came before. Call it before
// anything is served. It goes by the certificates in the log, by what the views
// know of, and by what stands in the log behind the views. Of an erasure that is
// not certified yet it remembers what to search for; the handler does the rest.
// On a shared log such an erasure is left to the handler altogether: it is handed
// out until it is certified.
func (e *Eraser) Repeat(ctx context.Context) error {
	orders, err := e.orders(ctx)
	if err != nil {
		return err
	}
	again := 0
	for _, x := range orders {
		subjects := append([]string{x.SubjectRef}, x.Also...)
		gone, err := e.destroyed(ctx, subjects)
		if err != nil {
			return fmt.Errorf("look for a destroyed key: %w", err)
		}
		if gone {
			continue
		}
		if x.pending && e.shared {
			continue // the node it is handed to must find the keys alive
		}
		if x.pending {
			clear, all, err := e.traces(ctx, subjects)
			clear.Wipe()
			e.keep(x.ErasureID, all)
			if err != nil {
				return err
			}
		}
		if err := e.c.Keys.Destroy(ctx, subjects...); err != nil {
			return fmt.Errorf("destroy keys again: %w", err)
		}
		again++
	}
	if again > 0 {
		e.log.Warn("keys of erased persons were alive and are destroyed: an older copy of keys.db was put back, or a crash came before", "persons", again)
	}
	return nil
}

// order is an erasure that was decided.
type order struct {
	domain.PersonalDataErased
	pending bool // not certified, as far as is known
}

// orders are all erasures that were decided, once or more often.
func (e *Eraser) orders(ctx context.Context) (list []order, err error) {
	at, err := e.c.Views.From(ctx)
	if err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	known, err := e.c.Views.ErasedSubjects(ctx)
	if err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	for _, x := range known {
		erased := domain.PersonalDataErased{ErasureID: x.ID, SubjectRef: x.Subject, Also: x.Also}
		list = append(list, order{erased, x.CertifiedAt == nil})
	}
	for r, err := range e.c.Log.ReadAll(ctx, at+1) {
		if err != nil {
			return nil, fmt.Errorf("read what the views have not seen: %w", err)
		}
		if r.Type != "PersonalDataErased" {
			continue
		}
		d, err := e.c.Codec.Decode(r)
		if err != nil {
			return nil, fmt.Errorf("read what the views have not seen: %w", err)
		}
		if x, ok := d.Event.(domain.PersonalDataErased); ok {
			list = append(list, order{x, true})
		}
	}
	for r, err := range e.c.Log.ReadStream(ctx, domain.ErasuresStream(), 0) {
		if err != nil {
			return nil, fmt.Errorf("read certificates: %w", err)
		}
		d, err := e.c.Codec.Decode(r)
		if err != nil {
			return nil, fmt.Errorf("read certificates: %w", err)
		}
		if c, ok := d.Event.(domain.ErasureCertified); ok {
			list = append(list, order{domain.PersonalDataErased{ErasureID: c.ErasureID, SubjectRef: c.SubjectRef, Also: c.Also}, false})
		}
	}
	return list, nil
}

// CarryOut erases those whose retention is over and whom no hold protects.
func (e *Eraser) CarryOut(ctx context.Context) error {
	due, err := e.c.Views.DueErasures(ctx, e.c.Journal.Now())
	if err != nil {
		return fmt.Errorf("list due erasures: %w", err)
	}
	var errs []error
	for _, x := range due {
		_, err := e.c.Journal.Execute(ctx, journal.Request{
			Command: domain.EraseSubject{UserID: x.UserID}, CommandID: uuid.NewSHA1(namespaceErase, []byte(x.ID)), Actor: actor, CorrelationID: x.ID,
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("erase the data of %s: %w", x.UserID, err))
		}
	}
	return errors.Join(errs...)
}

// Every is how much of the journal's time passes between two looks for due
// erasures.
const Every = time.Hour

// Run carries out due erasures, once at start and then whenever an hour has
// passed by the journal's clock, looked at with each tick, until ctx ends.
func (e *Eraser) Run(ctx context.Context, ticks <-chan time.Time) {
	var last time.Time
	for {
		if now := e.c.Journal.Now(); now.Sub(last) >= Every {
			last = now
			if err := e.CarryOut(ctx); err != nil && ctx.Err() == nil {
				e.log.Error("due erasures could not be carried out; trying again in an hour", "error", err)
			}
		}
		select {
		case <-ticks:
		case <-ctx.Done():
			return
		}
	}
}
