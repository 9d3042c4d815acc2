package domain

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// rule is one rule of the original articles: what it says, where
// it is enforced, which call meets it, and the story that shows it. A rule
// without a story says why it is not modelled.
type rule struct {
	id, says string
	file     string // below the repository's root
	endpoint string // method and path of api/openapi.yaml; empty where a process acts
	shows    func(t *testing.T)
	why      string // it is not modelled
}

var updateCoverage = flag.Bool("coverage-doc", false, "write docs/coverage.md")

// TestRules tells the story of every rule. Its table is the source of
// docs/coverage.md.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, r := range rules() {
		t.Run(r.id, func(t *testing.T) {
			t.Parallel()
			if r.shows == nil {
				if r.why == "" {
					t.Error("the rule has neither a story nor a reason")
				}
				return
			}
			r.shows(t)
		})
	}
}

// TestCoverageIsComplete: every rule of the articles has its row, the places it
// names exist, and docs/coverage.md is what the table says.
func TestCoverageIsComplete(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	spec, err := os.ReadFile(filepath.Join("..", "api", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules() {
		if seen[r.id] {
			t.Errorf("%s has two rows", r.id)
		}
		seen[r.id] = true
		if r.why != "" {
			continue
		}
		source, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(r.file)))
		if err != nil || !regexp.MustCompile(r.id+`\b`).Match(source) {
			t.Errorf("%s: %s does not name the rule (%v)", r.id, r.file, err)
		}
		if r.endpoint != "" && !specified(string(spec), r.endpoint) {
			t.Errorf("%s: the specification has no %s", r.id, r.endpoint)
		}
	}
	for _, n := range articleRules() {
		if id := fmt.Sprintf("R-%d", n); !seen[id] {
			t.Errorf("%s has no row", id)
		}
	}
	if len(seen) != len(articleRules()) {
		t.Errorf("%d rows for %d rules", len(seen), len(articleRules()))
	}
	path := filepath.Join("..", "docs", "coverage.md")
	want := coverageText()
	if *updateCoverage {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("docs/coverage.md is stale (%v); write it with: go test ./domain -run TestCoverageIsComplete -coverage-doc", err)
	}
}

// articleRules are the numbers of the articles' rules; the gaps are theirs.
func articleRules() []int {
	var out []int
	for _, r := range [][2]int{{1, 8}, {10, 15}, {20, 27}, {30, 34}, {40, 48}, {50, 59}, {60, 63}} {
		for n := r[0]; n <= r[1]; n++ {
			out = append(out, n)
		}
	}
	return out
}

// specified reports whether the specification has a method on a path.
func specified(spec, endpoint string) bool {
	method, path, _ := strings.Cut(endpoint, " ")
	_, rest, ok := strings.Cut(spec, "\n  "+path+":\n")
	if !ok {
		return false
	}
	for line := range strings.Lines(rest) {
		if len(line) > 2 && line[:2] == "  " && line[2] != ' ' {
			return false // the next path
		}
		if strings.TrimSpace(line) == strings.ToLower(method)+":" {
			return true
		}
	}
	return false
}

func coverageText() string {
	var b strings.Builder
	b.WriteString(`# Coverage of the articles' rules

Written by a test from the table in ` + "`domain/rules_test.go`" + `; do not edit. Each rule has a story, a subtest of
` + "`TestRules`" + ` of the same name, that fails when the rule is broken:

    go test ./domain -run 'TestRules/R-41$' -v

| rule | says | enforced in | call | test |
|---|---|---|---|---|
`)
	for _, r := range rules() {
		if r.why != "" {
			fmt.Fprintf(&b, "| %s | %s | not modelled: %s | – | – |\n", r.id, r.says, r.why)
			continue
		}
		call := "–"
		if r.endpoint != "" {
			call = "`" + r.endpoint + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | `%s` | %s | `TestRules/%s` |\n", r.id, r.says, r.file, call, r.id)
	}
	return b.String()
}

var everyPlatform = []Platform{TWS, ClientPortal, WebTrader, IBKRMobileIOS, IBKRMobileAndroid}

// Calls that many rules are met by.
const (
	callLogin    = "POST /v1/authentications"
	callAnswer   = "POST /v1/challenges/{challengeId}/responses"
	callEnroll   = "POST /v1/users/{userId}/enrollments"
	callDecision = "POST /v1/installations/{installationId}/challenges/{challengeId}/decision"
	callFallback = "POST /v1/challenges/{challengeId}/fallback"
	callMigrate  = "POST /v1/users/{userId}/migrations"
	callUnify    = "POST /v1/users/{userId}/unifications"
	callVerify   = "POST /v1/phones/{phoneId}/verifications"
	callVoice    = "POST /v1/challenges/{challengeId}/voice-calls"
	callOptOut   = "POST /v1/users/{userId}/opt-out-requests"
)

func rules() []rule {
	var out []rule
	for _, part := range [][]rule{factorRules(), appRules(), loginRules(), cardRules(), messageRules(), moveRules(), regimeRules()} {
		out = append(out, part...)
	}
	return out
}

// has reports whether the last command appended an event of a type.
func has[E Event](s *story) bool {
	for _, e := range s.got {
		if _, ok := e.(E); ok {
			return true
		}
	}
	return false
}

func must[E Event](s *story) {
	s.t.Helper()
	if !has[E](s) {
		var zero E
		s.t.Errorf("got %s and error %v, want %T among them", names(s.got), s.err, zero)
	}
}

func never[E Event](s *story) {
	s.t.Helper()
	if has[E](s) {
		var zero E
		s.t.Errorf("got %s, want no %T", names(s.got), zero)
	}
}

// refusedAs asserts that the last command was refused with a reason, by event
// or by error.
func (s *story) refusedAs(want Code) {
	s.t.Helper()
	for _, e := range s.got {
		if reasonOf(e) == want {
			return
		}
	}
	if e, ok := s.err.(*Error); ok && e.Code == want {
		return
	}
	s.t.Errorf("got %s and error %v, want %s", names(s.got), s.err, want)
}

func factorRules() []rule {
	return []rule{
		{id: "R-1", says: "access needs something known and something held", file: "domain/authentication.go", endpoint: callLogin, shows: func(t *testing.T) {
			s := given(t, alice, ibKey, login(TWS))
			never[AuthenticationSucceeded](s)
			s.when(decisionOn(s, iphoneID), approved(UVFaceID)).then(ResponseVerified{}, AuthenticationSucceeded{Factors: 2})
		}},
		{id: "R-2", says: "the second factor is asked in every application", file: "domain/vocabulary.go", endpoint: callLogin, shows: func(t *testing.T) {
			for _, p := range everyPlatform {
				s := given(t, alice, ibKey, login(p))
				must[ChallengeIssued](s)
				never[AuthenticationSucceeded](s)
			}
		}},
		{id: "R-3", says: "only after the password was accepted", file: "domain/challenge.go", endpoint: callLogin, shows: func(t *testing.T) {
			s := given(t, alice, ibKey, wrongPassword)
			never[ChallengeIssued](s)
			never[SecondFactorOffered](s)
			s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)}).refusedAs(ReasonTxnClosed)
		}},
		{id: "R-4", says: "the phone that authenticates and the device that trades may differ", file: "domain/authentication.go", endpoint: callLogin, shows: func(t *testing.T) {
			s := given(t, alice, ibKey)
			s.when(StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: IBKRMobileAndroid, PrimaryVerified: true, InitiatingDeviceRef: "B"})
			s.and(fallback).when(answerTo(s), ocra(true)).then(
				ResponseVerified{AnsweringInstallationID: iphoneID}, AuthenticationSucceeded{Platform: IBKRMobileAndroid, InitiatingDeviceRef: "B"})
		}},
		{id: "R-5", says: "IB Key is active on exactly one phone of a user", file: "domain/enrollment.go", endpoint: callEnroll, shows: func(t *testing.T) {
			s := given(t, alice, ibKey, installation(pixelID, Android), password(PurposeActivation, TWS))
			s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: pixelID, TxnID: s.id(PrefixTransaction)}).refusedAs(ReasonIBKeyElsewhere)
		}},
		{id: "R-6", says: "one app serves several users", file: "domain/device.go", endpoint: callEnroll, shows: func(t *testing.T) {
			s := given(t, alice, installation(iphoneID, IOS))
			for _, u := range []string{aliceID, bobID} {
				aut := PrefixAuthenticator + "_" + keyOf(u) + "_9"
				s.when(BindToInstallation{InstallationID: iphoneID, UserID: u, AuthenticatorID: aut}).then(AuthenticatorBound{UserID: u, AuthenticatorID: aut})
			}
			if i := s.states[InstallationStream(iphoneID)].(*Installation); len(i.Bindings) != 2 {
				t.Errorf("%d users on the app, want 2", len(i.Bindings))
			}
		}},
		{id: "R-7", says: "support can hand a temporary or reset password to the phone without SMS", file: "domain/temporary.go", endpoint: "POST /v1/users/{userId}/credential-deliveries", shows: func(t *testing.T) {
			s := given(t, alice, ibKey)
			s.when(VerifyIdentityByPhone{UserID: aliceID, AgentRef: "a", Method: "m"})
			s.when(DeliverTemporaryCredential{UserID: aliceID, What: "reset_password", ResetRef: "r-1", Channel: "in_app"}).
				then(TemporaryCredentialDelivered{Channel: "in_app", InstallationID: iphoneID})
		}},
		{id: "R-8", says: "IB Key runs on Android and iOS only", file: "domain/installation.go", endpoint: "POST /v1/installations", shows: func(t *testing.T) {
			s := given(t, alice)
			s.when(RegisterInstallation{InstallationID: iphoneID, App: AppIBKRMobile, OS: "windows"}).thenError(ReasonOSUnsupported)
			s.and(installation(iphoneID, IOS), installation(pixelID, Android))
		}},
	}
}

func appRules() []rule {
	completing := func(os OS, uv UV) func(*testing.T) *story {
		return func(t *testing.T) *story {
			s := given(t, alice, verifiedPhone, installation(iphoneID, os), activationAccepted(iphoneID))
			return s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: uv})
		}
	}
	return []rule{
		{id: "R-10", says: "adding a user needs an app where IB Key is active", file: "domain/enrollment.go", endpoint: callEnroll, shows: func(t *testing.T) {
			s := given(t, alice, verifiedPhone, installation(iphoneID, IOS), password(PurposeActivation, IBKRMobileIOS))
			s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, Flow: "add_user", InstallationID: iphoneID, TxnID: s.id(PrefixTransaction)}).refusedAs(ReasonIBKeyNotHere)
		}},
		{id: "R-11", says: "password, code by SMS to the account's number, local check, done – in this order", file: "domain/enrollment.go", endpoint: callEnroll, shows: func(t *testing.T) {
			s := given(t, alice, verifiedPhone, installation(iphoneID, IOS))
			s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID}).refusedAs(ReasonPrimaryRequired)
			s.and(enrollment(iphoneID))
			s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVFaceID}).refusedAs(ReasonActivationNeeded)
			s.when(SubmitActivationCode{EnrollmentID: s.id(PrefixEnrollment)}, code(1)).then(ActivationCodeAccepted{})
			s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVFaceID}).then(UserVerificationPerformed{}, AuthenticatorEnrolled{ActivationPhoneID: s.id(PrefixPhone)})
		}},
		{id: "R-12", says: "iOS checks its user by passcode, Touch ID or Face ID", file: "domain/enrollment.go", endpoint: "POST /v1/enrollments/{enrollmentId}/complete", shows: func(t *testing.T) {
			for _, uv := range []UV{UVDevicePasscode, UVTouchID, UVFaceID} {
				must[AuthenticatorEnrolled](completing(IOS, uv)(t))
			}
			completing(IOS, UVFingerprint)(t).refusedAs(ReasonUVMethod)
			completing(IOS, UVNone)(t).refusedAs(ReasonUVRequired)
		}},
		{id: "R-13", says: "Android checks by fingerprint or PIN, for challenge and response by PIN", file: "domain/response.go", endpoint: callDecision, shows: func(t *testing.T) {
			must[AuthenticatorEnrolled](completing(Android, UVFingerprint)(t))
			must[AuthenticatorEnrolled](completing(Android, UVAppPIN)(t))
			completing(Android, UVFaceID)(t).refusedAs(ReasonUVMethod)
			s := given(t, alice, verifiedPhone, ibKeyOn(pixelID, Android, UVAppPIN), login(TWS), fallback)
			s.when(answerTo(s), ocra(true)).then(ResponseVerified{UV: UVAppPIN}, AuthenticationSucceeded{})
		}},
		{id: "R-14", says: "an Android PIN has 4 to 6 letters or digits, one digit at least, typed twice alike", file: "domain/installation.go", endpoint: "POST /v1/installations/{installationId}/pin", shows: func(t *testing.T) {
			s := given(t, alice, verifiedPhone)
			s.when(RegisterInstallation{InstallationID: pixelID, App: AppIBKRMobile, OS: Android, HandsetID: "h"})
			for _, reason := range []Code{ReasonPINPolicy, ReasonPINMismatch} {
				s.when(AttestPIN{InstallationID: pixelID, PINPolicyVersion: 1, Violation: reason}).then(AppPINRefused{Reason: reason})
				s.after(3 * time.Minute).and(activationAccepted(pixelID)).when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVAppPIN}).refusedAs(reason)
			}
			s.when(AttestPIN{InstallationID: pixelID, PINPolicyVersion: 1}).then(AppPINSet{PINPolicyVersion: 1})
			s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVAppPIN})
			must[AuthenticatorEnrolled](s)
		}},
		{id: "R-15", says: "authentication code, activation code, SMS code and activation token are one thing", file: "domain/enrollment.go", endpoint: "POST /v1/enrollments/{enrollmentId}/activation", shows: func(t *testing.T) {
			s := given(t, alice, verifiedPhone, installation(iphoneID, IOS), enrollment(iphoneID))
			activation := the[ActivationCodeIssued](s)
			s.and(ruleMigration)
			if token := the[ActivationCodeIssued](s); token.CodeLen != activation.CodeLen || token.Channel != activation.Channel {
				t.Errorf("a migration's token %+v differs from an activation code %+v", token, activation)
			}
		}},
	}
}

// ruleMigration finishes the activation under way and begins to migrate to an
// Android phone.
func ruleMigration(s *story) {
	s.t.Helper()
	s.when(SubmitActivationCode{EnrollmentID: s.id(PrefixEnrollment)}, code(1))
	s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVFaceID})
	s.and(migrationTo(pixelID))
}

// migrationTo begins to move Alice's IB Key to a new Android phone.
func migrationTo(installationID string) step {
	return func(s *story) {
		s.t.Helper()
		s.and(installation(installationID, Android), password(PurposeMigration, IBKRMobileAndroid))
		s.when(StartMigration{UserID: aliceID, InstallationID: installationID, TxnID: s.id(PrefixTransaction)})
	}
}

func loginRules() []rule {
	return []rule{
		{id: "R-20", says: "push, local check, and the login page moves on by itself", file: "domain/push.go", endpoint: callDecision, shows: func(t *testing.T) {
			s := given(t, alice, ibKey, login(ClientPortal))
			if c := the[ChallengeIssued](s); c.Mode != ModePush {
				t.Errorf("asked by %s", c.Mode)
			}
			s.when(decisionOn(s, iphoneID), approved(UVTouchID)).then(ResponseVerified{UV: UVTouchID}, AuthenticationSucceeded{})
		}},
		{id: "R-21", says: "falling back is legitimate without notification, connectivity or a good link", file: "domain/vocabulary.go", endpoint: callFallback, shows: func(t *testing.T) {
			for _, cause := range []FallbackCause{CauseNoNotification, CauseNotificationsOff, CauseNoInternet, CausePoorLink, CauseUnspecified} {
				s := given(t, alice, ibKey, login(TWS))
				s.when(RequestFallback{ChallengeID: s.id(PrefixChallenge), Cause: cause}).then(ChallengeFallbackRequested{Cause: cause}, ChallengeCancelled{}, ChallengeIssued{})
			}
		}},
		{id: "R-22", says: "the fallback is a 6-digit challenge and an 8-digit response", file: "domain/challenge.go", endpoint: callFallback, shows: func(t *testing.T) {
			s := given(t, alice, ibKey, login(TWS), fallback)
			if c := the[ChallengeIssued](s); c.ChallengeLen != 6 || c.ResponseLen != 8 {
				t.Errorf("%d digits to %d", c.ChallengeLen, c.ResponseLen)
			}
			s.when(answerTo(s), malformed).refusedAs(ReasonMalformed)
			s.when(answerTo(s), ocra(true))
			must[AuthenticationSucceeded](s)
		}},
		{id: "R-23", says: "Android enters its PIN with the challenge", file: "domain/response.go", endpoint: callAnswer, shows: func(t *testing.T) {
			s := given(t, alice, verifiedPhone, ibKeyOn(pixelID, Android, UVFingerprint), login(TWS), fallback)
			s.when(answerTo(s), ocra(true)).then(ResponseVerified{UV: UVAppPIN}, AuthenticationSucceeded{})
		}},
		{id: "R-24", says: "the response goes back to the device that showed the challenge", file: "domain/response.go", endpoint: callAnswer, shows: func(t *testing.T) {
			s := given(t, alice, ibKey, login(TWS), fallback)
			challenge := s.id(PrefixChallenge)
			s.and(login(WebTrader)).when(SubmitResponse{ChallengeID: challenge, TxnID: s.id(PrefixTransaction)}, ocra(true)).refusedAs(ReasonTxnMismatch)
		}},
		{id: "R-25", says: "after one challenge and response with the app online, push works again", file: "domain/installation.go", endpoint: "POST /v1/installations/{installationId}/push-token", shows: func(t *testing.T) {
			s := given(t, alice, ibKey, login(TWS), fallback)
			s.when(answerTo(s), ocra(true))
			s.when(RegisterPushToken{InstallationID: iphoneID, Service: "apns", TokenMAC: "bWFj"}).then(PushTokenRegistered{})
			s.and(login(TWS))
			if c := the[ChallengeIssued](s); c.Mode != ModePush {
				t.Errorf("asked by %s", c.Mode)
			}
		}},
		{id: "R-26", says: "with several devices the user picks one", file: "domain/authentication.go", endpoint: "POST /v1/authentications/{authenticationId}/challenges", shows: func(t *testing.T) {
			s := given(t, alice, ibKey)
			s.append(AuthenticatorEnrolled{AuthenticatorID: PrefixAuthenticator + "_" + ownKey + "_900", Kind: KindDSCPlus, DeviceID: ruleDevice})
			s.and(login(ClientPortal)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorOffered{})
			if o := the[SecondFactorOffered](s).Options; len(o) != 2 || o[0].Kind != KindDSCPlus || o[1].Kind != KindIBKey {
				t.Errorf("offered %v, want both, the strongest first", o)
			}
		}},
		{id: "R-27", says: "a push has prerequisites, and settings can hide it", file: "domain/challenge.go", endpoint: "POST /v1/users/{userId}/seamless", shows: func(t *testing.T) {
			s := given(t, alice, ibKey)
			s.when(SetSeamless{UserID: aliceID}).then(SeamlessDisabled{})
			s.and(login(TWS)).refusedAs(ReasonSeamlessOff)
			if c := the[ChallengeIssued](s); c.Mode != ModeChallengeResponse {
				t.Errorf("asked by %s", c.Mode)
			}
		}},
	}
}

// ruleDevice is the card of these stories.
const ruleDevice = PrefixDevice + "_" + otherKey

// ruleCard is Alice with a Digital Security Card+ that she activated by a
// response.
func ruleCard(s *story) {
	s.t.Helper()
	s.and(sms)
	s.when(RequestPhysicalDevice{UserID: aliceID, Model: ModelDSCPlus, EquityUSDMinor: 100_000_000, ShipTo: Clear("1 Road")}).then(PhysicalDeviceRequested{})
	request := s.id(PrefixRequest)
	s.when(RegisterDevice{DeviceID: ruleDevice, Model: ModelDSCPlus, Manufacturer: "m", Serial: "1", Suite: "OCRA-1:HOTP-SHA256-8:C-QN06"})
	s.when(RecordDeviceShipped{DeviceID: ruleDevice, RequestID: request, DispatchedOn: "2024-03-01"}).then(PhysicalDeviceShipped{ActivationDueOn: "2024-03-15"})
	s.when(NoteDeviceShipped{UserID: aliceID, DeviceID: ruleDevice, RequestID: request, DispatchedOn: "2024-03-01", DueOn: "2024-03-15"})
	s.and(password(PurposeActivation, ClientPortal))
	s.when(StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: ruleDevice, TxnID: s.id(PrefixTransaction)})
	s.when(answerTo(s), response(1))
	must[AuthenticatorEnrolled](s)
}

// response is a right answer of a card, after which it expects a counter.
func response(next uint64) evidence {
	return func(f *Facts) { f.Code = CodeEvidence{LenOK: true, CharsetOK: true, Matched: true, NextCounter: next} }
}

func cardRules() []rule {
	return []rule{
		{id: "R-30", says: "Digital Security Card+: the password leads to a 6-digit challenge", file: "domain/challenge.go", endpoint: callLogin, shows: func(t *testing.T) {
			s := given(t, alice, ruleCard, login(ClientPortal))
			if c := the[ChallengeIssued](s); c.Mode != ModeChallengeResponse || c.ChallengeLen != 6 || c.Kind != KindDSCPlus {
				t.Errorf("asked %+v", c)
			}
		}},
		{id: "R-31", says: "the card is opened by the 4-digit PIN chosen with the order", file: "domain/response.go", endpoint: "POST /v1/users/{userId}/device-requests", shows: func(t *testing.T) {
			s := given(t, alice, sms)
			order := RequestPhysicalDevice{UserID: aliceID, Model: ModelDSCPlus, EquityUSDMinor: 100_000_000}
			s.when(order, func(f *Facts) { f.PINConforms = false }).refusedAs(ReasonPINPolicy)
			s.when(order).then(PhysicalDeviceRequested{PINChosen: true})
			card := given(t, alice, ruleCard, login(TWS))
			card.when(answerTo(card), response(2)).then(ResponseVerified{UV: UVDSCPIN}, AuthenticationSucceeded{})
		}},
		{id: "R-32", says: "the card's answer has 8 digits", file: "domain/challenge.go", endpoint: callAnswer, shows: func(t *testing.T) {
			s := given(t, alice, ruleCard, login(TWS))
			if c := the[ChallengeIssued](s); c.ResponseLen != 8 {
				t.Errorf("%d digits", c.ResponseLen)
			}
			s.when(answerTo(s), malformed).refusedAs(ReasonMalformed)
		}},
		{id: "R-33", says: "a response that comes too late sends the user back to the password", file: "domain/vocabulary.go", endpoint: callAnswer, shows: func(t *testing.T) {
			s := given(t, alice, ruleCard, login(TWS), later(5*time.Minute))
			s.when(answerTo(s), response(2)).then(ResponseRejected{Reason: ReasonChallengeExpired}, AuthenticationFailed{Reason: ReasonChallengeExpired})
			s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)}).refusedAs(ReasonTxnClosed)
		}},
		{id: "R-34", says: "the card works for any application", file: "domain/challenge.go", endpoint: callLogin, shows: func(t *testing.T) {
			for i, p := range everyPlatform {
				s := given(t, alice, ruleCard, login(p))
				s.when(answerTo(s), response(uint64(i+2))).then(ResponseVerified{DeviceID: ruleDevice}, AuthenticationSucceeded{ProtectionRank: 3})
			}
		}},
	}
}

func messageRules() []rule {
	voice := func(p Platform, channel ReleaseChannel) func(*testing.T) *story {
		return func(t *testing.T) *story {
			s := given(t, alice, sms)
			s.when(StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: p, ReleaseChannel: channel, PrimaryVerified: true})
			return s.when(RequestVoiceCall{ChallengeID: s.id(PrefixChallenge)})
		}
	}
	return []rule{
		{id: "R-40", says: "SMS needs a verified number; verifying is possible at any time", file: "domain/sms.go", endpoint: callVerify, shows: func(t *testing.T) {
			s := given(t, alice, phone, installation(iphoneID, IOS), password(PurposeActivation, TWS))
			s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID, TxnID: s.id(PrefixTransaction)}).refusedAs(ReasonPhoneUnverified)
			s.after(100 * 24 * time.Hour).and(verification)
		}},
		{id: "R-41", says: "a new SMS at most every two minutes", file: "domain/sms.go", endpoint: "POST /v1/phones/{phoneId}/verifications/{verificationId}/resend", shows: func(t *testing.T) {
			s := given(t, alice, phone, verification)
			again := ResendConfirmCode{VerificationID: s.id(PrefixVerification)}
			s.after(2*time.Minute - time.Millisecond).when(again).then(SMSRequestRefused{Reason: ReasonSMSCooldown, RetryAfterS: 1})
			s.after(time.Millisecond).when(again).then(ConfirmCodeIssued{Seq: 2}, SMSRequested{})
		}},
		{id: "R-42", says: "the right code shows the number as verified", file: "domain/phone.go", endpoint: "POST /v1/phones/{phoneId}/verifications/{verificationId}/checks", shows: func(t *testing.T) {
			s := given(t, alice, verifiedPhone)
			if p := s.user().Snapshot(s.now, s.policy).Phones; len(p) != 1 || p[0].Status != "verified" {
				t.Errorf("phones %+v", p)
			}
		}},
		{id: "R-43", says: "without an active device, SMS is enrolled by itself", file: "domain/enrollment.go", shows: func(t *testing.T) {
			s := given(t, alice, verifiedPhone)
			s.when(EvaluateAutoSMS{UserID: aliceID, PhoneID: s.id(PrefixPhone)}).then(AuthenticatorEnrolled{Kind: KindSMS, Trigger: "auto_sms"})
			with := given(t, alice, ibKey)
			with.when(EvaluateAutoSMS{UserID: aliceID, PhoneID: with.id(PrefixPhone)}).then(SMSAutoEnrollmentSkipped{Reason: "active_sls_device"})
		}},
		{id: "R-44", says: "login by SMS in TWS and Client Portal", file: "domain/challenge.go", endpoint: callLogin, shows: func(t *testing.T) {
			for _, p := range []Platform{TWS, ClientPortal} {
				s := given(t, alice, sms, login(p))
				must[SMSRequested](s)
				s.when(answerTo(s), code(1)).then(ResponseVerified{Mode: ModeSMSCode}, AuthenticationSucceeded{ProtectionRank: 1})
			}
		}},
		{id: "R-45", says: "voice only for SMS users, within a minute", file: "domain/voice.go", endpoint: callVoice, shows: func(t *testing.T) {
			s := given(t, alice, ibKey, login(ClientPortal))
			s.when(RequestVoiceCall{ChallengeID: s.id(PrefixChallenge)}).refusedAs(ReasonVoiceNotSMSUser)
			call := voice(ClientPortal, "")(t)
			must[VoiceCallRequested](call)
			call.when(RecordVoicePlaced{CallID: call.id(PrefixCall), PlacedAt: call.now.Add(61 * time.Second)}).then(VoiceCallPlaced{WaitMS: 61_000, SLAMissed: true})
		}},
		{id: "R-46", says: "voice in Client Portal, both mobile apps, and TWS latest or beta", file: "domain/voice.go", endpoint: callVoice, shows: func(t *testing.T) {
			for _, p := range []Platform{ClientPortal, IBKRMobileIOS, IBKRMobileAndroid} {
				must[VoiceCallRequested](voice(p, "")(t))
			}
			must[VoiceCallRequested](voice(TWS, Latest)(t))
			must[VoiceCallRequested](voice(TWS, Beta)(t))
			voice(TWS, Stable)(t).refusedAs(ReasonVoiceChannel)
			voice(WebTrader, "")(t).refusedAs(ReasonVoicePlatform)
		}},
		{id: "R-47", says: "a message may not arrive: IB Key, voice, or a carrier that blocks", file: "domain/sms.go", endpoint: "POST /v1/gateways/generic/receipts", shows: func(t *testing.T) {
			s := given(t, alice, sms, login(ClientPortal))
			challenge := s.id(PrefixChallenge)
			s.when(RecordSMSDeliveryFailed{SMSID: s.id(PrefixSMS), Failure: "carrier_blocked"}).then(SMSDeliveryFailed{Failure: "carrier_blocked"})
			s.when(RequestVoiceCall{ChallengeID: challenge})
			must[VoiceCallRequested](s)
		}},
		{id: "R-48", says: "after verification SMS can be received at once", file: "domain/sms.go", endpoint: callLogin, shows: func(t *testing.T) {
			must[SMSRequested](given(t, alice, sms, login(TWS)))
		}},
	}
}

func moveRules() []rule {
	old := func(s *story) Authenticator { a, _ := s.user().IBKey(); return a }
	return append(migrationRules(old), unificationRules(old)...)
}

func migrationRules(old func(*story) Authenticator) []rule {
	migrated := func(t *testing.T) *story {
		s := given(t, alice, ibKey, migrationTo(pixelID))
		s.when(ProveMigration{MigrationID: s.id(PrefixMigration)}, code(1))
		return s.when(CompleteMigration{MigrationID: s.id(PrefixMigration), UV: UVAppPIN})
	}
	return []rule{
		{id: "R-50", says: "a client migrates without support", file: "domain/migration.go", endpoint: callMigrate, shows: func(t *testing.T) {
			s := migrated(t)
			must[MigrationCompleted](s)
			for _, r := range s.logs[UserStream(aliceID)] {
				if _, ok := r.Event.(IdentityVerifiedByAgent); ok {
					t.Error("an agent was needed")
				}
			}
		}},
		{id: "R-51", says: "all steps happen on the new phone", file: "domain/migration.go", endpoint: "POST /v1/migrations/{migrationId}/complete", shows: func(t *testing.T) {
			s := migrated(t)
			if log := s.logs[InstallationStream(iphoneID)]; len(log) != 1 {
				t.Errorf("the old phone did something: %d events, want its registration alone", len(log))
			}
		}},
		{id: "R-52", says: "then the new phone answers and the old one no longer", file: "domain/migration.go", endpoint: "POST /v1/migrations/{migrationId}/complete", shows: func(t *testing.T) {
			s := migrated(t).and(login(TWS))
			if c := the[ChallengeIssued](s); c.InstallationID != pixelID {
				t.Errorf("asked %s", c.InstallationID)
			}
			s.when(decisionOn(s, iphoneID), approved(UVFaceID)).refusedAs(ReasonSignatureInvalid)
			s.when(decisionOn(s, pixelID), approved(UVAppPIN))
			must[AuthenticationSucceeded](s)
		}},
		{id: "R-53", says: "the proof goes to the number used at activation, unless a physical device answers", file: "domain/migration.go", endpoint: callMigrate, shows: func(t *testing.T) {
			s := given(t, alice, ibKey)
			first := s.id(PrefixPhone)
			s.and(verifiedPhone, migrationTo(pixelID))
			if m := the[MigrationStarted](s); m.ActivationPhoneID != first || the[SMSRequested](s).PhoneID != first {
				t.Errorf("the code goes to %s, want %s", m.ActivationPhoneID, first)
			}
			gone := given(t, alice, ibKey)
			number := gone.id(PrefixPhone)
			gone.and(verifiedPhone).when(ReplacePhone{OldPhoneID: number, NewPhoneID: gone.id(PrefixPhone)})
			gone.and(migrationTo(pixelID)).refusedAs(ReasonPhoneNotOriginal)
			gone.append(AuthenticatorEnrolled{AuthenticatorID: PrefixAuthenticator + "_" + ownKey + "_900", Kind: KindDSCPlus, DeviceID: ruleDevice})
			gone.when(StartMigration{UserID: aliceID, InstallationID: pixelID, TxnID: gone.id(PrefixTransaction)})
			if m := the[MigrationStarted](gone); m.Proof != "physical_device" || has[SMSRequested](gone) {
				t.Errorf("proof %s with %s", m.Proof, names(gone.got))
			}
		}},
		{id: "R-54", says: "credentials, token by SMS, on Android the PIN twice, done", file: "domain/migration.go", endpoint: "POST /v1/migrations/{migrationId}/proof", shows: func(t *testing.T) {
			s := given(t, alice, ibKey, installation(pixelID, Android))
			s.when(StartMigration{UserID: aliceID, InstallationID: pixelID}).refusedAs(ReasonPrimaryRequired)
			s.and(password(PurposeMigration, IBKRMobileAndroid)).when(StartMigration{UserID: aliceID, InstallationID: pixelID, TxnID: s.id(PrefixTransaction)})
			from := old(s).ID
			s.when(CompleteMigration{MigrationID: s.id(PrefixMigration), UV: UVAppPIN}).refusedAs(ReasonMigrationProof)
			s.when(ProveMigration{MigrationID: s.id(PrefixMigration)}, code(1)).then(ActivationCodeAccepted{}, MigrationProofAccepted{Proof: "sms"})
			s.when(CompleteMigration{MigrationID: s.id(PrefixMigration), UV: UVAppPIN}).then(
				AuthenticatorRevoked{AuthenticatorID: from, Reason: "migrated"}, AuthenticatorEnrolled{Trigger: "migration"}, MigrationCompleted{FromOS: IOS, ToOS: Android})
		}},
	}
}

// ruleStandalone is Alice with IB Key in the standalone app, and IBKR Mobile on
// the same phone.
func ruleStandalone(s *story) {
	s.t.Helper()
	s.and(verifiedPhone)
	s.when(RegisterInstallation{InstallationID: iphoneID, App: AppIBKeyStandalone, OS: IOS, HandsetID: "one"})
	s.and(activationAccepted(iphoneID))
	s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVFaceID})
	s.when(RegisterInstallation{InstallationID: pixelID, App: AppIBKRMobile, OS: IOS, HandsetID: "one"})
}

func detected(unification string) DetectUnification {
	return DetectUnification{UserID: aliceID, InstallationID: pixelID, Case: unification, StandaloneInstallationID: iphoneID}
}

func handedOver(f *Facts) { f.Handover = true }

func unificationRules(old func(*story) Authenticator) []rule {
	return []rule{
		{id: "R-55", says: "unification begins in one of four cases", file: "domain/unification.go", endpoint: callUnify, shows: func(t *testing.T) {
			for _, c := range []string{"auth_only", "both", "debit_card"} {
				given(t, alice, ruleStandalone).when(detected(c)).then(UnificationOffered{Case: c})
			}
			given(t, alice, ruleStandalone).when(detected("trading_only")).refusedAs(ReasonNothingToUnify)
			given(t, alice, ruleStandalone).when(detected("fax")).thenError(Invalid)
		}},
		{id: "R-56", says: "the app offers to migrate by itself, after an update, or later", file: "domain/unification.go", endpoint: callUnify, shows: func(t *testing.T) {
			outdated, put := detected("auth_only"), detected("auth_only")
			outdated.StandaloneOutdated, put.ManualLater = true, true
			given(t, alice, ruleStandalone).when(detected("auth_only")).then(UnificationOffered{Action: "auto"})
			given(t, alice, ruleStandalone).when(outdated).then(UnificationOffered{Action: "update_then_auto"})
			s := given(t, alice, ruleStandalone).when(put).then(UnificationOffered{Action: "manual_later"})
			s.when(DeferUnification{UnificationID: s.id(PrefixUnification)}).then(UnificationDeferred{})
		}},
		{id: "R-57", says: "trading and debit card wait for the IB Key step where there is one", file: "domain/unification.go", endpoint: callLogin, shows: func(t *testing.T) {
			use := StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: IBKRMobileIOS, PrimaryVerified: true, InitiatingDeviceRef: pixelID}
			for _, c := range []string{"both", "debit_card"} {
				s := given(t, alice, ruleStandalone).when(detected(c))
				s.when(use).then(AuthenticationRefused{Reason: ReasonUnifyFirst})
				s.when(CompleteUnification{UnificationID: s.id(PrefixUnification)}, handedOver).then(UnificationCompleted{})
				s.when(use)
				must[ChallengeIssued](s)
			}
		}},
		{id: "R-58", says: "afterwards the daily login is unchanged", file: "domain/unification.go", endpoint: "POST /v1/unifications/{unificationId}/complete", shows: func(t *testing.T) {
			s := given(t, alice, ruleStandalone).when(detected("auth_only"))
			before := old(s)
			s.when(CompleteUnification{UnificationID: s.id(PrefixUnification)}, handedOver).then(UnificationCompleted{AuthenticatorID: before.ID, NewInstallationID: pixelID})
			if after := old(s); after.ID != before.ID || after.EnrolledAt != before.EnrolledAt {
				t.Errorf("another enrolment: %+v", after)
			}
			s.and(login(TWS))
			if c := the[ChallengeIssued](s); c.Mode != ModePush || c.InstallationID != pixelID {
				t.Errorf("asked %+v", c)
			}
			s.and(fallback).when(answerTo(s), ocra(true))
			must[AuthenticationSucceeded](s)
		}},
		{id: "R-59", says: "IB Key is recovered on the same phone, per operating system", file: "domain/recovery.go", endpoint: "POST /v1/users/{userId}/recoveries", shows: func(t *testing.T) {
			reinstalled := func(os OS, uv UV, facts ...evidence) *story {
				s := given(t, alice, verifiedPhone, ibKeyOn(iphoneID, os, uv))
				handset := s.states[InstallationStream(iphoneID)].(*Installation).HandsetID
				s.when(RegisterInstallation{InstallationID: pixelID, App: AppIBKRMobile, OS: os, HandsetID: handset})
				s.and(password(PurposeRecovery, IBKRMobileIOS))
				return s.when(StartRecovery{UserID: aliceID, InstallationID: pixelID, TxnID: s.id(PrefixTransaction), Cause: "reinstalled"}, facts...)
			}
			s := reinstalled(IOS, UVFaceID, handedOver).then(RecoveryStarted{Proof: "original_uv", HandsetMatch: true})
			s.when(CompleteRecovery{RecoveryID: s.id(PrefixRecovery), UV: UVFaceID}).then(AuthenticatorRevoked{Reason: "replaced"}, AuthenticatorEnrolled{Trigger: "recovery"}, RecoveryCompleted{})
			reinstalled(Android, UVAppPIN).then(RecoveryStarted{Proof: "sms"}, ActivationCodeIssued{}, SMSRequested{Purpose: PurposeRecovery})
		}},
	}
}

func regimeRules() []rule {
	living := func(cc, clock string) func(*testing.T) *story {
		return func(t *testing.T) *story {
			return given(t, at(clock), client(Individual, "IE", ""), registered(RoleOwner, cc), sms).when(optOut())
		}
	}
	return []rule{
		{id: "R-60", says: "residents of Hong Kong and India must have a second factor", file: "domain/policy.go", endpoint: callOptOut, shows: func(t *testing.T) {
			for _, cc := range []string{"HK", "IN"} {
				living(cc, "2024-03-01T09:00:00Z")(t).refusedAs(ReasonRegimeMandatory)
			}
			must[OptOutGranted](living("CH", "2024-03-01T09:00:00Z")(t))
		}},
		{id: "R-61", says: "Hong Kong accounts cannot opt out since the guideline is in force", file: "domain/policies/rules.json", endpoint: callOptOut, shows: func(t *testing.T) {
			must[OptOutGranted](living("HK", "2017-10-26T12:00:00Z")(t))
			s := living("HK", "2018-04-26T16:00:00Z")(t)
			if d := the[OptOutDenied](s); d.Decision.DecisiveRuleID != "HK-2FA-1" {
				t.Errorf("decided by %s", d.Decision.DecisiveRuleID)
			}
		}},
		{id: "R-62", says: "Indian accounts cannot opt out since the circular", file: "domain/policies/rules.json", endpoint: callOptOut, shows: func(t *testing.T) {
			must[OptOutGranted](living("IN", "2014-03-24T12:00:00Z")(t))
			s := living("IN", "2014-03-24T18:30:00Z")(t) // midnight in India
			if d := the[OptOutDenied](s); d.Decision.DecisiveRuleID != "IN-2FA-1" {
				t.Errorf("decided by %s", d.Decision.DecisiveRuleID)
			}
		}},
		{id: "R-63", says: "elsewhere a user opts out of it on trading platforms, and back in", file: "domain/optout.go", endpoint: "POST /v1/users/{userId}/opt-ins", shows: func(t *testing.T) {
			s := given(t, alice, ibKey, optedOut, login(TWS))
			must[SecondFactorWaived](s)
			s.and(login(ClientPortal))
			must[ChallengeIssued](s)
			s.when(OptBackIn{UserID: aliceID, By: aliceID}).then(OptedBackIn{})
			s.and(login(TWS))
			must[ChallengeIssued](s)
		}},
	}
}
