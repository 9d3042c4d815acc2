package domain

import "slices"

// The two doors to personal data: everything is masked, and whoever needs to
// see a datum leaves a record of it first, in the person's own stream. What was
// recorded wrongly is annotated, never changed (D-7).

// RevealPersonalData asks to read sealed fields of one record. It must be
// recorded before the answer leaves. Fields are named as in the stored data;
// the address a command came from is source.ip.
type RevealPersonalData struct {
	UserID  string
	EventID string // evt_…, of the user's stream or of an installation the user lives or lived on
	Fields  []string
	Reason  string // dispute, incident, regulator, subject_access, legal
	CaseRef string // opaque reference of the case, never a name
}

// AnnotateEvent adds a remark to one record of the user's stream.
type AnnotateEvent struct {
	UserID  string
	EventID string
	Note    Personal
	Kind    string // correction, dispute, incident
}

// PersonalDataRevealed records who looks at what, and why. Who is the actor.
type PersonalDataRevealed struct {
	RevealID string   `json:"reveal_id"`
	EventID  string   `json:"event_id"`
	Fields   []string `json:"fields"`
	Reason   string   `json:"reason"` // dispute, incident, regulator, subject_access, legal
	CaseRef  string   `json:"case_ref"`
}

// EventAnnotated remarks on an earlier record.
type EventAnnotated struct {
	EventID string   `json:"event_id"`
	Note    Personal `json:"note"`
	Kind    string   `json:"kind"` // correction, dispute, incident
}

// RecordFacts is what the shell says of a record that a command names.
type RecordFacts struct {
	Stream string
	Fields []string // sealed ones that hold a datum, as stored; source.ip among them
}

// Reasons of a reveal that count even while the data is locked away.
const (
	RevealForRegulator = "regulator"
	RevealForLegal     = "legal"
)

// revealReasons are all there are.
var revealReasons = []string{"dispute", "incident", RevealForRegulator, "subject_access", RevealForLegal}

func (d *decision) reveal(c RevealPersonalData) ([]Event, error) {
	if !slices.Contains(revealReasons, c.Reason) {
		return nil, invalid("reason", "want dispute, incident, regulator, subject_access or legal")
	}
	if err := checkRef("caseRef", c.CaseRef); err != nil {
		return nil, err
	}
	if err := d.u.MayReveal(c.Reason); err != nil {
		return nil, err
	}
	r := d.f.Record
	if r == nil || r.Stream != UserStream(d.u.ID) && !slices.Contains(d.f.Homes, r.Stream) {
		return nil, unknown("event of this user")
	}
	if err := checkFields(c.Fields, r.Fields); err != nil {
		return nil, err
	}
	return []Event{PersonalDataRevealed{
		RevealID: d.newID(PrefixReveal), EventID: c.EventID, Fields: slices.Clone(c.Fields), Reason: c.Reason, CaseRef: c.CaseRef,
	}}, nil
}

// MayReveal reports whether the user's data can be shown for a reason now. It
// returns a *Error with PERSONAL_DATA_ERASED or PROCESSING_RESTRICTED.
func (u *User) MayReveal(reason string) error {
	if u.erasure.erased {
		return dataErased()
	}
	if u.erasure.restricted && reason != RevealForRegulator && reason != RevealForLegal {
		return &Error{Code: DataRestricted, Detail: "this person asked to be forgotten; until the data may be destroyed it is open only to a regulator and for a legal claim"}
	}
	return nil
}

// checkFields accepts one or more different fields of those that hold something.
func checkFields(asked, held []string) error {
	for i, f := range asked {
		if !slices.Contains(held, f) || slices.Contains(asked[:i], f) {
			return invalid("fields", "name fields of the event that hold personal data, each once")
		}
	}
	if len(asked) == 0 {
		return invalid("fields", "name the fields to be read")
	}
	return nil
}

func (d *decision) annotate(c AnnotateEvent) ([]Event, error) {
	switch c.Kind {
	case "correction", "dispute", "incident":
	default:
		return nil, invalid("kind", "want correction, dispute or incident")
	}
	if c.Note.IsZero() {
		return nil, invalid("note", "say what is to be remarked")
	}
	if d.u.erasure.erased {
		return nil, dataErased()
	}
	if r := d.f.Record; r == nil || r.Stream != UserStream(d.u.ID) {
		return nil, unknown("event of this user")
	}
	return []Event{EventAnnotated{EventID: c.EventID, Note: c.Note, Kind: c.Kind}}, nil
}
