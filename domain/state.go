package domain

import (
	"sort"
	"time"
)

// User is what one user's stream adds up to. It is bounded: closed things are
// kept only while a late answer to them may still arrive. Methods that read are
// safe for concurrent use as long as nobody calls Apply.
type User struct {
	ID       string
	ClientID string
	Role     Role
	Locale   string

	registered bool
	closed     bool
	n          uint64 // highest number given to an id in this stream
	seamless   bool

	residences []datedCountry
	access     []datedAccess

	phones        map[string]*Phone
	verifications recent[Verification]
	cooldowns     map[cooldownKey]cooldown
	messages      recent[SMS]
	calls         recent[Call]

	enrollments    recent[Enrollment]
	authenticators []*Authenticator // bound ones: active, suspended or expired, not revoked
	cards          recent[CodeCard] // issued and not yet activated
	requests       recent[DeviceRequest]
	devices        recent[ShippedDevice] // on their way to the user
	migrations     recent[Migration]
	recoveries     recent[Recovery]
	unifications   recent[Unification]
	sharings       recent[Sharing]
	deliveries     recent[CredentialDelivery]
	tempIssued     bool // a temporary passcode was issued and no permanent authenticator answered since (D-55)

	transactions recent[Transaction]
	challenges   recent[Challenge]
	pushes       []time.Time    // of the last hour
	usedSteps    []usedResponse // of the last minutes

	failures    []time.Time // consecutive counted failures
	lockedUntil time.Time
	lockOpen    bool // locked and not yet unlocked by an event
	idvID       string
	idvUntil    time.Time

	optOut *OptOut

	recordedAt time.Time // newest record that extends the retention
	erasure    erasure
	holds      []Hold // in force, oldest first
}

// datedCountry holds from the start of a day; Policy.Start says when that is.
type datedCountry struct {
	cc    string
	on    string // ISO 8601 date
	moved bool   // of a holder who was one before
}

type datedAccess struct {
	clientID string
	granted  bool
	on       string
}

type cooldownKey struct {
	phoneID string
	purpose Purpose
}

type cooldown struct {
	at    time.Time
	smsID string
}

type usedResponse struct {
	challengeID string
	step        uint64
	at          time.Time
}

// Phone of a user.
type Phone struct {
	ID       string
	CC       string
	Line     Line
	Verified bool
	Retired  bool
	// Number is sealed under the id of the event with ordinal and revision the
	// caller knows; see the journal.
	Number     Personal
	Order      int       // position in which it was added, from 0
	VerifiedAt time.Time // of the last verification
	open       string    // verification that counts
}

// Issued is one derived code that went out.
type Issued struct {
	Seq       int
	Kid       string
	Len       int    // characters
	Via       string // of a login code: sms or voice
	ExpiresAt time.Time
}

// codesKept is how many of a subject's codes are remembered, to tell a
// superseded code from a wrong one. With two minutes between messages (D-10)
// the oldest kept is past its ten minutes (D-12).
const codesKept = 8

// withCode appends a code and forgets the oldest beyond codesKept.
func withCode(codes []Issued, c Issued) []Issued {
	if len(codes) >= codesKept {
		codes = codes[len(codes)-codesKept+1:]
	}
	return append(codes[:len(codes):len(codes)], c)
}

// nextSeq numbers the next code of a subject, from 1.
func nextSeq(codes []Issued) int {
	if len(codes) == 0 {
		return 1
	}
	return codes[len(codes)-1].Seq + 1
}

// Verification of a phone.
type Verification struct {
	ID       string
	PhoneID  string
	Codes    []Issued
	Attempts int // wrong entries for the newest code
	Entries  int // all counted entries
	Done     bool
	Replaced bool
}

// SMS is one message.
type SMS struct {
	ID          string
	PhoneID     string
	Purpose     Purpose
	RequestedAt time.Time
	Dispatched  bool
	Uncertain   bool
	Sent        bool
	Failed      bool
	Emailed     bool
	receipts    map[string]bool
}

// Enrollment of an authenticator.
type Enrollment struct {
	ID             string
	Kind           Kind
	InstallationID string
	PhoneID        string
	DeviceID       string
	Flow           string
	OS             OS
	HandsetID      string
	StartedAt      time.Time
	Codes          []Issued
	Attempts       int
	Accepted       bool
	Closed         bool
	Done           bool
	expired        bool // an event says so
}

// Authenticator bound to the user and not revoked.
type Authenticator struct {
	ID             string
	Kind           Kind
	InstallationID string
	DeviceID       string // physical unit
	SharingID      string // the unit belongs to another user's authenticator
	PhoneID        string
	ActivationID   string // phone used at activation
	OS             OS
	Suite          string // OCRA suite
	Counter        uint64 // next OCRA counter of this user's answers; other users of the unit have their own
	Kid            string // temporary passcode: the code key it derives from
	Cells          int    // code cards
	Commitment     string // code cards: to their cells
	Restricted     bool
	Trigger        string
	EnrolledAt     time.Time
	Suspended      string    // why; empty when it is not
	SuspendedAt    time.Time // zero when it is not
	ReportedLost   bool
	FullUntil      time.Time // temporary passcode: end of full scope; zero when it never had it
	ExpiresAt      time.Time // zero when it does not expire
}

// Active reports whether the authenticator can answer at a moment.
func (a *Authenticator) Active(now time.Time) bool {
	return a.Suspended == "" && (a.ExpiresAt.IsZero() || now.Before(a.ExpiresAt))
}

// Status is active, suspended or expired at a moment.
func (a *Authenticator) Status(now time.Time) string {
	switch {
	case !a.ExpiresAt.IsZero() && !now.Before(a.ExpiresAt):
		return "expired"
	case a.Suspended != "":
		return "suspended"
	}
	return "active"
}

// Transaction is one authentication.
type Transaction struct {
	ID            string
	Purpose       Purpose
	Platform      Platform
	Channel       ReleaseChannel
	ClientVersion string
	DeviceRef     string // of the device the login came from
	PrimaryOK     bool
	ExpiresAt     time.Time
	EnrollOnly    bool
	Closed        bool
	Succeeded     bool
	SucceededAt   time.Time
	SucceededBy   Kind
	Scope         string
	Proved        Kind // of the authenticator that answered in a process; empty when none did
	Calls         int  // voice calls requested
	LastCallAt    time.Time
	Factors       int
	SessionRef    string
	FailReason    Code
	OpenChallenge string
	LastChallenge string
	Pushes        int
	Offered       []Option
}

// Challenge is one question to an authenticator.
type Challenge struct {
	ID              string
	TxnID           string
	AuthenticatorID string
	SubjectID       string // the process the answer is for; empty when it is for the transaction
	Kind            Kind
	Mode            Mode
	InstallationID  string
	DeviceID        string
	Cells           [2]int // asked of a card, from 1
	Kid             string
	NumberMatching  bool
	MaxAttempts     int
	IssuedAt        time.Time
	ExpiresAt       time.Time
	Codes           []Issued // of an SMS challenge
	Attempts        int
	Verified        bool
	Cancelled       string // reason; empty when it was not
	Exhausted       bool
	DeclinedByUser  bool
	PushSentAt      time.Time
	PushFailed      bool
	OpenedAt        time.Time
	Supersedes      string
	SupersededBy    string
	SMSAsked        bool   // an SMS was requested, or refused by the cooldown (D-44)
	SMSID           string // newest message of an SMS challenge
	CallID          string // newest voice call of an SMS challenge
	PushID          string
	expired         bool // an event says so
}

// answered reports whether something other than time has ended the challenge.
func (c *Challenge) answered() bool {
	return c.Verified || c.Cancelled != "" || c.Exhausted || c.DeclinedByUser
}

// Open reports whether the challenge can still be answered at a moment.
func (c *Challenge) Open(now time.Time) bool { return !c.answered() && now.Before(c.ExpiresAt) }

// OptOut of a user that was granted and not ended by an event.
type OptOut struct {
	ID        string
	GrantedAt time.Time
	EndsAt    *time.Time
	RuleID    string
}

// In force at now.
func (o *OptOut) inForce(now time.Time) bool {
	return o != nil && (o.EndsAt == nil || now.Before(*o.EndsAt))
}

func newUser(id string) *User {
	return &User{
		ID: id, seamless: true, phones: map[string]*Phone{}, cooldowns: map[cooldownKey]cooldown{},
	}
}

// Registered reports whether the stream holds a user.
func (u *User) Registered() bool { return u.registered }

// Closed reports whether the user was closed.
func (u *User) Closed() bool { return u.closed }

// Seamless reports whether push approval is on.
func (u *User) Seamless() bool { return u.seamless }

// Phone returns a phone, retired ones included.
func (u *User) Phone(id string) (Phone, bool) { return copied(u.phones[id]) }

// Phones lists all phones in the order they were added.
func (u *User) Phones() []Phone {
	out := make([]Phone, 0, len(u.phones))
	for _, p := range u.phones {
		out = append(out, *p)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Order < out[j].Order })
	return out
}

// Verification returns a recent phone verification.
func (u *User) Verification(id string) (Verification, bool) { return copied(u.verifications.get(id)) }

// Enrollment returns a recent enrolment.
func (u *User) Enrollment(id string) (Enrollment, bool) { return copied(u.enrollments.get(id)) }

// Transaction returns a recent transaction.
func (u *User) Transaction(id string) (Transaction, bool) { return copied(u.transactions.get(id)) }

// Challenge returns a recent challenge.
func (u *User) Challenge(id string) (Challenge, bool) { return copied(u.challenges.get(id)) }

// Message returns a recent SMS.
func (u *User) Message(id string) (SMS, bool) { return copied(u.messages.get(id)) }

// Pending lists the push challenges for an installation that can be answered
// now, newest last.
func (u *User) Pending(installationID string, now time.Time) []Challenge {
	var out []Challenge
	for _, id := range u.challenges.order {
		c := u.challenges.items[id]
		if c.Mode == ModePush && c.InstallationID == installationID && c.Open(now) && !u.txnClosed(c.TxnID) {
			out = append(out, *c)
		}
	}
	return out
}

// Authenticators lists those active at a moment, strongest first, then oldest.
func (u *User) Authenticators(now time.Time) []Authenticator {
	out := make([]Authenticator, 0, len(u.authenticators))
	for _, a := range u.authenticators {
		if a.Active(now) {
			out = append(out, *a)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Kind.Rank() > out[j].Kind.Rank() })
	return out
}

// Bound lists all that were not revoked, in the order of their binding.
func (u *User) Bound() []Authenticator {
	out := make([]Authenticator, 0, len(u.authenticators))
	for _, a := range u.authenticators {
		out = append(out, *a)
	}
	return out
}

// Authenticator returns one that was not revoked.
func (u *User) Authenticator(id string) (Authenticator, bool) { return copied(u.bound(id)) }

func (u *User) bound(id string) *Authenticator {
	for _, a := range u.authenticators {
		if a.ID == id {
			return a
		}
	}
	return nil
}

// IBKey is the user's IB Key, active or not; there is one at most.
func (u *User) IBKey() (Authenticator, bool) { return copied(u.ibKey()) }

func (u *User) ibKey() *Authenticator {
	for _, a := range u.authenticators {
		if a.Kind == KindIBKey {
			return a
		}
	}
	return nil
}

// active reports whether an authenticator that the caller accepts can answer
// at a moment.
func (u *User) active(now time.Time, accept func(*Authenticator) bool) bool {
	for _, a := range u.authenticators {
		if a.Active(now) && accept(a) {
			return true
		}
	}
	return false
}

func permanent(a *Authenticator) bool { return a.Kind.Permanent() }

// Call returns a recent voice call.
func (u *User) Call(id string) (Call, bool) { return copied(u.calls.get(id)) }

// CodeCard returns a card that was issued and not activated yet.
func (u *User) CodeCard(id string) (CodeCard, bool) { return copied(u.cards.get(id)) }

// DeviceRequest returns a recent request of a physical device.
func (u *User) DeviceRequest(id string) (DeviceRequest, bool) { return copied(u.requests.get(id)) }

// ShippedDevice returns a physical device that was sent to the user.
func (u *User) ShippedDevice(id string) (ShippedDevice, bool) { return copied(u.devices.get(id)) }

// Migration returns a recent migration.
func (u *User) Migration(id string) (Migration, bool) { return copied(u.migrations.get(id)) }

// Recovery returns a recent recovery.
func (u *User) Recovery(id string) (Recovery, bool) { return copied(u.recoveries.get(id)) }

// Unification returns a recent unification.
func (u *User) Unification(id string) (Unification, bool) { return copied(u.unifications.get(id)) }

// Sharing returns a recent sharing of a device.
func (u *User) Sharing(id string) (Sharing, bool) { return copied(u.sharings.get(id)) }

// Delivery returns a recent delivery of a temporary credential.
func (u *User) Delivery(id string) (CredentialDelivery, bool) { return copied(u.deliveries.get(id)) }

// Credentials lists the temporary credentials that wait in the app of an
// installation, oldest first. In an app whose IB Key does not answer any more
// none waits.
func (u *User) Credentials(installationID string, now time.Time) []CredentialDelivery {
	var out []CredentialDelivery
	for _, id := range u.deliveries.order {
		if d := u.deliveries.items[id]; d.InstallationID == installationID && u.waits(d, now) {
			out = append(out, *d)
		}
	}
	return out
}

// LockedUntil is when the lock in force at now ends, and the zero time when
// the user is not locked.
func (u *User) LockedUntil(now time.Time) time.Time {
	if now.Before(u.lockedUntil) {
		return u.lockedUntil
	}
	return time.Time{}
}

// FailureCount is the number of consecutive counted failures since the last
// success or lock; those that have left the window are dropped when the next
// one is counted.
func (u *User) FailureCount(now time.Time) int { return len(u.failuresAt(now)) }

// OptedOut returns the opt-out in force at now, or nil.
func (u *User) OptedOut(now time.Time) *OptOut {
	if !u.optOut.inForce(now) {
		return nil
	}
	o := *u.optOut
	return &o
}

// RecentSteps lists the challenges answered by OCRA in the last minutes and
// the steps used, so that the caller can refuse a repeat of question and step.
func (u *User) RecentSteps(now time.Time) map[string]uint64 {
	out := map[string]uint64{}
	for _, s := range u.usedSteps {
		if now.Sub(s.at) < stepMemory {
			out[s.challengeID] = s.step
		}
	}
	return out
}

// ResidenceAt is the country of residence in effect at a moment; empty when
// unknown.
func (u *User) ResidenceAt(at time.Time, p *Policy) string { return latest(u.residences, at, p) }

// latest picks the country in effect at a moment; empty when none has begun.
// Of two records that have begun the later date counts, then the later record.
// Dates are compared as dates, because a day begins at another moment in every
// zone and a correction must win over the record it corrects.
func latest(dated []datedCountry, at time.Time, p *Policy) string {
	var in datedCountry
	for _, r := range dated {
		if r.on >= in.on && !p.Start(r.on, r.cc).After(at) {
			in = r
		}
	}
	return in.cc
}

// AccessibleClients lists the other clients whose accounts the user may use at
// a moment, in order of first grant. Of two records about a client the later
// date counts, then the later record.
func (u *User) AccessibleClients(at time.Time, p *Policy) []string {
	inEffect := map[string]datedAccess{}
	var order []string
	for _, a := range u.access {
		if p.Start(a.on, "").After(at) {
			continue
		}
		last, seen := inEffect[a.clientID]
		if !seen {
			order = append(order, a.clientID)
		}
		if a.on >= last.on {
			inEffect[a.clientID] = a
		}
	}
	out := []string{}
	for _, id := range order {
		if inEffect[id].granted {
			out = append(out, id)
		}
	}
	return out
}

func (u *User) txnClosed(id string) bool {
	t := u.transactions.get(id)
	return t == nil || t.Closed
}

// known reports whether an id of this kind could have been given out by this
// user's stream, so that something that fell out of the recent ones is told
// from something invented.
func (u *User) known(id, prefix string) bool {
	ref, ok := ParseRef(id)
	return ok && ref.Prefix == prefix && ref.Key == keyOf(u.ID) && ref.N <= u.n
}

func copied[T any](p *T) (T, bool) {
	if p == nil {
		var zero T
		return zero, false
	}
	return *p, true
}

// stepMemory is how long a used (question, time step) pair is remembered: a
// response is accepted for two steps of one minute on either side (D-49).
const stepMemory = 10 * time.Minute
