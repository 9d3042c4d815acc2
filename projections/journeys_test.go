package projections

import (
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
)

// journeys are episodes in which people lose, replace, move and share what they
// log in with. Each is told in the order of the real journal, streams and
// reactions included, and may end early.
func (s *stories) journeys() []func(*person) {
	return []func(*person){
		s.call, s.lose, s.order, s.usesUnit, s.share, s.onlineCard, s.printedCard, s.migrate, s.recover, s.unify, s.hostTroubles,
		s.forgotten, s.compliance, s.declined,
	}
}

// host lets a reaction note where an authenticator lives from now on.
func (s *stories) host(host, authenticator, former string) {
	owner := domain.UserOf(authenticator)
	s.in(host, domain.AuthenticatorBound{UserID: owner, AuthenticatorID: authenticator})
	if former != "" {
		s.in(host, domain.AuthenticatorUnbound{UserID: owner, AuthenticatorID: former})
	}
}

func (s *stories) call(p *person) {
	if p.smsAuth == "" {
		return
	}
	txn, chl, phone := s.begin(p), s.id("chl", p.id), p.phones[len(p.phones)-1]
	s.in(p.id, domain.ChallengeIssued{ChallengeID: chl, TxnID: txn, AuthenticatorID: p.smsAuth, Kind: domain.KindSMS, Mode: domain.ModeSMSCode, MaxAttempts: 3, ExpiresAt: s.now})
	s.in(p.id, domain.SMSRequestRefused{PhoneID: phone, Purpose: domain.PurposeLogin, SubjectID: chl, Reason: domain.ReasonSMSCooldown, RetryAfterS: 30})
	if s.pick(3) == 0 {
		s.in(p.id, domain.VoiceCallRefused{ChallengeID: chl, Reason: domain.ReasonVoiceRate, RetryAfterS: 20})
		return
	}
	id := s.id("cal", p.id)
	s.in(p.id, domain.LoginCodeIssued{ChallengeID: chl, Seq: 2, Via: "voice", Kid: "k", CodeLen: 6, ExpiresAt: s.now},
		domain.VoiceCallRequested{CallID: id, ChallengeID: chl, PhoneID: phone, CodeSeq: 2, Platform: domain.TWS, ReleaseChannel: domain.Latest, TemplateID: "login_voice@1", Locale: "en"})
	s.in(p.id, domain.VoiceDispatchStarted{CallID: id, Gateway: "phone"})
	placed := domain.VoiceCallPlaced{CallID: id, PlacedAt: s.now, WaitMS: 61000, SLAMissed: true, Provider: "phone", ProviderRef: "r"}
	answered, failed := domain.VoiceCallAnswered{CallID: id, DurationS: 21}, domain.VoiceCallFailed{CallID: id, Failure: "busy"}
	fates := [][]domain.Event{{placed, answered}, {answered, placed}, {placed, failed}, {failed}, {domain.VoiceDispatchUncertain{CallID: id}}}
	for _, e := range fates[s.pick(len(fates))] {
		s.in(p.id, e)
	}
}

// lose is a lost phone: a temporary passcode bridges the time.
func (s *stories) lose(p *person) {
	s.in(p.id, domain.SuspensionRefused{AuthenticatorID: s.id("aut", p.id), Reason: domain.ReasonNotActive})
	if p.authenticator == "" {
		return
	}
	s.in(p.id, domain.AuthenticatorReportedLost{AuthenticatorID: p.authenticator, By: "client"},
		domain.AuthenticatorSuspended{AuthenticatorID: p.authenticator, Reason: "reported_lost"})
	s.in(p.id, domain.TemporaryPasscodeRefused{MissingAuthenticatorID: p.authenticator, Reason: domain.ReasonIDVRequired})
	idv, temp, full, ends := s.id("idv", p.id), s.id("aut", p.id), s.now.Add(48*time.Hour), s.now.Add(288*time.Hour)
	s.in(p.id, domain.IdentityVerifiedByAgent{IDVID: idv, AgentRef: "agent", Method: "questions", ExpiresAt: s.now.Add(time.Hour)})
	s.in(p.id, domain.TemporaryPasscodeIssued{AuthenticatorID: temp, Kid: "k", IDVID: idv, MissingAuthenticatorID: p.authenticator, FullUntil: &full, EndsAt: ends, ScopeRuleID: "temp.full_s"},
		domain.AuthenticatorEnrolled{AuthenticatorID: temp, Kind: domain.KindTempCode, Trigger: "temporary", Kid: "k", FullUntil: &full, ExpiresAt: &ends})
	s.in(p.id, domain.TemporaryCredentialRefused{AuthenticatorID: temp, What: "temp_code", Channel: "in_app", Reason: domain.ReasonTempInApp})
	s.in(p.id, domain.TemporaryCredentialDelivered{DeliveryID: s.id("dlv", p.id), AuthenticatorID: temp, What: "temp_code", Channel: "agent_voice"})
	s.in(p.id, domain.ReactivationRefused{AuthenticatorID: p.authenticator, Proof: "oscc", Reason: domain.ReasonOSCCScope})
	if s.pick(3) == 0 {
		return // the person goes on with the passcode
	}
	s.in(p.id, domain.AuthenticatorReactivated{AuthenticatorID: p.authenticator, Proof: "agent", IDVID: idv},
		domain.AuthenticatorRevoked{AuthenticatorID: temp, Reason: "temporary_ended", SuccessorID: p.authenticator})
	dlv, until := s.id("dlv", p.id), s.now.Add(time.Hour)
	s.in(p.id, domain.TemporaryCredentialDelivered{DeliveryID: dlv, ResetRef: "r-1", What: "reset_password", Channel: "in_app", InstallationID: p.installation, ExpiresAt: &until})
	if s.pick(2) == 0 {
		s.in(p.id, domain.TemporaryCredentialCollected{DeliveryID: dlv, InstallationID: p.installation})
	}
}

// order is a card that is asked for, sent, and then used, returned or left.
func (s *stories) order(p *person) {
	check := domain.EquityCheck{Passed: true, Threshold: domain.Money{Minor: 100_000_000, Currency: "USD"}, RuleID: "dsc_plus.equity_threshold"}
	s.in(p.id, domain.PhysicalDeviceRequestRefused{Model: "dsc_plus", Reason: domain.ReasonPINPolicy})
	id := s.id("req", p.id)
	s.in(p.id, domain.PhysicalDeviceRequested{RequestID: id, Model: "dsc_plus", PINChosen: true, EquityCheck: check, ShipTo: domain.Clear("a street")})
	if s.pick(4) == 0 {
		return // it is never sent
	}
	s.units++
	u := unit(1000 + s.units)
	shipped := domain.PhysicalDeviceShipped{
		DeviceID: u, RequestID: id, UserID: p.id, DispatchedOn: s.now.Format(time.DateOnly), ActivationDueOn: s.now.AddDate(0, 0, 14).Format(time.DateOnly),
	}
	s.in(u, domain.PhysicalDeviceRegistered{DeviceID: u, Model: "dsc_plus", Manufacturer: "m", Serial: fmt.Sprint(s.units), OCRASuite: "OCRA-1:HOTP-SHA256-8:C-QN06"})
	s.in(u, domain.DeviceDepositHeld{DeviceID: u, Amount: domain.Money{Minor: 2000, Currency: "USD"}})
	s.in(u, shipped)
	if s.pick(5) == 0 { // it comes back before the user's stream notes the shipment
		s.in(u, domain.DeviceReturned{DeviceID: u, ReceivedOn: s.now.Format(time.DateOnly), Condition: "ok"})
		s.in(u, domain.DeviceDepositReleased{DeviceID: u, Amount: domain.Money{Minor: 2000, Currency: "USD"}})
		s.in(p.id, shipped)
		return
	}
	s.in(p.id, shipped)
	if s.pick(3) == 0 {
		return // on its way
	}
	enrolled := domain.AuthenticatorEnrolled{AuthenticatorID: s.id("aut", p.id), Kind: domain.KindDSCPlus, DeviceID: u, UVMethods: []domain.UV{domain.UVDSCPIN}, Trigger: "auto_14_days", OCRASuite: "OCRA-1:HOTP-SHA256-8:C-QN06"}
	if s.pick(3) == 0 {
		s.pass(14 * 24 * time.Hour)
		s.in(p.id, enrolled)
	} else {
		enrolled.Trigger = "user"
		s.activate(p, u, enrolled)
	}
	p.unit, p.card = u, enrolled.AuthenticatorID
	s.host(u, p.card, "")
}

func (s *stories) activate(p *person, u string, enrolled domain.AuthenticatorEnrolled) {
	enr, chl, txn := s.id("enr", p.id), s.id("chl", p.id), s.id("txn", p.id)
	s.in(p.id, domain.EnrollmentStarted{EnrollmentID: enr, Kind: domain.KindDSCPlus, Flow: "activate", DeviceID: u},
		domain.ChallengeIssued{ChallengeID: chl, TxnID: txn, SubjectID: enr, AuthenticatorID: enrolled.AuthenticatorID, Kind: domain.KindDSCPlus, Mode: domain.ModeChallengeResponse, DeviceID: u, Kid: "k", MaxAttempts: 3, ExpiresAt: s.now})
	s.correlation = txn
	s.in(p.id, domain.ResponseVerified{ChallengeID: chl, TxnID: txn, AuthenticatorID: enrolled.AuthenticatorID, Mode: domain.ModeChallengeResponse, UV: domain.UVDSCPIN, AttemptNo: 1, DeviceID: u},
		domain.UserVerificationPerformed{EnrollmentID: enr, UV: domain.UVDSCPIN}, enrolled)
	s.correlation = ""
}

// usesUnit is the later life of a card.
func (s *stories) usesUnit(p *person) {
	if p.card == "" {
		s.in(p.id, domain.DevicePINChangeRefused{AuthenticatorID: s.id("aut", p.id), Reason: domain.ReasonNotActive})
		return
	}
	if s.pick(2) == 0 {
		chl := s.id("chl", p.id)
		s.in(p.id, domain.ChallengeIssued{ChallengeID: chl, TxnID: s.id("txn", p.id), SubjectID: p.card, AuthenticatorID: p.card, Kind: domain.KindDSCPlus, Mode: domain.ModeChallengeResponse, DeviceID: p.unit, Kid: "k", MaxAttempts: 3, ExpiresAt: s.now})
		s.in(p.id, domain.DevicePINChanged{AuthenticatorID: p.card, DeviceID: p.unit, ChallengeID: chl})
		return
	}
	s.in(p.id, domain.AuthenticatorRevoked{AuthenticatorID: p.card, Reason: "stolen"})
	s.in(p.unit, domain.AuthenticatorUnbound{UserID: p.id, AuthenticatorID: p.card},
		domain.DeviceReplacementFeeCharged{DeviceID: p.unit, Amount: domain.Money{Minor: 2000, Currency: "USD"}, Reason: "stolen", FeeRuleID: "fee"})
	p.unit, p.card = "", ""
}

// share lets somebody answer with another's card.
func (s *stories) share(p *person) {
	owner := s.people[s.pick(len(s.people))]
	id := s.id("shr", p.id)
	asked := domain.DeviceSharingRequested{SharingID: id, DeviceID: owner.unit, OwnerUserID: owner.id, RequestingUserID: p.id, IdentityMatch: true, EvidenceRef: "case"}
	if owner.unit == "" || owner == p {
		asked.DeviceID = ""
		s.in(p.id, asked, domain.DeviceSharingDenied{SharingID: id, Reason: domain.ReasonShareIBKey})
		return
	}
	aut := s.id("aut", p.id)
	s.in(p.id, asked, domain.ChallengeIssued{ChallengeID: s.id("chl", p.id), TxnID: s.id("txn", p.id), SubjectID: id, AuthenticatorID: aut, Kind: domain.KindDSCPlus, Mode: domain.ModeChallengeResponse, DeviceID: owner.unit, Kid: "k", MaxAttempts: 3, ExpiresAt: s.now})
	s.in(owner.unit, asked)
	if s.pick(2) == 0 {
		s.in(p.id, domain.DeviceSharingPending{SharingID: id, Reason: "compliance_review"})
		s.pass(time.Hour)
		if s.pick(2) == 0 {
			s.in(p.id, domain.DeviceSharingDenied{SharingID: id, Reason: domain.ReasonComplianceDenied})
			return
		}
	}
	s.in(p.id, domain.DeviceSharingGranted{SharingID: id, AuthenticatorID: aut},
		domain.AuthenticatorEnrolled{AuthenticatorID: aut, Kind: domain.KindDSCPlus, DeviceID: owner.unit, SharingID: id, Trigger: "sharing", OCRASuite: "OCRA-1:HOTP-SHA256-8:C-QN06"})
	s.host(owner.unit, aut, "")
	s.in(p.id, domain.AuthenticatorRevoked{AuthenticatorID: aut, Reason: "client_request"}, domain.DeviceSharingEnded{SharingID: id, AuthenticatorID: aut})
}

func (s *stories) onlineCard(p *person) {
	s.in(p.id, domain.OnlineCodeCardRefused{Reason: domain.ReasonOSCCScope})
	txn, id := s.begin(p), s.id("aut", p.id)
	s.in(p.id, domain.OnlineCodeCardIssued{AuthenticatorID: id, GridCommitment: "g", Cells: 224, TxnID: txn})
	s.in(p.id, domain.OnlineCodeCardRefused{AuthenticatorID: id, Reason: domain.ReasonUserLocked})
	if s.pick(3) > 0 {
		ends := s.now.Add(504 * time.Hour)
		s.in(p.id, domain.AuthenticatorEnrolled{AuthenticatorID: id, Kind: domain.KindOSCC, Trigger: "temporary", Cells: 224, GridCommitment: "g", ExpiresAt: &ends})
	}
}

func (s *stories) printedCard(p *person) {
	s.in(p.id, domain.SecurityCodeCardRefused{Reason: domain.ReasonCardNotIssued})
	id := s.id("aut", p.id)
	s.in(p.id, domain.SecurityCodeCardIssued{AuthenticatorID: id, GridCommitment: "g", Cells: 224})
	if s.pick(2) == 0 {
		s.in(p.id, domain.AuthenticatorEnrolled{AuthenticatorID: id, Kind: domain.KindSCC, Trigger: "user", Cells: 224, GridCommitment: "g"})
	}
}

// install registers another app and returns its id.
func (s *stories) install(app domain.App) string {
	s.units++
	id := installation(1000 + s.units)
	s.in(id, domain.InstallationRegistered{
		InstallationID: id, App: app, OS: domain.IOS, AppVersion: "9", PhoneHandsetID: "h", DeviceName: domain.Clear("phone"), PublicKeyID: "kid",
		KeyAlgorithm: domain.ES256, PublicKey: "key",
	})
	return id
}

// replace is the append that moves IB Key, and the reactions to it.
func (s *stories) replace(p *person, to, reason, trigger string, done func(aut string) domain.Event) {
	aut, former, old := s.id("aut", p.id), p.installation, p.authenticator
	s.in(p.id, domain.AuthenticatorRevoked{AuthenticatorID: old, Reason: reason, SuccessorID: aut},
		domain.AuthenticatorEnrolled{AuthenticatorID: aut, Kind: domain.KindIBKey, InstallationID: to, Trigger: trigger, OOBClass: "number_matching", OCRASuite: "OCRA-1:HOTP-SHA256-8:QN06-T1M", OS: domain.IOS},
		done(aut))
	s.in(former, domain.AuthenticatorUnbound{UserID: p.id, AuthenticatorID: old})
	s.host(to, aut, "")
	p.installation, p.authenticator = to, aut
}

func (s *stories) migrate(p *person) {
	if p.authenticator == "" {
		s.in(p.id, domain.MigrationRefused{ToInstallationID: p.installation, Reason: domain.ReasonNothingToMigrate})
		return
	}
	txn, id, to := s.begin(p), s.id("mig", p.id), s.install(domain.AppIBKRMobile)
	s.in(p.id, domain.MigrationStarted{MigrationID: id, FromAuthenticatorID: p.authenticator, FromInstallationID: p.installation, FromOS: domain.Android, ToInstallationID: to, ToOS: domain.IOS, Proof: "physical_device", ExpiresAt: s.now.Add(10 * time.Minute)},
		domain.ChallengeIssued{ChallengeID: s.id("chl", p.id), TxnID: txn, SubjectID: id, AuthenticatorID: p.card, Kind: domain.KindDSCPlus, Mode: domain.ModeChallengeResponse, DeviceID: p.unit, Kid: "k", MaxAttempts: 3, ExpiresAt: s.now})
	switch s.correlation = id; s.pick(6) {
	case 0:
		s.in(p.id, domain.MigrationCancelled{MigrationID: id, Reason: "user"})
		return
	case 1:
		s.pass(time.Hour)
		s.in(p.id, domain.MigrationExpired{MigrationID: id})
		return
	case 2:
		return // left alone
	}
	s.pass(time.Minute)
	s.in(p.id, domain.MigrationProofAccepted{MigrationID: id, Proof: "physical_device", CompleteBy: s.now.Add(30 * time.Minute)})
	s.in(p.id, domain.MigrationRefused{MigrationID: id, ToInstallationID: to, Reason: domain.ReasonUVMethod})
	s.replace(p, to, "migrated", "migration", func(aut string) domain.Event {
		return domain.MigrationCompleted{MigrationID: id, FromAuthenticatorID: p.authenticator, ToAuthenticatorID: aut, FromOS: domain.Android, ToOS: domain.IOS, UV: domain.UVFaceID}
	})
}

func (s *stories) recover(p *person) {
	if p.authenticator == "" {
		s.in(p.id, domain.RecoveryRefused{NewInstallationID: p.installation, Reason: domain.ReasonNothingToRecover})
		return
	}
	id, to := s.id("rec", p.id), s.install(domain.AppIBKRMobile)
	proof := []string{"original_uv", "sms"}[s.pick(2)]
	s.in(p.id, domain.RecoveryStarted{RecoveryID: id, AuthenticatorID: p.authenticator, Cause: "reinstalled", NewInstallationID: to, OS: domain.IOS, HandsetMatch: true, Proof: proof, ExpiresAt: s.now.Add(30 * time.Minute)})
	if proof == "sms" && len(p.phones) > 0 {
		s.in(p.id, domain.ActivationCodeIssued{SubjectID: id, Seq: 1, Kid: "k", CodeLen: 8, Channel: "sms", ExpiresAt: s.now})
		s.message(p, p.phones[0], domain.PurposeRecovery, id)
		s.in(p.id, domain.ActivationCodeAccepted{SubjectID: id, Seq: 1}, domain.RecoveryProofAccepted{RecoveryID: id, Proof: "sms"})
	}
	switch s.pick(5) {
	case 0:
		s.in(p.id, domain.RecoveryCancelled{RecoveryID: id, Reason: "restarted"})
		return
	case 1:
		s.pass(time.Hour)
		s.in(p.id, domain.RecoveryExpired{RecoveryID: id})
		return
	}
	former := p.installation
	s.in(former, domain.AppPINBlocked{WrongEntries: 10})
	s.replace(p, to, "replaced", "recovery", func(aut string) domain.Event {
		return domain.RecoveryCompleted{RecoveryID: id, NewAuthenticatorID: aut, InstallationID: to, FormerInstallation: former, UV: domain.UVTouchID}
	})
	s.in(former, domain.AppPINUnblocked{RecoveryID: id})
	s.in(former, domain.InstallationRetired{Reason: "recovered", SuccessorID: to})
}

func (s *stories) unify(p *person) {
	if p.authenticator == "" {
		s.in(p.id, domain.UnificationRefused{Case: "trading_only", InstallationID: p.installation, Reason: domain.ReasonNothingToUnify})
		return
	}
	to, former := s.install(domain.AppIBKRMobile), p.installation
	var id string
	for range 1 + s.pick(2) { // offered again after it was put off
		id = s.id("uni", p.id)
		s.in(p.id, domain.UnificationOffered{UnificationID: id, Case: "both", Action: "auto", InstallationID: to, StandaloneInstallationID: former, AuthenticatorID: p.authenticator})
		if s.pick(2) == 0 {
			s.in(p.id, domain.UnificationDeferred{UnificationID: id})
		}
	}
	s.in(p.id, domain.UnificationRefused{UnificationID: id, InstallationID: to, Reason: domain.ReasonSignatureInvalid})
	if s.pick(4) == 0 {
		return
	}
	s.in(p.id, domain.UnificationCompleted{UnificationID: id, AuthenticatorID: p.authenticator, NewInstallationID: to, StandaloneInstallationID: former})
	s.in(former, domain.AuthenticatorUnbound{UserID: p.id, AuthenticatorID: p.authenticator})
	s.host(to, p.authenticator, "")
	s.in(former, domain.InstallationRetired{Reason: "unified", SuccessorID: to})
	p.installation = to
}

func (s *stories) hostTroubles(p *person) {
	s.in(p.installation, domain.AppPINRefused{PINPolicyVersion: 1, Reason: domain.ReasonPINMismatch})
	if p.authenticator == "" {
		return
	}
	s.in(p.installation, domain.AppPINBlocked{WrongEntries: 10})
	s.in(p.id, domain.AuthenticatorSuspended{AuthenticatorID: p.authenticator, Reason: "pin_blocked"})
}

// forgotten is what nobody finishes, and the housekeeping after it.
func (s *stories) forgotten(p *person) {
	enr, chl := s.id("enr", p.id), s.id("chl", p.id)
	s.in(p.id, domain.EnrollmentStarted{EnrollmentID: enr, Kind: domain.KindIBKey, Flow: "add_user", InstallationID: p.installation, OS: domain.Android, HandsetID: "h"},
		domain.ChallengeIssued{ChallengeID: chl, TxnID: s.id("txn", p.id), AuthenticatorID: s.id("aut", p.id), Kind: domain.KindOSCC, Mode: domain.ModeGrid, GridIndices: []int{1, 2}, MaxAttempts: 3, ExpiresAt: s.now})
	if s.pick(2) == 0 {
		s.pass(31 * time.Minute)
		s.in(p.id, domain.ChallengeExpired{ChallengeID: chl}, domain.EnrollmentExpired{EnrollmentID: enr})
	}
}

// compliance is the rule book, and facts about clients.
func (s *stories) compliance(p *person) {
	s.actor = domain.Actor{Kind: domain.ActorCompliance, Ref: "officer"}
	s.rules++
	row := domain.RuleRow{ID: fmt.Sprintf("SG-%d", s.rules), CC: "SG", Version: 1, Status: "proposed", EffectiveFrom: "2027-01-01", LegalBasis: "law"}
	s.in(domain.PolicyStream(), domain.PolicyRulePublished{RuleRow: row})
	row.Version = 2
	s.in(domain.PolicyStream(), domain.PolicyRuleAmended{RuleRow: row})
	s.in(domain.PolicyStream(), domain.PolicyRuleWithdrawn{RuleID: row.ID, Version: 2, Reason: "repealed", EffectiveOn: "2027-06-01"})
	s.in(domain.PolicyStream(), domain.PolicyParameterSet{Name: "sms.cooldown_s", Value: 180, Unit: "s", EffectiveFrom: "2027-01-01", Reason: "cost"})
	s.in(client(s.pick(len(s.people))), domain.DomicileChanged{From: "IE", To: "HK", EffectiveOn: "2026-03-01", DetectedAt: s.now})
	s.actor = domain.Actor{Kind: domain.ActorClient, Ref: "frontend"}
	if p.optOut != "" {
		s.in(p.id, domain.OptOutRevoked{OptOutID: p.optOut, Cause: "domicile_change", EffectiveAt: s.now.Add(-time.Minute), DetectedAt: s.now, ExposedS: 60, Decision: s.decision("deny_opt_out")})
		p.optOut = ""
	}
}

// declined is a message with a copy by e-mail, and a lock that runs out.
func (s *stories) declined(p *person) {
	s.in(p.id, domain.UserLocked{Failures: 10, FirstFailureAt: s.now.Add(-time.Hour), LastCountedFailedAt: s.now, LockedUntil: s.now.Add(24 * time.Hour)})
	if s.pick(2) == 0 {
		s.pass(25 * time.Hour)
		s.in(p.id, domain.UserUnlocked{By: "elapsed"})
	}
	if len(p.phones) == 0 {
		return
	}
	id := s.id("sms", p.id)
	s.in(p.id, domain.SMSRequested{SMSID: id, PhoneID: p.phones[0], Purpose: domain.PurposeLogin, SubjectID: s.id("chl", p.id), CodeSeq: 1, TemplateID: "code", Locale: "en"})
	s.in(p.id, domain.CodeEmailed{SMSID: id, AddressRef: "a", RuleID: "IN-1"})
}
