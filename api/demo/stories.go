package demo

import (
	"fmt"
	"time"

	"github.com/authledger/authledger/eventstore/codec"
)

// Story is one flow of the demo's history, told by users of its own.
type Story struct {
	Name      string
	Reference string   // the broker's reference of its first user
	UserID    string   // of the same
	What      string   // one sentence
	Cast      []string // references of all its users
}

// Stories lists the stories, in the order in which they begin. Every history
// with enough users tells all of them, whatever its seed.
func Stories() []Story {
	out := make([]Story, 0, len(plots))
	for _, s := range plots {
		told := Story{Name: s.name, What: s.what}
		for _, r := range s.cast {
			told.Cast = append(told.Cast, reference(r.n))
		}
		if len(told.Cast) > 0 {
			told.Reference, told.UserID = told.Cast[0], codec.UserIDOf(told.Cast[0])
		}
		out = append(out, told)
	}
	return out
}

// plot is how a story is told.
type plot struct {
	name, what string
	day        int // it begins this many days after the history, or longAgo
	cast       []role
	tell       func(t *tale, cast []*person)
}

// longAgo is the day of a story that begins at the opening, years before the
// history proper.
const longAgo = -1

// begins is the day on which a story begins.
func (w *world) begins(s plot) time.Time {
	if s.day == longAgo {
		return Opening(w.From)
	}
	return w.From.Add(time.Duration(s.day) * day)
}

// planStories gives the people of every story their parts and puts its
// beginning on the agenda. It answers who has a part, and when they join. A story whose people are
// more than the users there are is left out.
func (w *world) planStories(people []*person) map[int]time.Time {
	joins := map[int]time.Time{}
	for _, s := range plots {
		players := make([]*person, 0, len(s.cast))
		for _, r := range s.cast {
			if r.n <= len(people) {
				players = append(players, people[r.n-1])
			}
		}
		if len(players) < len(s.cast) {
			continue
		}
		for i, r := range s.cast {
			players[i].role = r
			joins[r.n] = w.From.Add(time.Duration(r.n) * 11 * time.Minute) // in the order of their numbers, before any story
			if s.day == longAgo {
				joins[r.n] = w.begins(s).Add(time.Duration(r.n) * time.Minute)
			}
		}
		w.story(w.begins(s).Add(9*time.Hour), func(t *tale) {
			for _, p := range players {
				p.busy = true
			}
			s.tell(t, players)
			for _, p := range players {
				p.busy = false
			}
			if t.err != nil {
				t.err = fmt.Errorf("story %s: %w", s.name, t.err)
			}
		})
	}
	return joins
}

const day = 24 * time.Hour
