package domain

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// privacyRefusals are the cases of the reasons against an erasure.
func privacyRefusals() map[Code]func(*testing.T) *story {
	return map[Code]func(*testing.T) *story{
		ReasonAccountOpen:   func(t *testing.T) *story { return given(t, alice, sms).when(forget()) },
		ReasonRetentionRuns: func(t *testing.T) *story { return given(t, alice, gone, years(6)).when(forget()) },
		ReasonLegalHold:     func(t *testing.T) *story { return given(t, alice, held("case-1"), gone, years(9)).when(forget()) },
		ReasonAlreadyErased: func(t *testing.T) *story { return given(t, alice, forgotten).when(forget()) },
	}
}

func TestRetentionIsTheLongestOfEveryJurisdictionOfALife(t *testing.T) {
	t.Parallel()
	moved := func(cc string) step {
		return func(s *story) {
			s.t.Helper()
			s.when(RecordResidence{UserID: aliceID, To: cc, EffectiveOn: dayOf(s.now)})
			must[ResidenceChanged](s)
		}
	}
	access := func(carrying string) step {
		return func(s *story) {
			s.t.Helper()
			s.and(foreignClient(carrying)).when(GrantAccountAccess{UserID: aliceID, ClientID: otherID, EffectiveOn: "2020-01-01"})
			s.when(RevokeAccountAccess{UserID: aliceID, ClientID: otherID, EffectiveOn: "2021-01-01"})
			must[AccountAccessRevoked](s)
		}
	}
	carried := func(cc string) step {
		return func(s *story) {
			s.when(AssignCarryingEntity{ClientID: clientID, CarryingEntity: "e", CarryingCC: cc, EffectiveOn: "2030-01-01"})
		}
	}
	cases := map[string]struct {
		life  []step
		years int
		rule  string
	}{
		"Germany":                         {[]step{alice}, 7, pRetention},
		"Hong Kong asks for no more":      {[]step{hongKongResident}, 7, pRetention},
		"India once":                      {[]step{alice, moved("IN"), moved("DE")}, 8, pRetentionIN},
		"carried in India from some day":  {[]step{alice, carried("IN")}, 8, pRetentionIN},
		"access to accounts there once":   {[]step{alice, access("IN")}, 8, pRetentionIN},
		"access elsewhere":                {[]step{alice, access("US")}, 7, pRetention},
		"a country nobody recorded":       {[]step{client(Individual, "IE", ""), registered(RoleOwner, "")}, 8, pRetentionIN},
		"a client nobody registered":      {[]step{registered(RoleOwner, "DE")}, 8, pRetentionIN},
		"a parameter raised":              {[]step{alice, parameter(pRetention, 10)}, 10, pRetention},
		"a jurisdiction's rule":           {[]step{alice, retained("DE", "12y", statusActive)}, 12, "DE-KEEP-1"},
		"a rule of another country":       {[]step{alice, retained("SG", "12y", statusActive)}, 7, pRetention},
		"a rule that was only proposed":   {[]step{alice, retained("DE", "12y", statusProposed)}, 7, pRetention},
		"a shorter rule changes nothing":  {[]step{alice, retained("DE", "2y", statusActive)}, 7, pRetention},
		"the same length keeps the house": {[]step{alice, retained("DE", "7y", statusActive)}, 7, pRetention},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := given(t, c.life...).and(later(time.Hour), gone)
			end := s.now
			s.after(time.Hour).when(forget())
			refused := the[ErasureRefused](s)
			if r := refused.Retention; r.Rule != c.rule || r.Years != c.years || !r.From.Equal(end) {
				t.Errorf("kept by %+v, want %d years from the closure by %s", r, c.years, c.rule)
			}
			until := end.AddDate(c.years, 0, 0)
			if refused.RetainedUntil == nil || !refused.RetainedUntil.Equal(until) {
				t.Errorf("retained until %v, want %s", refused.RetainedUntil, until)
			}
			s.now = until.Add(-time.Microsecond)
			s.when(EraseSubject{UserID: aliceID}).thenNothing()
			s.now = until
			s.when(EraseSubject{UserID: aliceID}).then(PersonalDataErased{})
		})
	}
}

// retained publishes a rule that keeps records.
func retained(cc, duration, status string) step {
	return func(s *story) {
		s.t.Helper()
		r := RuleRow{
			ID: cc + "-KEEP-1", Version: 1, CC: cc, Zone: "UTC", Status: status, Effects: []Effect{{Name: EffectRetain, Duration: duration}},
			LegalBasis: "a law", EffectiveFrom: "2020-01-01", Tests: []string{"residence"}, BasisOfDate: "the law",
		}
		s.when(PublishRule{Rule: r}, compliance).then(PolicyRulePublished{})
	}
}

func TestRetentionRuleNeedsAReadableDuration(t *testing.T) {
	t.Parallel()
	for _, duration := range []string{"", "y", "8", "8 years", "-1y", "0y", "101y", "1e1y"} {
		r := germanRule("2024-01-01")
		r.Effects = []Effect{{Name: EffectRetain, Duration: duration}}
		given(t).when(PublishRule{Rule: r}, compliance).thenError(Invalid)
	}
}

func TestRetentionParametersCannotBeLoosenedBelowTheLaw(t *testing.T) {
	t.Parallel()
	for name, least := range map[string]int64{pRetention: 7, pRetentionHK: 7, pRetentionIN: 8, pRetentionUS: 6} {
		c := SetParameter{Parameter: name, Value: least - 1, EffectiveFrom: "2024-03-01", Reason: "r"}
		given(t).when(c, compliance).thenError(Invalid)
		c.Value = least
		given(t).when(c, compliance).then(PolicyParameterSet{Name: name, Value: least})
	}
}

func TestLeapDayEndsADayLater(t *testing.T) {
	t.Parallel()
	r := Retention{Years: 7, From: time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)}
	if got, want := r.Until(), time.Date(2031, 3, 1, 12, 0, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("until %s, want %s", got, want)
	}
}

func TestErasureCommandsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	ask := forget()
	ask.Basis = "because"
	given(t, alice, gone).when(ask).thenError(Invalid)
	ask = forget()
	ask.RequestedBy = "Alice Example"
	given(t, alice, gone).when(ask).thenError(Invalid)
	given(t).when(forget()).thenError(Unknown)
	given(t, alice).when(PlaceLegalHold{UserID: aliceID, CaseRef: "case 1", Basis: "litigation"}).thenError(Invalid)
	given(t, alice).when(PlaceLegalHold{UserID: aliceID, CaseRef: "case-1", Basis: "mood"}).thenError(Invalid)
	given(t, alice).when(RequestHoldRelease{HoldID: PrefixHold + "_" + ownKey + "_90"}).thenError(Unknown)
}

func TestLegalHoldNeedsTwoPersonsToEnd(t *testing.T) {
	t.Parallel()
	s := given(t, alice, held("case-1"))
	s.when(PlaceLegalHold{UserID: aliceID, CaseRef: "case-1", Basis: "regulator"}).thenNothing()
	first := s.id(PrefixHold)
	s.when(ReleaseLegalHold{HoldID: first}, person("one")).thenError(SecondPerson)
	s.when(RequestHoldRelease{HoldID: first}, person("")).thenError(SecondPerson)
	s.when(RequestHoldRelease{HoldID: first}, person("one")).then(LegalHoldReleaseRequested{RequestedBy: "one"})
	s.when(RequestHoldRelease{HoldID: first}, person("two")).thenNothing()
	s.when(ReleaseLegalHold{HoldID: first}, person("one")).thenError(SecondPerson)
	s.when(ReleaseLegalHold{HoldID: first}, person("")).thenError(SecondPerson)
	s.when(ReleaseLegalHold{HoldID: first}, person("two")).then(LegalHoldReleased{ApprovedBy: "two"})
	s.when(ReleaseLegalHold{HoldID: first}, person("two")).thenNothing()
	s.when(RequestHoldRelease{HoldID: first}, person("two")).thenNothing()
	if held := s.user().Holds(); len(held) != 0 {
		t.Errorf("still held by %+v", held)
	}
}

func TestHoldWinsOverARetentionThatIsOver(t *testing.T) {
	t.Parallel()
	s := given(t, alice, held("case-1"), held("case-2"), gone, years(9))
	first, second := s.user().Holds()[0].ID, s.user().Holds()[1].ID
	s.when(forget()).then(ErasureRequested{}, ErasureRefused{Reason: ReasonLegalHold, HoldID: first}, ProcessingRestricted{})
	if r := the[ProcessingRestricted](s); r.Until != nil {
		t.Errorf("restricted until %s, want no end while only a hold keeps the data", r.Until)
	}
	s.and(released(first)).when(EraseSubject{UserID: aliceID}).thenNothing()
	s.and(released(second)).when(EraseSubject{UserID: aliceID}).then(PersonalDataErased{Basis: BasisSubjectRequest})
}

func TestErasureNamesTheKeyAndWhatElseGoesWithIt(t *testing.T) {
	t.Parallel()
	s := given(t, alice, gone, years(7)).when(forget(), func(f *Facts) {
		f.KeyID, f.Sole = "k17", []string{InstallationStream(iphoneID)}
	})
	s.then(ErasureRequested{}, PersonalDataErased{
		ErasureID: s.id(PrefixErasure), SubjectRef: UserStream(aliceID), KeyID: "k17", Basis: BasisSubjectRequest, Also: []string{InstallationStream(iphoneID)},
	})
	if !s.user().Erased() || !s.user().Closed() {
		t.Error("the user is not erased")
	}
}

func TestEraseSubjectNeedsARequest(t *testing.T) {
	t.Parallel()
	given(t, alice, gone, years(20)).when(EraseSubject{UserID: aliceID}).thenNothing()
	given(t, alice).when(forget()).when(EraseSubject{UserID: aliceID}).thenNothing()
	given(t, alice, forgotten).when(EraseSubject{UserID: aliceID}).thenNothing()
}

func TestEraseSubjectDecidesAgain(t *testing.T) {
	t.Parallel()
	s := given(t, alice, gone).and(restricted, parameter(pRetention, 9), years(8))
	s.when(EraseSubject{UserID: aliceID}).thenNothing()
	s.and(years(1)).when(EraseSubject{UserID: aliceID}).then(PersonalDataErased{})
}

func TestAskingAgainPutsNothingOff(t *testing.T) {
	t.Parallel()
	s := given(t, alice, gone)
	end := s.now
	s.and(years(1), restricted, years(3), held("case-1"))
	s.when(RecordNotification{UserID: aliceID, Topic: "t", Channel: "email"}).then(SecurityNotificationSent{})
	s.when(AnnotateEvent{UserID: aliceID, EventID: someEvent, Note: Clear("n"), Kind: "dispute"}, ownNumber).then(EventAnnotated{})
	s.when(look("legal", "number"), ownNumber).then(PersonalDataRevealed{})
	s.and(released(s.id(PrefixHold))).when(forget())
	if until := the[ErasureRefused](s).RetainedUntil; until == nil || !until.Equal(end.AddDate(7, 0, 0)) {
		t.Errorf("retained until %v, want seven years from the closure", until)
	}
	s.when(StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: TWS}).then(AuthenticationRefused{Reason: ReasonUserClosed})
	tried := s.now
	s.after(time.Hour).when(forget())
	if until := the[ErasureRefused](s).RetainedUntil; !until.Equal(tried.AddDate(7, 0, 0)) {
		t.Errorf("retained until %v, want seven years from the refused login, a record like any other", until)
	}
}

func TestAfterErasureNothingPersonalIsRecorded(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, forgotten)
	s.when(AnnotateEvent{UserID: aliceID, EventID: someEvent, Note: Clear("n"), Kind: "dispute"}, ownNumber).thenError(DataErased)
	s.when(look("regulator", "number"), ownNumber).thenError(DataErased)
	s.when(PlaceLegalHold{UserID: aliceID, CaseRef: "case-1", Basis: "litigation"}).thenError(DataErased)
	s.when(AddPhone{UserID: aliceID, CC: "DE", Number: Clear("+49")}).thenError(ReasonUserClosed)
	s.when(forget()).then(ErasureRequested{}, ErasureRefused{Reason: ReasonAlreadyErased})
	s.when(StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: TWS}).then(AuthenticationRefused{Reason: ReasonUserClosed})
	s.when(RecordNotification{UserID: aliceID, Topic: "t", Channel: "email", Failed: true}).then(SecurityNotificationFailed{})
}

func TestRevealNeedsAReasonACaseAndFieldsThatAreThere(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms)
	s.when(look("dispute", "number"), ownNumber).then(PersonalDataRevealed{EventID: someEvent, Fields: []string{"number"}, Reason: "dispute", CaseRef: "case-1"})
	s.when(look("curiosity", "number"), ownNumber).thenError(Invalid)
	s.when(look("dispute"), ownNumber).thenError(Invalid)
	s.when(look("dispute", "number", "number"), ownNumber).thenError(Invalid)
	s.when(look("dispute", "username"), ownNumber).thenError(Invalid)
	s.when(look("dispute", "number")).thenError(Unknown)
	s.when(look("dispute", "number"), about(UserStream(bobID), "number")).thenError(Unknown)
	c := look("dispute", "number")
	c.CaseRef = ""
	s.when(c, ownNumber).thenError(Invalid)
	home := InstallationStream(iphoneID)
	s.when(look("dispute", "device_name"), about(home, "device_name")).thenError(Unknown)
	s.when(look("dispute", "device_name"), about(home, "device_name"), func(f *Facts) { f.Homes = []string{home} }).then(PersonalDataRevealed{})
}

func TestRestrictedDataIsOpenToRegulatorsAndTheLawOnly(t *testing.T) {
	t.Parallel()
	s := given(t, alice, gone, restricted)
	for _, reason := range []string{"dispute", "incident", "subject_access"} {
		s.when(look(reason, "number"), ownNumber).thenError(DataRestricted)
	}
	for _, reason := range []string{RevealForRegulator, RevealForLegal} {
		s.when(look(reason, "number"), ownNumber).then(PersonalDataRevealed{Reason: reason})
	}
}

func TestAnnotationIsAboutARecordOfTheUser(t *testing.T) {
	t.Parallel()
	s := given(t, alice)
	note := AnnotateEvent{UserID: aliceID, EventID: someEvent, Note: Clear("n"), Kind: "correction"}
	s.when(note, ownNumber).then(EventAnnotated{EventID: someEvent, Kind: "correction"})
	s.when(note).thenError(Unknown)
	s.when(note, about(UserStream(bobID))).thenError(Unknown)
	s.when(AnnotateEvent{UserID: aliceID, EventID: someEvent, Note: Clear("n"), Kind: "joke"}, ownNumber).thenError(Invalid)
	s.when(AnnotateEvent{UserID: aliceID, EventID: someEvent, Kind: "dispute"}, ownNumber).thenError(Invalid)
	s.and(gone).when(note, ownNumber).then(EventAnnotated{})
}

func TestCallerWhoIsNotRecognisedEndsTheVerificationInForce(t *testing.T) {
	t.Parallel()
	s := given(t, alice, lockedOut)
	s.when(VerifyIdentityByPhone{UserID: aliceID, AgentRef: "agent-7", Method: "questions"})
	s.when(RecordIdentityVerificationFailed{UserID: aliceID, AgentRef: "agent-7", Method: "questions"})
	s.then(IdentityVerificationFailed{AgentRef: "agent-7", Method: "questions"})
	s.when(UnlockUser{UserID: aliceID}).then(UnlockRefused{Reason: ReasonIDVRequired})
	given(t, alice, gone).when(RecordIdentityVerificationFailed{UserID: aliceID}).thenError(ReasonUserClosed)
}

func TestCertificateStatesASearchThatFoundNothing(t *testing.T) {
	t.Parallel()
	s := given(t, alice, forgotten)
	cert := CertifyErasure{
		ErasureID: s.id(PrefixErasure), SubjectRef: UserStream(aliceID), KeyID: "k17", DestroyedAt: s.now, Method: "m", Files: 3, Bytes: 4096,
	}
	for name, spoil := range map[string]func(*CertifyErasure){
		"another subject":  func(c *CertifyErasure) { c.SubjectRef = UserStream(bobID) },
		"no erasure":       func(c *CertifyErasure) { c.ErasureID = PrefixPhone + "_" + ownKey + "_1" },
		"no search":        func(c *CertifyErasure) { c.Files = 0 },
		"nothing searched": func(c *CertifyErasure) { c.Bytes = 0 },
		"no method":        func(c *CertifyErasure) { c.Method = "" },
		"no moment":        func(c *CertifyErasure) { c.DestroyedAt = time.Time{} },
		"the future":       func(c *CertifyErasure) { c.DestroyedAt = s.now.Add(time.Second) },
		"findings":         func(c *CertifyErasure) { c.Findings = 1 },
	} {
		bad := cert
		spoil(&bad)
		if s.when(bad); s.err == nil {
			t.Errorf("%s: certified", name)
		}
	}
	s.when(cert).then(ErasureCertified{ErasureID: cert.ErasureID, KeyID: "k17", Files: 3, Bytes: 4096})
	s.when(cert).thenNothing()
}

func TestKeyRotationNamesTheKeys(t *testing.T) {
	t.Parallel()
	sign := RecordKeyRotated{Kind: KeySigning, KeyID: "s2", PreviousKeyID: "s1", Epoch: 2, PublicKey: "AAAA"}
	given(t).when(sign).then(KeyRotated{Kind: KeySigning, KeyID: "s2", PreviousKeyID: "s1", Epoch: 2, PublicKey: "AAAA"})
	given(t).when(RecordKeyRotated{Kind: KeyEncryption, KeyID: "kek-2", PreviousKeyID: "kek-1", Rewrapped: 12}).then(KeyRotated{Rewrapped: 12})
	for _, c := range []RecordKeyRotated{
		{Kind: "door", KeyID: "k"}, {Kind: KeyCodeEpoch}, {Kind: KeyCodeEpoch, KeyID: "k", PreviousKeyID: "k"}, {Kind: KeySigning, KeyID: "s2"},
		{Kind: KeySigning, KeyID: "s2", PublicKey: "AAAA"}, {Kind: KeyEncryption, KeyID: "k", Rewrapped: -1},
	} {
		given(t).when(c).thenError(Invalid)
	}
}

func TestSnapshotShowsWhatIsLockedAwayHeldAndGone(t *testing.T) {
	t.Parallel()
	s := given(t, alice, gone, restricted, held("case-1"))
	s.when(RequestHoldRelease{HoldID: s.id(PrefixHold)}, person("one"))
	got := s.user().Snapshot(s.now, s.policy)
	if !got.Restricted || got.RestrictedUntil == nil || got.Erased || len(got.Holds) != 1 || got.Holds[0].RequestedBy != "one" || got.Holds[0].CaseRef != "case-1" {
		t.Errorf("restricted and held it shows %+v", got)
	}
	s.when(ReleaseLegalHold{HoldID: s.id(PrefixHold)}, person("two")).and(years(7)).when(EraseSubject{UserID: aliceID})
	if got := s.user().Snapshot(s.now, s.policy); got.Restricted || got.RestrictedUntil != nil || !got.Erased || len(got.Holds) != 0 {
		t.Errorf("erased it shows %+v", got)
	}
}

// TestNothingIsDestroyedBeforeItsTimeOrUnderAHold draws lives in several
// countries, dated changes of the terms, holds and impatient requests. The
// auditor, who knows the least terms, reads every log; here the terms that were
// drawn are held against the outcome.
func TestNothingIsDestroyedBeforeItsTimeOrUnderAHold(t *testing.T) {
	t.Parallel()
	policy := builtIn(t)
	rapid.Check(t, func(rt *rapid.T) {
		s := newStory(rt, policy)
		s.and(client(Individual, rapid.SampledFrom([]string{"IE", "US", "IN"}).Draw(rt, "carrying"), ""), registered(RoleOwner, "DE"))
		longest := map[string]int{"*": 7, "IN": 8, "US": 6, "HK": 7}
		seen := map[string]bool{"*": true, "DE": true, s.states[ClientStream(clientID)].(*Client).first.CarryingCC: true}
		for range rapid.IntRange(0, 3).Draw(rt, "moves") {
			cc := rapid.SampledFrom([]string{"DE", "HK", "IN", "US"}).Draw(rt, "to")
			s.after(24 * time.Hour).when(RecordResidence{UserID: aliceID, To: cc, EffectiveOn: dayOf(s.now)})
			seen[cc] = true
		}
		for cc, name := range map[string]string{"*": pRetention, "IN": pRetentionIN} {
			if rapid.Bool().Draw(rt, "change "+cc) {
				n := rapid.IntRange(longest[cc], 12).Draw(rt, "years "+cc)
				s.when(SetParameter{Parameter: name, Value: int64(n), EffectiveFrom: dayOf(s.now), Reason: "r"}, compliance)
				longest[cc] = n
			}
		}
		years := 0
		for cc := range seen {
			years = max(years, longest[cc])
		}
		s.after(time.Hour).and(gone)
		due := s.now.AddDate(years, 0, 0)
		for range rapid.IntRange(5, 30).Draw(rt, "tries") {
			s.after(time.Duration(rapid.IntRange(0, 600).Draw(rt, "days")) * 24 * time.Hour)
			if rapid.IntRange(0, 9).Draw(rt, "exactly") == 9 && s.now.Before(due) {
				s.now = due.Add(time.Duration(rapid.IntRange(-1, 1).Draw(rt, "around")) * time.Microsecond)
			}
			s.when(rapid.SampledFrom([]Command{
				forget(), EraseSubject{UserID: aliceID}, PlaceLegalHold{UserID: aliceID, CaseRef: "case-1", Basis: "regulator"},
				RequestHoldRelease{HoldID: s.anyHold()}, ReleaseLegalHold{HoldID: s.anyHold()},
			}).Draw(rt, "command"), person(rapid.SampledFrom([]string{"one", "two"}).Draw(rt, "person")))
			for _, e := range s.got {
				if _, ok := e.(PersonalDataErased); ok && (s.now.Before(due) || len(s.user().Holds()) > 0) {
					rt.Fatalf("destroyed at %s, due at %s, held by %v", s.now, due, s.user().Holds())
				}
			}
		}
		if open := s.user(); !open.Erased() && len(open.Holds()) == 0 {
			if s.now.Before(due) {
				s.now = due
			}
			s.when(forget())
			if !s.user().Erased() {
				rt.Fatalf("not destroyed at %s although due at %s", s.now, due)
			}
		}
		s.audit()
	})
}

// anyHold is a hold in force, or one nobody placed.
func (s *story) anyHold() string {
	if h := s.user().Holds(); len(h) > 0 {
		return h[0].ID
	}
	return PrefixHold + "_" + ownKey + "_9000"
}
