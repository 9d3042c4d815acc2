package api

import "testing"

func TestCountriesAreAssigned(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{
		"HK": true, "IN": true, "DE": true, "TW": true, "AQ": true, "XK": true,
		"ZZ": false, "XX": false, "EU": false, "UN": false, "AA": false, "UK": false, "QO": false, "SU": false, "EZ": false,
	} {
		if got := assigned(code); got != want {
			t.Errorf("assigned(%s) = %v, want %v", code, got, want)
		}
	}
}
