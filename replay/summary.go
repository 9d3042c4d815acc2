package replay

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/authledger/authledger/domain"
)

// Summary says in one line what an event records: things of the user by their
// number ("challenge 8" is the id that ends in _8), moments in UTC, codes of the
// closed vocabularies by their Name. Only a reason stays a code, behind a colon,
// because people search by it. The line holds no personal data and no control
// characters, and is not escaped for HTML. It is empty only for an event this
// package forgot.
func Summary(e domain.Event) string {
	for _, part := range [...]func(domain.Event) string{
		summariseLogin, summariseChallenge, summarisePhone, summariseMessage, summariseVoice, summariseEnrollment, summariseLifecycle,
		summariseDevice, summariseTemporary, summariseMove, summariseOptOut, summarisePolicy, summariseUser, summarisePrivacy, summariseRest,
	} {
		if s := part(e); s != "" {
			return oneLine(s)
		}
	}
	return ""
}

// oneLine begins with a capital and keeps text from outside, such as a version
// an app reports, from moving a terminal's cursor or adding lines.
func oneLine(s string) string {
	s = printable(s)
	r, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[size:]
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// thing names what an id stands for within the user's story.
func thing(id string) string {
	ref, ok := domain.ParseRef(id)
	if !ok {
		return strconv.Quote(id)
	}
	noun := noun(ref.Prefix)
	if noun == "" {
		return id // of a user, client, installation or unit: there may be several, and each has a story of its own
	}
	return noun + " " + strconv.FormatUint(ref.N, 10)
}

func noun(prefix string) string {
	switch prefix {
	case domain.PrefixPhone:
		return "phone"
	case domain.PrefixVerification:
		return "verification"
	case domain.PrefixSMS:
		return "SMS"
	case domain.PrefixEnrollment:
		return "enrolment"
	case domain.PrefixAuthenticator:
		return "authenticator"
	case domain.PrefixTransaction:
		return "transaction"
	case domain.PrefixChallenge:
		return "challenge"
	case domain.PrefixPush:
		return "push"
	case domain.PrefixOptOut:
		return "opt-out"
	case domain.PrefixSession:
		return "session"
	case domain.PrefixIDV:
		return "identity check"
	case domain.PrefixNotification:
		return "notice"
	case domain.PrefixCall:
		return "call"
	case domain.PrefixMigration:
		return "migration"
	case domain.PrefixUnification:
		return "unification"
	case domain.PrefixRecovery:
		return "recovery"
	case domain.PrefixRequest:
		return "order"
	case domain.PrefixSharing:
		return "sharing"
	case domain.PrefixDelivery:
		return "delivery"
	case domain.PrefixErasure:
		return "erasure"
	case domain.PrefixHold:
		return "legal hold"
	case domain.PrefixReveal:
		return "look at personal data"
	}
	return ""
}

// moment is in UTC, to the second.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func seconds(s int64) string       { return (time.Duration(s) * time.Second).String() }
func milliseconds(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() }

// optional is the text, or nothing without its value.
func optional[T ~string](format string, value T) string {
	if value == "" {
		return ""
	}
	return fmt.Sprintf(format, value)
}

// also names a thing that may be absent.
func also(format, id string) string {
	if id == "" {
		return ""
	}
	return fmt.Sprintf(format, thing(id))
}

func plural(n int64, noun string) string { return pluralOf(n, noun, noun+"s") }

func pluralOf(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(n, 10) + " " + many
}
