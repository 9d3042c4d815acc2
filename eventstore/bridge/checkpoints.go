package bridge

import (
	"context"
	"sync"

	"github.com/authledger/authledger/eventstore"
)

// Checkpoints store how far a named consumer has come.
//
// Save MUST be durable when it returns nil and MUST NOT lower a stored
// sequence: two subscriptions of one name may report in any order. Load MUST
// return zero without an error for a name that was never saved. Both MUST be
// safe for concurrent use.
type Checkpoints interface {
	Load(ctx context.Context, name string) (eventstore.Sequence, error)
	Save(ctx context.Context, name string, at eventstore.Sequence) error
}

// MemoryCheckpoints are Checkpoints that last as long as the process: right
// for tests and for an in-memory log, wrong for anything else.
type MemoryCheckpoints struct {
	mu sync.Mutex // guards at
	at map[string]eventstore.Sequence
}

// NewMemoryCheckpoints returns empty checkpoints.
func NewMemoryCheckpoints() *MemoryCheckpoints {
	return &MemoryCheckpoints{at: map[string]eventstore.Sequence{}}
}

// Load implements Checkpoints.
func (c *MemoryCheckpoints) Load(ctx context.Context, name string) (eventstore.Sequence, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at[name], ctx.Err()
}

// Save implements Checkpoints.
func (c *MemoryCheckpoints) Save(ctx context.Context, name string, at eventstore.Sequence) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at[name] = max(c.at[name], at)
	return nil
}
