package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
)

// logins measures whole logins over HTTP against echo without a store, the
// same without HTTP, and whether a long history makes them dearer.
func (s *session) logins(ctx context.Context, dir string) (rows []Row, err error) {
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	target, err := s.Boot(ctx, data)
	if err != nil {
		return nil, fmt.Errorf("boot the product: %w", err)
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	l := &loginLoad{session: s, journal: target.Journal}
	if err := l.prepare(ctx); err != nil {
		return nil, err
	}
	if l.product, err = l.dialAll(target.URL, target.FrontendKey); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll(l.product)) }()
	f, err := l.floor()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if l.bare, err = l.dialAll(f.url, target.FrontendKey); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll(l.bare)) }()
	return l.measure(ctx)
}

type loginLoad struct {
	*session
	journal *journal.Journal

	people      []*person // who log in; client i has every clients-th from i on
	short, long []*person // those compared by their history
	product     []*client
	bare        []*client
	turn        int // of whom in people to begin with, so that everybody gets one
}

func (l *loginLoad) prepare(ctx context.Context) (err error) {
	l.say("login: setting up %d users", l.users+2*l.histories)
	everybody, err := settle(ctx, l.journal, 0, l.users+2*l.histories)
	if err != nil {
		return err
	}
	l.people = everybody[:l.users]
	l.short, l.long = everybody[l.users:l.users+l.histories], everybody[l.users+l.histories:]
	l.say("login: writing histories of %d and %d events", l.session.short, l.session.long)
	if err := grow(ctx, l.journal, l.short, l.session.short); err != nil {
		return err
	}
	return grow(ctx, l.journal, l.long, l.session.long)
}

func (l *loginLoad) dialAll(url, key string) ([]*client, error) {
	var all []*client
	for range l.clients {
		c, err := dial(url, key)
		if err != nil {
			return nil, errors.Join(err, closeAll(all))
		}
		all = append(all, c)
	}
	return all, nil
}

func closeAll(all []*client) error {
	var errs []error
	for _, c := range all {
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}

// floor serves what the product answers to one login.
func (l *loginLoad) floor() (*floor, error) {
	c, p := l.product[0], l.people[0]
	status, body, err := c.post(pathStart, p.started)
	if err != nil {
		return nil, err
	}
	if status != http.StatusCreated {
		return nil, unexpected(pathStart, status, body)
	}
	started := append([]byte(nil), body...)
	id, _ := text(started, "id")
	question, _ := text(started, "offlineChallenge")
	response, err := p.respond(question)
	if err != nil {
		return nil, err
	}
	path := "/v1/challenges/" + id + "/responses"
	if status, body, err = c.post(path, fmt.Appendf(nil, `{"response":"%s"}`, response)); err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, unexpected(path, status, body)
	}
	return openFloor(started, body)
}

// loginResult holds rates in logins/s and times in ms, by round.
type loginResult struct{ rate, p50, p99 series }

func (r *loginResult) add(l load) {
	r.rate, r.p50, r.p99 = append(r.rate, l.rate()), append(r.p50, l.p50()), append(r.p99, l.p99())
}

func (l *loginLoad) measure(ctx context.Context) ([]Row, error) {
	var own, bare, inner, short, long loginResult
	sides := func(round int) []func() error {
		return []func() error{
			func() error {
				return l.profiled("login", round, func() error { return l.over(ctx, l.product, &own) })
			},
			func() error { return l.over(ctx, l.bare, &bare) },
			func() error {
				return l.profiled("journal", round, func() error { return l.inside(ctx, &inner) })
			},
			func() error { return l.each(ctx, l.short, &short) },
			func() error { return l.each(ctx, l.long, &long) },
		}
	}
	l.say("login: warming up")
	var unmeasured loginResult
	for _, clients := range [][]*client{l.product, l.bare} {
		if err := l.over(ctx, clients, &unmeasured); err != nil {
			return nil, err
		}
	}
	for round := range l.rounds {
		l.say("login: round %d of %d", round+1, l.rounds)
		if err := alternate(round, sides(round)...); err != nil {
			return nil, err
		}
	}
	const echo, few = "echo without a store", "users with a short history"
	name := func(what string) string { return fmt.Sprintf("%s, %d clients", what, l.clients) }
	history := fmt.Sprintf("logins, users with %d events", l.session.long)
	return []Row{
		measured(name("logins over HTTP"), "logins/s", own.rate).against(echo, own.rate, bare.rate).atLeast("P1 G13", 0.25),
		measured(name("login p50"), "ms", own.p50).against(echo, own.p50, bare.p50),
		measured(name("login p99"), "ms", own.p99).against(echo, own.p99, bare.p99).valueAtMost("P1 G13", 10),
		measured(name("logins without HTTP"), "logins/s", inner.rate).against(echo, inner.rate, bare.rate),
		measured(fmt.Sprintf("logins, users with %d events", l.session.short), "logins/s", short.rate),
		measured(history, "logins/s", long.rate).against(few, long.rate, short.rate).atLeast("G15", 0.95),
	}, nil
}

// over lets every client log in its share of the people, for a window.
func (l *loginLoad) over(ctx context.Context, clients []*client, out *loginResult) error {
	turn := l.turn
	done, err := drive(ctx, len(clients), extent{window: l.window}, func(_ context.Context, i, n int) error {
		return clients[i].login(l.people[(i+(turn+n)*len(clients))%len(l.people)])
	})
	if err != nil {
		return err
	}
	l.turn += done.done / len(clients)
	out.add(done)
	return nil
}

// each logs all of some people in, a fixed number of times.
func (l *loginLoad) each(ctx context.Context, people []*person, out *loginResult) error {
	share := len(people) / len(l.product)
	done, err := drive(ctx, len(l.product), extent{each: share * l.repeats}, func(_ context.Context, i, n int) error {
		return l.product[i].login(people[i+n%share*len(l.product)])
	})
	if err != nil {
		return err
	}
	out.add(done)
	return nil
}

// inside does the same commands as a login over HTTP.
func (l *loginLoad) inside(ctx context.Context, out *loginResult) error {
	turn := l.turn
	done, err := drive(ctx, l.clients, extent{window: l.window}, func(ctx context.Context, i, n int) error {
		p := l.people[(i+(turn+n)*l.clients)%len(l.people)]
		return untilLetIn(func() (bool, error) { return l.try(ctx, p) })
	})
	if err != nil {
		return err
	}
	l.turn += done.done / l.clients
	out.add(done)
	return nil
}

func (l *loginLoad) try(ctx context.Context, p *person) (in bool, err error) {
	c := newcomer{j: l.journal}
	out, err := c.do(ctx, domain.StartAuthentication{UserID: p.userID, Purpose: domain.PurposeLogin, Platform: domain.ClientPortal, PrimaryVerified: true})
	if err != nil {
		return false, err
	}
	issued, err := event[domain.ChallengeIssued](out)
	if err != nil {
		return false, err
	}
	var challenge domain.Challenge
	err = l.journal.User(ctx, p.userID, func(u *domain.User, _ time.Time) error {
		challenge, _ = u.Challenge(issued.ChallengeID)
		return nil
	})
	if err != nil {
		return false, err
	}
	question, err := l.journal.Shown(ctx, challenge)
	if err != nil {
		return false, err
	}
	response, err := p.respond(question)
	if err != nil {
		return false, err
	}
	if out, err = c.do(ctx, domain.SubmitResponse{ChallengeID: issued.ChallengeID, Response: domain.Secret(response)}); err != nil {
		return false, err
	}
	_, err = event[domain.AuthenticationSucceeded](out)
	return err == nil, nil // without it the response was refused
}
