package domain

import (
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// How long the records of a person are kept (D-30; security.md 7): dated policy
// data, the longest of every jurisdiction the person ever had to do with.
//
// It is counted from the newest record of the user's stream. Records of
// erasures, holds, reveals, annotations and notices do not count: otherwise
// asking to be forgotten, or telling somebody that it was refused, would put it
// off. A login that was refused counts like any other record (G-8).

// Retention is how long a person's records must be kept, and by which rule.
type Retention struct {
	Rule  string    `json:"rule"`  // parameter, or rule with the effect retain, that keeps them longest
	CC    string    `json:"cc"`    // its jurisdiction; "*" for everybody
	Years int       `json:"years"` // calendar years in UTC
	From  time.Time `json:"from"`  // newest record that counts
}

// Until is the first moment at which the records need not be kept any more. A
// 29 February that the last year lacks becomes the day after.
func (r Retention) Until() time.Time { return r.From.UTC().AddDate(r.Years, 0, 0) }

// retentionParameters are the terms built into the program, by jurisdiction.
var retentionParameters = []struct{ cc, name string }{
	{everyCountry, pRetention}, {"HK", pRetentionHK}, {"IN", pRetentionIN}, {"US", pRetentionUS},
}

// retentions lists the terms in effect at a moment: the parameters, then the
// active rules of the rule book with the effect retain, in order of their ids.
func (p *Policy) retentions(at time.Time) []Retention {
	var out []Retention
	for _, r := range retentionParameters {
		out = append(out, Retention{Rule: r.name, CC: r.cc, Years: int(p.Int(r.name, at))})
	}
	builtIn := len(out)
	for i := range p.Rules {
		r := &p.Rules[i]
		if e := r.effect(EffectRetain); e != nil && r.Status == statusActive && r.inForce(at) {
			out = append(out, Retention{Rule: r.ID, CC: r.CC, Years: yearsOf(e.Duration)})
		}
	}
	sort.SliceStable(out[builtIn:], func(i, j int) bool { return out[builtIn+i].Rule < out[builtIn+j].Rule })
	return out
}

// yearsOf reads a duration such as "8y"; 0 for anything else.
func yearsOf(duration string) int {
	digits, ok := strings.CutSuffix(duration, "y")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 0 || n > maxRetention {
		return 0
	}
	return n
}

// maxRetention keeps a slip of the pen from keeping somebody's data for ever.
const maxRetention = 100

// retention is the term for this user: the longest of all that apply.
func (d *decision) retention() Retention {
	countries, complete := d.u.jurisdictions(d.f.Clients)
	var longest Retention
	for _, r := range d.p.retentions(d.now) {
		// What is not known could be the strictest.
		applies := r.CC == everyCountry || !complete || slices.Contains(countries, r.CC)
		if applies && r.Years > longest.Years {
			longest = r
		}
	}
	longest.From = d.u.recordedAt
	return longest
}

// jurisdictions are all countries of the user's life, from whatever date: those
// of residence, and of the entities that ever carried the accounts the user
// ever had access to. complete is false when one of these facts is missing.
func (u *User) jurisdictions(clients map[string]*Client) (countries []string, complete bool) {
	complete = len(u.residences) > 0
	for _, r := range u.residences {
		countries = append(countries, r.cc)
	}
	for _, id := range u.ClientsEver() {
		c := clients[id]
		if c == nil || len(c.carrying) == 0 {
			complete = false
			continue
		}
		for _, r := range c.carrying {
			countries = append(countries, r.cc)
		}
	}
	return countries, complete
}

// ClientsEver lists the user's own client and every other whose accounts the
// user may use, may once have used, or may use from a later date, each once.
func (u *User) ClientsEver() []string {
	out := []string{u.ClientID}
	for _, a := range u.access {
		if !slices.Contains(out, a.clientID) {
			out = append(out, a.clientID)
		}
	}
	return out
}

// extendsRetention reports whether a record of the user's stream begins the
// time anew for which all of them are kept.
func extendsRetention(e Event) bool {
	switch e.(type) {
	case ErasureRequested, ErasureRefused, ProcessingRestricted, PersonalDataErased, LegalHoldPlaced, LegalHoldReleaseRequested,
		LegalHoldReleased, PersonalDataRevealed, EventAnnotated, SecurityNotificationSent, SecurityNotificationFailed:
		return false
	}
	return true
}
