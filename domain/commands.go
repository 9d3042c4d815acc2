package domain

// Every command names its stream and itself.

func (c RegisterUser) Stream() string            { return UserStream(c.UserID) }
func (c RecordResidence) Stream() string         { return UserStream(c.UserID) }
func (c GrantAccountAccess) Stream() string      { return UserStream(c.UserID) }
func (c RevokeAccountAccess) Stream() string     { return UserStream(c.UserID) }
func (c CloseUser) Stream() string               { return UserStream(c.UserID) }
func (c AddPhone) Stream() string                { return UserStream(c.UserID) }
func (c StartEnrollment) Stream() string         { return UserStream(c.UserID) }
func (c EvaluateAutoSMS) Stream() string         { return UserStream(c.UserID) }
func (c SetSeamless) Stream() string             { return UserStream(c.UserID) }
func (c StartAuthentication) Stream() string     { return UserStream(c.UserID) }
func (c VerifyIdentityByPhone) Stream() string   { return UserStream(c.UserID) }
func (c UnlockUser) Stream() string              { return UserStream(c.UserID) }
func (c RequestOptOut) Stream() string           { return UserStream(c.UserID) }
func (c OptBackIn) Stream() string               { return UserStream(c.UserID) }
func (c ReevaluateRegime) Stream() string        { return UserStream(c.UserID) }
func (c RecordNotification) Stream() string      { return UserStream(c.UserID) }
func (c StartPhoneVerification) Stream() string  { return UserStream(c.PhoneID) }
func (c ResendConfirmCode) Stream() string       { return UserStream(c.VerificationID) }
func (c ConfirmPhone) Stream() string            { return UserStream(c.VerificationID) }
func (c ReplacePhone) Stream() string            { return UserStream(c.OldPhoneID) }
func (c RemovePhone) Stream() string             { return UserStream(c.PhoneID) }
func (c RecordSMSDispatch) Stream() string       { return UserStream(c.SMSID) }
func (c RecordSMSUncertain) Stream() string      { return UserStream(c.SMSID) }
func (c RecordSMSSent) Stream() string           { return UserStream(c.SMSID) }
func (c RecordSMSDelivered) Stream() string      { return UserStream(c.SMSID) }
func (c RecordSMSDeliveryFailed) Stream() string { return UserStream(c.SMSID) }
func (c RecordSMSSendFailed) Stream() string     { return UserStream(c.SMSID) }
func (c ResendActivationCode) Stream() string    { return UserStream(c.EnrollmentID) }
func (c SubmitActivationCode) Stream() string    { return UserStream(c.EnrollmentID) }
func (c CompleteEnrollment) Stream() string      { return UserStream(c.EnrollmentID) }
func (c AbandonEnrollment) Stream() string       { return UserStream(c.EnrollmentID) }
func (c IssueChallenge) Stream() string          { return UserStream(c.TxnID) }
func (c RequestFallback) Stream() string         { return UserStream(c.ChallengeID) }
func (c ResendLoginCode) Stream() string         { return UserStream(c.ChallengeID) }
func (c CancelChallenge) Stream() string         { return UserStream(c.ChallengeID) }
func (c SubmitResponse) Stream() string          { return UserStream(c.ChallengeID) }
func (c DecidePush) Stream() string              { return UserStream(c.ChallengeID) }
func (c RecordPushSent) Stream() string          { return UserStream(c.ChallengeID) }
func (c RecordPushFailed) Stream() string        { return UserStream(c.ChallengeID) }
func (c RecordPushOpened) Stream() string        { return UserStream(c.ChallengeID) }
func (c RegisterClient) Stream() string          { return ClientStream(c.ClientID) }
func (c AssignCarryingEntity) Stream() string    { return ClientStream(c.ClientID) }
func (c AddHolder) Stream() string               { return ClientStream(c.ClientID) }
func (c RemoveHolder) Stream() string            { return ClientStream(c.ClientID) }
func (c RegisterInstallation) Stream() string    { return InstallationStream(c.InstallationID) }
func (c AttestPIN) Stream() string               { return InstallationStream(c.InstallationID) }
func (c RegisterPushToken) Stream() string       { return InstallationStream(c.InstallationID) }
func (RecordCodeEpochDestroyed) Stream() string  { return KeyringStream() }
func (c RecordAuditQuery) Stream() string        { return AuditStream(c.Month) }

func (RegisterUser) Name() string             { return "RegisterUser" }
func (RecordResidence) Name() string          { return "RecordResidence" }
func (GrantAccountAccess) Name() string       { return "GrantAccountAccess" }
func (RevokeAccountAccess) Name() string      { return "RevokeAccountAccess" }
func (CloseUser) Name() string                { return "CloseUser" }
func (AddPhone) Name() string                 { return "AddPhone" }
func (StartEnrollment) Name() string          { return "StartEnrollment" }
func (EvaluateAutoSMS) Name() string          { return "EvaluateAutoSMS" }
func (SetSeamless) Name() string              { return "SetSeamless" }
func (StartAuthentication) Name() string      { return "StartAuthentication" }
func (VerifyIdentityByPhone) Name() string    { return "VerifyIdentityByPhone" }
func (UnlockUser) Name() string               { return "UnlockUser" }
func (RequestOptOut) Name() string            { return "RequestOptOut" }
func (OptBackIn) Name() string                { return "OptBackIn" }
func (ReevaluateRegime) Name() string         { return "ReevaluateRegime" }
func (RecordNotification) Name() string       { return "RecordNotification" }
func (StartPhoneVerification) Name() string   { return "StartPhoneVerification" }
func (ResendConfirmCode) Name() string        { return "ResendConfirmCode" }
func (ConfirmPhone) Name() string             { return "ConfirmPhone" }
func (ReplacePhone) Name() string             { return "ReplacePhone" }
func (RemovePhone) Name() string              { return "RemovePhone" }
func (RecordSMSDispatch) Name() string        { return "RecordSMSDispatch" }
func (RecordSMSUncertain) Name() string       { return "RecordSMSUncertain" }
func (RecordSMSSent) Name() string            { return "RecordSMSSent" }
func (RecordSMSDelivered) Name() string       { return "RecordSMSDelivered" }
func (RecordSMSDeliveryFailed) Name() string  { return "RecordSMSDeliveryFailed" }
func (RecordSMSSendFailed) Name() string      { return "RecordSMSSendFailed" }
func (ResendActivationCode) Name() string     { return "ResendActivationCode" }
func (SubmitActivationCode) Name() string     { return "SubmitActivationCode" }
func (CompleteEnrollment) Name() string       { return "CompleteEnrollment" }
func (AbandonEnrollment) Name() string        { return "AbandonEnrollment" }
func (IssueChallenge) Name() string           { return "IssueChallenge" }
func (RequestFallback) Name() string          { return "RequestFallback" }
func (ResendLoginCode) Name() string          { return "ResendLoginCode" }
func (CancelChallenge) Name() string          { return "CancelChallenge" }
func (SubmitResponse) Name() string           { return "SubmitResponse" }
func (DecidePush) Name() string               { return "DecidePush" }
func (RecordPushSent) Name() string           { return "RecordPushSent" }
func (RecordPushFailed) Name() string         { return "RecordPushFailed" }
func (RecordPushOpened) Name() string         { return "RecordPushOpened" }
func (RegisterClient) Name() string           { return "RegisterClient" }
func (AssignCarryingEntity) Name() string     { return "AssignCarryingEntity" }
func (AddHolder) Name() string                { return "AddHolder" }
func (RemoveHolder) Name() string             { return "RemoveHolder" }
func (RegisterInstallation) Name() string     { return "RegisterInstallation" }
func (AttestPIN) Name() string                { return "AttestPIN" }
func (RegisterPushToken) Name() string        { return "RegisterPushToken" }
func (RecordAuditQuery) Name() string         { return "RecordAuditQuery" }
func (RecordCodeEpochDestroyed) Name() string { return "RecordCodeEpochDestroyed" }
