package keyring

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// The streams of a keyring without a file. All begin with "key-".
//
//	key-register                    what there is: first values, key-encryption keys,
//	                                code keys, signing keys, rotations (register.go)
//	key-subject-<subject>           key and secrets of a subject whose name may stand
//	                                in a stream name
//	key-subject~<SHA-256 in hex>    the same of any other subject
//	key-epoch-<kid>                 a code key, wrapped
//	key-signer-<epoch>-<8 digits>   the private half of a signing key, wrapped
//	key-erased                      the subjects that were erased
//
// What must be forgotten has a stream of its own, which is deleted for good; a
// deleted stream is the tombstone of its key. What must be decided by one node
// at a time, or noted in one commit with something else, is in the register.
const (
	keyPrefix      = "key-"
	registerStream = "key-register"
	erasedStream   = "key-erased"
	subjectPrefix  = "key-subject" // followed by '-' or '~'
	epochPrefix    = "key-epoch-"
	signerPrefix   = "key-signer-"
)

// subjectStream maps subjects to streams one to one: the two forms differ in the
// character behind the prefix, and the name itself stands in each entry.
func subjectStream(subject string) string {
	plain := subjectPrefix + "-" + subject
	if eventstore.CheckStream(plain) == nil {
		return plain
	}
	sum := sha256.Sum256([]byte(subject))
	return subjectPrefix + "~" + hex.EncodeToString(sum[:])
}

// sideVault is the vault in side streams, which several nodes share. A node
// keeps nothing but what it read, and decides each write under the length of
// the stream that it read.
//
// Several nodes may rotate, or be late to hear of a rotation. So that no key is
// lost with the old key-encryption key, one rule holds on every node: a key is
// used only after it was seen wrapped under the key-encryption key that a later
// read of the register named as the one in force. The rotation first puts the
// new one into the register and then lists the streams: a key that anybody uses
// was there before, and is wrapped anew, or is under the new one already.
type sideVault struct {
	side eventstore.Side
	k    *Keyring

	// deciding is held by the one call of this node that decides about the
	// register; a call that holds wrapping, too, took that before.
	deciding sync.Mutex

	mu      sync.Mutex // guards all below
	state   *register  // never changed, only replaced
	erased  uint64     // entries of the list of erasures that are known
	runs    uint64     // watches begun
	watch   watchState
	dropped string // the key-encryption key whose predecessors this node tried to destroy

	stop    context.CancelFunc // ends the watch
	stopped chan struct{}      // closed when it ended
}

var _ vault = (*sideVault)(nil)

// openSide reads the register, writes it when it is new, and begins to watch.
func openSide(ctx context.Context, k *Keyring, o Options) (*sideVault, error) {
	v := &sideVault{side: o.Side, k: k, state: &register{}, stopped: make(chan struct{})}
	st, err := v.fresh(ctx)
	if err == nil && st.n == 0 {
		if o.LedgerNotEmpty {
			return nil, &StartError{Reason: KeysMissing, Path: registerStream, Detail: "the ledger has records whose keys were in the side streams"}
		}
		err = v.begin(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("open keyring: %w", err)
	}
	if err := v.settle(ctx); err != nil {
		var unknown *unknownKEKError
		if errors.As(err, &unknown) {
			return nil, &StartError{Reason: KEKWrong, Path: registerStream, Detail: unknown.Error()}
		}
		return nil, fmt.Errorf("open keyring: %w", err)
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	v.stop = stop
	go v.watchAll(watching)
	return v, nil
}

// begin writes the first values; of several nodes the first one's stay.
func (v *sideVault) begin(ctx context.Context) error {
	var values firstValues
	kek, err := v.k.wrapOne(func() (err error) {
		values, err = v.k.firstValues(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return v.decideRegister(ctx, func(st *register) ([]registerEntry, error) {
		if st.n > 0 {
			return nil, nil
		}
		return []registerEntry{{Kind: entryFirst, At: v.k.now(), KEK: kek, Check: values.check, Index: values.index}}, nil
	})
}

func (v *sideVault) close() error {
	if v.stop != nil {
		v.stop()
		<-v.stopped
	}
	return nil
}

func (v *sideVault) place(subject string) string { return subjectStream(subject) }

func (v *sideVault) meta(ctx context.Context, name string) ([]byte, error) {
	st, err := v.fresh(ctx)
	if err != nil {
		return nil, err
	}
	if name == "check" {
		return st.check, nil
	}
	return st.index, nil
}

// scrub can do nothing: what streams held before is under a key-encryption key
// that is destroyed, or in deleted streams.
func (v *sideVault) scrub(context.Context) error { return nil }

// decision is one append that depends on what the stream holds.
type decision struct {
	stream string
	from   uint64 // the first entry that choose wants to see
	unread bool   // begin with the guess that there is none
	// choose makes the entries to append of those that are there. It may be
	// called several times; the last call's entries are the ones that stand. No
	// entries end the decision.
	choose func(held [][]byte) ([][]byte, error)
}

// maxDecisions limits how often a decision begins again. Each time somebody
// else appended, or nobody knows what happened.
const maxDecisions = 100

// decide appends what a decision chooses. When it returns nil, the entries of
// the last choice stand. It returns eventstore.ErrGone when the stream was
// deleted.
func (v *sideVault) decide(ctx context.Context, d decision) error {
	var tried [][]byte // what may stand at next
	var next uint64
	var last error
	unknown := false
	for round := range maxDecisions {
		var held [][]byte
		if round > 0 || !d.unread {
			var err error
			if held, err = v.entries(ctx, d.stream, d.from); err != nil {
				return err
			}
		}
		if unknown && standsAt(held, next-d.from, tried) {
			return nil
		}
		// After an unknown outcome the same bytes are sent to the same place: the
		// first ones may still arrive, and then they are found.
		if at := d.from + uint64(len(held)); !unknown || at != next {
			chosen, err := d.choose(held)
			if err != nil || len(chosen) == 0 {
				return err
			}
			tried, next, unknown = chosen, at, false
		}
		last = v.side.AppendSide(ctx, d.stream, next, tried...)
		switch {
		case last == nil:
			return nil
		case errors.Is(last, eventstore.ErrOutcomeUnknown):
			unknown = true
		case !errors.Is(last, eventstore.ErrConflict):
			return sideFailure("append to "+d.stream, last)
		}
	}
	return sideFailure("append to "+d.stream, last)
}

// standsAt reports whether entries stand at a place among others.
func standsAt(held [][]byte, at uint64, entries [][]byte) bool {
	if uint64(len(held)) < at+uint64(len(entries)) {
		return false
	}
	return slices.EqualFunc(held[at:at+uint64(len(entries))], entries, bytes.Equal)
}

func (v *sideVault) entries(ctx context.Context, stream string, from uint64) ([][]byte, error) {
	var held [][]byte
	for entry, err := range v.side.ReadSide(ctx, stream, from) {
		if err != nil {
			return nil, sideFailure("read "+stream, err)
		}
		held = append(held, entry)
	}
	return held, nil
}

// delete deletes a stream for good. Doing it again after an unknown outcome is
// harmless.
func (v *sideVault) delete(ctx context.Context, stream string) error {
	var err error
	for range maxMoves {
		if err = v.side.DeleteSide(ctx, stream); !errors.Is(err, eventstore.ErrOutcomeUnknown) {
			break
		}
	}
	return sideFailure("delete "+stream, err)
}

// sideFailure is the only translation of a Side's errors: a deleted stream and
// an ended context stay what they are; everything else is
// eventstore.ErrUnavailable.
func sideFailure(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, eventstore.ErrGone), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, eventstore.ErrUnavailable):
		return fmt.Errorf("%s: %w", doing, err)
	default:
		return fmt.Errorf("%s: %w: %w", doing, eventstore.ErrUnavailable, err)
	}
}

// sideVersion is the version of the entries' format, their member "v".
const sideVersion = 1

// decodeEntry reads an entry of a stream. One that a newer release wrote, or
// that is damaged, ends the use of the stream: what is not understood could be
// the destruction of a key.
func decodeEntry(stream string, text []byte, version *int, into any) error {
	err := json.Unmarshal(text, into)
	switch {
	case err != nil:
		return fmt.Errorf("read %s: %w: an entry is no JSON of ours", stream, eventstore.ErrUnavailable)
	case *version != sideVersion:
		return fmt.Errorf("read %s: %w: an entry of version %d, this release knows %d; use the newer release", stream, eventstore.ErrUnavailable, *version, sideVersion)
	}
	return nil
}

// encodeEntry cannot fail: entries consist of numbers, texts and bytes.
func encodeEntry(entry any) []byte {
	text, err := json.Marshal(entry)
	if err != nil {
		panic("keyring: entry of a side stream does not encode: " + err.Error())
	}
	return text
}

// randomName tells streams apart that were begun for one purpose.
func randomName() string {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails; see crypto/rand
	return hex.EncodeToString(random[:])
}

// parallel is how many streams one call reads or writes at once.
const parallel = 16

// each calls do for 0 to n-1, several at once, and returns the error of the
// first number that failed.
func each(n int, do func(i int) error) error {
	errs := make([]error, n)
	numbers := make(chan int)
	var workers sync.WaitGroup
	for range min(parallel, n) {
		workers.Go(func() {
			for i := range numbers {
				errs[i] = do(i)
			}
		})
	}
	for i := range n {
		numbers <- i
	}
	close(numbers)
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// watchAgain is how long a watch that broke is left alone.
const watchAgain = time.Second

// watchAll evicts what other nodes change, until ctx ends. Nothing is lost when
// it fails: what the caches hold is trusted for a few seconds then.
func (v *sideVault) watchAll(ctx context.Context) {
	defer close(v.stopped)
	timer := time.NewTimer(watchAgain)
	defer timer.Stop()
	for ctx.Err() == nil {
		v.mu.Lock()
		v.runs++
		v.watch = watchState{run: v.runs, since: v.k.clock()}
		v.mu.Unlock()
		for stream, err := range v.side.WatchSide(ctx, keyPrefix) {
			if err != nil {
				break
			}
			v.changed(ctx, stream)
		}
		v.mu.Lock()
		v.watch = watchState{}
		v.mu.Unlock()
		timer.Reset(watchAgain)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

func (v *sideVault) watching() watchState {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.watch
}
