package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// author writes the stream of one user as the journal would, without asking
// the rules: it fills ledgers of a million events in seconds. It belongs to
// one goroutine.
type author struct {
	codec  *codec.Codec
	userID string
	number string // the user's phone, sealed into its event
	now    time.Time

	things   int    // ids given out
	commands uint32 // commands given
	expected eventstore.Expected

	phone, authenticator, installation string
}

// opening is when the histories of the benchmark begin.
var opening = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

func newAuthor(c *codec.Codec, n int) *author {
	return &author{
		codec: c, userID: codec.UserIDOf(fmt.Sprintf("bench-%07d", n)), number: fmt.Sprintf("+4915%09d", n),
		now: opening.Add(time.Duration(n) * time.Millisecond),
	}
}

func (a *author) stream() string { return domain.UserStream(a.userID) }

func (a *author) id(prefix string) string {
	a.things++
	return fmt.Sprintf("%s_%s_%d", prefix, strings.TrimPrefix(a.userID, domain.PrefixUser+"_"), a.things)
}

// arrival is a registration with a verified phone and an enrolled app, as one
// append.
func (a *author) arrival(ctx context.Context) ([]eventstore.Proposed, error) {
	a.phone = a.id(domain.PrefixPhone)
	verification, sms, enrollment := a.id(domain.PrefixVerification), a.id(domain.PrefixSMS), a.id(domain.PrefixEnrollment)
	a.authenticator, a.installation = a.id(domain.PrefixAuthenticator), codec.InstallationIDOf([]byte(a.userID))
	soon := a.now.Add(10 * time.Minute)
	return a.encode(ctx, "RegisterUser", "",
		domain.UserRegistered{UserID: a.userID, ClientID: codec.ClientIDOf(a.userID), Role: domain.RoleOwner, Username: domain.Clear(a.userID), Locale: "de"},
		domain.ResidenceChanged{To: "DE", EffectiveOn: "2020-01-01", DetectedAt: a.now},
		domain.PhoneNumberAdded{PhoneID: a.phone, CC: "DE", Number: domain.Clear(a.number), Line: domain.LineMobile},
		domain.PhoneVerificationStarted{VerificationID: verification, PhoneID: a.phone},
		domain.ConfirmCodeIssued{VerificationID: verification, Seq: 1, Kid: "bench", CodeLen: 6, ExpiresAt: soon},
		domain.SMSRequested{
			SMSID: sms, PhoneID: a.phone, Purpose: domain.PurposePhoneVerification, SubjectID: verification, CodeSeq: 1, TemplateID: "confirm@1", Locale: "de",
		},
		domain.SMSDispatchStarted{SMSID: sms, Gateway: "bench"},
		domain.SMSSent{SMSID: sms, Provider: "bench", ProviderRef: sms, SenderID: "authledger", Segments: 1, AcceptedAt: a.now},
		domain.PhoneNumberVerified{PhoneID: a.phone, VerificationID: verification, Attempts: 1},
		domain.EnrollmentStarted{
			EnrollmentID: enrollment, Kind: domain.KindIBKey, Flow: "activate", InstallationID: a.installation, PhoneID: a.phone, OS: domain.IOS, HandsetID: "handset",
		},
		domain.UserVerificationPerformed{EnrollmentID: enrollment, UV: domain.UVFaceID, InstallationID: a.installation},
		domain.AuthenticatorEnrolled{
			AuthenticatorID: a.authenticator, Kind: domain.KindIBKey, InstallationID: a.installation, UVMethods: []domain.UV{domain.UVFaceID},
			ActivationPhoneID: a.phone, Trigger: "user", OOBClass: "number_matching", OCRASuite: domain.OCRASuiteIBKey, OS: domain.IOS,
		},
	)
}

// login is a login by push: two commands of the frontend and the app, in one
// append.
func (a *author) login(ctx context.Context) ([]eventstore.Proposed, error) {
	a.now = a.now.Add(7 * time.Hour)
	txn, challenge, push := a.id(domain.PrefixTransaction), a.id(domain.PrefixChallenge), a.id(domain.PrefixPush)
	asked, err := a.encode(ctx, "StartAuthentication", txn,
		domain.AuthenticationStarted{
			TxnID: txn, Purpose: domain.PurposeLogin, Platform: domain.ClientPortal, PlatformClass: domain.Portal, InitiatingDeviceRef: "browser-1",
		},
		domain.PrimaryFactorVerified{TxnID: txn, ExpiresAt: a.now.Add(10 * time.Minute)},
		domain.SecondFactorSelected{TxnID: txn, AuthenticatorID: a.authenticator, By: "only_one"},
		domain.ChallengeIssued{
			ChallengeID: challenge, TxnID: txn, AuthenticatorID: a.authenticator, Kind: domain.KindIBKey, Mode: domain.ModePush,
			InstallationID: a.installation, Kid: "bench", NumberMatching: true, MaxAttempts: 3, ExpiresAt: a.now.Add(3 * time.Minute),
		},
		domain.PushSent{PushID: push, ChallengeID: challenge, InstallationID: a.installation},
	)
	if err != nil {
		return nil, err
	}
	a.now = a.now.Add(20 * time.Second)
	answered, err := a.encode(ctx, "DecidePush", txn,
		domain.PushOpened{PushID: push, ChallengeID: challenge, OpenedAt: a.now},
		domain.ResponseVerified{
			ChallengeID: challenge, TxnID: txn, AuthenticatorID: a.authenticator, Mode: domain.ModePush, UV: domain.UVFaceID, AttemptNo: 1,
			ElapsedMS: 20_000, AnsweringInstallationID: a.installation, NumberMatched: true, OOBClass: "number_matching",
		},
		domain.AuthenticationSucceeded{
			TxnID: txn, Scope: "full", AuthenticatorKind: domain.KindIBKey, ProtectionRank: 2, Factors: 2, SessionRef: a.id(domain.PrefixSession),
		},
	)
	return append(asked, answered...), err
}

func (a *author) encode(ctx context.Context, command, correlation string, events ...domain.Event) ([]eventstore.Proposed, error) {
	a.commands++
	id := uuid.NewSHA1(uuid.Nil, binary.BigEndian.AppendUint32([]byte(a.userID), a.commands))
	m := codec.Metadata{
		CommandID: id, Command: command, Digest: strings.Repeat("0123456789abcdef", 2), Count: len(events), OccurredAt: a.now,
		CorrelationID: correlation, Actor: domain.Actor{Kind: domain.ActorClient, Ref: "bench-frontend"},
		Source: domain.Source{Platform: domain.ClientPortal}, PolicyVersion: 1, RequestID: id.String()[:16],
	}
	proposed := make([]eventstore.Proposed, len(events))
	for i, e := range events {
		var err error
		m.Ordinal = i
		if proposed[i], err = a.codec.Encode(ctx, a.stream(), eventstore.EventIDOf(id, i), e, m); err != nil {
			return nil, err
		}
	}
	return proposed, nil
}

// write appends events to the author's stream.
func (a *author) write(ctx context.Context, log eventstore.Appender, events []eventstore.Proposed) error {
	done, err := log.Append(ctx, a.stream(), a.expected, events)
	if err != nil {
		return err
	}
	a.expected = eventstore.At(done.Last().Revision, done.Last().Leaf)
	return nil
}
