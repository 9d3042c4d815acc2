// Package erase carries out what the rules decided about a person's data: it
// destroys the data keys an event PersonalDataErased names, cleans what was made
// of the data, searches every file of the data directory for the keys and what
// they had sealed, and has the result certified in the log.
//
// It decides nothing: whether somebody may be forgotten is the rules' business,
// and every step here is harmless when it is done again. What it searches for
// exists in memory only, for as long as the search takes.
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
}

// Config says what an Eraser works with. All fields but Step and Logger are
// required.
type Config struct {
	Journal Journal
	Log     Log
	Codec   *codec.Codec
	Keys    Keys
	Views   Views
	Dir     string // data directory that is searched
	// Step, if not nil, is called behind each step of an erasure; its error ends
	// the attempt there, as a crash would.
	Step   func(name string) error
	Logger *slog.Logger // nil discards
}

// Eraser destroys what was decided to be destroyed. It is safe for concurrent
// use and starts no goroutines.
type Eraser struct {
	c   Config
	log *slog.Logger

	mu sync.Mutex // guards kept
	// kept is what to look for after a search that found something or could not
	// be finished: once the keys are gone it cannot be known again.
	kept map[string]keyring.Patterns
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
	return &Eraser{c: c, log: c.Logger, kept: map[string]keyring.Patterns{}}, nil
}

// HandlerName is the name of the handler on a router and of its checkpoint;
// fixed for ever.
const HandlerName = "erase"

// namespaceErase is the UUIDv5 name space of the commands that carry out a
// request whose time has come; fixed for ever.
var namespaceErase = uuid.MustParse("9a7e1c52-6d04-5f3b-8a1e-2c5b7f90d3e6")

var actor = domain.Actor{Kind: domain.ActorSystem, Ref: "reaction:" + HandlerName}

// Register puts the Eraser on a router, behind its checkpoint. A search that
// finds something parks the handler, which tries again and shows in the router's
// status.
func (e *Eraser) Register(router *bridge.Router, log eventstore.Follower, checkpoints bridge.Checkpoints) {
	r := bridge.NewReactor(HandlerName, checkpoints, e.Act)
	router.AddConsumerHandler(HandlerName, bridge.Topic, bridge.NewSubscriber(log, bridge.Config{From: r.From}, e.log), r.Handle)
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
	certificate, err := e.Destroy(ctx, erased)
	if err != nil {
		return err
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
		return fmt.Errorf("certify erasure %s: %w", erased.ErasureID, err)
	}
	e.log.Info("personal data erased", "erasure", erased.ErasureID, "files", certificate.Files, "bytes", certificate.Bytes)
	return e.c.Step("certified")
}

// Methods of a certificate.
const (
	methodWhole = "data keys overwritten and the key store's log emptied; every file searched for the keys, the wrapped keys and what they had sealed"
	// Behind a crash the keys are gone and nobody can say any more what to look
	// for.
	methodAgain = "data keys overwritten and the key store's log emptied in an attempt that ended with its process before the search was clean; tombstones verified"
)

// Destroy destroys the keys of an erasure, scrubs the views, which must have
// applied it, and searches every file below the data directory. It returns the
// certificate to be recorded. A search that finds something is an error which
// names the files.
func (e *Eraser) Destroy(ctx context.Context, erased domain.PersonalDataErased) (domain.CertifyErasure, error) {
	c := domain.CertifyErasure{
		ErasureID: erased.ErasureID, SubjectRef: erased.SubjectRef, Also: erased.Also, KeyID: erased.KeyID, Method: methodWhole,
	}
	subjects := append([]string{erased.SubjectRef}, erased.Also...)
	gone, err := e.destroyed(ctx, subjects)
	if err != nil {
		return c, err
	}
	patterns, kept := e.take(c.ErasureID)
	if !kept {
		if patterns, err = e.traces(ctx, subjects); err != nil {
			patterns.Wipe()
			return c, fmt.Errorf("erase %s: %w", c.ErasureID, err)
		}
	}
	if gone && !kept && erased.KeyID != "" {
		c.Method = methodAgain
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
	if err := e.c.Keys.Destroy(ctx, subjects...); err != nil {
		return fmt.Errorf("erase %s: %w", c.ErasureID, err)
	}
	c.DestroyedAt = e.c.Journal.Now()
	if err := e.c.Step("destroyed"); err != nil {
		return err
	}
	if err := e.c.Views.Scrub(ctx); err != nil {
		return fmt.Errorf("erase %s: %w", c.ErasureID, err)
	}
	if err := e.c.Step("scrubbed"); err != nil {
		return err
	}
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

// traces are what no file may hold afterwards: keys and secrets, and the personal
// data that can be told from other text. Subjects whose keys are gone have none.
func (e *Eraser) traces(ctx context.Context, subjects []string) (keyring.Patterns, error) {
	patterns, err := e.c.Keys.ErasurePatterns(ctx, subjects...)
	if err != nil {
		return patterns, err
	}
	for _, stream := range subjects {
		for r, err := range e.c.Log.ReadStream(ctx, stream, 0) {
			if err == nil {
				err = e.addClear(ctx, &patterns, r)
			}
			if err != nil {
				return patterns, fmt.Errorf("collect what to look for in %s: %w", stream, err)
			}
		}
	}
	return patterns, nil
}

// shortest is how long a datum in clear must be to be looked for, in bytes:
// shorter ones are words that stand in files for other reasons.
const shortest = 8

// telling are the personal fields whose values belong to one person. Names of
// devices and addresses of networks are shared by strangers, whose own records
// may show them.
var telling = []string{"number", "username", "ship_to"}

func (e *Eraser) addClear(ctx context.Context, patterns *keyring.Patterns, r eventstore.Record) error {
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
			if err := patterns.Add(field, []byte(value)); err != nil {
				return err
			}
		}
		if field != "number" {
			continue
		}
		index, err := e.c.Keys.Blind(ctx, "phone", value)
		if err == nil {
			err = patterns.Add("blind index of a number", index)
		}
		if err != nil {
			return err
		}
	}
	return nil
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
// older copy of its file was put back. Call it before anything is served. It
// goes by the certificates in the log and by what the views know of; an erasure
// that neither of them shows yet is carried out by the handler.
func (e *Eraser) Repeat(ctx context.Context) error {
	var subjects []string
	for r, err := range e.c.Log.ReadStream(ctx, domain.ErasuresStream(), 0) {
		if err != nil {
			return fmt.Errorf("read certificates: %w", err)
		}
		d, err := e.c.Codec.Decode(r)
		if err != nil {
			return fmt.Errorf("read certificates: %w", err)
		}
		if c, ok := d.Event.(domain.ErasureCertified); ok {
			subjects = append(append(subjects, c.SubjectRef), c.Also...)
		}
	}
	known, err := e.c.Views.ErasedSubjects(ctx)
	if err != nil {
		return fmt.Errorf("read erasures: %w", err)
	}
	for _, x := range known {
		subjects = append(append(subjects, x.Subject), x.Also...)
	}
	slices.Sort(subjects)
	return e.again(ctx, slices.Compact(subjects))
}

// atOnce is how many subjects are destroyed in one commit (keyring.Destroy).
const atOnce = 1000

func (e *Eraser) again(ctx context.Context, subjects []string) error {
	var alive []string
	for _, s := range subjects {
		gone, err := e.c.Keys.Destroyed(ctx, s)
		if err != nil {
			return fmt.Errorf("look for a destroyed key: %w", err)
		}
		if !gone {
			alive = append(alive, s)
		}
	}
	for part := range slices.Chunk(alive, atOnce) {
		if err := e.c.Keys.Destroy(ctx, part...); err != nil {
			return fmt.Errorf("destroy keys again: %w", err)
		}
	}
	if len(alive) > 0 {
		e.log.Warn("keys of erased persons were alive and are destroyed again: an older copy of keys.db was put back", "keys", len(alive))
	}
	return nil
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
