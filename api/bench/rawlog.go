package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// rawLog is the limit of durable appends: one goroutine takes everything that
// waits, overwrites a preallocated file in sequence, flushes it once and
// answers. It keeps no order between streams, no index and no hash.
type rawLog struct {
	file    *os.File
	size    int64
	queue   chan rawAppend
	ended   chan struct{} // closed when the writer has ended
	commits int           // owned by the writer until ended
	written int           // frames, likewise
}

type rawAppend struct {
	frame []byte
	done  chan<- error // takes one answer without blocking
}

// rawBatch bounds what one write takes, in frames.
const rawBatch = 4096

func openRawLog(path string, size int64) (*rawLog, error) {
	f, err := preallocate(path, size)
	if err != nil {
		return nil, err
	}
	l := &rawLog{file: f, size: size, queue: make(chan rawAppend, rawBatch), ended: make(chan struct{})}
	go l.run()
	return l, nil
}

// preallocate writes a file of zeros, so that later writes change no metadata.
func preallocate(path string, size int64) (*os.File, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < size && err == nil; at += int64(len(zeros)) {
		_, err = f.Write(zeros[:min(int64(len(zeros)), size-at)])
	}
	if err = errors.Join(err, f.Sync()); err != nil {
		return nil, errors.Join(fmt.Errorf("preallocate %s: %w", path, err), f.Close())
	}
	return f, nil
}

func (l *rawLog) run() {
	defer close(l.ended)
	var at int64
	var buf []byte
	var waiting []chan<- error
	for first := range l.queue {
		buf, waiting = append(buf[:0], first.frame...), append(waiting[:0], first.done)
		for more := true; more && len(waiting) < rawBatch; {
			select {
			case a, ok := <-l.queue:
				if more = ok; ok {
					buf, waiting = append(buf, a.frame...), append(waiting, a.done)
				}
			default:
				more = false
			}
		}
		if at+int64(len(buf)) > l.size {
			at = 0
		}
		_, err := l.file.WriteAt(buf, at)
		if err == nil {
			err = flush(l.file)
		}
		at += int64(len(buf))
		l.commits++
		l.written += len(waiting)
		for _, done := range waiting {
			done <- err
		}
	}
}

// close waits for the writer. Nobody may be appending.
func (l *rawLog) close() error {
	close(l.queue)
	<-l.ended
	return l.file.Close()
}

// measureRaw drives the limit with frames of the same bytes as the records.
func measureRaw(ctx context.Context, dir string, size int64, callers int, e extent, frame func(n int) []byte) (l load, perCommit float64, err error) {
	log, err := openRawLog(filepath.Join(dir, "raw.log"), size)
	if err != nil {
		return load{}, 0, err
	}
	done := make([]chan error, callers)
	for i := range done {
		done[i] = make(chan error, 1)
	}
	l, err = drive(ctx, callers, e, func(_ context.Context, caller, n int) error {
		log.queue <- rawAppend{frame: frame(caller + n*callers), done: done[caller]}
		return <-done[caller]
	})
	if err = errors.Join(err, log.close()); err != nil {
		return load{}, 0, fmt.Errorf("write the raw log: %w", err)
	}
	return l, float64(log.written) / float64(log.commits), nil
}

// flushTimes are those of overwriting and flushing 4 KiB, sorted.
func flushTimes(dir string) ([]time.Duration, error) {
	const size = 4 << 10
	f, err := preallocate(filepath.Join(dir, "flush"), size)
	if err != nil {
		return nil, err
	}
	page := make([]byte, size)
	took := make([]time.Duration, 200)
	for i := range took {
		before := time.Now()
		if _, err = f.WriteAt(page, 0); err == nil {
			err = flush(f)
		}
		if err != nil {
			break
		}
		took[i] = time.Since(before)
	}
	slices.Sort(took)
	return took, errors.Join(err, f.Close(), os.Remove(f.Name()))
}
