package api

import (
	"strings"

	"golang.org/x/text/language"
)

// country is a country code somebody gave, and where.
type country struct{ pointer, code string }

// checkCountries refuses codes of no country or territory: a residence that is
// none would be decided by the rule for everybody. An absent one is let pass.
func checkCountries(given ...country) error {
	for _, c := range given {
		if c.code != "" && !assigned(c.code) {
			return faultAt(c.pointer, "country", "is not a country of ISO 3166-1")
		}
	}
	return nil
}

// unassigned are the codes that the language tables know as a country and ISO
// 3166-1 does not assign: reserved, ended or of a group. XK, Kosovo, is in
// general use and let pass.
const unassigned = "AC AN CP CQ CS DG EA EZ FQ IC NT PC SU TA UN YU"

// assigned reports whether a code stands for a country or territory now, in its
// official spelling.
func assigned(code string) bool {
	region, err := language.ParseRegion(code)
	return err == nil && region.IsCountry() && region.Canonicalize().String() == code && !strings.Contains(unassigned, code)
}
