package domain

import (
	"fmt"
	"time"
)

// Event is one immutable fact. The implementations are the structs of this
// package; their wire names stand in the codec's registry.
type Event interface{ isEvent() }

// Command asks for a change of exactly one stream.
type Command interface {
	// Stream is the stream the command decides on and appends to.
	Stream() string
	// Name is the command's name in the rule book.
	Name() string
}

// State is what a stream's events add up to: *User, *Client, *Installation,
// *Keys or *Audit.
type State interface {
	// Apply records an event that was decided at a moment. It never fails and
	// judges nothing.
	Apply(e Event, at time.Time)
}

// NewState is the empty state for a stream's category, and nil for a stream
// this package knows nothing about.
func NewState(stream string) State {
	category, key := splitStream(stream)
	switch category {
	case categoryUser:
		return newUser(UserID(key))
	case categoryClient:
		return newClient(ClientID(key))
	case categoryInstallation:
		return &Installation{ID: InstallationID(key)}
	case categoryAudit:
		return &Audit{}
	case categoryKeyring:
		return &Keys{}
	}
	return nil
}

func splitStream(stream string) (category, key string) {
	for i := 0; i < len(stream); i++ {
		if stream[i] == '-' {
			return stream[:i], stream[i+1:]
		}
	}
	return stream, ""
}

// Facts is the evidence gathered for one command: what other streams said, and
// the verdict of checks that need secrets. Unused parts are zero.
type Facts struct {
	Kid          string // code epoch in force, for anything derived now
	Code         CodeEvidence
	Push         PushEvidence
	Installation *InstallationFacts // nil when there is no such installation
	Clients      map[string]*Client // by client id: the user's own and those it may access
	Requester    *RequesterFacts    // of an opt-out asked for by somebody else
	SMSLastHour  int                // messages to the same number in the last hour, all users (D-11)
}

// CodeEvidence is the verdict on something the user typed.
type CodeEvidence struct {
	LenOK      bool
	CharsetOK  bool
	MatchedSeq int    // which issued code it equals; 0 for none
	Matched    bool   // an OCRA response that is right and was not used before
	OCRAStep   uint64 // the time step it was computed for
}

// PushEvidence is the verdict on an app's signed decision. The other fields
// mean something only when Authentic holds.
type PushEvidence struct {
	Authentic     bool // the installation's key signed this document about this challenge and transaction
	Approve       bool
	NumberGiven   bool
	NumberMatched bool
	UV            UV
}

// InstallationFacts is what the user's stream needs to know of an installation.
type InstallationFacts struct {
	ID               string
	OS               OS
	HandsetID        string
	PINPolicyVersion int // attested; 0 for none
}

// RequesterFacts is who asks on behalf of somebody else.
type RequesterFacts struct {
	UserID   string
	ClientID string
	Role     Role
}

// Decide answers a command: the events to append, in order, or an error when
// nothing may be recorded. No events and no error means that the command
// changes nothing. It changes neither state nor facts.
func Decide(s State, c Command, f Facts, now time.Time, p *Policy) ([]Event, error) {
	now = now.UTC()
	switch s := s.(type) {
	case *User:
		return decideUser(s, c, f, now, p)
	case *Client:
		return decideClient(s, c)
	case *Installation:
		return decideInstallation(s, c)
	case *Keys:
		return decideKeys(c)
	case *Audit:
		if c, ok := c.(RecordAuditQuery); ok {
			return []Event{AuditQueryPerformed{
				AuditorRef: c.AuditorRef, Operation: c.Operation, QueryDigest: c.QueryDigest, Purpose: c.Purpose, Rows: c.Rows,
			}}, nil
		}
	}
	return nil, fmt.Errorf("command %s does not belong to %T", c.Name(), s)
}

func decideUser(u *User, c Command, f Facts, now time.Time, p *Policy) ([]Event, error) {
	if c, ok := c.(RegisterUser); ok {
		return u.register(c, now)
	}
	if !u.registered {
		return nil, unknown("user")
	}
	if u.closed {
		return u.decideClosed(c)
	}
	d := decision{u: u, now: now, p: p, f: f, n: u.n}
	switch c := c.(type) {
	case RecordResidence:
		return d.recordResidence(c)
	case GrantAccountAccess:
		return d.grantAccess(c)
	case RevokeAccountAccess:
		return d.revokeAccess(c)
	case CloseUser:
		return d.close(c)
	case AddPhone:
		return d.addPhone(c)
	case StartPhoneVerification:
		return d.startVerification(c)
	case ResendConfirmCode:
		return d.resendConfirmCode(c)
	case ConfirmPhone:
		return d.confirmPhone(c)
	case ReplacePhone:
		return d.replacePhone(c)
	case RemovePhone:
		return d.removePhone(c)
	case RecordSMSDispatch:
		return d.recordSMSDispatch(c)
	case RecordSMSUncertain:
		return d.recordSMSUncertain(c)
	case RecordSMSSent:
		return d.recordSMSSent(c)
	case RecordSMSDelivered:
		return d.recordSMSDelivered(c)
	case RecordSMSDeliveryFailed:
		return d.recordSMSDeliveryFailed(c)
	case RecordSMSSendFailed:
		return d.recordSMSSendFailed(c)
	case StartEnrollment:
		return d.startEnrollment(c)
	case ResendActivationCode:
		return d.resendActivationCode(c)
	case SubmitActivationCode:
		return d.submitActivationCode(c)
	case CompleteEnrollment:
		return d.completeEnrollment(c)
	case AbandonEnrollment:
		return d.abandonEnrollment(c)
	case EvaluateAutoSMS:
		return d.evaluateAutoSMS(c)
	case SetSeamless:
		return d.setSeamless(c)
	case StartAuthentication:
		return d.startAuthentication(c)
	case IssueChallenge:
		return d.issueChallenge(c)
	case RequestFallback:
		return d.requestFallback(c)
	case ResendLoginCode:
		return d.resendLoginCode(c)
	case CancelChallenge:
		return d.cancelChallenge(c)
	case SubmitResponse:
		return d.submitResponse(c)
	case DecidePush:
		return d.decidePush(c)
	case RecordPushSent:
		return d.recordPushSent(c)
	case RecordPushFailed:
		return d.recordPushFailed(c)
	case RecordPushOpened:
		return d.recordPushOpened(c)
	case VerifyIdentityByPhone:
		return d.verifyIdentity(c)
	case UnlockUser:
		return d.unlock()
	case RequestOptOut:
		return d.requestOptOut(c)
	case OptBackIn:
		return d.optBackIn(c)
	case ReevaluateRegime:
		return d.reevaluateRegime(c)
	case RecordNotification:
		return d.notify(c)
	}
	return nil, fmt.Errorf("command %s does not belong to a user", c.Name())
}

// decision is one Decide on a user: the inputs, the events so far, and the
// counter from which new ids are taken.
type decision struct {
	u      *User
	now    time.Time
	p      *Policy
	f      Facts
	n      uint64
	events []Event
}

func (d *decision) emit(events ...Event) { d.events = append(d.events, events...) }

func (d *decision) newID(prefix string) string {
	d.n++
	return d.u.ref(prefix, d.n)
}

func (d *decision) seconds(name string) time.Duration {
	return time.Duration(d.p.Int(name, d.now)) * time.Second
}
