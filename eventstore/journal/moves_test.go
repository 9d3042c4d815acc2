package journal

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
)

// codeOf renders the code of an activation, migration or recovery.
func (w *world) codeOf(p domain.Purpose, i domain.ActivationCodeIssued) domain.Secret {
	w.t.Helper()
	return w.code(p, i.SubjectID, domain.Issued{Seq: i.Seq, Kid: i.Kid, Len: i.CodeLen, ExpiresAt: i.ExpiresAt})
}

// proveCodes submits right and wrong codes of a process, by its own commands.
func (w *world) proveCodes(p domain.Purpose, first domain.ActivationCodeIssued, resend domain.Command, prove func(domain.Secret) domain.Command) {
	w.t.Helper()
	rejected := func(c domain.Secret, want domain.Code) {
		w.t.Helper()
		if r := event[domain.ActivationCodeRejected](w.t, w.do(prove(c))); r.Reason != want || r.SubjectID != first.SubjectID {
			w.t.Errorf("%s: %s, want %s", p, r.Reason, want)
		}
	}
	old := w.codeOf(p, first)
	rejected("", domain.ReasonMalformed)
	rejected("1234567", domain.ReasonMalformed)
	rejected("UUUU-UUUU", domain.ReasonMalformed)
	rejected(domain.Secret(flippedText(string(old))), domain.ReasonActivationWrong)
	for _, other := range []domain.Purpose{domain.PurposeActivation, domain.PurposeMigration, domain.PurposeRecovery} {
		if other != p { // the same subject, seq and key give another code for another purpose
			rejected(w.codeOf(other, first), domain.ReasonActivationWrong)
			break
		}
	}
	w.clock.advance(121 * time.Second)
	second := w.codeOf(p, event[domain.ActivationCodeIssued](w.t, w.do(resend)))
	rejected(old, domain.ReasonActivationOld)
	event[domain.ActivationCodeAccepted](w.t, w.do(prove(domain.Secret(strings.ToLower(string(second[:4]))+" "+string(second[4:])))))
	rejected(second, domain.ReasonActivationUsed)
}

func TestMigrationByCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.bind()
	target := w.app(domain.AppIBKRMobile, domain.Android, "handset-2")
	w.clock.advance(3 * time.Minute)
	out := w.do(domain.StartMigration{UserID: w.user, InstallationID: target.id, TxnID: w.begin(w.user, domain.PurposeMigration)})
	started := event[domain.MigrationStarted](t, out)
	if started.FromInstallationID != w.installation || started.ToOS != domain.Android || started.Proof != "sms" || started.ActivationPhoneID != w.phone {
		t.Fatalf("started %+v", started)
	}
	w.proveCodes(domain.PurposeMigration, event[domain.ActivationCodeIssued](t, out), domain.ResendMigrationCode{MigrationID: started.MigrationID},
		func(c domain.Secret) domain.Command {
			return domain.ProveMigration{MigrationID: started.MigrationID, Code: c}
		})
	before, _, err := w.j.OCRASecret(t.Context(), w.user, w.ibkey)
	if err != nil {
		t.Fatal(err)
	}
	done := w.do(domain.CompleteMigration{MigrationID: started.MigrationID, UV: domain.UVAppPIN})
	moved := event[domain.AuthenticatorEnrolled](t, done)
	if moved.InstallationID != target.id {
		t.Errorf("moved to %s", moved.InstallationID)
	}
	after, _, err := w.j.OCRASecret(t.Context(), w.user, moved.AuthenticatorID)
	if err != nil || slices.Equal(before, after) {
		t.Errorf("the new phone has no key of its own: %v", err)
	}
	if _, _, err := w.j.OCRASecret(t.Context(), w.user, w.ibkey); code(t, err) != domain.Unknown {
		t.Errorf("the old phone's key is still told: %v", err)
	}
	target.mine(moved.AuthenticatorID)
	event[domain.AuthenticationSucceeded](t, w.do(w.decision(w.login(), func(m map[string]any) { m["uv"] = "fingerprint" })))
}

func TestMigrationToTheSameHandset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.bind()
	same := w.app(domain.AppIBKRMobile, domain.IOS, "handset-1")
	out := w.do(domain.StartMigration{UserID: w.user, InstallationID: same.id, TxnID: w.begin(w.user, domain.PurposeMigration)})
	if r := event[domain.MigrationRefused](t, out); r.Reason != domain.ReasonSameHandset {
		t.Errorf("refused with %s", r.Reason)
	}
}

func TestRecoveryByCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.bind()
	again := w.app(domain.AppIBKRMobile, domain.IOS, "handset-1")
	w.clock.advance(3 * time.Minute)
	out := w.do(domain.StartRecovery{
		UserID: w.user, InstallationID: again.id, TxnID: w.begin(w.user, domain.PurposeRecovery), Cause: "reinstalled",
	})
	started := event[domain.RecoveryStarted](t, out)
	if started.Proof != "sms" || !started.HandsetMatch {
		t.Fatalf("started %+v", started)
	}
	w.proveCodes(domain.PurposeRecovery, event[domain.ActivationCodeIssued](t, out), domain.ResendRecoveryCode{RecoveryID: started.RecoveryID},
		func(c domain.Secret) domain.Command {
			return domain.ProveRecovery{RecoveryID: started.RecoveryID, Code: c}
		})
	done := w.do(domain.CompleteRecovery{RecoveryID: started.RecoveryID, UV: domain.UVFaceID})
	again.mine(event[domain.AuthenticatorEnrolled](t, done).AuthenticatorID)
	event[domain.AuthenticationSucceeded](t, w.do(w.decision(w.login(), nil)))
}

func TestRecoveryOnAnotherHandset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.bind()
	other := w.app(domain.AppIBKRMobile, domain.IOS, "handset-2")
	out := w.do(domain.StartRecovery{
		UserID: w.user, InstallationID: other.id, TxnID: w.begin(w.user, domain.PurposeRecovery), Cause: "reinstalled",
	})
	if r := event[domain.RecoveryRefused](t, out); r.Reason != domain.ReasonRecoveryHandset || r.HandsetMatch {
		t.Errorf("refused %+v", r)
	}
}

// On iOS the old installation's key stands for the original security element,
// if it signs this user's handover from itself to this target and nothing else.
func TestHandoverOfARecovery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	old := w.app(domain.AppIBKRMobile, domain.IOS, "handset-1")
	old.enroll(w.user, domain.UVFaceID)
	again := w.app(domain.AppIBKRMobile, domain.IOS, "handset-1")
	third := w.app(domain.AppIBKRMobile, domain.IOS, "handset-1")
	text := HandoverText(w.user, old.id, again.id)
	for name, tc := range map[string]struct {
		handover domain.Secret
		want     string
	}{
		"right":                {old.sign(handoverPrefix, text), "original_uv"},
		"none":                 {"", "sms"},
		"the new key's":        {again.sign(handoverPrefix, text), "sms"},
		"of another target":    {old.sign(handoverPrefix, HandoverText(w.user, old.id, third.id)), "sms"},
		"of another user":      {old.sign(handoverPrefix, HandoverText(codec.UserIDOf("u-2"), old.id, again.id)), "sms"},
		"from another app":     {old.sign(handoverPrefix, HandoverText(w.user, third.id, again.id)), "sms"},
		"of a push":            {old.sign(pushPrefix, text), "sms"},
		"not base64":           {"?", "sms"},
		"right with a line on": {old.sign(handoverPrefix, text+"\n"), "sms"},
	} {
		w.clock.advance(3 * time.Minute)
		out := w.do(domain.StartRecovery{
			UserID: w.user, InstallationID: again.id, TxnID: w.begin(w.user, domain.PurposeRecovery), Cause: "os_upgraded", Handover: tc.handover,
		})
		if got := event[domain.RecoveryStarted](t, out).Proof; got != tc.want {
			t.Errorf("%s: proof by %s, want %s", name, got, tc.want)
		}
	}
}

func TestHandoverOfAUnification(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	old := w.app(domain.AppIBKeyStandalone, domain.IOS, "handset-1")
	ibkey := old.enroll(w.user, domain.UVFaceID)
	target := w.app(domain.AppIBKRMobile, domain.IOS, "handset-1")
	elsewhere := w.app(domain.AppIBKRMobile, domain.IOS, "handset-2")
	detect := func(installationID, standaloneID string) Outcome {
		t.Helper()
		return w.do(domain.DetectUnification{
			UserID: w.user, InstallationID: installationID, Case: "auth_only", StandaloneInstallationID: standaloneID,
		})
	}
	if r := event[domain.UnificationRefused](t, detect(elsewhere.id, old.id)); r.Reason != domain.ReasonUnifyOtherHandset {
		t.Errorf("on another handset: %s", r.Reason)
	}
	if r := event[domain.UnificationRefused](t, detect(target.id, elsewhere.id)); r.Reason != domain.ReasonNothingToUnify {
		t.Errorf("from an app without IB Key: %s", r.Reason)
	}
	id := event[domain.UnificationOffered](t, detect(target.id, old.id)).UnificationID
	for name, handover := range map[string]domain.Secret{
		"none": "", "the target's key": target.sign(handoverPrefix, HandoverText(w.user, old.id, target.id)),
		"another target": old.sign(handoverPrefix, HandoverText(w.user, old.id, elsewhere.id)),
	} {
		out := w.do(domain.CompleteUnification{UnificationID: id, Handover: handover})
		if r := event[domain.UnificationRefused](t, out); r.Reason != domain.ReasonSignatureInvalid {
			t.Errorf("%s: %s", name, r.Reason)
		}
	}
	before, _, err := w.j.OCRASecret(t.Context(), w.user, ibkey)
	if err != nil {
		t.Fatal(err)
	}
	w.do(domain.CompleteUnification{UnificationID: id, Handover: old.sign(handoverPrefix, HandoverText(w.user, old.id, target.id))})
	if a := w.authenticator(ibkey); a.InstallationID != target.id {
		t.Errorf("IB Key lives on %s", a.InstallationID)
	}
	after, _, err := w.j.OCRASecret(t.Context(), w.user, ibkey)
	if err != nil || !slices.Equal(before, after) {
		t.Errorf("the enrolment did not stay what it is: %v", err)
	}
}

// Whether an app serves somebody is a fact of other users' states: the
// installation's stream says whom to ask.
func TestAddUserAsksTheOtherUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	second := w.person("u-2", "+491700000002")
	shared := w.app(domain.AppIBKRMobile, domain.IOS, "handset-1")
	add := func() Outcome {
		t.Helper()
		w.clock.advance(3 * time.Minute)
		return w.do(domain.StartEnrollment{
			UserID: second, Kind: domain.KindIBKey, Flow: "add_user", InstallationID: shared.id, TxnID: w.begin(second, domain.PurposeActivation),
		})
	}
	nobody := func(when string) {
		t.Helper()
		if r := event[domain.EnrollmentRefused](t, add()); r.Reason != domain.ReasonIBKeyNotHere || r.Flow != "add_user" {
			t.Errorf("%s: %s", when, r.Reason)
		}
	}
	nobody("on an app that serves nobody")
	first := shared.enroll(w.user, domain.UVFaceID)
	w.do(domain.SuspendAuthenticator{AuthenticatorID: first, Reason: "reported_lost"})
	nobody("while the first user's IB Key is suspended")
	w.verified(w.user)
	w.do(domain.ReactivateAuthenticator{AuthenticatorID: first, Proof: "agent"})
	if e := event[domain.EnrollmentStarted](t, add()); e.Flow != "add_user" || e.InstallationID != shared.id {
		t.Errorf("started %+v", e)
	}
	w.do(domain.CloseUser{UserID: w.user, Reason: "ended"})
	nobody("after the first user was closed")
}

// A blocked app cannot approve, even before the reaction has suspended its
// users' IB Keys.
func TestPushFromABlockedInstallation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	android := w.app(domain.AppIBKRMobile, domain.Android, "handset-1")
	android.mine(android.enroll(w.user, domain.UVFingerprint))
	push := w.login()
	approve := w.decision(push, func(m map[string]any) { m["uv"] = "fingerprint" })
	w.do(domain.ReportPINBlocked{InstallationID: android.id, WrongEntries: 10})
	if r := event[domain.ResponseRejected](t, w.do(approve)); r.Reason != domain.ReasonInstallBlocked || !r.Document.IsZero() {
		t.Errorf("approved by a blocked app: %s", r.Reason)
	}
	w.do(domain.UnblockInstallation{InstallationID: android.id, RecoveryID: "rec_x"})
	event[domain.AuthenticationSucceeded](t, w.do(approve))
}

// collection is a request for a credential that waits in the app.
func (a *app) collection(deliveryID string, at time.Time) domain.CollectTemporaryCredential {
	a.w.t.Helper()
	ms := strconv.FormatInt(at.UnixMilli(), 10)
	return domain.CollectTemporaryCredential{
		DeliveryID: deliveryID, InstallationID: a.id, Proof: domain.Secret(ms) + "." + a.sign(collectPrefix, deliveryID+"\n"+ms),
	}
}

// deliver leaves a reset password in the user's app.
func (w *world) deliver(password string) (deliveryID string) {
	w.t.Helper()
	return event[domain.TemporaryCredentialDelivered](w.t, w.do(domain.DeliverTemporaryCredential{
		UserID: w.user, ResetRef: "reset-1", What: whatResetPassword, Channel: "in_app", Credential: domain.Secret(w.remember(password)),
	})).DeliveryID
}

func TestCredentialIsCollectedOnceAndSigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	mine := w.app(domain.AppIBKRMobile, domain.IOS, "handset-1")
	mine.enroll(w.user, domain.UVFaceID)
	other := w.app(domain.AppIBKRMobile, domain.IOS, "handset-2")
	w.verified(w.user)
	id := w.deliver("Sommer-Regen-77")
	second := w.deliver("Winter-Sonne-33")
	now := w.clock.time()
	right := mine.collection(id, now)
	stale, early := mine.collection(id, now.Add(-61*time.Second)), mine.collection(id, now.Add(61*time.Second))
	foreign, forged := other.collection(id, now), other.collection(id, now)
	forged.InstallationID = mine.id
	swapped := mine.collection(id, now)
	swapped.Proof = mine.collection(second, now).Proof
	moved := mine.collection(id, now)
	moved.Proof = domain.Secret(strconv.FormatInt(now.UnixMilli()+1, 10)) + right.Proof[strings.Index(string(right.Proof), "."):]
	for name, tc := range map[string]struct {
		c    domain.CollectTemporaryCredential
		want domain.Code
	}{
		"a minute late":               {stale, domain.ReasonSignatureInvalid},
		"a minute early":              {early, domain.ReasonSignatureInvalid},
		"another app":                 {foreign, domain.Unknown},
		"another app's key":           {forged, domain.ReasonSignatureInvalid},
		"signed for another delivery": {swapped, domain.ReasonSignatureInvalid},
		"signed at another time":      {moved, domain.ReasonSignatureInvalid},
		"no proof":                    {domain.CollectTemporaryCredential{DeliveryID: id, InstallationID: mine.id}, domain.ReasonSignatureInvalid},
		"no number": {
			domain.CollectTemporaryCredential{DeliveryID: id, InstallationID: mine.id, Proof: "now.AAAA"}, domain.ReasonSignatureInvalid,
		},
		"a time out of range": {
			domain.CollectTemporaryCredential{DeliveryID: id, InstallationID: mine.id, Proof: "9223372036854775807.AAAA"}, domain.ReasonSignatureInvalid,
		},
	} {
		if got := w.fails(tc.c); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
	if _, err := w.j.Credential(t.Context(), id); code(t, err) != domain.Unknown {
		t.Errorf("shown before it was collected: %v", err)
	}
	w.clock.advance(60*time.Second - time.Millisecond) // the last of the window: a proof counts milliseconds
	request := w.request(right)
	first, err := w.j.Execute(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	event[domain.TemporaryCredentialCollected](t, first)
	text, err := w.j.Credential(t.Context(), id)
	if err != nil || text != "Sommer-Regen-77" {
		t.Errorf("a credential of %d characters, %v", len(text), err)
	}
	if got := w.fails(mine.collection(id, w.clock.time())); got != domain.ReasonProcessClosed {
		t.Errorf("collected again: %s", got)
	}
	again, err := w.j.Execute(t.Context(), request)
	if err != nil || !again.Replayed {
		t.Errorf("the same request again: %+v, %v", again, err)
	}
	w.do(mine.collection(second, w.clock.time()))
	if text, err := w.j.Credential(t.Context(), second); err != nil || text != "Winter-Sonne-33" {
		t.Errorf("the second credential has %d characters, %v", len(text), err)
	}
	if _, err := w.j.Credential(t.Context(), "dlv_x"); code(t, err) != domain.Unknown {
		t.Errorf("a delivery that never was: %v", err)
	}
}

func TestCredentialThatNobodyGave(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.app(domain.AppIBKRMobile, domain.IOS, "handset-1").enroll(w.user, domain.UVFaceID)
	w.verified(w.user)
	before := len(w.records())
	if got := w.fails(domain.DeliverTemporaryCredential{UserID: w.user, ResetRef: "r", What: whatResetPassword, Channel: "in_app"}); got != domain.Invalid {
		t.Errorf("an empty password: %s", got)
	}
	if len(w.records()) != before {
		t.Error("something was recorded")
	}
	// An agent who reads it out leaves nothing here.
	out := w.do(domain.DeliverTemporaryCredential{UserID: w.user, ResetRef: "r", What: whatResetPassword, Channel: "agent_voice"})
	id := event[domain.TemporaryCredentialDelivered](t, out).DeliveryID
	if _, err := w.j.Credential(t.Context(), id); code(t, err) != domain.Unknown {
		t.Errorf("a password that an agent read out: %v", err)
	}
}

// A temporary passcode in the app is the one in force, derived and not kept.
func TestPasscodeInTheApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	mine := w.app(domain.AppIBKRMobile, domain.IOS, "handset-1")
	mine.mine(mine.enroll(w.user, domain.UVFaceID))
	c := w.unit("1", suiteCard)
	c.ship(w.user, "1234")
	txn := w.begin(w.user, domain.PurposeActivation)
	push := event[domain.ChallengeIssued](t, w.do(domain.IssueChallenge{TxnID: txn, AuthenticatorID: w.ibkey}))
	w.do(w.decision(push, nil))
	challenge := event[domain.ChallengeIssued](t, w.do(domain.StartEnrollment{
		UserID: w.user, Kind: domain.KindDSCPlus, DeviceID: c.id, TxnID: txn,
	})).ChallengeID
	card := event[domain.AuthenticatorEnrolled](t, w.do(domain.SubmitResponse{ChallengeID: challenge, Response: c.respond(challenge, "")}))
	w.verified(w.user)
	issued := event[domain.TemporaryPasscodeIssued](t, w.do(domain.IssueTemporaryPasscode{
		UserID: w.user, MissingAuthenticatorID: card.AuthenticatorID,
	}))
	want, err := w.j.TemporaryPasscode(t.Context(), w.user, issued.AuthenticatorID)
	if err != nil {
		t.Fatal(err)
	}
	id := event[domain.TemporaryCredentialDelivered](t, w.do(domain.DeliverTemporaryCredential{
		UserID: w.user, AuthenticatorID: issued.AuthenticatorID, What: "temp_code", Channel: "in_app",
	})).DeliveryID
	w.do(mine.collection(id, w.clock.time()))
	if got, err := w.j.Credential(t.Context(), id); err != nil || string(got) != want {
		t.Errorf("the app shows %d characters, %v; want the passcode", len(got), err)
	}
}
