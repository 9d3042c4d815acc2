package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// Times of collecting. Somebody should look when no checkpoint has had all its
// cosignatures for Alarm (security.md §6.3). A log without news is signed once a
// minute, so that an age of a minute is nothing to Warn of.
const (
	Every       = 10 * time.Second
	Warn        = 2 * time.Minute
	Alarm       = 5 * time.Minute
	askTimeout  = 10 * time.Second
	maxAnswer   = 64 << 10 // bytes
	longestWait = 5 * time.Minute
)

// CollectorConfig says what a collector works with. All fields but HTTP,
// Observe and Logger are required.
type CollectorConfig struct {
	History merkle.History
	// Newest is the newest checkpoint that any node of the log published, when
	// there are several and History may be behind. nil: that of History.
	Newest func(context.Context) (merkle.Checkpoint, error)
	// Add keeps a witness's line with the checkpoint of a revision; doing it
	// again must be harmless.
	Add    func(ctx context.Context, revision uint64, line string) error
	Policy merkle.Policy
	Clock  func() time.Time
	HTTP   *http.Client // nil: one with time-outs
	// Observe is told how asking a witness ended: "cosigned", "unreachable",
	// "refused" or "fork". It must not block.
	Observe func(witness, outcome string)
	Logger  *slog.Logger // nil discards
}

// Collector asks the witnesses of a policy for their cosignatures on the newest
// checkpoint. Sealing never waits for it. It is safe for concurrent use.
type Collector struct {
	c     CollectorConfig
	asked []*asked

	turn sync.Mutex // one round at a time

	began time.Time

	mu       sync.Mutex // guards all below, and what is in asked
	quorum   merkle.Checkpoint
	revision uint64 // of that checkpoint
	at       time.Time
	warned   time.Duration      // age of the quorum that was last complained about
	outcomes map[[2]string]uint // requests by witness and outcome
}

// asked is what the log knows of one witness. Its fields are guarded by the
// collector's mu.
type asked struct {
	merkle.Witness

	size      uint64    // it is believed to stand at
	signed    uint64    // revision it last cosigned, 0 for none
	signedAt  time.Time // of its own line
	fork      string    // why it says that the log shows two histories; empty when it does not
	failures  int       // in a row
	notBefore time.Time // it is not asked again before
}

// NewCollector returns a collector; it starts nothing.
func NewCollector(c CollectorConfig) (*Collector, error) {
	if c.History == nil || c.Add == nil || c.Clock == nil || c.Policy.Empty() {
		return nil, errors.New("collect cosignatures: a history, where to keep them, a clock and a policy with a quorum are required")
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{
			Timeout:       askTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	if c.Observe == nil {
		c.Observe = func(string, string) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	out := &Collector{c: c, began: c.Clock(), outcomes: map[[2]string]uint{}}
	for _, w := range c.Policy.Witnesses() {
		out.asked = append(out.asked, &asked{Witness: w})
	}
	return out, nil
}

// Run makes a round at each tick until ctx ends.
func (c *Collector) Run(ctx context.Context, ticks <-chan time.Time) {
	for {
		if err := c.Round(ctx); err != nil && ctx.Err() == nil {
			c.c.Logger.Warn("cosignatures could not be collected", "error", err)
		}
		select {
		case <-ticks:
		case <-ctx.Done():
			return
		}
	}
}

// Round asks every witness that has not cosigned the newest checkpoint, all at
// the same time, and keeps what they answer. An error is the history's; what
// witnesses do is in Status.
func (c *Collector) Round(ctx context.Context) error {
	c.turn.Lock()
	defer c.turn.Unlock()
	newest, err := c.c.History.Latest(ctx)
	if errors.Is(err, eventstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the newest checkpoint: %w", err)
	}
	checkpoint, err := merkle.Unverified(newest.Signed)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	for _, w := range c.asked {
		c.hear(w, newest, checkpoint)
		if c.due(w, newest.Revision) {
			running.Go(func() { c.ask(ctx, w, newest, checkpoint) })
		}
	}
	running.Wait()
	return c.count(ctx, newest.Revision, checkpoint)
}

func (c *Collector) due(w *asked, revision uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return w.signed < revision && !c.c.Clock().Before(w.notBefore)
}

// hear takes note of a cosignature that another node asked for.
func (c *Collector) hear(w *asked, p merkle.Published, checkpoint merkle.Checkpoint) {
	times, err := merkle.CosignedAt(p.Signed, w.Key)
	at, ok := times[w.Key.Name()]
	if err != nil || !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.signed < p.Revision {
		*w = asked{Witness: w.Witness, size: checkpoint.Size, signed: p.Revision, signedAt: at, fork: w.fork}
	}
}

// askAgain is how often a witness that stands elsewhere than believed is asked
// from there: other nodes may move it meanwhile.
const askAgain = 3

// errBehind means that a witness has cosigned what another node published and
// this one has not seen yet.
var errBehind = errors.New("this node is behind the witness")

// ask brings one witness to the checkpoint. A witness that stands elsewhere
// than believed says where, and is asked again from there.
func (c *Collector) ask(ctx context.Context, w *asked, p merkle.Published, checkpoint merkle.Checkpoint) {
	c.mu.Lock()
	from := min(w.size, checkpoint.Size)
	c.mu.Unlock()
	line, err := c.post(ctx, w, from, p, checkpoint)
	var stands *conflictError
	for range askAgain {
		if !errors.As(err, &stands) || stands.size == from {
			break
		}
		if stands.size > checkpoint.Size {
			err = c.ahead(ctx, stands.size, checkpoint)
			break
		}
		from = stands.size
		line, err = c.post(ctx, w, from, p, checkpoint)
	}
	if errors.As(err, &stands) && stands.size == from {
		err = &forkError{fmt.Sprintf("it has cosigned another root for size %d", stands.size)}
	}
	if err == nil {
		err = c.c.Add(ctx, p.Revision, line)
	}
	c.note(ctx, w, p, checkpoint, line, err)
}

// ahead says what it means that a witness stands at a size beyond a checkpoint.
func (c *Collector) ahead(ctx context.Context, size uint64, checkpoint merkle.Checkpoint) error {
	newest := checkpoint
	if c.c.Newest != nil {
		var err error
		if newest, err = c.c.Newest(ctx); err != nil {
			return err
		}
	}
	if size <= newest.Size {
		return errBehind
	}
	return &forkError{fmt.Sprintf("it has cosigned size %d, this log has %d", size, newest.Size)}
}

// note remembers how asking ended.
func (c *Collector) note(ctx context.Context, w *asked, p merkle.Published, checkpoint merkle.Checkpoint, line string, err error) {
	outcome, name := "cosigned", w.Key.Name()
	var fork *forkError
	var refused *refusedError
	switch {
	case ctx.Err() != nil && err != nil, errors.Is(err, errBehind):
		return // the next round asks again
	case errors.As(err, &fork):
		outcome = "fork"
	case errors.As(err, &refused):
		outcome = "refused"
	case err != nil:
		outcome = "unreachable"
	}
	c.c.Observe(name, outcome)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outcomes[[2]string{name, outcome}]++
	if err == nil {
		times, _ := merkle.CosignedAt(merkle.AddLines(p.Signed, line), w.Key) // the line was checked
		*w = asked{Witness: w.Witness, size: checkpoint.Size, signed: p.Revision, signedAt: times[name]}
		return
	}
	if fork != nil && w.fork == "" {
		c.c.Logger.Error("a witness says that this log shows another history than before", "witness", name, "detail", fork.detail)
		w.fork = fork.detail
	}
	if w.failures == 0 && fork == nil {
		c.c.Logger.Warn("a witness did not cosign", "witness", name, "outcome", outcome, "error", err)
	}
	w.failures++
	w.notBefore = c.c.Clock().Add(min(Every<<min(w.failures-1, 8), longestWait))
}

// count looks whether the quorum is complete, and complains once when it has not
// been for long.
func (c *Collector) count(ctx context.Context, revision uint64, checkpoint merkle.Checkpoint) error {
	complete := false
	for p, err := range c.c.History.From(ctx, revision) {
		if err != nil {
			return fmt.Errorf("read checkpoint %d: %w", revision, err)
		}
		complete = p.Revision == revision && c.c.Policy.Satisfied(p.Signed)
		break
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if complete && revision > c.revision {
		c.quorum, c.revision, c.at, c.warned = checkpoint, revision, c.c.Clock(), 0
	}
	age := c.age()
	switch {
	case age >= Alarm && c.warned < Alarm:
		c.c.Logger.Error("no checkpoint has the cosignatures the policy asks for", "since", age.Round(time.Second), "size", c.quorum.Size)
		c.warned = Alarm
	case age >= Warn && c.warned < Warn:
		c.c.Logger.Warn("cosignatures are late", "since", age.Round(time.Second), "size", c.quorum.Size)
		c.warned = Warn
	}
	return nil
}

// age is how long ago a checkpoint got its quorum, or collecting began. The
// caller holds mu.
func (c *Collector) age() time.Duration {
	since := c.at
	if since.IsZero() {
		since = c.began
	}
	return max(c.c.Clock().Sub(since), 0)
}

// conflictError is the answer of a witness that stands at another size.
type conflictError struct{ size uint64 }

func (e *conflictError) Error() string { return fmt.Sprintf("the witness stands at size %d", e.size) }

// forkError means that a witness has cosigned a history that this log does not
// continue. It is never retried into silence.
type forkError struct{ detail string }

func (e *forkError) Error() string { return "the log forked: " + e.detail }

// refusedError is any other answer that is no cosignature.
type refusedError struct{ status int }

func (e *refusedError) Error() string { return fmt.Sprintf("the witness answered %d", e.status) }

// post sends one request and returns the witness's line, checked.
func (c *Collector) post(ctx context.Context, w *asked, from uint64, p merkle.Published, checkpoint merkle.Checkpoint) (string, error) {
	reader := merkle.Tiles(func(level int, n int64) ([]byte, error) { return c.c.History.Tile(ctx, level, n) }).Reader()
	path, err := merkle.ProveConsistency(reader, from, checkpoint.Size)
	if err != nil {
		return "", err
	}
	body := Request{OldSize: from, Path: path, Checkpoint: p.Signed}.Marshal()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", w.URL, err)
	}
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	response, err := c.c.HTTP.Do(request)
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", w.URL, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("read the answer of %s: %w", w.URL, err)
	}
	switch response.StatusCode {
	case http.StatusOK:
		return lineOf(p.Signed, string(answer), w.Key)
	case http.StatusConflict:
		size, err := strconv.ParseUint(strings.TrimSuffix(string(answer), "\n"), 10, 63)
		if err != nil {
			return "", &refusedError{response.StatusCode}
		}
		return "", &conflictError{size}
	case http.StatusUnprocessableEntity:
		return "", &forkError{fmt.Sprintf("size %d is not an extension of what it cosigned at size %d", checkpoint.Size, from)}
	}
	return "", &refusedError{response.StatusCode}
}

// lineOf finds the line of a key in an answer and checks that it is a
// cosignature of the checkpoint.
func lineOf(signed []byte, answer string, key note.Verifier) (string, error) {
	for line := range strings.Lines(answer) {
		if !strings.HasPrefix(line, "— "+key.Name()+" ") || !strings.HasSuffix(line, "\n") {
			continue
		}
		if times, err := merkle.CosignedAt(merkle.AddLines(signed, line), key); err == nil && !times[key.Name()].IsZero() {
			return line, nil
		}
	}
	return "", fmt.Errorf("the answer of witness %s holds no cosignature by its key", key.Name())
}

// WitnessStatus is how one witness stands.
type WitnessStatus struct {
	Name     string
	URL      string
	Size     uint64    // it cosigned last
	SignedAt time.Time // of its last line; zero for none
	Age      time.Duration
	Fork     string // why it says that the log forked; empty when it does not
	Failures int    // in a row
}

// Status is how collecting goes.
type Status struct {
	Witnesses  []WitnessStatus
	QuorumSize uint64        // of the newest checkpoint with a complete quorum
	QuorumAt   time.Time     // when it was complete; zero for never
	QuorumAge  time.Duration // since then, or since the start when never
}

// Forked names the witnesses that say that the log shows two histories.
func (s Status) Forked() (names []string) {
	for _, w := range s.Witnesses {
		if w.Fork != "" {
			names = append(names, w.Name)
		}
	}
	return names
}

// Status returns how collecting goes now.
func (c *Collector) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.c.Clock()
	out := Status{QuorumSize: c.quorum.Size, QuorumAt: c.at, QuorumAge: c.age()}
	for _, w := range c.asked {
		s := WitnessStatus{Name: w.Key.Name(), URL: w.URL, Size: w.size, SignedAt: w.signedAt, Fork: w.fork, Failures: w.failures}
		if !w.signedAt.IsZero() {
			s.Age = max(now.Sub(w.signedAt), 0)
		}
		out.Witnesses = append(out.Witnesses, s)
	}
	return out
}
