package projections

import "github.com/authledger/authledger/domain"

// describePrivacy gives a certificate, which stands in a stream of its own, its
// place on the timeline of the person it is about.
func describePrivacy(e domain.Event) (facts, bool) {
	switch e := e.(type) {
	case domain.ErasureRequested, domain.LegalHoldPlaced, domain.LegalHoldReleaseRequested, domain.LegalHoldReleased,
		domain.ProcessingRestricted, domain.EventAnnotated, domain.KeyRotated:
		return info(), true
	case domain.ErasureRefused:
		return refusal(e.Reason), true
	case domain.PersonalDataErased:
		return success(owners(e.Also)...), true
	case domain.ErasureCertified:
		return success(append([]string{streamOwner(e.SubjectRef)}, owners(e.Also)...)...), true
	case domain.PersonalDataRevealed:
		return info().because(e.Reason), true
	case domain.IdentityVerificationFailed:
		return failure(""), true
	}
	return facts{}, false
}

// owners are the ids whose streams these are.
func owners(streams []string) []string {
	out := make([]string, len(streams))
	for i, s := range streams {
		out[i] = streamOwner(s)
	}
	return out
}
