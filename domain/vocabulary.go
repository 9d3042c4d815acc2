package domain

// The closed vocabularies of the rule book, section 5. The strings are the
// wire form everywhere.

// Platform is where a login happens; all of them ask for the second factor
//
type Platform string

const (
	TWS               Platform = "tws"
	ClientPortal      Platform = "client_portal"
	WebTrader         Platform = "webtrader"
	IBKRMobileIOS     Platform = "ibkr_mobile_ios"
	IBKRMobileAndroid Platform = "ibkr_mobile_android"
)

// PlatformClass is what an opt-out distinguishes.
type PlatformClass string

const (
	Portal  PlatformClass = "portal"
	Trading PlatformClass = "trading"
)

// Valid reports whether the platform is one of the constants.
func (p Platform) Valid() bool {
	switch p {
	case TWS, ClientPortal, WebTrader, IBKRMobileIOS, IBKRMobileAndroid:
		return true
	}
	return false
}

// Class is portal for the client portal and trading for everything else.
func (p Platform) Class() PlatformClass {
	if p == ClientPortal {
		return Portal
	}
	return Trading
}

// ReleaseChannel of the trading client.
type ReleaseChannel string

const (
	Stable ReleaseChannel = "stable"
	Latest ReleaseChannel = "latest"
	Beta   ReleaseChannel = "beta"
)

// Purpose of a transaction, code or message.
type Purpose string

const (
	PurposeLogin             Purpose = "login"
	PurposePhoneVerification Purpose = "phone_verification"
	PurposeActivation        Purpose = "activation"
	PurposeMigration         Purpose = "migration"
	PurposeRecovery          Purpose = "recovery"
	PurposeStepUp            Purpose = "step_up"
	PurposeDeviceSharing     Purpose = "device_sharing"
	PurposePINChange         Purpose = "pin_change"
)

// transacts reports whether a transaction can be begun for the purpose.
func (p Purpose) transacts() bool {
	switch p {
	case PurposeLogin, PurposeActivation, PurposeMigration, PurposeRecovery, PurposeStepUp, PurposeDeviceSharing, PurposePINChange:
		return true
	}
	return false
}

// asks reports whether a transaction of the purpose goes on to the second
// factor by itself. The others are steps of a process that asks when it must.
func (p Purpose) asks() bool { return p == PurposeLogin || p == PurposeStepUp }

// Mode of a challenge.
type Mode string

const (
	ModePush              Mode = "push"
	ModeChallengeResponse Mode = "challenge_response"
	ModeSMSCode           Mode = "sms_code"
	ModeVoiceCode         Mode = "voice_code" // of a response; the challenge it answers is an sms_code one
	ModeGrid              Mode = "grid"
	ModeStaticCode        Mode = "static_code"
)

// endsLogin reports whether a challenge of this mode takes its transaction
// along when it expires.
func (m Mode) endsLogin() bool {
	return m == ModeChallengeResponse || m == ModeGrid || m == ModeStaticCode
}

// UV is the local check that unlocked the authenticator.
type UV string

const (
	UVDevicePasscode UV = "device_passcode"
	UVTouchID        UV = "touch_id"
	UVFaceID         UV = "face_id"
	UVFingerprint    UV = "fingerprint"
	UVAppPIN         UV = "app_pin"
	UVDSCPIN         UV = "dsc_pin"
	UVNone           UV = "none"
)

// Kind of authenticator.
type Kind string

const (
	KindIBKey    Kind = "ibkey"
	KindDSCPlus  Kind = "dsc_plus"  // Digital Security Card+
	KindSCC      Kind = "scc"       // printed security code card
	KindOSCC     Kind = "oscc"      // temporary online security code card
	KindSMS      Kind = "sms"       // codes by SMS or voice
	KindTempCode Kind = "temp_code" // temporary passcode
)

// Rank is the protection rank of domain.md D-60; 0 for an unknown kind.
func (k Kind) Rank() int {
	switch k {
	case KindSMS, KindSCC, KindOSCC:
		return 1
	case KindIBKey:
		return 2
	case KindDSCPlus:
		return 3
	}
	return 0
}

// Permanent reports whether the kind counts as an SLS device (D-40).
func (k Kind) Permanent() bool { return k == KindIBKey || k.Physical() }

// Physical reports whether the kind is a physical security device.
func (k Kind) Physical() bool { return k == KindDSCPlus || k == KindSCC }

// Temporary reports whether the kind only bridges the time without a device.
func (k Kind) Temporary() bool { return k == KindTempCode || k == KindOSCC }

// Grid reports whether the kind is a card of look-up secrets.
func (k Kind) Grid() bool { return k == KindSCC || k == KindOSCC }

// OS of an installation.
type OS string

const (
	IOS     OS = "ios"
	Android OS = "android"
)

// App that is installed.
type App string

const (
	AppIBKRMobile      App = "ibkr_mobile"
	AppIBKeyStandalone App = "ibkey_standalone" // the former app of IB Key alone
	AppIBTWS           App = "ib_tws"           // the former app for trading alone
)

// Line is the kind of line behind a phone number.
type Line string

const (
	LineMobile  Line = "mobile"
	LineFixed   Line = "fixed"
	LineVoIP    Line = "voip"
	LineUnknown Line = "unknown"
)

// ClientKind is the legal form of a client.
type ClientKind string

const (
	Individual   ClientKind = "individual"
	Joint        ClientKind = "joint"
	Organisation ClientKind = "organisation"
	Trust        ClientKind = "trust"
	Advisor      ClientKind = "advisor"
)

// Role of a user at a client.
type Role string

const (
	RoleOwner           Role = "owner"
	RoleSecurityOfficer Role = "security_officer"
	RoleHolder          Role = "holder"
	RoleDelegate        Role = "delegate"
)

// ActorKind says who is behind a command.
type ActorKind string

const (
	ActorClient     ActorKind = "client"
	ActorAgent      ActorKind = "agent"
	ActorSystem     ActorKind = "system"
	ActorProvider   ActorKind = "provider"
	ActorImporter   ActorKind = "importer"
	ActorCompliance ActorKind = "compliance"
)

// Actor is who is behind a command. Ref is the API client's or agent's id, or
// the reaction's name; never a person's name.
type Actor struct {
	Kind ActorKind `json:"kind"`
	Ref  string    `json:"ref"`
}

// Source is where a command came from. IP is personal and sealed.
type Source struct {
	Platform       Platform       `json:"platform,omitempty"`
	ClientVersion  string         `json:"client_version,omitempty"`
	ReleaseChannel ReleaseChannel `json:"release_channel,omitempty"`
	IP             Personal       `json:"ip,omitzero"`
	DeviceRef      string         `json:"device_ref,omitempty"`
}

// FallbackCause is why the user left the push.
type FallbackCause string

const (
	CauseNoNotification   FallbackCause = "no_notification"
	CauseNotificationsOff FallbackCause = "notifications_off"
	CauseNoInternet       FallbackCause = "no_internet"
	CausePoorLink         FallbackCause = "poor_link"
	CauseUnspecified      FallbackCause = "unspecified"
)
