package bridge

import (
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/authledger/authledger/eventstore"
)

// RecordError is a handler's error at one record of a batch; it makes a parked
// handler report that record instead of the batch.
type RecordError struct {
	Sequence eventstore.Sequence
	Err      error
}

func (e *RecordError) Error() string { return fmt.Sprintf("record %d: %v", e.Sequence, e.Err) }

// Unwrap returns the handler's own error.
func (e *RecordError) Unwrap() error { return e.Err }

// Reactor acts on records one by one, in order and at least once. What it does
// must be harmless when done again: a command whose id derives from the
// record's id. Use From and Handle with one subscription of a Subscriber.
type Reactor struct {
	name        string
	checkpoints Checkpoints
	act         func(context.Context, eventstore.Record) error

	// done is the last record acted on. From and Handle, which a subscription
	// never runs at the same time, own it.
	done eventstore.Sequence
}

// NewReactor returns a reactor that keeps its position under name.
func NewReactor(name string, checkpoints Checkpoints, act func(context.Context, eventstore.Record) error) *Reactor {
	return &Reactor{name: name, checkpoints: checkpoints, act: act}
}

// Name is the name of the reactor's checkpoint.
func (r *Reactor) Name() string { return r.name }

// From is the Config.From of the reactor's subscription.
func (r *Reactor) From(ctx context.Context) (eventstore.Sequence, error) {
	at, err := r.checkpoints.Load(ctx, r.name)
	if err != nil {
		return 0, fmt.Errorf("load checkpoint %s: %w", r.name, err)
	}
	r.done = at
	return at, nil
}

// Handle acts on the records of a message and saves the position once behind
// them. When a record fails, those before it are not acted on again by this
// process, and the error is a RecordError.
func (r *Reactor) Handle(m *message.Message) error {
	records, err := Records(m)
	if err != nil {
		return err
	}
	before := r.done
	for _, record := range records {
		if record.Sequence <= r.done {
			continue
		}
		if err = r.act(m.Context(), record); err != nil {
			err = &RecordError{Sequence: record.Sequence, Err: err}
			break
		}
		r.done = record.Sequence
	}
	if err != nil && r.done == before {
		return err
	}
	// Also when everything was done before: an earlier save may have failed.
	if saveErr := r.checkpoints.Save(m.Context(), r.name, r.done); saveErr != nil && err == nil {
		return fmt.Errorf("save checkpoint %s at %d: %w", r.name, r.done, saveErr)
	}
	return err
}
