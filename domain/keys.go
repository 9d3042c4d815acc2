package domain

import (
	"fmt"
	"time"
)

// What happens to keys that concerns the record: after a code epoch's key is
// destroyed, nobody can compute the codes derived under it any more.

// RecordCodeEpochDestroyed says that the key of a code epoch is gone.
type RecordCodeEpochDestroyed struct{ Kid string }

// CodeEpochDestroyed records it. The key is destroyed first.
type CodeEpochDestroyed struct {
	Kid string `json:"kid"`
}

// Keys is the state of the stream of keys: it has none.
type Keys struct{}

// Apply records nothing.
func (*Keys) Apply(Event, time.Time) {}

func decideKeys(c Command) ([]Event, error) {
	switch c := c.(type) {
	case RecordCodeEpochDestroyed:
		if c.Kid == "" {
			return nil, invalid("kid", "name the code epoch")
		}
		return []Event{CodeEpochDestroyed{Kid: c.Kid}}, nil
	}
	return nil, fmt.Errorf("command %s does not belong to the keys", c.Name())
}
