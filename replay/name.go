package replay

import "strings"

// Name is how people read a code of a closed vocabulary, such as a kind, a
// platform, a mode or a topic: ibkey is IB Key, phone_verification is phone
// verification. A text from outside it returns as it is but for underscores.
func Name[T ~string](code T) string {
	switch code {
	case "ibkey":
		return "IB Key"
	case "dsc_plus":
		return "DSC+"
	case "scc":
		return "security code card"
	case "oscc":
		return "online code card"
	case "temp_code":
		return "temporary passcode"
	case "grid":
		return "card cells"
	case "dsc_pin":
		return "PIN"
	case "auto_14_days":
		return "end of the activation window"
	case "sms":
		return "SMS"
	case "sms_code":
		return "SMS code"
	case "auto_sms":
		return "automatic SMS"
	case "challenge_response":
		return "challenge and response"
	case "email":
		return "e-mail"
	case "ios":
		return "iOS"
	case "android":
		return "Android"
	case "tws":
		return "TWS"
	case "client_portal":
		return "Client Portal"
	case "webtrader":
		return "WebTrader"
	case "ibkey_standalone":
		return "IB Key (standalone)"
	case "ib_tws":
		return "IB TWS"
	case "ibkr_mobile":
		return "IBKR Mobile"
	case "ibkr_mobile_ios":
		return "IBKR Mobile (iOS)"
	case "ibkr_mobile_android":
		return "IBKR Mobile (Android)"
	case "touch_id":
		return "Touch ID"
	case "face_id":
		return "Face ID"
	case "app_pin":
		return "app PIN"
	case "apns":
		return "APNs"
	case "fcm":
		return "FCM"
	}
	return strings.ReplaceAll(string(code), "_", " ")
}
