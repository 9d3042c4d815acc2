package projections

import (
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
)

// choose returns a number from 0 to n-1: drawn by a property test, counted or
// random elsewhere.
type choose func(n int) int

// person is a user and what they have, as the stories leave them.
type person struct {
	id            string
	phones        []string
	installation  string
	authenticator string // ibkey
	smsAuth       string
	optOut        string
	unit          string // physical unit sent to them
	card          string // its authenticator
}

// stories are episodes that together use every event of the domain.
type stories struct {
	*world

	pick     choose
	people   []*person
	episodes []func(*person) // what episode picks from
	units    int             // physical units registered
	ghosts   int             // people who were forgotten
	rules    int             // rules published
}

func newStories(w *world, users int, pick choose) *stories {
	s := &stories{world: w, pick: pick}
	for n := range users {
		s.people = append(s.people, &person{id: user(n), installation: installation(n)})
	}
	s.episodes = append(append(s.everyday(), s.everyday()...), s.journeys()...)
	return s
}

// everyday is what most of a log consists of.
func (s *stories) everyday() []func(*person) {
	return []func(*person){
		s.login, s.login, s.smsLogin, s.failedLogin, s.phone, s.phone, s.enroll, s.optOut, s.odds, s.refusals, s.farewell,
	}
}

// arrive registers everybody.
func (s *stories) arrive() {
	for n, p := range s.people {
		s.in(client(n), domain.ClientRegistered{ClientID: client(n), Kind: domain.Individual, CarryingEntity: "IBIE", CarryingCC: "IE"})
		s.in(p.id, domain.UserRegistered{UserID: p.id, ClientID: client(n), Role: domain.RoleOwner, Username: domain.Clear("name"), Locale: "en"},
			domain.ResidenceChanged{To: "DE", EffectiveOn: "2026-01-01", DetectedAt: s.now})
		s.in(p.installation, domain.InstallationRegistered{
			InstallationID: p.installation, App: domain.AppIBKRMobile, OS: domain.Android, AppVersion: "9", PhoneHandsetID: "h",
			DeviceName: domain.Clear("phone"), PublicKeyID: "kid", KeyAlgorithm: domain.ES256, PublicKey: "key",
		}, domain.PushTokenRegistered{InstallationID: p.installation, Service: "fcm", TokenMAC: "mac"})
		s.pass(time.Second)
	}
}

// episode is one thing that happens to somebody.
func (s *stories) episode() {
	p := s.people[s.pick(len(s.people))]
	s.pass(time.Duration(1+s.pick(200)) * time.Second)
	s.episodes[s.pick(len(s.episodes))](p)
	s.correlation = ""
}

func (s *stories) phone(p *person) {
	id, vrf := s.id("phn", p.id), s.id("vrf", p.id)
	s.in(p.id, domain.PhoneNumberAdded{PhoneID: id, CC: "DE", Number: domain.Clear(fmt.Sprintf("+4915100000%d", s.pick(4))), Line: domain.LineMobile})
	s.in(p.id, domain.PhoneVerificationStarted{VerificationID: vrf, PhoneID: id},
		domain.ConfirmCodeIssued{VerificationID: vrf, Seq: 1, Kid: "k", CodeLen: 6, ExpiresAt: s.now})
	s.message(p, id, domain.PurposePhoneVerification, vrf)
	s.in(p.id, domain.PhoneVerificationRejected{VerificationID: vrf, Reason: domain.ReasonCodeWrong, AttemptNo: 1, AttemptsLeft: 2})
	s.in(p.id, domain.PhoneNumberVerified{PhoneID: id, VerificationID: vrf, Attempts: 2})
	switch {
	case len(p.phones) == 0:
		p.smsAuth = s.id("aut", p.id)
		s.in(p.id, domain.AuthenticatorEnrolled{AuthenticatorID: p.smsAuth, Kind: domain.KindSMS, PhoneID: id, Trigger: "auto_sms", Restricted: true, OOBClass: "pstn"})
	case s.pick(2) == 0:
		s.in(p.id, domain.PhoneNumberReplaced{OldPhoneID: p.phones[0], NewPhoneID: id}, domain.SMSAutoEnrollmentSkipped{PhoneID: id, Reason: "already_enrolled"})
		p.phones = p.phones[1:]
	default:
		s.in(p.id, domain.PhoneNumberRemoved{PhoneID: p.phones[0], Reason: "old"})
		p.phones = p.phones[1:]
	}
	p.phones = append(p.phones, id)
}

// message is one SMS with one of its possible fates.
func (s *stories) message(p *person, phone string, purpose domain.Purpose, subject string) {
	id := s.id("sms", p.id)
	s.in(p.id, domain.SMSRequested{SMSID: id, PhoneID: phone, Purpose: purpose, SubjectID: subject, CodeSeq: 1, TemplateID: "code", Locale: "en"})
	s.pass(time.Second)
	s.in(p.id, domain.SMSDispatchStarted{SMSID: id, Gateway: "inbox"})
	sent := domain.SMSSent{SMSID: id, Provider: "inbox", ProviderRef: "ref-" + id, SenderID: "IBKR", Segments: 1, AcceptedAt: s.now}
	delivered := domain.SMSDelivered{SMSID: id, ProviderRef: "ref-" + id, DeliveredAt: s.now.Add(time.Second), LatencyMS: 1000, Receipt: "handset"}
	fates := [][]domain.Event{
		{sent, delivered},
		{delivered, sent}, // a receipt may overtake
		{sent, domain.SMSDeliveryFailed{SMSID: id, ProviderRef: "ref-" + id, Failure: "roaming", ProviderCode: "30003"}},
		{domain.SMSDispatchUncertain{SMSID: id}},
		{domain.SMSSendFailed{SMSID: id, ProviderCode: "21211"}},
	}
	for _, e := range fates[s.pick(len(fates))] {
		s.in(p.id, e)
	}
}

// begin starts a transaction and returns its id; the rest of the episode is
// correlated with it.
func (s *stories) begin(p *person) string {
	txn := s.id("txn", p.id)
	s.correlation = txn
	s.in(p.id, domain.AuthenticationStarted{TxnID: txn, Purpose: domain.PurposeLogin, Platform: domain.TWS, PlatformClass: domain.Trading},
		domain.PrimaryFactorVerified{TxnID: txn, ExpiresAt: s.now.Add(10 * time.Minute)})
	return txn
}

// login is by push and, at times, by challenge and response.
func (s *stories) login(p *person) {
	txn, chl, psh := s.begin(p), s.id("chl", p.id), s.id("psh", p.id)
	if p.authenticator == "" {
		s.in(p.id, domain.EnrollmentRequired{TxnID: txn})
		s.in(p.id, domain.AuthenticationAbandoned{TxnID: txn})
		return
	}
	s.in(p.id, domain.SecondFactorOffered{TxnID: txn, Options: []domain.Option{{AuthenticatorID: p.authenticator, Kind: domain.KindIBKey, Rank: 2}}},
		domain.SecondFactorSelected{TxnID: txn, AuthenticatorID: p.authenticator, By: "only_one"},
		domain.ChallengeIssued{
			ChallengeID: chl, TxnID: txn, AuthenticatorID: p.authenticator, Kind: domain.KindIBKey, Mode: domain.ModePush,
			InstallationID: p.installation, Kid: "k", NumberMatching: true, MaxAttempts: 3, ExpiresAt: s.now.Add(time.Minute),
		})
	if s.pick(4) == 0 {
		s.in(p.id, domain.PushFailed{PushID: psh, ChallengeID: chl, Failure: "token_invalid"})
	} else {
		s.in(p.id, domain.PushSent{PushID: psh, ChallengeID: chl, InstallationID: p.installation})
		s.in(p.id, domain.PushOpened{PushID: psh, ChallengeID: chl, OpenedAt: s.now})
	}
	if s.pick(3) == 0 {
		next := s.id("chl", p.id)
		s.in(p.id, domain.ChallengeFallbackRequested{ChallengeID: chl, Cause: domain.CauseNoInternet},
			domain.ChallengeCancelled{ChallengeID: chl, Reason: "fallback"},
			domain.ChallengeIssued{ChallengeID: next, TxnID: txn, AuthenticatorID: p.authenticator, Kind: domain.KindIBKey, Mode: domain.ModeChallengeResponse, Kid: "k", MaxAttempts: 3, ExpiresAt: s.now})
		chl = next
	}
	s.in(p.id, domain.ResponseVerified{ChallengeID: chl, TxnID: txn, AuthenticatorID: p.authenticator, Mode: domain.ModePush, UV: domain.UVFaceID, AttemptNo: 1, AnsweringInstallationID: p.installation},
		domain.AuthenticationSucceeded{TxnID: txn, Scope: "full", AuthenticatorKind: domain.KindIBKey, ProtectionRank: 2, Factors: 2, SessionRef: "s"})
}

func (s *stories) smsLogin(p *person) {
	if p.smsAuth == "" {
		return
	}
	txn, chl := s.begin(p), s.id("chl", p.id)
	s.in(p.id, domain.ChallengeIssued{ChallengeID: chl, TxnID: txn, AuthenticatorID: p.smsAuth, Kind: domain.KindSMS, Mode: domain.ModeSMSCode, MaxAttempts: 3, ExpiresAt: s.now},
		domain.LoginCodeIssued{ChallengeID: chl, Seq: 1, Via: "sms", Kid: "k", CodeLen: 6, ExpiresAt: s.now})
	s.correlation = ""
	s.message(p, p.phones[len(p.phones)-1], domain.PurposeLogin, chl)
	s.in(p.id, domain.ResponseVerified{ChallengeID: chl, TxnID: txn, AuthenticatorID: p.smsAuth, Mode: domain.ModeSMSCode, AttemptNo: 1},
		domain.AuthenticationSucceeded{TxnID: txn, Scope: "full", AuthenticatorKind: domain.KindSMS, ProtectionRank: 1, Factors: 2, SessionRef: "s"})
}

func (s *stories) failedLogin(p *person) {
	txn := s.id("txn", p.id)
	s.in(p.id, domain.AuthenticationStarted{TxnID: txn, Purpose: domain.PurposeLogin, Platform: domain.ClientPortal, PlatformClass: domain.Portal},
		domain.PrimaryFactorRejected{TxnID: txn, FailureCount: 1}, domain.AuthenticationFailed{TxnID: txn, Reason: domain.ReasonPrimaryFailed})
	txn, chl := s.begin(p), s.id("chl", p.id)
	s.in(p.id, domain.ChallengeIssued{ChallengeID: chl, TxnID: txn, AuthenticatorID: p.authenticator, Kind: domain.KindIBKey, Mode: domain.ModePush, MaxAttempts: 1, ExpiresAt: s.now})
	s.in(p.id, domain.ResponseRejected{ChallengeID: chl, TxnID: txn, Reason: domain.ReasonDeclined, AttemptNo: 1, Counted: true, FailureCount: 2},
		domain.ChallengeExhausted{ChallengeID: chl}, domain.AnomalyFlagged{Kind: "push_declined", TxnID: txn},
		domain.AuthenticationFailed{TxnID: txn, Reason: domain.ReasonDeclined},
		domain.UserLocked{Failures: 2, FirstFailureAt: s.now, LastCountedFailedAt: s.now, LockedUntil: s.now.Add(time.Minute)})
	s.in(p.id, domain.AuthenticationRefused{Purpose: domain.PurposeLogin, Platform: domain.TWS, Reason: domain.ReasonUserLocked})
	s.in(p.id, domain.UnlockRefused{Reason: domain.ReasonIDVRequired})
	idv := s.id("idv", p.id)
	s.actor = domain.Actor{Kind: domain.ActorAgent, Ref: fmt.Sprintf("agent-%d", s.pick(5))}
	s.in(p.id, domain.IdentityVerifiedByAgent{IDVID: idv, AgentRef: s.actor.Ref, Method: "questions", ExpiresAt: s.now})
	s.in(p.id, domain.UserUnlocked{By: "agent", IDVID: idv})
	s.actor = domain.Actor{Kind: domain.ActorClient, Ref: "frontend"}
}

func (s *stories) enroll(p *person) {
	enr, aut := s.id("enr", p.id), s.id("aut", p.id)
	s.in(p.installation, domain.AppPINSet{PINPolicyVersion: 1})
	var phone string
	if len(p.phones) > 0 {
		phone = p.phones[0]
	}
	s.in(p.id, domain.EnrollmentStarted{EnrollmentID: enr, Kind: domain.KindIBKey, Flow: "activate", InstallationID: p.installation, PhoneID: phone, OS: domain.Android, HandsetID: "h"},
		domain.ActivationCodeIssued{SubjectID: enr, Seq: 1, Kid: "k", CodeLen: 8, Channel: "sms", ExpiresAt: s.now})
	s.in(p.id, domain.ActivationCodeRejected{SubjectID: enr, Reason: domain.ReasonActivationWrong, AttemptNo: 1, AttemptsLeft: 2})
	if s.pick(3) == 0 {
		s.in(p.id, domain.EnrollmentAbandoned{EnrollmentID: enr})
		return
	}
	s.in(p.id, domain.ActivationCodeAccepted{SubjectID: enr, Seq: 1})
	done := []domain.Event{domain.UserVerificationPerformed{EnrollmentID: enr, UV: domain.UVAppPIN, InstallationID: p.installation, PINPolicyVersion: 1}}
	if p.authenticator != "" {
		done = append(done, domain.AuthenticatorRevoked{AuthenticatorID: p.authenticator, Reason: "replaced", SuccessorID: aut})
	}
	s.in(p.id, append(done, domain.AuthenticatorEnrolled{
		AuthenticatorID: aut, Kind: domain.KindIBKey, InstallationID: p.installation, UVMethods: []domain.UV{domain.UVAppPIN},
		ActivationPhoneID: phone, Trigger: "user", OOBClass: "number_matching", OCRASuite: "OCRA-1:HOTP-SHA256-8:QN06-T1M", OS: domain.Android,
	})...)
	p.authenticator = aut
}

func (s *stories) decision(outcome string) domain.Decision {
	return domain.Decision{
		Outcome: outcome, DecisiveRuleID: "DE-1", RuleVersion: 2, MatchedRuleIDs: []string{"DE-1"}, PolicyVersion: 1, AsOf: s.now,
		Facts: domain.DecisionFacts{Residence: []string{"DE", "HK"}[s.pick(2)], HolderResidences: []string{}, AccessibleCarryingCCs: []string{}},
	}
}

func (s *stories) optOut(p *person) {
	switch {
	case p.optOut == "" && s.pick(3) == 0:
		s.in(p.id, domain.OptBackInRefused{Reason: domain.ReasonNotOptedOut})
	case p.optOut == "":
		id := s.id("opt", p.id)
		asked := domain.OptOutRequested{OptOutID: id, UserID: p.id, RequestedBy: p.id, AgreementVersion: "a1", Acknowledged: true}
		ends := s.now.Add(24 * time.Hour)
		verdicts := []domain.Event{
			domain.OptOutDenied{OptOutID: id, Reason: domain.ReasonRegimeMandatory, Decision: s.decision("deny_opt_out")},
			domain.OptOutGranted{OptOutID: id, Scope: "trading_platforms", Decision: s.decision("permit_opt_out")},
			domain.OptOutGranted{OptOutID: id, Scope: "trading_platforms", EndsAt: &ends, Decision: s.decision("opt_out_until")},
		}
		n := s.pick(len(verdicts))
		s.in(p.id, asked, verdicts[n])
		if n > 0 {
			p.optOut = id
		}
	case s.pick(2) == 0:
		s.in(p.id, domain.OptOutRevoked{OptOutID: p.optOut, Cause: "residence_change", EffectiveAt: s.now.Add(-time.Hour), DetectedAt: s.now, ExposedS: 3600, Decision: s.decision("deny_opt_out")})
		p.optOut = ""
	default:
		txn := s.begin(p)
		s.in(p.id, domain.SecondFactorWaived{TxnID: txn, OptOutID: p.optOut, RuleIDs: []string{"DE-1"}, Decision: s.decision("permit_opt_out")},
			domain.AuthenticationSucceeded{TxnID: txn, Scope: "full", Factors: 1, SessionRef: "s"})
		s.in(p.id, domain.OptedBackIn{OptOutID: p.optOut, By: p.id})
		p.optOut = ""
	}
}

// odds is everything else that happens.
func (s *stories) odds(p *person) {
	n := s.pick(len(s.people))
	other := client(n)
	s.in(other, domain.CarryingEntityAssigned{CarryingEntity: "IBUK", CarryingCC: "GB", EffectiveOn: "2026-02-01"},
		domain.HolderAdded{PersonRef: "x", Residence: "HK", EffectiveOn: "2026-02-01"}, domain.HolderRemoved{PersonRef: "x", EffectiveOn: "2026-02-02"})
	s.in(p.id, domain.AccountAccessGranted{ClientID: other, EffectiveOn: "2026-02-01"}, domain.AccountAccessRevoked{ClientID: other, EffectiveOn: "2026-02-02"})
	s.in(p.installation, domain.AppPINChanged{PINPolicyVersion: 2})
	s.in(p.id, domain.SeamlessDisabled{}, domain.SeamlessEnabled{})
	s.in(p.id, domain.SecurityNotificationSent{NotificationID: s.id("ntf", p.id), Topic: "t", Channel: "email", TemplateID: "t", Locale: "en", NoticeOf: "evt"},
		domain.SecurityNotificationFailed{NotificationID: s.id("ntf", p.id), Topic: "t", Channel: "sms", NoticeOf: "evt"})
	s.actor = domain.Actor{Kind: domain.ActorCompliance, Ref: "auditor"}
	s.in("audit-2026-03", domain.AuditQueryPerformed{AuditorRef: "auditor", Operation: "events", QueryDigest: "d", Rows: 3})
	s.in("keyring-codes", domain.CodeEpochDestroyed{Kid: "c2026-01-01-00000000"})
	s.actor = domain.Actor{Kind: domain.ActorClient, Ref: "frontend"}
}

// refusals is everything that is refused besides.
func (s *stories) refusals(p *person) {
	txn := s.begin(p)
	s.in(p.id, domain.SelectionRefused{TxnID: txn, AuthenticatorID: p.authenticator, Reason: domain.ReasonNotOffered},
		domain.ChallengeRefused{TxnID: txn, Reason: domain.ReasonPushRate},
		domain.FallbackRefused{ChallengeID: s.id("chl", p.id), Reason: domain.ReasonNoFallback})
	s.in(p.id, domain.EnrollmentRefused{Flow: "activate", Kind: domain.KindIBKey, InstallationID: p.installation, Reason: domain.ReasonAlreadyEnrolled},
		domain.RevocationRefused{AuthenticatorID: p.authenticator, Reason: domain.ReasonLastAuth})
	if len(p.phones) > 0 {
		s.in(p.id, domain.SMSRequestRefused{PhoneID: p.phones[0], Purpose: domain.PurposeLogin, Reason: domain.ReasonSMSCooldown, RetryAfterS: 90})
	}
	s.in(p.id, domain.UserClosed{Reason: "left"})
}
