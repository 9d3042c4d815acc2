package erase

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
)

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
