package domain

import "time"

// Pieces of history about personal data.

// gone closes the user.
func gone(s *story) {
	s.t.Helper()
	s.when(CloseUser{UserID: s.who, Reason: "relationship_ended"})
	must[UserClosed](s)
}

// years moves the clock on by calendar years, to the moment.
func years(n int) step { return func(s *story) { s.now = s.now.AddDate(n, 0, 0) } }

func forget() RequestErasure {
	return RequestErasure{UserID: aliceID, Basis: BasisSubjectRequest, RequestedBy: "letter-1"}
}

// restricted asked to be forgotten while the retention runs.
func restricted(s *story) {
	s.t.Helper()
	s.when(forget()).then(ErasureRequested{}, ErasureRefused{Reason: ReasonRetentionRuns}, ProcessingRestricted{})
}

// forgotten is gone, and long enough for everybody to be forgotten.
func forgotten(s *story) {
	s.t.Helper()
	s.and(gone, years(8)).when(forget())
	must[PersonalDataErased](s)
}

// held is under a legal hold for a case.
func held(caseRef string) step {
	return func(s *story) {
		s.t.Helper()
		s.when(PlaceLegalHold{UserID: s.who, CaseRef: caseRef, Basis: "litigation"}).then(LegalHoldPlaced{CaseRef: caseRef})
	}
}

// person is the actor behind a command.
func person(ref string) evidence {
	return func(f *Facts) { f.Actor = Actor{Kind: ActorCompliance, Ref: ref} }
}

// released lifts a hold, by two persons.
func released(holdID string) step {
	return func(s *story) {
		s.t.Helper()
		s.when(RequestHoldRelease{HoldID: holdID}, person("one")).then(LegalHoldReleaseRequested{HoldID: holdID, RequestedBy: "one"})
		s.when(ReleaseLegalHold{HoldID: holdID}, person("two")).then(LegalHoldReleased{HoldID: holdID, ApprovedBy: "two"})
	}
}

const someEvent = "evt_c9hpkgj4d5r7s2u0vm1n3b6e8g"

// about is the record a command names.
func about(stream string, fields ...string) evidence {
	return func(f *Facts) { f.Record = &RecordFacts{Stream: stream, Fields: fields} }
}

func look(reason string, fields ...string) RevealPersonalData {
	return RevealPersonalData{UserID: aliceID, EventID: someEvent, Fields: fields, Reason: reason, CaseRef: "case-1"}
}

// ownNumber is evidence of a record with the user's number.
var ownNumber = about(UserStream(aliceID), "number", "source.ip")

func dayOf(at time.Time) string { return at.Format(time.DateOnly) }
