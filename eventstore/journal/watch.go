package journal

import (
	"context"
	"sync"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

// watches wakes those who wait for a stream to change.
type watches struct {
	mu      sync.Mutex
	streams map[string]map[chan struct{}]bool // guarded by mu
}

// Watch returns a channel that receives after the stream got new events through
// this journal or, in a shared store, through another that Notice was told of. It
// may receive when nothing is new, and several changes may be one receive; so
// look at the state first, then wait. stop ends the watch and must be called.
func (j *Journal) Watch(stream string) (changed <-chan struct{}, stop func()) {
	w := &j.watches
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.streams == nil {
		w.streams = map[string]map[chan struct{}]bool{}
	}
	if w.streams[stream] == nil {
		w.streams[stream] = map[chan struct{}]bool{}
	}
	w.streams[stream][c] = true
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.streams[stream], c)
		if len(w.streams[stream]) == 0 {
			delete(w.streams, stream)
		}
	}
}

// Notice tells the journal what was appended to a shared store, by this process
// or another, in order and as it comes: it wakes who watches and reads a rule book
// that has changed. Nothing is wrong without it, only late: reads are fresh by
// themselves, decisions obey new rules within a second, and who watches wakes at
// the end of the wait. On an error the same records may be told again.
func (j *Journal) Notice(ctx context.Context, records []eventstore.Record) error {
	ruled := false
	for _, r := range records {
		j.watches.notify(r.Stream)
		ruled = ruled || r.Stream == domain.PolicyStream()
	}
	if !ruled {
		return nil
	}
	_, err := j.PolicyKnownAt(ctx, time.Time{})
	return err
}

func (w *watches) notify(stream string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.streams[stream] {
		select {
		case c <- struct{}{}:
		default: // one is waiting to be received already
		}
	}
}
