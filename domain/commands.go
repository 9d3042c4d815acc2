package domain

// Every command names its stream and itself.

func (c RegisterUser) Stream() string                     { return UserStream(c.UserID) }
func (c RecordResidence) Stream() string                  { return UserStream(c.UserID) }
func (c GrantAccountAccess) Stream() string               { return UserStream(c.UserID) }
func (c RevokeAccountAccess) Stream() string              { return UserStream(c.UserID) }
func (c CloseUser) Stream() string                        { return UserStream(c.UserID) }
func (c AddPhone) Stream() string                         { return UserStream(c.UserID) }
func (c StartEnrollment) Stream() string                  { return UserStream(c.UserID) }
func (c EvaluateAutoSMS) Stream() string                  { return UserStream(c.UserID) }
func (c SetSeamless) Stream() string                      { return UserStream(c.UserID) }
func (c StartAuthentication) Stream() string              { return UserStream(c.UserID) }
func (c VerifyIdentityByPhone) Stream() string            { return UserStream(c.UserID) }
func (c UnlockUser) Stream() string                       { return UserStream(c.UserID) }
func (c RequestOptOut) Stream() string                    { return UserStream(c.UserID) }
func (c OptBackIn) Stream() string                        { return UserStream(c.UserID) }
func (c ReevaluateRegime) Stream() string                 { return UserStream(c.UserID) }
func (c RecordNotification) Stream() string               { return UserStream(c.UserID) }
func (c StartPhoneVerification) Stream() string           { return UserStream(c.PhoneID) }
func (c ResendConfirmCode) Stream() string                { return UserStream(c.VerificationID) }
func (c ConfirmPhone) Stream() string                     { return UserStream(c.VerificationID) }
func (c ReplacePhone) Stream() string                     { return UserStream(c.OldPhoneID) }
func (c RemovePhone) Stream() string                      { return UserStream(c.PhoneID) }
func (c RecordSMSDispatch) Stream() string                { return UserStream(c.SMSID) }
func (c RecordSMSUncertain) Stream() string               { return UserStream(c.SMSID) }
func (c RecordSMSSent) Stream() string                    { return UserStream(c.SMSID) }
func (c RecordSMSDelivered) Stream() string               { return UserStream(c.SMSID) }
func (c RecordSMSDeliveryFailed) Stream() string          { return UserStream(c.SMSID) }
func (c RecordSMSSendFailed) Stream() string              { return UserStream(c.SMSID) }
func (c ResendActivationCode) Stream() string             { return UserStream(c.EnrollmentID) }
func (c SubmitActivationCode) Stream() string             { return UserStream(c.EnrollmentID) }
func (c CompleteEnrollment) Stream() string               { return UserStream(c.EnrollmentID) }
func (c AbandonEnrollment) Stream() string                { return UserStream(c.EnrollmentID) }
func (c IssueChallenge) Stream() string                   { return UserStream(c.TxnID) }
func (c RequestFallback) Stream() string                  { return UserStream(c.ChallengeID) }
func (c ResendLoginCode) Stream() string                  { return UserStream(c.ChallengeID) }
func (c CancelChallenge) Stream() string                  { return UserStream(c.ChallengeID) }
func (c SubmitResponse) Stream() string                   { return UserStream(c.ChallengeID) }
func (c DecidePush) Stream() string                       { return UserStream(c.ChallengeID) }
func (c RecordPushSent) Stream() string                   { return UserStream(c.ChallengeID) }
func (c RecordPushFailed) Stream() string                 { return UserStream(c.ChallengeID) }
func (c RecordPushOpened) Stream() string                 { return UserStream(c.ChallengeID) }
func (c TidyUser) Stream() string                         { return UserStream(c.UserID) }
func (c NoteDeviceShipped) Stream() string                { return UserStream(c.UserID) }
func (c AutoActivateDevice) Stream() string               { return UserStream(c.UserID) }
func (c RequestPhysicalDevice) Stream() string            { return UserStream(c.UserID) }
func (c IssueCodeCard) Stream() string                    { return UserStream(c.UserID) }
func (c IssueTemporaryPasscode) Stream() string           { return UserStream(c.UserID) }
func (c DeliverTemporaryCredential) Stream() string       { return UserStream(c.UserID) }
func (c StartMigration) Stream() string                   { return UserStream(c.UserID) }
func (c StartRecovery) Stream() string                    { return UserStream(c.UserID) }
func (c DetectUnification) Stream() string                { return UserStream(c.UserID) }
func (c RequestDeviceSharing) Stream() string             { return UserStream(c.UserID) }
func (c RemoveUserFromInstallation) Stream() string       { return UserStream(c.UserID) }
func (c RequestVoiceCall) Stream() string                 { return UserStream(c.ChallengeID) }
func (c RecordVoiceDispatch) Stream() string              { return UserStream(c.CallID) }
func (c RecordVoiceUncertain) Stream() string             { return UserStream(c.CallID) }
func (c RecordVoicePlaced) Stream() string                { return UserStream(c.CallID) }
func (c RecordVoiceAnswered) Stream() string              { return UserStream(c.CallID) }
func (c RecordVoiceFailed) Stream() string                { return UserStream(c.CallID) }
func (c RecordCodeEmailed) Stream() string                { return UserStream(c.SMSID) }
func (c ReportLost) Stream() string                       { return UserStream(c.AuthenticatorID) }
func (c SuspendAuthenticator) Stream() string             { return UserStream(c.AuthenticatorID) }
func (c ReactivateAuthenticator) Stream() string          { return UserStream(c.AuthenticatorID) }
func (c RevokeAuthenticator) Stream() string              { return UserStream(c.AuthenticatorID) }
func (c ChangeDevicePIN) Stream() string                  { return UserStream(c.AuthenticatorID) }
func (c ActivateCodeCard) Stream() string                 { return UserStream(c.AuthenticatorID) }
func (c CollectTemporaryCredential) Stream() string       { return UserStream(c.DeliveryID) }
func (c ResendMigrationCode) Stream() string              { return UserStream(c.MigrationID) }
func (c ProveMigration) Stream() string                   { return UserStream(c.MigrationID) }
func (c CompleteMigration) Stream() string                { return UserStream(c.MigrationID) }
func (c CancelMigration) Stream() string                  { return UserStream(c.MigrationID) }
func (c ResendRecoveryCode) Stream() string               { return UserStream(c.RecoveryID) }
func (c ProveRecovery) Stream() string                    { return UserStream(c.RecoveryID) }
func (c CompleteRecovery) Stream() string                 { return UserStream(c.RecoveryID) }
func (c CancelRecovery) Stream() string                   { return UserStream(c.RecoveryID) }
func (c DeferUnification) Stream() string                 { return UserStream(c.UnificationID) }
func (c CompleteUnification) Stream() string              { return UserStream(c.UnificationID) }
func (c DecideDeviceSharing) Stream() string              { return UserStream(c.SharingID) }
func (c RegisterDevice) Stream() string                   { return DeviceStream(c.DeviceID) }
func (c RecordDeviceShipped) Stream() string              { return DeviceStream(c.DeviceID) }
func (c RecordDeviceReturned) Stream() string             { return DeviceStream(c.DeviceID) }
func (c RecordDeposit) Stream() string                    { return DeviceStream(c.DeviceID) }
func (c RecordReplacementFee) Stream() string             { return DeviceStream(c.DeviceID) }
func (c NoteSharingRequested) Stream() string             { return DeviceStream(c.DeviceID) }
func (c BindToDevice) Stream() string                     { return DeviceStream(c.DeviceID) }
func (c UnbindFromDevice) Stream() string                 { return DeviceStream(c.DeviceID) }
func (c ReportPINBlocked) Stream() string                 { return InstallationStream(c.InstallationID) }
func (c UnblockInstallation) Stream() string              { return InstallationStream(c.InstallationID) }
func (c RetireInstallation) Stream() string               { return InstallationStream(c.InstallationID) }
func (c BindToInstallation) Stream() string               { return InstallationStream(c.InstallationID) }
func (c UnbindFromInstallation) Stream() string           { return InstallationStream(c.InstallationID) }
func (c RecordHolderResidence) Stream() string            { return ClientStream(c.ClientID) }
func (c RecordDomicile) Stream() string                   { return ClientStream(c.ClientID) }
func (PublishRule) Stream() string                        { return PolicyStream() }
func (AmendRule) Stream() string                          { return PolicyStream() }
func (WithdrawRule) Stream() string                       { return PolicyStream() }
func (SetParameter) Stream() string                       { return PolicyStream() }
func (c RegisterClient) Stream() string                   { return ClientStream(c.ClientID) }
func (c AssignCarryingEntity) Stream() string             { return ClientStream(c.ClientID) }
func (c AddHolder) Stream() string                        { return ClientStream(c.ClientID) }
func (c RemoveHolder) Stream() string                     { return ClientStream(c.ClientID) }
func (c RegisterInstallation) Stream() string             { return InstallationStream(c.InstallationID) }
func (c AttestPIN) Stream() string                        { return InstallationStream(c.InstallationID) }
func (c RegisterPushToken) Stream() string                { return InstallationStream(c.InstallationID) }
func (RecordCodeEpochDestroyed) Stream() string           { return KeyringStream() }
func (c RecordAuditQuery) Stream() string                 { return AuditStream(c.Month) }
func (c RequestErasure) Stream() string                   { return UserStream(c.UserID) }
func (c EraseSubject) Stream() string                     { return UserStream(c.UserID) }
func (c PlaceLegalHold) Stream() string                   { return UserStream(c.UserID) }
func (c RequestHoldRelease) Stream() string               { return UserStream(c.HoldID) }
func (c ReleaseLegalHold) Stream() string                 { return UserStream(c.HoldID) }
func (c RevealPersonalData) Stream() string               { return UserStream(c.UserID) }
func (c AnnotateEvent) Stream() string                    { return UserStream(c.UserID) }
func (c RecordIdentityVerificationFailed) Stream() string { return UserStream(c.UserID) }
func (CertifyErasure) Stream() string                     { return ErasuresStream() }
func (RecordKeyRotated) Stream() string                   { return KeyringStream() }

func (RegisterUser) Name() string                     { return "RegisterUser" }
func (RecordResidence) Name() string                  { return "RecordResidence" }
func (GrantAccountAccess) Name() string               { return "GrantAccountAccess" }
func (RevokeAccountAccess) Name() string              { return "RevokeAccountAccess" }
func (CloseUser) Name() string                        { return "CloseUser" }
func (AddPhone) Name() string                         { return "AddPhone" }
func (StartEnrollment) Name() string                  { return "StartEnrollment" }
func (EvaluateAutoSMS) Name() string                  { return "EvaluateAutoSMS" }
func (SetSeamless) Name() string                      { return "SetSeamless" }
func (StartAuthentication) Name() string              { return "StartAuthentication" }
func (VerifyIdentityByPhone) Name() string            { return "VerifyIdentityByPhone" }
func (UnlockUser) Name() string                       { return "UnlockUser" }
func (RequestOptOut) Name() string                    { return "RequestOptOut" }
func (OptBackIn) Name() string                        { return "OptBackIn" }
func (ReevaluateRegime) Name() string                 { return "ReevaluateRegime" }
func (RecordNotification) Name() string               { return "RecordNotification" }
func (StartPhoneVerification) Name() string           { return "StartPhoneVerification" }
func (ResendConfirmCode) Name() string                { return "ResendConfirmCode" }
func (ConfirmPhone) Name() string                     { return "ConfirmPhone" }
func (ReplacePhone) Name() string                     { return "ReplacePhone" }
func (RemovePhone) Name() string                      { return "RemovePhone" }
func (RecordSMSDispatch) Name() string                { return "RecordSMSDispatch" }
func (RecordSMSUncertain) Name() string               { return "RecordSMSUncertain" }
func (RecordSMSSent) Name() string                    { return "RecordSMSSent" }
func (RecordSMSDelivered) Name() string               { return "RecordSMSDelivered" }
func (RecordSMSDeliveryFailed) Name() string          { return "RecordSMSDeliveryFailed" }
func (RecordSMSSendFailed) Name() string              { return "RecordSMSSendFailed" }
func (ResendActivationCode) Name() string             { return "ResendActivationCode" }
func (SubmitActivationCode) Name() string             { return "SubmitActivationCode" }
func (CompleteEnrollment) Name() string               { return "CompleteEnrollment" }
func (AbandonEnrollment) Name() string                { return "AbandonEnrollment" }
func (IssueChallenge) Name() string                   { return "IssueChallenge" }
func (RequestFallback) Name() string                  { return "RequestFallback" }
func (ResendLoginCode) Name() string                  { return "ResendLoginCode" }
func (CancelChallenge) Name() string                  { return "CancelChallenge" }
func (SubmitResponse) Name() string                   { return "SubmitResponse" }
func (DecidePush) Name() string                       { return "DecidePush" }
func (RecordPushSent) Name() string                   { return "RecordPushSent" }
func (RecordPushFailed) Name() string                 { return "RecordPushFailed" }
func (RecordPushOpened) Name() string                 { return "RecordPushOpened" }
func (RegisterClient) Name() string                   { return "RegisterClient" }
func (AssignCarryingEntity) Name() string             { return "AssignCarryingEntity" }
func (AddHolder) Name() string                        { return "AddHolder" }
func (RemoveHolder) Name() string                     { return "RemoveHolder" }
func (RegisterInstallation) Name() string             { return "RegisterInstallation" }
func (AttestPIN) Name() string                        { return "AttestPIN" }
func (RegisterPushToken) Name() string                { return "RegisterPushToken" }
func (RecordAuditQuery) Name() string                 { return "RecordAuditQuery" }
func (RecordCodeEpochDestroyed) Name() string         { return "RecordCodeEpochDestroyed" }
func (TidyUser) Name() string                         { return "TidyUser" }
func (NoteDeviceShipped) Name() string                { return "NoteDeviceShipped" }
func (AutoActivateDevice) Name() string               { return "AutoActivateDevice" }
func (RequestPhysicalDevice) Name() string            { return "RequestPhysicalDevice" }
func (IssueCodeCard) Name() string                    { return "IssueCodeCard" }
func (IssueTemporaryPasscode) Name() string           { return "IssueTemporaryPasscode" }
func (DeliverTemporaryCredential) Name() string       { return "DeliverTemporaryCredential" }
func (StartMigration) Name() string                   { return "StartMigration" }
func (StartRecovery) Name() string                    { return "StartRecovery" }
func (DetectUnification) Name() string                { return "DetectUnification" }
func (RequestDeviceSharing) Name() string             { return "RequestDeviceSharing" }
func (RemoveUserFromInstallation) Name() string       { return "RemoveUserFromInstallation" }
func (RequestVoiceCall) Name() string                 { return "RequestVoiceCall" }
func (RecordVoiceDispatch) Name() string              { return "RecordVoiceDispatch" }
func (RecordVoiceUncertain) Name() string             { return "RecordVoiceUncertain" }
func (RecordVoicePlaced) Name() string                { return "RecordVoicePlaced" }
func (RecordVoiceAnswered) Name() string              { return "RecordVoiceAnswered" }
func (RecordVoiceFailed) Name() string                { return "RecordVoiceFailed" }
func (RecordCodeEmailed) Name() string                { return "RecordCodeEmailed" }
func (ReportLost) Name() string                       { return "ReportLost" }
func (SuspendAuthenticator) Name() string             { return "SuspendAuthenticator" }
func (ReactivateAuthenticator) Name() string          { return "ReactivateAuthenticator" }
func (RevokeAuthenticator) Name() string              { return "RevokeAuthenticator" }
func (ChangeDevicePIN) Name() string                  { return "ChangeDevicePIN" }
func (ActivateCodeCard) Name() string                 { return "ActivateCodeCard" }
func (CollectTemporaryCredential) Name() string       { return "CollectTemporaryCredential" }
func (ResendMigrationCode) Name() string              { return "ResendMigrationCode" }
func (ProveMigration) Name() string                   { return "ProveMigration" }
func (CompleteMigration) Name() string                { return "CompleteMigration" }
func (CancelMigration) Name() string                  { return "CancelMigration" }
func (ResendRecoveryCode) Name() string               { return "ResendRecoveryCode" }
func (ProveRecovery) Name() string                    { return "ProveRecovery" }
func (CompleteRecovery) Name() string                 { return "CompleteRecovery" }
func (CancelRecovery) Name() string                   { return "CancelRecovery" }
func (DeferUnification) Name() string                 { return "DeferUnification" }
func (CompleteUnification) Name() string              { return "CompleteUnification" }
func (DecideDeviceSharing) Name() string              { return "DecideDeviceSharing" }
func (RegisterDevice) Name() string                   { return "RegisterDevice" }
func (RecordDeviceShipped) Name() string              { return "RecordDeviceShipped" }
func (RecordDeviceReturned) Name() string             { return "RecordDeviceReturned" }
func (RecordDeposit) Name() string                    { return "RecordDeposit" }
func (RecordReplacementFee) Name() string             { return "RecordReplacementFee" }
func (NoteSharingRequested) Name() string             { return "NoteSharingRequested" }
func (BindToDevice) Name() string                     { return "BindToDevice" }
func (UnbindFromDevice) Name() string                 { return "UnbindFromDevice" }
func (ReportPINBlocked) Name() string                 { return "ReportPINBlocked" }
func (UnblockInstallation) Name() string              { return "UnblockInstallation" }
func (RetireInstallation) Name() string               { return "RetireInstallation" }
func (BindToInstallation) Name() string               { return "BindToInstallation" }
func (UnbindFromInstallation) Name() string           { return "UnbindFromInstallation" }
func (RecordHolderResidence) Name() string            { return "RecordHolderResidence" }
func (RecordDomicile) Name() string                   { return "RecordDomicile" }
func (PublishRule) Name() string                      { return "PublishRule" }
func (AmendRule) Name() string                        { return "AmendRule" }
func (WithdrawRule) Name() string                     { return "WithdrawRule" }
func (SetParameter) Name() string                     { return "SetParameter" }
func (RequestErasure) Name() string                   { return "RequestErasure" }
func (EraseSubject) Name() string                     { return "EraseSubject" }
func (PlaceLegalHold) Name() string                   { return "PlaceLegalHold" }
func (RequestHoldRelease) Name() string               { return "RequestHoldRelease" }
func (ReleaseLegalHold) Name() string                 { return "ReleaseLegalHold" }
func (RevealPersonalData) Name() string               { return "RevealPersonalData" }
func (AnnotateEvent) Name() string                    { return "AnnotateEvent" }
func (RecordIdentityVerificationFailed) Name() string { return "RecordIdentityVerificationFailed" }
func (CertifyErasure) Name() string                   { return "CertifyErasure" }
func (RecordKeyRotated) Name() string                 { return "RecordKeyRotated" }
