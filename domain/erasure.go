package domain

import "time"

// The right to be forgotten (domain.md 6.7 and D-30; security.md 7). A person's
// data is destroyed by destroying the key it is sealed under; the records stay,
// with every proof over them. That is refused while the law wants the data kept
// or a legal hold protects it; then the data is only locked away, and the
// request waits until both have ended.

// RequestErasure asks that a user's personal data be destroyed. Basis is
// subject_request when the person asked, retention_elapsed when nobody did but
// there is no reason to keep the data any longer.
type RequestErasure struct {
	UserID      string
	Basis       string
	RequestedBy string // opaque reference, never a name; may be empty
}

// EraseSubject is the process that carries out a request that had to wait. It
// changes nothing unless there is one and nothing stands in its way any more.
type EraseSubject struct{ UserID string }

// ErasureRequested records the request; the verdict follows in the same append.
type ErasureRequested struct {
	ErasureID   string `json:"erasure_id"`
	Basis       string `json:"basis"` // subject_request, retention_elapsed
	RequestedBy string `json:"requested_by,omitempty"`
}

// ErasureRefused says why the data is not destroyed now. Retention is absent
// when the reason does not depend on it.
type ErasureRefused struct {
	ErasureID     string     `json:"erasure_id"`
	Reason        Code       `json:"reason"`
	RetainedUntil *time.Time `json:"retained_until,omitempty"` // while the retention runs
	HoldID        string     `json:"hold_id,omitempty"`        // the oldest hold in force
	Retention     Retention  `json:"retention,omitzero"`
}

// ProcessingRestricted locks the data away while it must be kept: it can be
// revealed only to a regulator or for a legal claim. The request stays pending.
type ProcessingRestricted struct {
	ErasureID string     `json:"erasure_id"`
	Until     *time.Time `json:"until,omitempty"` // end of the retention; absent when only a hold keeps the data
}

// PersonalDataErased decides that the user's data key is destroyed. It is the
// order and the lasting record of it: an old copy of the keys that turns up is
// put right by it.
type PersonalDataErased struct {
	ErasureID  string   `json:"erasure_id"`
	SubjectRef string   `json:"subject_ref"`      // the user's stream, under whose key the data is sealed
	KeyID      string   `json:"key_id,omitempty"` // of that key; absent when nothing was ever sealed under one
	Basis      string   `json:"basis"`            // subject_request, retention_elapsed
	Also       []string `json:"also,omitempty"`   // streams of installations on which nobody but the user ever lived
}

// Bases of an erasure.
const (
	BasisSubjectRequest   = "subject_request"
	BasisRetentionElapsed = "retention_elapsed"
)

// erasure is what a user's stream says about being forgotten.
type erasure struct {
	pendingID  string // request that waits; empty when none does
	basis      string // of that request
	restricted bool
	until      time.Time // end of the retention as last decided; zero when only a hold keeps the data
	erased     bool
}

// decidePrivacy answers the commands about personal data, which an open user
// and a closed one can be given alike; ok is false for any other.
func (d *decision) decidePrivacy(c Command) (events []Event, err error, ok bool) {
	switch c := c.(type) {
	case RequestErasure:
		events, err = d.requestErasure(c)
	case EraseSubject:
		events, err = d.eraseSubject()
	case PlaceLegalHold:
		events, err = d.placeHold(c)
	case RequestHoldRelease:
		events, err = d.requestRelease(c)
	case ReleaseLegalHold:
		events, err = d.releaseHold(c)
	case RevealPersonalData:
		events, err = d.reveal(c)
	case AnnotateEvent:
		events, err = d.annotate(c)
	default:
		return nil, nil, false
	}
	return events, err, true
}

func (d *decision) requestErasure(c RequestErasure) ([]Event, error) {
	if c.Basis != BasisSubjectRequest && c.Basis != BasisRetentionElapsed {
		return nil, invalid("basis", "want subject_request or retention_elapsed")
	}
	if c.RequestedBy != "" {
		if err := checkRef("requestedBy", c.RequestedBy); err != nil {
			return nil, err
		}
	}
	id := d.newID(PrefixErasure)
	d.emit(ErasureRequested{ErasureID: id, Basis: c.Basis, RequestedBy: c.RequestedBy})
	if refused := d.erasureRefusal(); refused.Reason != "" {
		d.refuseErasure(id, refused)
		return d.events, nil
	}
	d.erase(id, c.Basis)
	return d.events, nil
}

func (d *decision) eraseSubject() ([]Event, error) {
	if d.u.erasure.pendingID == "" || d.erasureRefusal().Reason != "" {
		return nil, nil
	}
	d.erase(d.u.erasure.pendingID, d.u.erasure.basis)
	return d.events, nil
}

// erasureRefusal is why the data cannot be destroyed now; its reason is empty
// when it can. A hold wins over everything the retention says.
func (d *decision) erasureRefusal() ErasureRefused {
	switch {
	case d.u.erasure.erased:
		return ErasureRefused{Reason: ReasonAlreadyErased}
	case !d.u.closed:
		return ErasureRefused{Reason: ReasonAccountOpen}
	}
	refused := ErasureRefused{Retention: d.retention()}
	if until := refused.Retention.Until(); d.now.Before(until) {
		refused.Reason, refused.RetainedUntil = ReasonRetentionRuns, &until
	}
	if len(d.u.holds) > 0 {
		refused.Reason, refused.HoldID = ReasonLegalHold, d.u.holds[0].ID
	}
	return refused
}

// refuseErasure records why not, and of a closed user that the data is locked
// away until it may be destroyed.
func (d *decision) refuseErasure(id string, refused ErasureRefused) {
	refused.ErasureID = id
	d.emit(refused)
	if refused.Reason == ReasonRetentionRuns || refused.Reason == ReasonLegalHold {
		d.emit(ProcessingRestricted{ErasureID: id, Until: refused.RetainedUntil})
	}
}

func (d *decision) erase(id, basis string) {
	d.emit(PersonalDataErased{
		ErasureID: id, SubjectRef: UserStream(d.u.ID), KeyID: d.f.KeyID, Basis: basis, Also: d.f.Sole,
	})
}

func (u *User) applyErasure(e Event) {
	switch e := e.(type) {
	case ErasureRequested:
		u.took(e.ErasureID)
		u.erasure.basis = e.Basis
	case ProcessingRestricted:
		u.erasure.pendingID, u.erasure.restricted, u.erasure.until = e.ErasureID, true, time.Time{}
		if e.Until != nil {
			u.erasure.until = *e.Until
		}
	case PersonalDataErased:
		u.erasure = erasure{erased: true}
	}
}

// Restricted reports whether the user's personal data is locked away, and until
// when the retention runs; the zero time when only a hold keeps the data.
func (u *User) Restricted() (until time.Time, restricted bool) {
	return u.erasure.until, u.erasure.restricted
}

// Erased reports whether the user's personal data was destroyed.
func (u *User) Erased() bool { return u.erasure.erased }

func dataErased() error {
	return &Error{Code: DataErased, Detail: "this person's data was destroyed; nothing can be read or added"}
}
