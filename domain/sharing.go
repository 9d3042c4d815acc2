package domain

import "time"

// Sharing a physical device between users (domain.md 6.4, K-14): users of the
// same client, or of the same person, may answer with one unit, as long as it
// is the most protective device among them.

// RequestDeviceSharing asks to answer with another user's unit. The unit then
// proves by a response that the user holds it.
type RequestDeviceSharing struct {
	UserID          string
	AuthenticatorID string // the owner's
	TxnID           string
	IdentityMatch   bool   // the broker's identity system found the identification data identical
	EvidenceRef     string // where it says so
}

// DecideDeviceSharing is compliance's verdict on a request that waits for one.
type DecideDeviceSharing struct {
	SharingID string
	Grant     bool
}

// DeviceSharingRequested stands in the unit's and in the user's stream.
type DeviceSharingRequested struct {
	SharingID        string `json:"sharing_id"`
	DeviceID         string `json:"device_id,omitempty"`
	OwnerUserID      string `json:"owner_user_id"`
	RequestingUserID string `json:"requesting_user_id"`
	SameClient       bool   `json:"same_client,omitempty"`
	IdentityMatch    bool   `json:"identity_match,omitempty"`
	EvidenceRef      string `json:"evidence_ref,omitempty"`
}

// DeviceSharingPending means that compliance must decide.
type DeviceSharingPending struct {
	SharingID string `json:"sharing_id"`
	Reason    string `json:"reason"` // compliance_review
}

// DeviceSharingGranted means that the user answers with the unit from now on.
type DeviceSharingGranted struct {
	SharingID       string `json:"sharing_id"`
	AuthenticatorID string `json:"authenticator_id"`
}

// DeviceSharingDenied says why not.
type DeviceSharingDenied struct {
	SharingID string `json:"sharing_id"`
	Reason    Code   `json:"reason"`
}

// DeviceSharingEnded means that the user no longer answers with the unit.
type DeviceSharingEnded struct {
	SharingID       string `json:"sharing_id"`
	AuthenticatorID string `json:"authenticator_id"`
}

// Sharing is one request.
type Sharing struct {
	ID              string
	DeviceID        string
	OwnerUserID     string
	OtherClient     bool // only the identification data link the two users
	Status          string
	AuthenticatorID string // pre-assigned, or bound
	NextCounter     uint64
}

const (
	sharingRequested = "requested"
	sharingPending   = "pending"
	sharingGranted   = "granted"
	sharingDenied    = "denied"
	sharingEnded     = "ended"
)

// waiting reports whether nobody has decided on the request yet.
func (s *Sharing) waiting() bool { return s.Status == sharingRequested || s.Status == sharingPending }

func (d *decision) requestSharing(c RequestDeviceSharing) ([]Event, error) {
	o := d.f.Owner
	if o == nil || o.UserID == d.u.ID {
		return nil, &Error{Code: Unknown, Field: "authenticatorId", Detail: "name an authenticator of another user"}
	}
	id := d.newID(PrefixSharing)
	same := o.ClientID == d.u.ClientID
	d.emit(DeviceSharingRequested{
		SharingID: id, DeviceID: o.DeviceID, OwnerUserID: o.UserID, RequestingUserID: d.u.ID, SameClient: same,
		IdentityMatch: c.IdentityMatch, EvidenceRef: c.EvidenceRef,
	})
	t, reason := d.process(c.TxnID)
	switch {
	case reason != "":
	case o.Kind == KindIBKey:
		reason = ReasonShareIBKey
	case !same && !c.IdentityMatch:
		reason = ReasonShareIdentity
	case o.Temporary || d.u.active(d.now, temporary):
		reason = ReasonShareTemporary
	case d.lessSecure(o):
		reason = ReasonShareLessSecure
	case !o.Active || o.DeviceID == "" || d.f.Device == nil || d.f.Device.Returned:
		reason = ReasonDeviceNotActive
	case d.u.onDevice(o.DeviceID) != nil:
		reason = ReasonAlreadyEnrolled
	case d.stepUpMissing(t):
		reason = ReasonStepUpRequired
	}
	if reason != "" {
		d.emit(DeviceSharingDenied{SharingID: id, Reason: reason})
		return d.events, nil
	}
	d.challengeFor(t, &Authenticator{ID: d.newID(PrefixAuthenticator), Kind: o.Kind, DeviceID: o.DeviceID}, id)
	return d.events, nil
}

// lessSecure reports that one of the two users has a more protective device
// than the one to be shared.
func (d *decision) lessSecure(o *OwnerFacts) bool {
	return o.BestRank > o.Kind.Rank() || d.u.active(d.now, func(a *Authenticator) bool {
		return a.Kind.Permanent() && a.Kind.Rank() > o.Kind.Rank()
	})
}

// deviceProved grants a request whose unit answered, or hands it to
// compliance.
func (d *decision) deviceProved(s *Sharing, authenticatorID string, next uint64) {
	if s.OtherClient && d.p.Int(pSharingReview, d.now) == 1 {
		d.emit(DeviceSharingPending{SharingID: s.ID, Reason: "compliance_review"})
		return
	}
	d.grantSharing(s, authenticatorID, next)
}

// noLongerShared is why a request that was in order when it was made is not
// any more: it may have waited for days.
func (d *decision) noLongerShared(s *Sharing) Code {
	switch unit := d.f.Device; {
	case unit == nil || unit.Returned || !unit.InUse:
		return ReasonDeviceNotActive
	case d.u.onDevice(s.DeviceID) != nil:
		return ReasonAlreadyEnrolled
	case d.u.active(d.now, temporary):
		return ReasonShareTemporary
	}
	return ""
}

func temporary(a *Authenticator) bool { return a.Kind.Temporary() }

func (d *decision) grantSharing(s *Sharing, authenticatorID string, next uint64) {
	if reason := d.noLongerShared(s); reason != "" {
		d.emit(DeviceSharingDenied{SharingID: s.ID, Reason: reason})
		return
	}
	d.emit(DeviceSharingGranted{SharingID: s.ID, AuthenticatorID: authenticatorID})
	d.bind(AuthenticatorEnrolled{
		AuthenticatorID: authenticatorID, Kind: KindDSCPlus, DeviceID: s.DeviceID, SharingID: s.ID, Trigger: triggerSharing,
		OCRASuite: d.f.Device.Suite, UVMethods: []UV{UVDSCPIN}, NextCounter: next,
	})
}

func (d *decision) decideSharing(c DecideDeviceSharing) ([]Event, error) {
	s := d.u.sharings.get(c.SharingID)
	switch {
	case s == nil:
		return nil, unknown("request to share a device")
	case s.Status != sharingPending:
		return nil, nil
	case !c.Grant:
		return []Event{DeviceSharingDenied{SharingID: s.ID, Reason: ReasonComplianceDenied}}, nil
	}
	d.grantSharing(s, s.AuthenticatorID, s.NextCounter)
	return d.events, nil
}

func (u *User) applySharing(e Event, _ time.Time) {
	change := func(id string, f func(*Sharing)) {
		if s := u.sharings.get(id); s != nil {
			f(s)
		}
	}
	switch e := e.(type) {
	case DeviceSharingRequested:
		u.took(e.SharingID)
		u.sharings.add(e.SharingID, &Sharing{
			ID: e.SharingID, DeviceID: e.DeviceID, OwnerUserID: e.OwnerUserID, OtherClient: !e.SameClient, Status: sharingRequested,
		})
	case ChallengeIssued:
		change(e.SubjectID, func(s *Sharing) { s.AuthenticatorID = e.AuthenticatorID })
	case ResponseVerified:
		if c := u.challenges.get(e.ChallengeID); c != nil {
			change(c.SubjectID, func(s *Sharing) { s.NextCounter = e.NextCounter })
		}
	case DeviceSharingPending:
		change(e.SharingID, func(s *Sharing) { s.Status = sharingPending })
	case DeviceSharingGranted:
		change(e.SharingID, func(s *Sharing) { s.Status = sharingGranted })
	case DeviceSharingDenied:
		change(e.SharingID, func(s *Sharing) { s.Status = sharingDenied })
	case DeviceSharingEnded:
		change(e.SharingID, func(s *Sharing) { s.Status = sharingEnded })
	}
}
