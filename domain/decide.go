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
// *Device, *PolicyBook, *Keys, *Certificates or *Audit.
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
	case categoryDevice:
		return &Device{ID: DeviceID(key)}
	case categoryPolicy:
		return &PolicyBook{}
	case categoryAudit:
		return &Audit{}
	case categoryKeyring:
		return &Keys{}
	case categoryErasures:
		return &Certificates{certified: map[string]bool{}}
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
	Actor        Actor  // who is behind the command
	Kid          string // code epoch in force, for anything derived now
	Code         CodeEvidence
	Push         PushEvidence
	Installation *InstallationFacts // the one the command is about; nil when there is none
	From         *InstallationFacts // where the user's IB Key lives, or the standalone app it is to leave
	Handover     bool               // From's key signed that it hands over to Installation
	Device       *DeviceFacts       // physical unit; nil when there is none
	Request      *RequestFacts      // request of a physical device; nil when there is none
	Owner        *OwnerFacts        // of a device to be shared; nil when there is none
	PINConforms  bool               // a card's PIN has the right form (D-24)
	Dice         [2]uint32          // random, to pick the cells of a card by

	GridCommitment string // of the card the caller made

	Clients     map[string]*Client // by client id: the user's own and those it may access
	Requester   *RequesterFacts    // of an opt-out asked for by somebody else
	SMSLastHour int                // messages to the same number in the last hour, all users (D-11)

	KeyID  string       // of the data key the user's personal data is sealed under; empty when there never was one
	Homes  []string     // streams of the installations the user's IB Key lives or ever lived on
	Sole   []string     // those of them on which nobody else's ever did
	Record *RecordFacts // the one the command names; nil when there is none
}

// CodeEvidence is the verdict on something the user typed.
type CodeEvidence struct {
	LenOK      bool
	CharsetOK  bool
	MatchedSeq int    // which issued code it equals; 0 for none
	Matched    bool   // a response that is right and was not used before
	OCRAStep   uint64 // the time step it was computed for

	NextCounter uint64 // the OCRA counter expected after it
}

// PushEvidence is the verdict on an app's signed decision. The other fields
// mean something only when Authentic holds.
type PushEvidence struct {
	Authentic     bool // the installation's key signed this document about this challenge and transaction
	Approve       bool
	NumberGiven   bool
	NumberMatched bool
	UV            UV

	InstallationBlocked bool // its PIN was tried too often
}

// InstallationFacts is what the user's stream needs to know of an installation.
type InstallationFacts struct {
	ID               string
	OS               OS
	HandsetID        string
	PINPolicyVersion int // attested; 0 for none
	PINViolation     Code
	App              App
	Blocked          bool
	Retired          bool
	Users            []string // others with an active IB Key here
}

// DeviceFacts is what the user's stream needs to know of a physical unit.
type DeviceFacts struct {
	ID          string
	Model       string
	Suite       string
	NextCounter uint64 // the highest any of its users has seen
	RequestID   string // order it was sent out for last
	Returned    bool
	InUse       bool // an authenticator of some user can answer with it now
}

// RequestFacts is what the unit's stream needs to know of an order.
type RequestFacts struct {
	Model   string
	Shipped bool
}

// OwnerFacts is whose device another user asks to share.
type OwnerFacts struct {
	UserID    string
	ClientID  string
	Kind      Kind
	DeviceID  string
	Active    bool
	Temporary bool // the owner holds an active temporary authenticator
	BestRank  int  // of the owner's active permanent authenticators
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
		return decideClient(s, c, now)
	case *Installation:
		return decideInstallation(s, c, now, p)
	case *Device:
		return decideDevice(s, c, f, now, p)
	case *PolicyBook:
		return decidePolicy(s, c, f, now, p)
	case *Keys:
		return decideKeys(c)
	case *Certificates:
		return decideCertificates(s, c, now)
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
	d := decision{u: u, now: now, p: p, f: f, n: u.n}
	if events, err, ok := d.decidePrivacy(c); ok {
		return events, err
	}
	if u.closed {
		return u.decideClosed(c)
	}
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
	case RecordIdentityVerificationFailed:
		return []Event{IdentityVerificationFailed{AgentRef: c.AgentRef, Method: c.Method}}, nil
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
	case TidyUser:
		d.tidy()
		return d.events, nil
	}
	for _, part := range []func(Command) ([]Event, error, bool){d.decideVoice, d.decideLifecycle, d.decideMove} {
		if events, err, ok := part(c); ok {
			return events, err
		}
	}
	return nil, fmt.Errorf("command %s does not belong to a user", c.Name())
}

// decideVoice answers the commands about what happens around voice calls and copies of codes;
// ok is false for any other.
func (d *decision) decideVoice(c Command) (events []Event, err error, ok bool) {
	switch c := c.(type) {
	case RequestVoiceCall:
		events, err = d.requestVoiceCall(c)
	case RecordVoiceDispatch:
		events, err = d.recordVoiceDispatch(c)
	case RecordVoiceUncertain:
		events, err = d.recordVoiceUncertain(c)
	case RecordVoicePlaced:
		events, err = d.recordVoicePlaced(c)
	case RecordVoiceAnswered:
		events, err = d.recordVoiceAnswered(c)
	case RecordVoiceFailed:
		events, err = d.recordVoiceFailed(c)
	case RecordCodeEmailed:
		events, err = d.recordCodeEmailed(c)
	default:
		return nil, nil, false
	}
	return events, err, true
}

// decideLifecycle answers the commands about the life of authenticators after their binding;
// ok is false for any other.
func (d *decision) decideLifecycle(c Command) (events []Event, err error, ok bool) {
	switch c := c.(type) {
	case ReportLost:
		events, err = d.reportLost(c)
	case SuspendAuthenticator:
		events, err = d.suspend(c)
	case ReactivateAuthenticator:
		events, err = d.reactivate(c)
	case RevokeAuthenticator:
		events, err = d.revoke(c)
	case RemoveUserFromInstallation:
		events, err = d.removeFromInstallation(c)
	case RequestPhysicalDevice:
		events, err = d.requestDevice(c)
	case NoteDeviceShipped:
		events, err = d.noteShipped(c)
	case AutoActivateDevice:
		events, err = d.autoActivate(c)
	case ChangeDevicePIN:
		events, err = d.changeDevicePIN(c)
	case RequestDeviceSharing:
		events, err = d.requestSharing(c)
	case DecideDeviceSharing:
		events, err = d.decideSharing(c)
	case IssueCodeCard:
		events, err = d.issueCodeCard(c)
	case ActivateCodeCard:
		events, err = d.challengeCard(c)
	case IssueTemporaryPasscode:
		events, err = d.issueTemporary(c)
	case DeliverTemporaryCredential:
		events, err = d.deliverTemporary(c)
	case CollectTemporaryCredential:
		events, err = d.collectTemporary(c)
	default:
		return nil, nil, false
	}
	return events, err, true
}

// decideMove answers the commands about IB Key on its way from one app to another;
// ok is false for any other.
func (d *decision) decideMove(c Command) (events []Event, err error, ok bool) {
	switch c := c.(type) {
	case StartMigration:
		events, err = d.startMigration(c)
	case ResendMigrationCode:
		events, err = d.resendMigrationCode(c)
	case ProveMigration:
		events, err = d.submitMigrationCode(c)
	case CompleteMigration:
		events, err = d.completeMigration(c)
	case CancelMigration:
		events, err = d.cancelMigration(c)
	case StartRecovery:
		events, err = d.startRecovery(c)
	case ResendRecoveryCode:
		events, err = d.resendRecoveryCode(c)
	case ProveRecovery:
		events, err = d.submitRecoveryCode(c)
	case CompleteRecovery:
		events, err = d.completeRecovery(c)
	case CancelRecovery:
		events, err = d.cancelRecovery(c)
	case DetectUnification:
		events, err = d.detectUnification(c)
	case DeferUnification:
		events, err = d.deferUnification(c)
	case CompleteUnification:
		events, err = d.completeUnification(c)
	default:
		return nil, nil, false
	}
	return events, err, true
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
