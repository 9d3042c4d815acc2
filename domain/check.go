package domain

import "time"

// checkCC accepts two upper-case letters; whether ISO 3166 has assigned them
// is the caller's concern.
func checkCC(field, cc string) error {
	if len(cc) == 2 && cc[0] >= 'A' && cc[0] <= 'Z' && cc[1] >= 'A' && cc[1] <= 'Z' {
		return nil
	}
	return invalid(field, "give an ISO 3166-1 alpha-2 country code such as HK")
}

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
