package projections

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/authledger/authledger/domain"
)

func mustProcess(t *testing.T, v *Views, id string) Process {
	t.Helper()
	p, err := v.Process(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustAuthenticator(t *testing.T, v *Views, id string) Authenticator {
	t.Helper()
	a, err := v.Authenticator(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// IB Key is bound, moved to another phone and brought back on it: each
// authenticator tells which process bound it and by which proof.
func TestIBKeyFromPhoneToPhone(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	old, newer, again := l.install(domain.AppIBKRMobile, "h1"), l.install(domain.AppIBKRMobile, "h2"), l.install(domain.AppIBKRMobile, "h2")
	enrollment, one := l.activate(old)
	enrolled := l.now
	sms := l.sms

	started := l.now.Add(3 * time.Minute)
	out := l.do(domain.StartMigration{UserID: l.user, InstallationID: newer, TxnID: l.begin(domain.PurposeMigration, domain.IBKRMobileIOS)})
	migration := first[domain.MigrationStarted](l, out).MigrationID
	v := l.views()
	open := mustProcess(t, v, migration)
	want := Process{
		Sequence: open.Sequence, ID: migration, UserID: l.user, Kind: ProcessMigration, Step: "started", StartedAt: started, SourceID: one,
		InstallationID: newer, PhoneID: l.phone, Proof: ProofSMS, ExpiresAt: pointer(started.Add(10 * time.Minute)),
	}
	if diff := cmp.Diff(want, open); diff != "" {
		t.Errorf("an open migration (-want +got):\n%s", diff)
	}
	l.pass(time.Minute)
	l.do(domain.ProveMigration{MigrationID: migration, Code: l.activationCode(domain.PurposeMigration, first[domain.ActivationCodeIssued](l, out))})
	proved := l.now
	l.pass(time.Minute)
	l.do(domain.CompleteMigration{MigrationID: migration, UV: domain.UVFingerprint}) // impossible on this phone
	two := did[domain.AuthenticatorEnrolled](l, domain.CompleteMigration{MigrationID: migration, UV: domain.UVTouchID}).AuthenticatorID
	l.do(domain.UnbindFromInstallation{InstallationID: old, UserID: l.user, AuthenticatorID: one})
	l.do(domain.BindToInstallation{InstallationID: newer, UserID: l.user, AuthenticatorID: two})
	moved := l.now

	recovery := did[domain.RecoveryStarted](l, domain.StartRecovery{
		UserID: l.user, InstallationID: again, TxnID: l.begin(domain.PurposeRecovery, domain.IBKRMobileIOS), Cause: "reinstalled",
		Handover: l.handover(newer, again),
	}).RecoveryID
	three := did[domain.AuthenticatorEnrolled](l, domain.CompleteRecovery{RecoveryID: recovery, UV: domain.UVFaceID}).AuthenticatorID
	l.apply(v)

	want.Step, want.ProvedAt, want.UV, want.AuthenticatorID = "done", &proved, domain.UVTouchID, two
	want.ExpiresAt, want.EndedAt, want.Outcome = pointer(proved.Add(30*time.Minute)), &moved, ProcessDone
	if diff := cmp.Diff(want, mustProcess(t, v, migration)); diff != "" {
		t.Errorf("a completed migration (-want +got):\n%s", diff)
	}
	p := mustProcess(t, v, recovery)
	if p.Step != "done" || p.Proof != ProofOriginal || p.ProvedAt == nil || !p.ProvedAt.Equal(p.StartedAt) || p.AuthenticatorID != three ||
		p.SourceID != two || p.Variant != "reinstalled" || p.Outcome != ProcessDone {
		t.Errorf("recovery: %+v", p)
	}
	p = mustProcess(t, v, enrollment)
	if p.Step != "done" || p.Proof != ProofSMS || p.Variant != "activate" || p.AuthenticatorID != one || p.UV != domain.UVFaceID ||
		p.ProvedAt == nil || !p.ProvedAt.Equal(enrolled.Add(-time.Second)) || !p.ExpiresAt.Equal(p.StartedAt.Add(30*time.Minute)) {
		t.Errorf("enrolment: %+v", p)
	}
	for _, c := range []struct {
		id, process string
		proof       Proof
		uv          domain.UV
		trigger     string
		revoked     string
		successor   string
	}{
		{sms, "", "", "", "auto_sms", "superseded_by_stronger", one},
		{one, enrollment, ProofSMS, domain.UVFaceID, "user", "migrated", two},
		{two, migration, ProofSMS, domain.UVTouchID, "migration", "replaced", three},
		{three, recovery, ProofOriginal, domain.UVFaceID, "recovery", "", ""},
	} {
		a := mustAuthenticator(t, v, c.id)
		if a.ProcessID != c.process || a.Proof != c.proof || a.UV != c.uv || a.Trigger != c.trigger || a.RevokedReason != c.revoked ||
			a.SuccessorID != c.successor || (a.Status(l.now) == AuthenticatorActive) != (c.revoked == "") {
			t.Errorf("%s: %+v", c.id, a)
		}
	}
	i, err := v.Installation(t.Context(), newer)
	if err != nil || len(i.Authenticators) != 1 || i.Authenticators[0].ID != two || len(i.Bindings) != 1 || i.Bindings[0].UnboundAt != nil {
		t.Errorf("the new phone: %+v, %v", i, err)
	}
	got := timeline(t, v, migration)
	if want := "MigrationStarted ActivationCodeIssued SMSRequested ActivationCodeAccepted MigrationProofAccepted MigrationRefused MigrationCompleted"; got != want {
		t.Errorf("timeline of a migration:\ngot  %s\nwant %s", got, want)
	}
	if diff := cmp.Diff([]string{migration, recovery, enrollment}, processIDs(t, v, ProcessFilter{UserID: l.user}), sortStrings); diff != "" {
		t.Errorf("processes of the user (-want +got):\n%s", diff)
	}
}

var sortStrings = cmp.Transformer("sorted", func(in []string) []string { return slices.Sorted(slices.Values(in)) })

func processIDs(t *testing.T, v *Views, f ProcessFilter) []string {
	t.Helper()
	page, err := v.Processes(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, p := range page.Items {
		ids = append(ids, p.ID)
	}
	return ids
}

// The standalone app hands IB Key over: the authenticator stays and lives
// elsewhere, and both apps still tell of it.
func TestUnificationMovesTheHost(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	standalone, mobile := l.install(domain.AppIBKeyStandalone, "h1"), l.install(domain.AppIBKRMobile, "h1")
	_, id := l.activate(standalone)
	detect := domain.DetectUnification{UserID: l.user, InstallationID: mobile, Case: "auth_only", StandaloneInstallationID: standalone}
	late := detect
	late.ManualLater = true
	deferred := did[domain.UnificationOffered](l, late).UnificationID
	l.do(domain.DeferUnification{UnificationID: deferred})
	l.pass(time.Hour)
	offered := did[domain.UnificationOffered](l, detect).UnificationID
	v := l.views()
	if p := mustProcess(t, v, deferred); p.Step != "deferred" || !p.Open(l.now) || p.Variant != "auth_only" {
		t.Errorf("deferred: %+v", p)
	}
	l.do(domain.CompleteUnification{UnificationID: offered, Handover: "bogus"})
	l.apply(v)
	if p := mustProcess(t, v, offered); p.Reason != "SIGNATURE_INVALID" || !p.Open(l.now) {
		t.Errorf("refused on the way: %+v", p)
	}
	did[domain.UnificationCompleted](l, domain.CompleteUnification{UnificationID: offered, Handover: l.handover(standalone, mobile)})
	did[domain.InstallationRetired](l, domain.RetireInstallation{InstallationID: l.empty(standalone, id), Reason: "unified", SuccessorID: mobile})
	l.apply(v)
	if p := mustProcess(t, v, offered); p.Outcome != ProcessDone || p.Reason != "" || p.Proof != ProofHandover || p.ProvedAt == nil {
		t.Errorf("completed: %+v", p)
	}
	if p := mustProcess(t, v, deferred); p.Outcome != ProcessCancelled || p.Reason != "superseded" {
		t.Errorf("what else was offered: %+v", p)
	}
	a := mustAuthenticator(t, v, id)
	if a.InstallationID != mobile || a.FormerInstall != standalone || a.Status(l.now) != AuthenticatorActive {
		t.Errorf("authenticator: %+v", a)
	}
	for _, where := range []string{standalone, mobile} {
		i, err := v.Installation(t.Context(), where)
		if err != nil || len(i.Authenticators) != 1 || cmp.Diff(a, i.Authenticators[0]) != "" {
			t.Errorf("%s: %+v, %v", where, i.Authenticators, err)
		}
		if retired := i.RetiredAt != nil; retired != (where == standalone) || retired && (i.RetiredReason != "unified" || i.SuccessorID != mobile) {
			t.Errorf("%s retired at %v: %s, %s", where, i.RetiredAt, i.RetiredReason, i.SuccessorID)
		}
	}
}

// empty unbinds an authenticator from an installation and returns the latter.
func (l *ledger) empty(installationID, authenticatorID string) string {
	l.do(domain.UnbindFromInstallation{InstallationID: installationID, UserID: l.user, AuthenticatorID: authenticatorID})
	return installationID
}

// A lost phone: suspended, bridged by a temporary passcode, then an online card.
func TestTemporaryAccess(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	_, id := l.activate(l.install(domain.AppIBKRMobile, "h1"))
	did[domain.TemporaryPasscodeRefused](l, domain.IssueTemporaryPasscode{UserID: l.user, MissingAuthenticatorID: id})
	did[domain.AuthenticatorReportedLost](l, domain.ReportLost{AuthenticatorID: id, By: "client"})
	lost := l.now
	l.pass(time.Minute)
	l.actor = domain.Actor{Kind: domain.ActorAgent, Ref: "agent-7"}
	idv := did[domain.IdentityVerifiedByAgent](l, domain.VerifyIdentityByPhone{UserID: l.user, AgentRef: "agent-7", Method: "questions"}).IDVID
	temp := did[domain.TemporaryPasscodeIssued](l, domain.IssueTemporaryPasscode{UserID: l.user, MissingAuthenticatorID: id})
	delivery := did[domain.TemporaryCredentialDelivered](l, domain.DeliverTemporaryCredential{
		UserID: l.user, AuthenticatorID: temp.AuthenticatorID, What: "temp_code", Channel: "agent_voice",
	}).DeliveryID
	v := l.views()

	a := mustAuthenticator(t, v, id)
	if a.Status(l.now) != AuthenticatorSuspended || !a.SuspendedAt.Equal(lost) || a.SuspendedReason != "reported_lost" || !a.ReportedLostAt.Equal(lost) {
		t.Errorf("missing authenticator: %+v", a)
	}
	a = mustAuthenticator(t, v, temp.AuthenticatorID)
	if a.Proof != ProofAgent || a.IDVID != idv || a.ProcessID != a.ID || !a.ExpiresAt.Equal(temp.EndsAt) || !a.FullUntil.Equal(*temp.FullUntil) ||
		a.Status(temp.EndsAt.Add(-1)) != AuthenticatorActive || a.Status(temp.EndsAt) != AuthenticatorExpired {
		t.Errorf("passcode: %+v", a)
	}
	if p := mustProcess(t, v, delivery); p.Step != "read_out" || p.Outcome != ProcessDone || p.Variant != "temp_code" || p.SourceID != temp.AuthenticatorID {
		t.Errorf("delivery: %+v", p)
	}
	page, err := v.Processes(t.Context(), ProcessFilter{Kind: ProcessTemporary})
	if err != nil || len(page.Items) != 2 || page.Items[0].Outcome != ProcessRefused || page.Items[0].Reason != "IDV_REQUIRED" ||
		page.Items[0].ID != "" || page.Items[0].Open(l.now) || page.Items[1].SourceID != id {
		t.Errorf("passcodes: %+v, %v", page.Items, err)
	}

	did[domain.AuthenticatorReactivated](l, domain.ReactivateAuthenticator{AuthenticatorID: id, Proof: "agent"})
	l.apply(v)
	if a = mustAuthenticator(t, v, id); a.Status(l.now) != AuthenticatorActive || a.SuspendedReason != "" || a.ReportedLostAt != nil {
		t.Errorf("reactivated: %+v", a)
	}
	if a = mustAuthenticator(t, v, temp.AuthenticatorID); a.Status(l.now) != AuthenticatorRevoked || a.RevokedReason != "temporary_ended" {
		t.Errorf("ended passcode: %+v", a)
	}
	if got := timeline(t, v, temp.AuthenticatorID); got == "" {
		t.Error("a passcode stands for nothing")
	}
}

// Enrolments, migrations and recoveries that time has ended are found until the
// ledger has noted it, whatever the policy in force makes of an enrolment.
func TestExpiredProcesses(t *testing.T) {
	t.Parallel()
	ctx, l := context.Background(), newLedger(t)
	first, firstUser := l.install(domain.AppIBKRMobile, "h1"), l.user
	txn := l.begin(domain.PurposeActivation, domain.IBKRMobileIOS)
	enrollment := did[domain.EnrollmentStarted](l, domain.StartEnrollment{UserID: l.user, Kind: domain.KindIBKey, InstallationID: first, TxnID: txn}).EnrollmentID
	began := l.now
	var phone, sms string
	l.user, phone, sms = l.join("bertha")
	l.phone, l.sms = phone, sms
	l.activate(l.install(domain.AppIBKRMobile, "h2"))
	migration := did[domain.MigrationStarted](l, domain.StartMigration{
		UserID: l.user, InstallationID: l.install(domain.AppIBKRMobile, "h3"), TxnID: l.begin(domain.PurposeMigration, domain.IBKRMobileIOS),
	})
	ttl := 30 * time.Minute
	v := l.views(func(o *Options) { o.EnrollmentTTL = func(time.Time) time.Duration { return ttl } })
	due := func(at time.Time, limit int, want ...string) {
		t.Helper()
		got, err := v.ExpiredProcesses(ctx, at, limit)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("expired by %s: %v (-want +got):\n%s", at.Sub(began), err, diff)
		}
	}
	due(migration.ExpiresAt.Add(-time.Microsecond), 10)
	due(migration.ExpiresAt, 10, l.user)
	due(began.Add(ttl), 10, firstUser, l.user)
	due(began.Add(ttl), 1, firstUser)
	ttl = 5 * time.Minute
	due(began.Add(ttl-time.Microsecond), 10)
	due(began.Add(ttl), 10, firstUser)
	open := func(at time.Time, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, processIDs(t, v, ProcessFilter{OpenAt: at})); diff != "" {
			t.Errorf("open at %s (-want +got):\n%s", at.Sub(began), diff)
		}
	}
	open(began.Add(-time.Microsecond))
	open(began, enrollment)
	open(began.Add(ttl))
	ttl = 30 * time.Minute
	open(migration.ExpiresAt.Add(-time.Microsecond), enrollment, migration.MigrationID)
	open(migration.ExpiresAt, enrollment)

	l.now = began.Add(ttl)
	did[domain.EnrollmentExpired](l, domain.TidyUser{UserID: firstUser})
	did[domain.MigrationExpired](l, domain.TidyUser{UserID: l.user})
	l.apply(v)
	due(l.now, 10)
	if p := mustProcess(t, v, enrollment); p.Outcome != ProcessExpired || p.Step != "awaiting_code" || !p.EndedAt.Equal(l.now) {
		t.Errorf("expired enrolment: %+v", p)
	}
	open(migration.ExpiresAt.Add(-time.Microsecond), enrollment, migration.MigrationID)
}

// What a state no longer remembers cannot be noted and is not asked for, and a
// closed user has nothing open.
func TestExpiredProcessesThatNobodyCanEnd(t *testing.T) {
	t.Parallel()
	ctx, w := context.Background(), newWorld(t)
	for range remembered + 1 {
		w.in(user(1), domain.EnrollmentStarted{EnrollmentID: w.id("enr", user(1)), Kind: domain.KindDSCPlus, DeviceID: unit(1)})
		w.pass(time.Second)
	}
	for n := 2; n <= remembered+1; n++ {
		w.in(user(1), domain.EnrollmentAbandoned{EnrollmentID: "enr_" + key(1) + "_" + itoa(n)})
	}
	closed := w.id("enr", user(2))
	w.in(user(2), domain.EnrollmentStarted{EnrollmentID: closed, Kind: domain.KindDSCPlus, DeviceID: unit(1)})
	v := w.views()
	if got, err := v.ExpiredProcesses(ctx, w.now.Add(time.Hour), 10); err != nil || !slices.Equal(got, []string{user(2)}) {
		t.Errorf("got %v, %v", got, err)
	}
	w.in(user(2), domain.UserClosed{Reason: "left"})
	w.apply(v)
	if got, err := v.ExpiredProcesses(ctx, w.now.Add(time.Hour), 10); err != nil || len(got) != 0 {
		t.Errorf("after the closing: %v, %v", got, err)
	}
	if p := mustProcess(t, v, closed); p.Outcome != ProcessCancelled || p.Reason != "user_closed" {
		t.Errorf("open when the user was closed: %+v", p)
	}
	if _, err := v.Process(ctx, "enr_none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown process: %v", err)
	}
}

func TestProcessesMatchAModel(t *testing.T) {
	t.Parallel()
	ctx, w := context.Background(), town(t)
	v := w.views()
	page, err := v.Processes(ctx, ProcessFilter{Listing: Listing{Limit: MaxLimit}})
	if err != nil || !page.Next.IsZero() || len(page.Items) < 40 {
		t.Fatalf("%d processes, %v", len(page.Items), err)
	}
	all := page.Items
	rapid.Check(t, func(rt *rapid.T) {
		f := ProcessFilter{Listing: drawListing(rt, func() time.Time { return rapid.SampledFrom(all).Draw(rt, "at").StartedAt })}
		if rapid.Bool().Draw(rt, "user") {
			f.UserID = rapid.SampledFrom(all).Draw(rt, "of").UserID
		}
		if rapid.Bool().Draw(rt, "kind") {
			f.Kind = rapid.SampledFrom(append(slices.Clone(processKinds), "nonsense")).Draw(rt, "is")
		}
		if rapid.Bool().Draw(rt, "open") {
			p := rapid.SampledFrom(all).Draw(rt, "when")
			f.OpenAt = p.StartedAt.Add(time.Duration(rapid.IntRange(-1, 3000).Draw(rt, "after")) * time.Second)
		}
		var want []Process
		for _, p := range all {
			if (f.UserID == "" || p.UserID == f.UserID) && (f.Kind == "" || p.Kind == f.Kind) && (f.OpenAt.IsZero() || p.Open(f.OpenAt)) {
				want = append(want, p)
			}
		}
		comparePages(rt, f.Listing, want, func(p Process) (time.Time, int64) { return p.StartedAt, int64(p.Sequence) },
			func(l Listing) (Page[Process], error) { f.Listing = l; return v.Processes(ctx, f) })
	})
}
