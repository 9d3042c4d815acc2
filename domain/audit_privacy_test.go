package domain

import (
	"reflect"
	"time"
)

// What an auditor holds against the destruction of personal data, and against
// looks at it.

// audited personal data of one user.
type auditedPrivacy struct {
	newest     time.Time // record of a kind that makes the law wait
	holds      map[string]string
	undecided  string // erasure without a verdict yet
	restricted bool
	erased     bool
}

// putsOff are all kinds of records but those about erasure, holds, looks,
// remarks and notices.
func putsOff(e Event) bool {
	switch reflect.TypeOf(e).Name() {
	case "ErasureRequested", "ErasureRefused", "ProcessingRestricted", "LegalHoldPlaced", "LegalHoldReleaseRequested", "LegalHoldReleased",
		"PersonalDataErased", "PersonalDataRevealed", "EventAnnotated", "SecurityNotificationSent", "SecurityNotificationFailed":
		return false
	}
	return true
}

// lateEvent may follow the end of a user (I-4).
func lateEvent(e Event) bool {
	switch e.(type) {
	case AuthenticationRefused:
		return true
	}
	return !putsOff(e)
}

func (a *auditor) readPrivacy(e Event) {
	a.must(!a.privacy.erased || !carriesPersonal(e), "personal data recorded after it was destroyed")
	if putsOff(e) {
		a.privacy.newest = a.at
	}
	switch e := e.(type) {
	case ErasureRequested:
		a.fresh(e.ErasureID)
		a.privacy.undecided = e.ErasureID
	case ErasureRefused:
		a.must(e.ErasureID == a.privacy.undecided, "refused what nobody asked for")
		a.must((e.HoldID != "") == (len(a.privacy.holds) > 0 && a.closed && !a.privacy.erased), "a refusal that does not name the hold in force")
		a.must(e.RetainedUntil == nil || a.at.Before(*e.RetainedUntil), "refused for a retention that is over")
		a.privacy.undecided = ""
	case ProcessingRestricted:
		a.must(a.closed && !a.privacy.erased, "restricted a user who is not closed, or gone")
		a.privacy.restricted = true
	case PersonalDataErased:
		a.readErased(e)
	case LegalHoldPlaced:
		a.fresh(e.HoldID)
		a.must(!a.privacy.erased, "a hold on what was destroyed")
		a.privacy.holds[e.HoldID] = ""
	case LegalHoldReleaseRequested:
		a.privacy.holds[e.HoldID] = e.RequestedBy
	case LegalHoldReleased:
		asked, ok := a.privacy.holds[e.HoldID]
		a.must(ok && asked != "" && e.ApprovedBy != "" && asked != e.ApprovedBy, "a hold released by fewer than two persons")
		delete(a.privacy.holds, e.HoldID)
	case PersonalDataRevealed:
		a.fresh(e.RevealID)
		a.must(!a.privacy.erased, "a look at what was destroyed")
		a.must(e.CaseRef != "" && e.Reason != "" && len(e.Fields) > 0, "a look without a reason, a case or a field")
		a.must(!a.privacy.restricted || e.Reason == "regulator" || e.Reason == "legal", "a look at data that is locked away")
	}
}

// readErased: nothing is destroyed before the law lets it go. The auditor knows
// the shortest terms by heart: seven years for everybody, eight for whoever ever
// lived in India.
func (a *auditor) readErased(e PersonalDataErased) {
	years := 7
	for _, r := range a.residences {
		if r.cc == "IN" {
			years = 8
		}
	}
	n := a.privacy.newest
	ends := time.Date(n.Year()+years, n.Month(), n.Day(), n.Hour(), n.Minute(), n.Second(), n.Nanosecond(), time.UTC)
	a.must(!a.at.Before(ends), "destroyed before the retention was over (D-30)")
	a.must(len(a.privacy.holds) == 0, "destroyed under a legal hold")
	a.must(a.closed, "destroyed although the user is not closed")
	a.must(!a.privacy.erased, "destroyed twice")
	a.must(e.ErasureID != "" && a.ids[e.ErasureID], "destroyed without a request")
	a.privacy.erased, a.privacy.restricted, a.privacy.undecided = true, false, ""
}

// carriesPersonal reports whether a field of an event holds a personal datum.
func carriesPersonal(e Event) bool {
	v := reflect.ValueOf(e)
	for i := range v.NumField() {
		if p, ok := v.Field(i).Interface().(Personal); ok && !p.IsZero() {
			return true
		}
	}
	return false
}
