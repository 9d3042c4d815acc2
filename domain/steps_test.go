package domain

import "time"

// Pieces of history, and the evidence the shell would bring.

// as lives through steps as another user.
func as(userID string, steps ...step) step {
	return func(s *story) {
		s.t.Helper()
		before := s.who
		s.who = userID
		s.and(steps...)
		s.who = before
	}
}

// client registers Alice's client.
func client(kind ClientKind, carrying, domicile string) step {
	return func(s *story) {
		s.t.Helper()
		s.when(RegisterClient{ClientID: clientID, Kind: kind, CarryingEntity: "entity-" + carrying, CarryingCC: carrying, Domicile: domicile})
		s.then(ClientRegistered{ClientID: clientID, Kind: kind})
	}
}

// adviser's other client, whose accounts Alice may be given access to.
func foreignClient(carrying string) step {
	return func(s *story) {
		s.t.Helper()
		s.when(RegisterClient{ClientID: otherID, Kind: Individual, CarryingEntity: "entity-" + carrying, CarryingCC: carrying})
		s.then(ClientRegistered{ClientID: otherID})
	}
}

// registered is Alice, living in a country for years; an empty one is unknown.
func registered(role Role, residence string) step {
	return func(s *story) {
		s.t.Helper()
		s.when(RegisterUser{
			UserID: s.who, ClientID: clientID, Role: role, Username: Clear("alice"), Locale: "en",
			Residence: residence, ResidentOn: "2010-01-01",
		})
	}
}

// alice is the plainest user: German resident, own account carried in Ireland.
func alice(s *story) {
	s.t.Helper()
	client(Individual, "IE", "")(s)
	registered(RoleOwner, "DE")(s)
	s.then(UserRegistered{UserID: s.who}, ResidenceChanged{To: "DE"})
}

// hongKongResident lives in Hong Kong, with an account carried in Ireland.
func hongKongResident(s *story) {
	s.t.Helper()
	client(Individual, "IE", "")(s)
	registered(RoleOwner, "HK")(s)
	s.then(UserRegistered{}, ResidenceChanged{To: "HK"})
}

// phone adds a mobile number.
func phone(s *story) {
	s.t.Helper()
	line(LineMobile)(s)
}

func line(kind Line) step {
	return func(s *story) {
		s.t.Helper()
		s.when(AddPhone{UserID: s.who, CC: "DE", Number: Clear("+4915100000000"), Line: kind})
		s.then(PhoneNumberAdded{CC: "DE", Line: kind})
	}
}

func verification(s *story) {
	s.t.Helper()
	s.when(StartPhoneVerification{PhoneID: s.id(PrefixPhone)})
	s.then(PhoneVerificationStarted{}, ConfirmCodeIssued{Seq: 1}, SMSRequested{Purpose: PurposePhoneVerification})
}

// verifiedPhone adds a phone and proves it.
func verifiedPhone(s *story) {
	s.t.Helper()
	phone(s)
	verification(s)
	s.when(ConfirmPhone{VerificationID: s.id(PrefixVerification)}, code(1))
	s.then(PhoneNumberVerified{Attempts: 1})
}

// sms enrols Alice in SMS as the reaction does.
func sms(s *story) {
	s.t.Helper()
	verifiedPhone(s)
	s.when(EvaluateAutoSMS{UserID: s.who, PhoneID: s.id(PrefixPhone)})
	s.then(AuthenticatorEnrolled{Kind: KindSMS})
}

func installation(id string, os OS) step {
	return func(s *story) {
		s.t.Helper()
		s.when(RegisterInstallation{
			InstallationID: id, App: AppIBKRMobile, OS: os, AppVersion: "8.1", HandsetID: "handset-" + id,
			KeyAlgorithm: ES256, PublicKey: "key-" + id, PublicKeyID: "kid-" + id,
		})
		s.then(InstallationRegistered{InstallationID: id, OS: os})
		if os == Android {
			s.when(AttestPIN{InstallationID: id, PINPolicyVersion: 1}).then(AppPINSet{PINPolicyVersion: 1})
		}
	}
}

// password opens a transaction for a purpose with the right password.
func password(purpose Purpose, platform Platform) step {
	return func(s *story) {
		s.t.Helper()
		s.when(StartAuthentication{UserID: s.who, Purpose: purpose, Platform: platform, PrimaryVerified: true})
	}
}

// wrongPassword fails at the first factor.
func wrongPassword(s *story) {
	s.t.Helper()
	s.when(StartAuthentication{UserID: s.who, Purpose: PurposeLogin, Platform: ClientPortal})
}

// enrollment starts an activation of IB Key on an installation.
func enrollment(installationID string) step {
	return func(s *story) {
		s.t.Helper()
		s.and(password(PurposeActivation, ClientPortal))
		s.when(StartEnrollment{UserID: s.who, Kind: KindIBKey, InstallationID: installationID, TxnID: s.id(PrefixTransaction)})
		s.then(EnrollmentStarted{InstallationID: installationID}, ActivationCodeIssued{Seq: 1}, SMSRequested{Purpose: PurposeActivation})
	}
}

// activationAccepted has also given the right code.
func activationAccepted(installationID string) step {
	return func(s *story) {
		s.t.Helper()
		enrollment(installationID)(s)
		s.when(SubmitActivationCode{EnrollmentID: s.id(PrefixEnrollment)}, code(1)).then(ActivationCodeAccepted{})
	}
}

// ibKey is Alice with IB Key active on an iPhone.
func ibKey(s *story) {
	s.t.Helper()
	verifiedPhone(s)
	ibKeyOn(iphoneID, IOS, UVFaceID)(s)
}

func ibKeyOn(id string, os OS, uv UV) step {
	return func(s *story) {
		s.t.Helper()
		installation(id, os)(s)
		activationAccepted(id)(s)
		s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: uv})
		if s.err != nil || len(s.got) < 2 {
			s.t.Fatalf("enrolment ended with %s, %v", names(s.got), s.err)
		}
	}
}

// login opens a login on a platform with the right password.
func login(platform Platform) step { return password(PurposeLogin, platform) }

// fallback leaves the push for challenge/response.
func fallback(s *story) {
	s.t.Helper()
	s.when(RequestFallback{ChallengeID: s.id(PrefixChallenge), Cause: CauseNoInternet})
	s.then(ChallengeFallbackRequested{}, ChallengeCancelled{Reason: "fallback"}, ChallengeIssued{Mode: ModeChallengeResponse})
}

// at begins a history at another date.
func at(clock string) step { return func(s *story) { s.t.Helper(); s.at(clock) } }

// later lets time pass.
func later(d time.Duration) step { return func(s *story) { s.after(d) } }

// optedOut is granted an opt-out.
func optedOut(s *story) {
	s.t.Helper()
	s.when(optOut()).then(OptOutRequested{}, OptOutGranted{Scope: "trading_platforms"})
}

// optOut is Alice's own request with the agreement.
func optOut() RequestOptOut {
	return RequestOptOut{UserID: aliceID, RequestedBy: aliceID, AgreementVersion: "2017-01", Acknowledged: true}
}

// code is a code that equals the issued one with this number; 0 equals none.
func code(seq int) evidence {
	return func(f *Facts) { f.Code = CodeEvidence{LenOK: true, CharsetOK: true, MatchedSeq: seq} }
}

// malformed is something of another length.
func malformed(f *Facts) { f.Code = CodeEvidence{CharsetOK: true} }

// ocra is a well-formed response, right or wrong.
func ocra(right bool) evidence {
	return func(f *Facts) {
		f.Code = CodeEvidence{LenOK: true, CharsetOK: true, Matched: right}
		if right {
			f.Code.OCRAStep = 28_000_000
		}
	}
}

// approved is a signed approval with the right number.
func approved(uv UV) evidence {
	return func(f *Facts) {
		f.Push = PushEvidence{Authentic: true, Approve: true, NumberGiven: true, NumberMatched: true, UV: uv}
	}
}

// declined is a signed refusal.
func declined(f *Facts) { f.Push = PushEvidence{Authentic: true} }

func answerTo(s *story) SubmitResponse { return SubmitResponse{ChallengeID: s.id(PrefixChallenge)} }

func decisionOn(s *story, installationID string) DecidePush {
	return DecidePush{
		ChallengeID: s.id(PrefixChallenge), InstallationID: installationID,
		Document: `{"decision":"approve"}`, Signature: "c2ln",
	}
}
