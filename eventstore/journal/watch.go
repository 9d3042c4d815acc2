package journal

import "sync"

// watches wakes those who wait for a stream to change.
type watches struct {
	mu      sync.Mutex
	streams map[string]map[chan struct{}]bool // guarded by mu
}

// Watch returns a channel that receives after the stream got new events
// through this journal. Several changes may be one receive; so look at the
// state first, then wait. stop ends the watch and must be called.
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
