package api

import (
	"errors"
	"regexp"
	"strconv"

	"github.com/nyaruka/phonenumbers"

	"github.com/authledger/authledger/domain"
)

// number is a telephone number codes can be sent to.
type number struct {
	e164 string
	cc   string // ISO 3166-1 alpha-2
	line domain.Line
}

// international is the only accepted shape: ASCII digits after a plus sign,
// with the usual separators. Other digits, extensions and letters would be
// read by the library in ways that make two spellings of one number.
var international = regexp.MustCompile(`^\+[1-9][0-9 ().-]{5,38}$`)

var errNumber = errors.New("not a number codes can be sent to")

// parseNumber reads a number in international form. The error never quotes it.
func parseNumber(text string) (number, error) {
	if !international.MatchString(text) {
		return number{}, errNumber
	}
	n, err := phonenumbers.Parse(text, "")
	if err != nil || !phonenumbers.IsValidNumber(n) {
		return number{}, errNumber
	}
	line, ok := lineOf(phonenumbers.GetNumberType(n))
	cc := phonenumbers.GetRegionCodeForNumber(n)
	// "001" are numbers of no country: satellites and global services.
	if !ok || len(cc) != 2 {
		return number{}, errNumber
	}
	return number{e164: phonenumbers.Format(n, phonenumbers.E164), cc: cc, line: line}, nil
}

// lineOf translates the kind of a number; false for those that are refused:
// premium rate, shared cost, toll free, pagers, company and voice mail access.
func lineOf(t phonenumbers.PhoneNumberType) (domain.Line, bool) {
	switch t {
	case phonenumbers.MOBILE:
		return domain.LineMobile, true
	case phonenumbers.FIXED_LINE:
		return domain.LineFixed, true
	case phonenumbers.FIXED_LINE_OR_MOBILE:
		return domain.LineUnknown, true // North America: the number does not tell
	case phonenumbers.VOIP:
		return domain.LineVoIP, true
	}
	return "", false
}

// mask keeps the country code and the last four digits.
func mask(e164 string) string {
	n, err := phonenumbers.Parse(e164, "")
	if err != nil || len(e164) < 5 {
		return "•••• ••••"
	}
	return "+" + strconv.Itoa(int(n.GetCountryCode())) + " •••• " + e164[len(e164)-4:]
}
