package erase

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/keyring"
)

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
