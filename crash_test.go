package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/authledger/authledger/api/client"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/api/phone"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/sqlitestore"
)

// crashCycles is how often `make test` kills the program; `make crash` asks for
// more through AUTHLEDGER_CRASH_CYCLES.
const crashCycles = 4

// TestCrashLosesNothingAcknowledged kills the program with SIGKILL while eight
// clients log in, again and again. After each kill every event the program
// acknowledged must stand in the log, once, and every request whose answer was
// lost must come to exactly one outcome when it is sent again.
func TestCrashLosesNothingAcknowledged(t *testing.T) {
	cycles := crashCycles
	if text := os.Getenv("AUTHLEDGER_CRASH_CYCLES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("AUTHLEDGER_CRASH_CYCLES=%q: %v", text, err)
		}
		cycles = n
	}
	data := t.TempDir()
	load := newLoad(t, start(t, data))
	for cycle := 1; cycle <= cycles; cycle++ {
		load.run(time.Duration(50+rand.IntN(400)) * time.Millisecond)
		load.verify()
		load.p = start(t, data)
		load.resend()
	}
	load.p.stop()
	load.verify()
	load.verifyChains()
	t.Logf("%d kills, %d acknowledged requests with %d events, %d requests with a lost answer sent again", cycles, load.requests, len(load.acked), load.resent)
	if load.requests < cycles {
		t.Errorf("only %d requests were acknowledged in %d cycles: the load did not run", load.requests, cycles)
	}
}

// load is eight users logging in by challenge and response.
type load struct {
	t     *testing.T
	p     *product
	users []*person

	mu       sync.Mutex // guards the rest
	acked    map[string]bool
	requests int
	lost     []attempt
	resent   int
}

// attempt is a request whose answer never came.
type attempt struct {
	key, path string
	body      any
}

func newLoad(t *testing.T, p *product) *load {
	l := &load{t: t, p: p, acked: map[string]bool{}}
	for i := range 8 {
		u := newPerson(p, "load"+strconv.Itoa(i), "DE", "IE")
		u.withSMS().withIBKey("ios", "face_id")
		p.post("frontend", "/v1/users/"+u.id+"/seamless", gen.SeamlessRequest{Enabled: false}, nil)
		l.users = append(l.users, u)
	}
	return l
}

// run drives the load for a while, kills the program in the middle of it and
// waits until every client has noticed.
func (l *load) run(d time.Duration) {
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(l.t.Context())
	c := l.p.as("frontend")
	for _, u := range l.users {
		wg.Add(1)
		go func() {
			defer wg.Done()
			ph := phone.Open(u.phone, "", time.Now)
			for ctx.Err() == nil && l.login(ctx, c, u, ph) {
			}
		}()
	}
	timer := time.NewTimer(d)
	<-timer.C
	l.p.kill()
	cancel()
	wg.Wait()
}

// login is one login; false means that the program is gone.
func (l *load) login(ctx context.Context, c *client.Client, u *person, ph *phone.Phone) bool {
	var a gen.Authentication
	if !l.call(ctx, c, "/v1/authentications", gen.StartAuthenticationRequest{
		UserId: gen.UserId(u.id), Purpose: "login", Platform: "client_portal", PrimaryFactor: "verified",
	}, &a, func() []gen.EventId { return a.EventIds }) {
		return false
	}
	if a.Challenge.OfflineChallenge == "" {
		l.t.Errorf("login without a challenge: %+v", a)
		return false
	}
	response, err := ph.Respond(ctx, u.id, a.Challenge.OfflineChallenge, "")
	if err != nil {
		l.t.Errorf("respond: %v", err)
		return false
	}
	var done gen.Challenge
	return l.call(ctx, c, "/v1/challenges/"+string(a.Challenge.Id)+"/responses", gen.ResponseRequest{Response: response}, &done,
		func() []gen.EventId { return done.EventIds })
}

func (l *load) call(ctx context.Context, c *client.Client, path string, body, out any, ids func() []gen.EventId) bool {
	key := "crash-" + strconv.FormatUint(rand.Uint64(), 36)
	_, err := c.PostAs(ctx, key, path, body, out)
	var fault *client.Problem
	switch {
	case err == nil:
		l.acknowledge(ids())
		return true
	case errors.As(err, &fault) && fault.Status != http.StatusServiceUnavailable:
		l.t.Errorf("POST %s: %v", path, err)
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = append(l.lost, attempt{key: key, path: path, body: body})
	return false
}

func (l *load) acknowledge(ids []gen.EventId) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	for _, id := range ids {
		l.acked[string(id)] = true
	}
}

// resend repeats every request without an answer under its own key, twice: both
// times the answer must be the same.
func (l *load) resend() {
	l.t.Helper()
	c := l.p.as("frontend")
	for _, r := range l.lost {
		var first, second struct {
			EventIds []gen.EventId `json:"eventIds"`
		}
		if _, err := c.PostAs(l.t.Context(), r.key, r.path, r.body, &first); err != nil {
			l.t.Errorf("repeat POST %s: %v", r.path, err)
			continue
		}
		again, err := c.PostAs(l.t.Context(), r.key, r.path, r.body, &second)
		if err != nil {
			l.t.Errorf("repeat POST %s: %v", r.path, err)
			continue
		}
		if len(first.EventIds) == 0 || len(first.EventIds) != len(second.EventIds) || first.EventIds[0] != second.EventIds[0] || !again.Replayed {
			l.t.Errorf("repeat of %s under one key: first %v, then %v (replayed %v)", r.path, first.EventIds, second.EventIds, again.Replayed)
		}
		l.acknowledge(first.EventIds)
		l.resent++
	}
	l.lost = nil
}

// verify looks every acknowledged event up in the files as the crash left them.
func (l *load) verify() {
	l.t.Helper()
	reader, err := sqlitestore.OpenReader(l.p.data)
	if err != nil {
		l.t.Fatalf("open the log after the crash: %v", err)
	}
	defer reader.Close()
	for text := range l.acked {
		id, err := codec.ParseEventID(text)
		if err != nil {
			l.t.Fatal(err)
		}
		if _, err := reader.ByID(l.t.Context(), id); err != nil {
			l.t.Fatalf("acknowledged event %s: %v", text, err)
		}
	}
}

// verifyChains reads the whole log: sequences dense, revisions dense, every
// record naming the leaf of the one before it in its stream, and every
// acknowledged event there once.
func (l *load) verifyChains() {
	l.t.Helper()
	reader, err := sqlitestore.OpenReader(l.p.data)
	if err != nil {
		l.t.Fatalf("open the log: %v", err)
	}
	defer reader.Close()
	type head struct {
		next eventstore.Revision
		leaf eventstore.Hash
	}
	heads := map[string]head{}
	times := map[eventstore.EventID]int{} // how often each id stands in the log
	next := eventstore.Sequence(1)
	for r, err := range reader.ReadAll(l.t.Context(), 0) {
		if err != nil {
			l.t.Fatalf("read the log: %v", err)
		}
		h := heads[r.Stream]
		want := `{"prev":"` + h.leaf.String() + `"`
		if r.Sequence != next || r.Revision != h.next || string(r.Metadata[:len(want)]) != want {
			l.t.Fatalf("record %d of %s breaks the order or the chain", r.Sequence, r.Stream)
		}
		heads[r.Stream] = head{next: r.Revision + 1, leaf: r.Leaf()}
		times[r.ID]++
		next++
	}
	for text := range l.acked {
		id, err := codec.ParseEventID(text)
		if err != nil {
			l.t.Fatal(err)
		}
		if times[id] != 1 {
			l.t.Errorf("acknowledged event %s stands in the log %d times, want once", text, times[id])
		}
	}
}
