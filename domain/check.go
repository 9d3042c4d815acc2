package domain

import (
	"regexp"
	"time"
)

// checkCC accepts two upper-case letters; whether ISO 3166 has assigned them
// is the caller's concern.
func checkCC(field, cc string) error {
	if len(cc) == 2 && cc[0] >= 'A' && cc[0] <= 'Z' && cc[1] >= 'A' && cc[1] <= 'Z' {
		return nil
	}
	return invalid(field, "give an ISO 3166-1 alpha-2 country code such as HK")
}

// checkRef accepts a reference to something kept elsewhere. It stays in clear
// for ever, so its form leaves no room for a name or an address.
func checkRef(field, ref string) error {
	if !reference.MatchString(ref) {
		return invalid(field, "give a reference of 1 to 64 letters, digits and -_.:/ such as case-4711, never a name")
	}
	return nil
}

var reference = regexp.MustCompile(`^[A-Za-z0-9_.:/-]{1,64}$`)

func checkDate(field, date string) error {
	if t, err := time.Parse(time.DateOnly, date); err == nil && t.Year() >= 1900 && t.Year() < 2200 {
		return nil
	}
	return invalid(field, "give a date such as 2024-03-01")
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
