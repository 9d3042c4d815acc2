package domain

import (
	"fmt"
	"reflect"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The audit reads a user's log as an auditor would, knowing the rules and
// nothing of the code: everything it keeps is its own.

// audit checks every log of the story, and that folding it from the start
// gives the state the story ended with.
func (s *story) audit() {
	s.t.Helper()
	for stream, log := range s.logs {
		fresh := NewState(stream)
		for _, r := range log {
			fresh.Apply(r.Event, r.At)
		}
		if !reflect.DeepEqual(fresh, s.states[stream]) {
			s.t.Errorf("%s folded from the start differs:\n%s", stream, cmp.Diff(fresh, s.states[stream], everything))
		}
		if _, ok := fresh.(*User); !ok {
			continue
		}
		for _, finding := range auditLog(log, s.policies()) {
			s.t.Errorf("%s: %s", stream, finding)
		}
	}
}

// policies is what a user's log alone does not say: the rule book.
type policies struct {
	version func(uint64) (*Policy, error)
	// between are the versions that may have been in force at a moment: two
	// when the rule book changed at that very moment.
	between func(time.Time) (least, most uint64)
	// builtIn reports whether the rules are those of domain.md 9.2, so that the
	// auditor may know them by heart.
	builtIn func() bool
}

func (s *story) policies() policies {
	book := func() *PolicyBook {
		if b, ok := s.states[PolicyStream()].(*PolicyBook); ok {
			return b
		}
		return &PolicyBook{}
	}
	return policies{
		version: func(v uint64) (*Policy, error) { return book().Version(s.policy, v) },
		between: func(at time.Time) (least, most uint64) {
			least, most = s.policy.Version, s.policy.Version
			for _, r := range s.logs[PolicyStream()] {
				if r.At.Before(at) {
					least++
				}
				if !r.At.After(at) {
					most++
				}
			}
			return least, most
		},
		builtIn: func() bool { return book().Changes() == 0 },
	}
}

// auditLog lists the breaches of domain.md section 7 in a user's log.
func auditLog(log []record, p policies) []string {
	a := newAuditor(p)
	for _, r := range log {
		a.see(r)
	}
	a.settle()
	return a.findings
}

func newAuditor(p policies) *auditor {
	return &auditor{
		policies: p, ids: map[string]bool{}, txns: map[string]*auditedTxn{}, challenges: map[string]*auditedChallenge{},
		bound: map[string]*auditedAuthenticator{}, promised: map[string]Kind{}, messages: map[string]SMSRequested{},
		asked: map[string]time.Time{}, processes: map[string]*auditedProcess{}, shipped: map[string]string{},
		waiting: map[string]TemporaryCredentialDelivered{}, ended: map[string]int{},
		privacy: auditedPrivacy{holds: map[string]string{}},
	}
}

// see reads one event. Within one append authenticators take each other's
// place, so what must hold of them together is looked at between appends.
func (a *auditor) see(r record) {
	if r.Append != a.write {
		a.settle()
	}
	a.write = r.Append
	a.where = fmt.Sprintf("event %d, %T at %s", a.seen, r.Event, r.At.Format(time.RFC3339Nano))
	a.must(!r.At.Before(a.at), "time goes back")
	a.at = r.At
	a.seen++
	a.read(r.Event)
}

type auditor struct {
	policies policies
	seen     int
	write    int // append of the event before
	at       time.Time
	where    string
	findings []string

	closed     bool
	ids        map[string]bool
	residences []datedCountry
	txns       map[string]*auditedTxn
	challenges map[string]*auditedChallenge
	messages   map[string]SMSRequested
	asked      map[string]time.Time // last request by phone and purpose that did not fail to send

	bound    map[string]*auditedAuthenticator
	promised map[string]Kind   // ids given out for authenticators that may be bound later
	shipped  map[string]string // unit to the date its activation is due
	verified string            // enrolment whose local check was the last thing that happened
	enrolled string            // authenticator bound last
	ended    map[string]int    // revoked authenticators, and in which append
	bereft   bool              // the user gave up an authenticator and must not be left without (D-43)
	stepUp   time.Time         // last answer of a permanent authenticator outside a login

	processes map[string]*auditedProcess
	waiting   map[string]TemporaryCredentialDelivered
	idv       string
	idvEnds   time.Time
	temporary bool // a passcode was issued, and no permanent authenticator answered since

	failures    []time.Time
	lockedUntil time.Time

	optOut     string
	optOutEnds *time.Time

	privacy auditedPrivacy
}

func (a *auditor) breach(format string, args ...any) {
	a.findings = append(a.findings, a.where+": "+fmt.Sprintf(format, args...))
}

func (a *auditor) must(holds bool, rule string) {
	if !holds {
		a.breach("%s", rule)
	}
}

func (a *auditor) fresh(id string) {
	ref, ok := ParseRef(id)
	a.must(ok && ref.N > 0, "malformed id "+id)
	a.must(!a.ids[id], "id given out twice: "+id)
	a.ids[id] = true
}

func (a *auditor) read(e Event) {
	a.must(!a.closed || lateEvent(e), "event after UserClosed (I-4)")
	a.readPrivacy(e)
	switch e := e.(type) {
	case UserClosed:
		a.closed = true
		a.readClosed()
	case ResidenceChanged:
		a.residences = append(a.residences, datedCountry{cc: e.To, on: e.EffectiveOn})
	case PhoneNumberAdded:
		a.fresh(e.PhoneID)
	case PhoneVerificationStarted:
		a.fresh(e.VerificationID)
	case IdentityVerifiedByAgent:
		a.fresh(e.IDVID)
		a.idv, a.idvEnds = e.IDVID, e.ExpiresAt
	case IdentityVerificationFailed:
		a.idv = ""
	case PushSent:
		a.fresh(e.PushID)
	case SecurityNotificationSent:
		a.fresh(e.NotificationID)
	case SecurityNotificationFailed:
		a.fresh(e.NotificationID)
	case SMSRequested:
		a.readSMSRequest(e)
	case SMSRequestRefused:
		if c := a.challenges[e.SubjectID]; c != nil {
			c.smsAsked = c.smsAsked || e.Reason == ReasonSMSCooldown
		}
	case SMSSendFailed:
		if m, ok := a.messages[e.SMSID]; ok {
			delete(a.asked, m.PhoneID+string(m.Purpose))
		}
	default:
		a.readAuthenticator(e)
		a.readAuthentication(e)
		a.readProcess(e)
		a.readTemporary(e)
		a.readOptOut(e)
	}
}

// readClosed: nothing is left under way.
func (a *auditor) readClosed() {
	a.must(len(a.bound) == 0, "closed with bound authenticators")
	for id, c := range a.challenges {
		a.must(!a.openChallenge(c), "closed with an open challenge "+id)
	}
	for id, t := range a.txns {
		a.must(t.ended || !t.primary || !a.at.Before(t.expires), "closed with an open transaction "+id)
	}
	for id, p := range a.processes {
		a.must(!a.openProcess(p), "closed with an open process "+id)
	}
}

func (a *auditor) readSMSRequest(e SMSRequested) {
	a.fresh(e.SMSID)
	key := e.PhoneID + string(e.Purpose)
	if last, ok := a.asked[key]; ok {
		a.must(a.at.Sub(last) >= 120*time.Second, "two messages within 120 s (D-10)")
	}
	a.asked[key], a.messages[e.SMSID] = a.at, e
	if c := a.challenges[e.SubjectID]; c != nil {
		c.smsAsked = true
	}
}

func (a *auditor) identified(idv string) {
	a.must(idv != "" && idv == a.idv && a.at.Before(a.idvEnds), "an agent acted without a live identity verification (I-5)")
}
