package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/keyring"
)

// Codes of ours in a message's failure, where a provider's code would stand.
const (
	codeExpired     = "expired"          // the code could no longer be used
	codeSuperseded  = "superseded"       // a newer code was issued
	codePhoneGone   = "phone_removed"    // the phone was removed or replaced
	codeClosed      = "challenge_closed" // the challenge was answered or cancelled
	codeErased      = "erased"           // the subject's key was destroyed, or the data is locked away
	codeNoText      = "template_unknown" // no text of that id
	codeNotAccepted = "rejected"         // a provider that gave no reason
	codeNoTime      = "cancelled"        // the node had to stop before the hand-over
)

// issuedCode names a code that was issued, and the phone it was issued for.
type issuedCode struct {
	userID, phoneID string
	purpose         domain.Purpose
	subjectID       string
	seq             int
}

// current finds the code, or why it is of no use to the user any more.
func (i issuedCode) current(ctx context.Context, j Journal) (found domain.Issued, why string, err error) {
	err = j.User(ctx, i.userID, func(u *domain.User, now time.Time) error {
		if p, ok := u.Phone(i.phoneID); !ok || p.Retired {
			why = codePhoneGone
			return nil
		}
		why = codeExpired
		for _, c := range i.codes(u) {
			if c.Seq == i.seq && now.Before(c.ExpiresAt) {
				found, why = c, ""
			}
			if c.Seq > i.seq {
				why = codeSuperseded
			}
		}
		return nil
	})
	return found, why, err
}

// codes lists those of what the code is for; none when it is so old that the
// state has dropped it.
func (i issuedCode) codes(u *domain.User) []domain.Issued {
	switch i.purpose {
	case domain.PurposePhoneVerification:
		v, _ := u.Verification(i.subjectID)
		return v.Codes
	case domain.PurposeActivation:
		e, _ := u.Enrollment(i.subjectID)
		return e.Codes
	case domain.PurposeMigration:
		m, _ := u.Migration(i.subjectID)
		return m.Codes
	case domain.PurposeRecovery:
		r, _ := u.Recovery(i.subjectID)
		return r.Codes
	case domain.PurposeLogin:
		c, _ := u.Challenge(i.subjectID)
		return c.Codes
	}
	return nil
}

// text renders the message of a code, or says why there is none.
func (i issuedCode) text(ctx context.Context, c Config, found domain.Issued, templateID, locale string) (m Message, why string, err error) {
	code, err := c.Journal.CodeText(ctx, i.purpose, i.subjectID, found)
	if errors.Is(err, keyring.ErrKeyDestroyed) {
		return Message{}, codeExpired, nil
	}
	if err != nil {
		return Message{}, "", fmt.Errorf("derive code of %s: %w", i.subjectID, err)
	}
	text, spoken, err := c.Texts.Render(templateID, locale, code, time.Time{})
	if errors.Is(err, ErrNoText) {
		return Message{}, codeNoText, nil
	}
	return Message{UserID: i.userID, Text: text, TemplateID: templateID, Locale: spoken, ExpiresAt: found.ExpiresAt}, "", err
}

// toPhone renders the message of a code for the phone, or says why there is
// none.
func (i issuedCode) toPhone(ctx context.Context, c Config, templateID, locale string) (m Message, why string, err error) {
	found, why, err := i.current(ctx, c.Journal)
	if err != nil || why != "" {
		return Message{}, why, err
	}
	number, err := c.Journal.PhoneNumber(ctx, i.userID, i.phoneID)
	if errors.Is(err, keyring.ErrKeyDestroyed) || domain.IsRestricted(err) {
		return Message{}, codeErased, nil
	}
	if err != nil {
		return Message{}, "", err
	}
	m, why, err = i.text(ctx, c, found, templateID, locale)
	m.To = domain.Secret(number)
	return m, why, err
}
