package domain

import (
	"slices"
	"time"
)

// Legal holds (D-30; security.md 7): while one is in force nothing of the user
// is destroyed, whatever the retention says. One person places it; two
// different ones end it, so that nobody alone can let evidence go.

// PlaceLegalHold protects a user's data. A second one for the same case changes
// nothing.
type PlaceLegalHold struct {
	UserID  string
	CaseRef string // opaque reference of the case, never a name
	Basis   string // litigation, regulator, investigation
}

// RequestHoldRelease asks for the end of a hold; somebody else must approve it.
type RequestHoldRelease struct{ HoldID string }

// ReleaseLegalHold ends a hold whose release another person asked for.
type ReleaseLegalHold struct{ HoldID string }

// LegalHoldPlaced protects the data until the hold is released.
type LegalHoldPlaced struct {
	HoldID  string `json:"hold_id"`
	CaseRef string `json:"case_ref"`
	Basis   string `json:"basis"` // litigation, regulator, investigation
}

// LegalHoldReleaseRequested records who asked for the end.
type LegalHoldReleaseRequested struct {
	HoldID      string `json:"hold_id"`
	RequestedBy string `json:"requested_by"` // reference of the actor
}

// LegalHoldReleased ends the hold.
type LegalHoldReleased struct {
	HoldID     string `json:"hold_id"`
	ApprovedBy string `json:"approved_by"` // reference of the actor, another than who asked
}

// Hold is a legal hold in force.
type Hold struct {
	ID          string
	CaseRef     string
	Basis       string
	PlacedAt    time.Time
	RequestedBy string // who asked for the release; empty when nobody did
}

func (d *decision) placeHold(c PlaceLegalHold) ([]Event, error) {
	switch c.Basis {
	case "litigation", "regulator", "investigation":
	default:
		return nil, invalid("basis", "want litigation, regulator or investigation")
	}
	if err := checkRef("caseRef", c.CaseRef); err != nil {
		return nil, err
	}
	if d.u.erasure.erased {
		return nil, dataErased()
	}
	if slices.ContainsFunc(d.u.holds, func(h Hold) bool { return h.CaseRef == c.CaseRef }) {
		return nil, nil
	}
	return []Event{LegalHoldPlaced{HoldID: d.newID(PrefixHold), CaseRef: c.CaseRef, Basis: c.Basis}}, nil
}

func (d *decision) requestRelease(c RequestHoldRelease) ([]Event, error) {
	h, err := d.hold(c.HoldID)
	switch {
	case err != nil || h == nil:
		return nil, err
	case d.f.Actor.Ref == "":
		return nil, secondPerson("nobody is named who asks for the release")
	case h.RequestedBy != "":
		return nil, nil
	}
	return []Event{LegalHoldReleaseRequested{HoldID: h.ID, RequestedBy: d.f.Actor.Ref}}, nil
}

func (d *decision) releaseHold(c ReleaseLegalHold) ([]Event, error) {
	h, err := d.hold(c.HoldID)
	switch {
	case err != nil || h == nil:
		return nil, err
	case h.RequestedBy == "":
		return nil, secondPerson("ask for the release first; another person approves it")
	case d.f.Actor.Ref == "" || d.f.Actor.Ref == h.RequestedBy:
		return nil, secondPerson("somebody else than who asked for it must approve the release")
	}
	return []Event{LegalHoldReleased{HoldID: h.ID, ApprovedBy: d.f.Actor.Ref}}, nil
}

// hold finds a hold in force; none, without an error, is one that was released.
func (d *decision) hold(id string) (*Hold, error) {
	for i := range d.u.holds {
		if d.u.holds[i].ID == id {
			return &d.u.holds[i], nil
		}
	}
	if d.u.known(id, PrefixHold) {
		return nil, nil
	}
	return nil, unknown("legal hold")
}

func secondPerson(detail string) error { return &Error{Code: SecondPerson, Detail: detail} }

func (u *User) applyHold(e Event, at time.Time) {
	switch e := e.(type) {
	case LegalHoldPlaced:
		u.took(e.HoldID)
		u.holds = append(u.holds, Hold{ID: e.HoldID, CaseRef: e.CaseRef, Basis: e.Basis, PlacedAt: at})
	case LegalHoldReleaseRequested:
		for i := range u.holds {
			if u.holds[i].ID == e.HoldID {
				u.holds[i].RequestedBy = e.RequestedBy
			}
		}
	case LegalHoldReleased:
		u.holds = slices.DeleteFunc(u.holds, func(h Hold) bool { return h.ID == e.HoldID })
	}
}

// Holds lists the legal holds in force, oldest first.
func (u *User) Holds() []Hold { return slices.Clone(u.holds) }
