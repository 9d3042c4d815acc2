package replay

import (
	"fmt"
	"strings"

	"github.com/authledger/authledger/domain"
)

// summarisePrivacy covers erasures, legal holds, looks at personal data and
// remarks.
func summarisePrivacy(e domain.Event) string {
	switch e := e.(type) {
	case domain.ErasureRequested:
		return fmt.Sprintf("%s of all personal data requested, %s%s", thing(e.ErasureID), Name(e.Basis), optional(", by %s", e.RequestedBy))
	case domain.ErasureRefused:
		return fmt.Sprintf("%s refused: %s%s%s", thing(e.ErasureID), e.Reason, also(", %s in force", e.HoldID), kept(e))
	case domain.ProcessingRestricted:
		until := ", with no end while a legal hold is in force"
		if e.Until != nil {
			until = " until " + moment(*e.Until)
		}
		return fmt.Sprintf("personal data locked away%s, %s stays pending", until, thing(e.ErasureID))
	case domain.PersonalDataErased:
		return fmt.Sprintf("personal data of %s destroyed with %s%s, %s, %s", e.SubjectRef, dataKey(e.KeyID), andAlso(e.Also), thing(e.ErasureID), Name(e.Basis))
	case domain.ErasureCertified:
		return fmt.Sprintf("certified: %s of %s%s, %s destroyed at %s, %s and %s searched, %s; %s", thing(e.ErasureID), e.SubjectRef, andAlso(e.Also),
			dataKey(e.KeyID), moment(e.DestroyedAt), plural(int64(e.Files), "file"), plural(e.Bytes, "byte"), plural(int64(e.Findings), "finding"), e.Method)
	case domain.LegalHoldPlaced:
		return fmt.Sprintf("%s placed for %s, %s", thing(e.HoldID), e.CaseRef, Name(e.Basis))
	case domain.LegalHoldReleaseRequested:
		return fmt.Sprintf("release of %s requested by %s, another person must approve it", thing(e.HoldID), e.RequestedBy)
	case domain.LegalHoldReleased:
		return fmt.Sprintf("%s released, approved by %s", thing(e.HoldID), e.ApprovedBy)
	case domain.PersonalDataRevealed:
		return fmt.Sprintf("%s: %s, case %s, %s of %s", thing(e.RevealID), e.Reason, e.CaseRef, strings.Join(e.Fields, " and "), e.EventID)
	case domain.EventAnnotated:
		return fmt.Sprintf("remark on %s, %s, note %s", e.EventID, Name(e.Kind), sealed)
	}
	return ""
}

// kept says how long the law wants the records kept, and by which rule.
func kept(e domain.ErasureRefused) string {
	if e.Retention.Years == 0 {
		return ""
	}
	until := ""
	if e.RetainedUntil != nil {
		until = " until " + moment(*e.RetainedUntil)
	}
	return fmt.Sprintf(", kept%s by %s, %s from %s", until, e.Retention.Rule, plural(int64(e.Retention.Years), "year"), moment(e.Retention.From))
}

func dataKey(id string) string {
	if id == "" {
		return "no data key, none was ever made"
	}
	return "data key " + id
}

func andAlso(streams []string) string {
	if len(streams) == 0 {
		return ""
	}
	return " and of " + strings.Join(streams, ", ")
}

// keyRotated says which key took whose place.
func keyRotated(e domain.KeyRotated) string {
	s := fmt.Sprintf("%s key %s in use%s", Name(e.Kind), e.KeyID, optional(" instead of %s", e.PreviousKeyID))
	if e.Epoch > 0 {
		s += fmt.Sprintf(", epoch %d", e.Epoch)
	}
	if e.Rewrapped > 0 {
		s += ", " + plural(int64(e.Rewrapped), "data key") + " wrapped anew"
	}
	return s
}
