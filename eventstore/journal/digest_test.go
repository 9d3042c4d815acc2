package journal

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
)

// commands is one of each; the test below keeps it complete.
func commands() []domain.Command {
	return []domain.Command{
		domain.RegisterUser{}, domain.RecordResidence{}, domain.GrantAccountAccess{}, domain.RevokeAccountAccess{}, domain.CloseUser{},
		domain.AddPhone{}, domain.StartEnrollment{}, domain.EvaluateAutoSMS{}, domain.SetSeamless{}, domain.StartAuthentication{},
		domain.VerifyIdentityByPhone{}, domain.UnlockUser{}, domain.RequestOptOut{}, domain.OptBackIn{}, domain.ReevaluateRegime{},
		domain.RecordNotification{}, domain.StartPhoneVerification{}, domain.ResendConfirmCode{}, domain.ConfirmPhone{}, domain.ReplacePhone{},
		domain.RemovePhone{}, domain.RecordSMSDispatch{}, domain.RecordSMSUncertain{}, domain.RecordSMSSent{}, domain.RecordSMSDelivered{},
		domain.RecordSMSDeliveryFailed{}, domain.RecordSMSSendFailed{}, domain.ResendActivationCode{}, domain.SubmitActivationCode{},
		domain.CompleteEnrollment{}, domain.AbandonEnrollment{}, domain.IssueChallenge{}, domain.RequestFallback{}, domain.ResendLoginCode{},
		domain.CancelChallenge{}, domain.SubmitResponse{}, domain.DecidePush{}, domain.RecordPushSent{}, domain.RecordPushFailed{},
		domain.RecordPushOpened{}, domain.RegisterClient{}, domain.AssignCarryingEntity{}, domain.AddHolder{}, domain.RemoveHolder{},
		domain.RegisterInstallation{}, domain.AttestPIN{}, domain.RegisterPushToken{}, domain.RecordAuditQuery{}, domain.RecordCodeEpochDestroyed{},
		domain.TidyUser{}, domain.NoteDeviceShipped{}, domain.AutoActivateDevice{}, domain.RequestPhysicalDevice{},
		domain.IssueCodeCard{}, domain.IssueTemporaryPasscode{}, domain.DeliverTemporaryCredential{}, domain.StartMigration{},
		domain.StartRecovery{}, domain.DetectUnification{}, domain.RequestDeviceSharing{}, domain.RemoveUserFromInstallation{},
		domain.RequestVoiceCall{}, domain.RecordVoiceDispatch{}, domain.RecordVoiceUncertain{}, domain.RecordVoicePlaced{},
		domain.RecordVoiceAnswered{}, domain.RecordVoiceFailed{}, domain.RecordCodeEmailed{}, domain.ReportLost{},
		domain.SuspendAuthenticator{}, domain.ReactivateAuthenticator{}, domain.RevokeAuthenticator{}, domain.ChangeDevicePIN{},
		domain.ActivateCodeCard{}, domain.CollectTemporaryCredential{}, domain.ResendMigrationCode{}, domain.ProveMigration{},
		domain.CompleteMigration{}, domain.CancelMigration{}, domain.ResendRecoveryCode{}, domain.ProveRecovery{},
		domain.CompleteRecovery{}, domain.CancelRecovery{}, domain.DeferUnification{}, domain.CompleteUnification{},
		domain.DecideDeviceSharing{}, domain.RegisterDevice{}, domain.RecordDeviceShipped{}, domain.RecordDeviceReturned{},
		domain.RecordDeposit{}, domain.RecordReplacementFee{}, domain.NoteSharingRequested{}, domain.BindToDevice{},
		domain.UnbindFromDevice{}, domain.ReportPINBlocked{}, domain.UnblockInstallation{}, domain.RetireInstallation{},
		domain.BindToInstallation{}, domain.UnbindFromInstallation{}, domain.RecordHolderResidence{}, domain.RecordDomicile{},
		domain.PublishRule{}, domain.AmendRule{}, domain.WithdrawRule{}, domain.SetParameter{},
		domain.RequestErasure{}, domain.EraseSubject{}, domain.PlaceLegalHold{}, domain.RequestHoldRelease{}, domain.ReleaseLegalHold{},
		domain.RevealPersonalData{}, domain.AnnotateEvent{}, domain.RecordIdentityVerificationFailed{}, domain.CertifyErasure{},
		domain.RecordKeyRotated{},
	}
}

func TestEveryCommandHasAFingerprint(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "../../domain/commands.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "Name" {
			want = append(want, f.Recv.List[0].Type.(*ast.Ident).Name)
		}
	}
	seen := map[string]bool{}
	for _, c := range commands() {
		got = append(got, c.Name())
		digest, err := fingerprint(c)
		if err != nil || len(digest) != 64 || seen[digest] {
			t.Errorf("%s: %q, %v", c.Name(), digest, err)
		}
		seen[digest] = true
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) < 40 {
		t.Fatalf("found only %d commands", len(want))
	}
	equal(t, "commands", got, want)
}

func TestFingerprintCoversWhatIsPublic(t *testing.T) {
	t.Parallel()
	of := func(c domain.Command) string {
		digest, err := fingerprint(c)
		if err != nil {
			t.Fatal(err)
		}
		return digest
	}
	base := domain.AddPhone{UserID: "usr_1", CC: "DE", Number: domain.Clear("+491700000001"), Line: domain.LineMobile}
	other := base
	other.Number = domain.Clear("+491700000002")
	if of(base) != of(other) {
		t.Error("the fingerprint depends on a phone number")
	}
	if of(domain.SubmitResponse{ChallengeID: "c", Response: "1"}) != of(domain.SubmitResponse{ChallengeID: "c", Response: "2"}) {
		t.Error("the fingerprint depends on a response")
	}
	order := domain.RequestPhysicalDevice{UserID: "usr_1", Model: "dsc_plus", EquityUSDMinor: 1}
	rich := order
	rich.EquityUSDMinor = 100_000_000
	if of(order) != of(rich) {
		t.Error("the fingerprint depends on a client's equity, which could be found from it by trying")
	}
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	sent := domain.RecordSMSSent{SMSID: "s", Segments: 1, AcceptedAt: at}
	if of(sent) != of(domain.RecordSMSSent{SMSID: "s", Segments: 1, AcceptedAt: at.In(time.FixedZone("x", 7200))}) {
		t.Error("the fingerprint depends on the zone of a time")
	}
	distinct := []domain.Command{
		base, domain.AddPhone{UserID: "usr_1", CC: "FR", Line: domain.LineMobile}, domain.AddPhone{UserID: "usr_1DE", Line: domain.LineMobile},
		sent, domain.RecordSMSSent{SMSID: "s", Segments: 2, AcceptedAt: at}, domain.RecordSMSSent{SMSID: "s", Segments: 1, AcceptedAt: at.Add(1)},
		domain.SetSeamless{UserID: "u", Enabled: true}, domain.SetSeamless{UserID: "u"},
		domain.GrantAccountAccess{UserID: "a", ClientID: "bc"}, domain.GrantAccountAccess{UserID: "ab", ClientID: "c"},
		domain.RevokeAccountAccess{UserID: "a", ClientID: "bc"},
	}
	seen := map[string]int{}
	for i, c := range distinct {
		if j, ok := seen[of(c)]; ok {
			t.Errorf("requests %d and %d have one fingerprint", j, i)
		}
		seen[of(c)] = i
	}
	// Frozen: repeats may come after an upgrade.
	if got, want := of(domain.SetSeamless{UserID: "usr_1", Enabled: true}), frozenDigest; got != want {
		t.Errorf("fingerprint %s, want %s", got, want)
	}
}

const frozenDigest = "1d86c40ed2fcf25fa91558e85fad5f5450c7cda9ff01b778e34bea1b727da3b2"

// Whatever is secret or personal leaves no trace in a fingerprint.
func TestFingerprintOfSecretsIsThatOfNone(t *testing.T) {
	t.Parallel()
	for _, c := range commands() {
		told := reflect.New(reflect.TypeOf(c)).Elem()
		hidden := 0
		for i := range told.NumField() {
			switch told.Field(i).Type() {
			case reflect.TypeFor[domain.Secret]():
				told.Field(i).SetString("314159")
				hidden++
			case reflect.TypeFor[domain.Personal]():
				told.Field(i).Set(reflect.ValueOf(domain.Clear("314159")))
				hidden++
			}
		}
		with, err := fingerprint(told.Interface().(domain.Command))
		without, err2 := fingerprint(c)
		if err != nil || err2 != nil || hidden > 0 && with != without {
			t.Errorf("%s: %v, %v, equal %t", c.Name(), err, err2, with == without)
		}
	}
}
