package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
)

// watching wraps a journal to tell when a poll has begun to watch.
type watching struct {
	Journal
	began chan struct{}
}

func (w watching) Watch(stream string) (<-chan struct{}, func()) {
	c, stop := w.Journal.Watch(stream)
	w.began <- struct{}{}
	return c, stop
}

// pollWorld is a world with a challenge that waits, and a way to poll it.
func pollWorld(t *testing.T) (w *world, c gen.Challenge, poll func(query string, header ...string) <-chan answer) {
	began := make(chan struct{}, 10)
	w = newWorld(t, func(c *Config) { c.Journal = watching{c.Journal, began} })
	w.register()
	w.enrollSMS()
	c = w.login().Challenge
	return w, c, func(query string, header ...string) <-chan answer {
		out := make(chan answer, 1)
		go func() { out <- w.get(access.Frontend, "/v1/challenges/"+c.Id+query, header...) }()
		<-began
		return out
	}
}

func TestPollWakesWhenTheChallengeIsAnswered(t *testing.T) {
	t.Parallel()
	w, c, poll := pollWorld(t)
	tag := (<-poll("")).header.Get("ETag")
	if tag == "" || strings.Contains(tag, "+") {
		t.Fatalf("ETag %q", tag)
	}
	polls := map[string]<-chan answer{"with ETag": poll("?wait=30", "If-None-Match", tag), "without": poll("?wait=30")}
	for name, p := range polls {
		select {
		case a := <-p:
			t.Fatalf("%s: answered before anything changed: %d %s", name, a.status, a.body)
		default:
		}
	}
	code := w.codeFor(domain.PurposeLogin, c.Id)
	w.post(access.Frontend, "/v1/challenges/"+c.Id+"/responses", map[string]any{"response": code})
	for name, p := range polls {
		a := <-p
		got := want[gen.Challenge](t, a, 200)
		if got.Result != gen.ResultAllow || a.header.Get("ETag") == tag || a.header.Get(headerReadAt) == "" {
			t.Fatalf("%s: %+v", name, got)
		}
	}
	// Settled challenges are answered at once, and 304 to those who know.
	now := <-poll("?wait=30")
	if want[gen.Challenge](t, now, 200).Result != gen.ResultAllow {
		t.Fatal("settled challenge")
	}
}

func TestPollEndsUnchanged(t *testing.T) {
	t.Parallel()
	w, _, poll := pollWorld(t)
	tag := (<-poll("")).header.Get("ETag")
	if a := <-poll("?wait=0", "If-None-Match", tag); a.status != http.StatusNotModified || len(a.body) != 0 || a.header.Get("ETag") != tag {
		t.Fatalf("no wait: %d %s", a.status, a.body)
	}
	p := poll("?wait=30", "If-None-Match", tag)
	w.server.EndPolls()
	if a := <-p; a.status != http.StatusNotModified {
		t.Fatalf("at shutdown: %d %s", a.status, a.body)
	}
	if a := <-poll("?wait=30"); a.status != http.StatusOK {
		t.Fatalf("after it: %d", a.status)
	}
}

func TestPollSeesTheChallengeExpire(t *testing.T) {
	t.Parallel()
	w, c, poll := pollWorld(t)
	tag := (<-poll("")).header.Get("ETag")
	w.clock.advance(c.ExpiresAt.Sub(w.clock.Now()) - 20*time.Millisecond)
	p := poll("?wait=30", "If-None-Match", tag)
	w.clock.advance(20 * time.Millisecond)
	got := want[gen.Challenge](t, <-p, 200)
	if got.Status != gen.ChallengeStatusExpired || got.Result != gen.ResultDeny || got.ReasonCode != "CHALLENGE_EXPIRED" {
		t.Fatalf("expired: %+v", got)
	}
}

func TestETagsDoNotDependOnTheDigits(t *testing.T) {
	t.Parallel()
	a, err := etag(gen.Challenge{Id: "c", MatchNumber: "123456", OfflineChallenge: "1"})
	b, err2 := etag(gen.Challenge{Id: "c", MatchNumber: "654321"})
	c, err3 := etag(gen.Challenge{Id: "c", Attempts: 1})
	if err != nil || err2 != nil || err3 != nil || a != b || a == c {
		t.Errorf("tags %s %s %s", a, b, c)
	}
}

func TestWaitIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	c := w.login().Challenge
	for _, wait := range []string{"31", "-1", "x", "1e1"} {
		if a := w.get(access.Frontend, "/v1/challenges/"+c.Id+"?wait="+wait); a.status != http.StatusBadRequest {
			t.Errorf("wait=%s: %d", wait, a.status)
		}
	}
}
