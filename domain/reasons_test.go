package domain

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"time"
)

// refusals makes each reason happen: the last command of the story gives it, in
// an event or as the code of an error.
func refusals() map[Code]func(*testing.T) *story {
	confirming := func(steps ...evidence) func(*testing.T) *story {
		return func(t *testing.T) *story {
			s := given(t, alice, phone, verification)
			for _, e := range steps {
				s.when(ConfirmPhone{VerificationID: s.id(PrefixVerification)}, e)
			}
			return s
		}
	}
	activating := func(steps ...evidence) func(*testing.T) *story {
		return func(t *testing.T) *story {
			s := given(t, alice, verifiedPhone, installation(iphoneID, IOS), enrollment(iphoneID))
			for _, e := range steps {
				s.when(SubmitActivationCode{EnrollmentID: s.id(PrefixEnrollment)}, e)
			}
			return s
		}
	}
	completing := func(os OS, uv UV) func(*testing.T) *story {
		return func(t *testing.T) *story {
			s := given(t, alice, verifiedPhone, installation(iphoneID, os), activationAccepted(iphoneID))
			return s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: uv})
		}
	}
	answering := func(steps ...evidence) func(*testing.T) *story {
		return func(t *testing.T) *story {
			s := given(t, alice, ibKey, login(TWS), fallback)
			for _, e := range steps {
				s.when(answerTo(s), e)
			}
			return s
		}
	}
	tapping := func(push PushEvidence) func(*testing.T) *story {
		return func(t *testing.T) *story {
			s := given(t, alice, ibKey, login(TWS))
			return s.when(decisionOn(s, iphoneID), func(f *Facts) { f.Push = push })
		}
	}
	return map[Code]func(*testing.T) *story{
		ReasonSMSCooldown: func(t *testing.T) *story {
			s := given(t, alice, phone, verification)
			return s.when(ResendConfirmCode{VerificationID: s.id(PrefixVerification)})
		},
		ReasonSMSRate: func(t *testing.T) *story {
			s := given(t, alice, phone)
			return s.when(StartPhoneVerification{PhoneID: s.id(PrefixPhone)}, func(f *Facts) { f.SMSLastHour = 10 })
		},
		ReasonPhoneUnverified: func(t *testing.T) *story {
			s := given(t, alice, installation(iphoneID, IOS), password(PurposeActivation, TWS))
			return s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID, TxnID: s.id(PrefixTransaction)})
		},
		ReasonPhoneNotMobile: func(t *testing.T) *story {
			s := given(t, alice, line(LineFixed))
			return s.when(StartPhoneVerification{PhoneID: s.id(PrefixPhone)})
		},
		ReasonCodeWrong: confirming(code(0)),
		ReasonCodeExpired: func(t *testing.T) *story {
			s := given(t, alice, phone, verification, later(10*time.Minute))
			return s.when(ConfirmPhone{VerificationID: s.id(PrefixVerification)}, code(1))
		},
		ReasonCodeUsed: confirming(code(1), code(1)),
		ReasonCodeSuperseded: func(t *testing.T) *story {
			s := given(t, alice, phone, verification, later(2*time.Minute))
			s.when(ResendConfirmCode{VerificationID: s.id(PrefixVerification)})
			return s.when(ConfirmPhone{VerificationID: s.id(PrefixVerification)}, code(1))
		},
		ReasonCodeExhausted: confirming(code(0), code(0), code(0), code(1)),
		ReasonIBKeyElsewhere: func(t *testing.T) *story {
			s := given(t, alice, ibKey, installation(pixelID, Android), password(PurposeActivation, TWS))
			return s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: pixelID, TxnID: s.id(PrefixTransaction)})
		},
		ReasonAlreadyEnrolled: func(t *testing.T) *story {
			s := given(t, alice, ibKey, password(PurposeActivation, TWS))
			return s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID, TxnID: s.id(PrefixTransaction)})
		},
		ReasonPrimaryRequired: func(t *testing.T) *story {
			s := given(t, alice, verifiedPhone, installation(iphoneID, IOS))
			return s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID})
		},
		ReasonActivationWrong: activating(code(0)),
		ReasonActivationExpiry: func(t *testing.T) *story {
			s := given(t, alice, verifiedPhone, installation(iphoneID, IOS), enrollment(iphoneID), later(10*time.Minute))
			return s.when(SubmitActivationCode{EnrollmentID: s.id(PrefixEnrollment)}, code(1))
		},
		ReasonActivationUsed: activating(code(1), code(1)),
		ReasonActivationOld: func(t *testing.T) *story {
			s := given(t, alice, verifiedPhone, installation(iphoneID, IOS), enrollment(iphoneID), later(2*time.Minute))
			s.when(ResendActivationCode{EnrollmentID: s.id(PrefixEnrollment)})
			return s.when(SubmitActivationCode{EnrollmentID: s.id(PrefixEnrollment)}, code(1))
		},
		ReasonActivationSpent: activating(code(0), code(0), code(0), code(1)),
		ReasonActivationNeeded: func(t *testing.T) *story {
			s := given(t, alice, verifiedPhone, installation(iphoneID, IOS), enrollment(iphoneID))
			return s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVFaceID})
		},
		ReasonUVRequired: completing(IOS, UVNone),
		ReasonUVMethod:   completing(IOS, UVAppPIN),
		ReasonPINPolicy: func(t *testing.T) *story {
			s := given(t, alice, verifiedPhone, installation(pixelID, Android), activationAccepted(pixelID))
			s.policy = withParameter(t, s.policy, "pin.policy_version", 2)
			return s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVFingerprint})
		},
		ReasonOSUnsupported: func(t *testing.T) *story {
			return given(t).when(RegisterInstallation{InstallationID: iphoneID, OS: "windows"})
		},
		ReasonLastAuth: func(t *testing.T) *story {
			s := given(t, alice, sms)
			return s.when(RemovePhone{PhoneID: s.id(PrefixPhone)})
		},
		ReasonEnrollmentClosed: func(t *testing.T) *story {
			s := given(t, alice, verifiedPhone, installation(iphoneID, IOS), enrollment(iphoneID), later(30*time.Minute))
			return s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVFaceID})
		},

		ReasonPrimaryMissing: func(t *testing.T) *story {
			s := given(t, alice, ibKey)
			// Only an imported history can hold a transaction without a verdict
			// on its password.
			txn := s.user().ref(PrefixTransaction, 500)
			s.append(AuthenticationStarted{TxnID: txn, Purpose: PurposeLogin, Platform: TWS, PlatformClass: Trading})
			return s.when(IssueChallenge{TxnID: txn})
		},
		ReasonUserLocked: func(t *testing.T) *story { return given(t, alice, ibKey, lockedOut, login(TWS)) },
		ReasonUserClosed: func(t *testing.T) *story {
			return given(t, alice).when(CloseUser{UserID: aliceID, Reason: "r"}).and(login(TWS))
		},
		ReasonTxnExpired: func(t *testing.T) *story {
			s := given(t, alice, ibKey, login(TWS), later(10*time.Minute))
			return s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)})
		},
		ReasonTxnClosed: func(t *testing.T) *story {
			s := given(t, alice, ibKey, wrongPassword)
			return s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)})
		},
		ReasonTxnMismatch: func(t *testing.T) *story {
			s := given(t, alice, ibKey, login(TWS), fallback)
			return s.when(SubmitResponse{ChallengeID: s.id(PrefixChallenge), TxnID: s.user().ref(PrefixTransaction, 500)}, ocra(true))
		},
		ReasonNotActive: func(t *testing.T) *story {
			s := given(t, alice, ibKey, login(TWS), later(3*time.Minute))
			return s.when(IssueChallenge{TxnID: s.id(PrefixTransaction), AuthenticatorID: s.user().ref(PrefixAuthenticator, 500)})
		},
		ReasonNotOffered: func(t *testing.T) *story {
			s := given(t, alice, ibKey)
			s.when(StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: TWS, PrimaryVerified: true, Defer: true})
			return s.when(IssueChallenge{TxnID: s.id(PrefixTransaction), AuthenticatorID: s.user().ref(PrefixAuthenticator, 500)})
		},
		ReasonChallengeOpen: func(t *testing.T) *story {
			s := given(t, alice, ibKey, login(TWS))
			return s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)})
		},
		ReasonChallengeExpired: func(t *testing.T) *story {
			s := given(t, alice, ibKey, login(TWS), fallback, later(5*time.Minute))
			return s.when(answerTo(s), ocra(true))
		},
		ReasonChallengeOld: func(t *testing.T) *story {
			s := given(t, alice, ibKey, login(TWS))
			push := decisionOn(s, iphoneID)
			return s.and(fallback).when(push, approved(UVFaceID))
		},
		ReasonChallengeUsed:    answering(ocra(true), ocra(true)),
		ReasonChallengeSpent:   answering(ocra(false), ocra(false), ocra(false)),
		ReasonMalformed:        answering(malformed),
		ReasonResponseWrong:    answering(ocra(false)),
		ReasonDeclined:         tapping(PushEvidence{Authentic: true}),
		ReasonNumberMatch:      tapping(PushEvidence{Authentic: true, Approve: true, UV: UVFaceID}),
		ReasonSignatureInvalid: tapping(PushEvidence{Approve: true, UV: UVFaceID}),
		ReasonPushRate: func(t *testing.T) *story {
			s := given(t, alice, ibKey)
			for range 11 {
				s.and(login(TWS))
			}
			return s
		},
		ReasonSeamlessOff: func(t *testing.T) *story {
			return given(t, alice, ibKey).when(SetSeamless{UserID: aliceID}).and(login(TWS))
		},
		ReasonNoFallback: func(t *testing.T) *story {
			s := given(t, alice, ibKey, login(TWS), fallback)
			return s.when(RequestFallback{ChallengeID: s.id(PrefixChallenge)})
		},
		ReasonPrimaryFailed: func(t *testing.T) *story { return given(t, alice, wrongPassword) },

		ReasonScopeRecovery:  func(t *testing.T) *story { return hongKongLostCard(t).and(login(TWS)) },
		ReasonSecondRequired: func(t *testing.T) *story { return given(t, alice, ibKey, unattended(TWS)) },

		ReasonRegimeMandatory: func(t *testing.T) *story { return given(t, hongKongResident, sms).when(optOut()) },
		ReasonAgreementMissing: func(t *testing.T) *story {
			return given(t, alice, sms).when(RequestOptOut{UserID: aliceID, RequestedBy: aliceID})
		},
		ReasonOptOutAuthority: func(t *testing.T) *story {
			return given(t, alice, sms).when(RequestOptOut{UserID: aliceID, RequestedBy: bobID, AgreementVersion: "1", Acknowledged: true})
		},
		ReasonProcessOpen:     func(t *testing.T) *story { return given(t, alice, ibKey, newPhone, migration(pixelID)).when(optOut()) },
		ReasonTemporaryAccess: func(t *testing.T) *story { return germanLostCard(t).when(optOut()) },
		ReasonNoPortalAuth:    func(t *testing.T) *story { return given(t, alice).when(optOut()) },
		ReasonAlreadyOptedOut: func(t *testing.T) *story { return given(t, alice, sms, optedOut).when(optOut()) },
		ReasonNotOptedOut:     func(t *testing.T) *story { return given(t, alice).when(OptBackIn{UserID: aliceID}) },
		ReasonFactsIncomplete: func(t *testing.T) *story { return given(t, registered(RoleOwner, "DE"), sms).when(optOut()) },
		ReasonIDVRequired:     func(t *testing.T) *story { return given(t, alice, lockedOut).when(UnlockUser{UserID: aliceID}) },
		ReasonNotLocked:       func(t *testing.T) *story { return given(t, alice).when(UnlockUser{UserID: aliceID}) },
	}
}

func TestEveryReasonHasACase(t *testing.T) {
	t.Parallel()
	cases := map[Code]func(*testing.T) *story{}
	for _, part := range []map[Code]func(*testing.T) *story{refusals(), deviceRefusals(), moveRefusals(), privacyRefusals()} {
		for code, make := range part {
			if cases[code] != nil {
				t.Errorf("%s has two cases", code)
			}
			cases[code] = make
		}
	}
	for name, code := range reasonConstants(t) {
		if cases[code] == nil {
			t.Errorf("%s (%s) has no case", name, code)
			continue
		}
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			if s := cases[code](t); !gives(s, code) {
				t.Errorf("got %s and error %v, want %s", names(s.got), s.err, code)
			}
		})
	}
}

// gives reports whether the last command gave this reason.
func gives(s *story, want Code) bool {
	for _, e := range s.got {
		if reasonOf(e) == want {
			return true
		}
	}
	e, ok := s.err.(*Error)
	return ok && e.Code == want
}

// reasonConstants reads the constants from the source: nothing else lists them
// all.
func reasonConstants(t *testing.T) map[string]Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatalf("read errors.go: %v", err)
	}
	out := map[string]Code{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatalf("%s: %v", spec.Names[0].Name, err)
		}
		out[spec.Names[0].Name] = Code(text)
		return true
	})
	if len(out) < 50 {
		t.Fatalf("found %d reason constants; the source looks different", len(out))
	}
	return out
}

func TestErrorsSayTheirCodeFieldAndWhatToDo(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"INVALID: cc: give a country":       invalid("cc", "give a country"),
		"UNKNOWN: there is no such message": unknown("message"),
	} {
		if got := err.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
