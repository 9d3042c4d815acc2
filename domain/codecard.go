package domain

import "time"

// Code cards (K-4, K-5): a printed security code card, and its temporary
// online form. A card is a grid of cells; a challenge asks for two of them.

// IssueCodeCard makes a card. The online one needs a recent login to the
// portal (K-4), other than by an online card, which would never end; the printed
// one is issued only while policy allows it.
type IssueCodeCard struct {
	UserID string
	Kind   Kind // scc or oscc
	TxnID  string
}

// ActivateCodeCard asks for two cells of a card that was issued; the answer
// binds it.
type ActivateCodeCard struct {
	AuthenticatorID string // as its issue answered
	TxnID           string // a transaction of the user; for the printed card begun with the password
}

// OnlineCodeCardIssued records an online card. The commitment is base64url of
// SHA-256 over the cells in order, each of three characters.
type OnlineCodeCardIssued struct {
	AuthenticatorID string `json:"authenticator_id"`
	GridCommitment  string `json:"grid_commitment"`
	Cells           int    `json:"cells"`
	TxnID           string `json:"txn_id"`
}

// OnlineCodeCardRefused records why none was issued or activated.
type OnlineCodeCardRefused struct {
	AuthenticatorID string `json:"authenticator_id,omitempty"`
	Reason          Code   `json:"reason"`
}

// SecurityCodeCardIssued records a printed card.
type SecurityCodeCardIssued struct {
	AuthenticatorID string `json:"authenticator_id"`
	GridCommitment  string `json:"grid_commitment"`
	Cells           int    `json:"cells"`
}

// SecurityCodeCardRefused records why none was issued or activated.
type SecurityCodeCardRefused struct {
	AuthenticatorID string `json:"authenticator_id,omitempty"`
	Reason          Code   `json:"reason"`
}

// CodeCard is a card that was issued and not activated yet.
type CodeCard struct {
	ID         string // of the authenticator it becomes
	Kind       Kind
	Cells      int
	Commitment string
	TxnID      string // of the login it was issued in
	IssuedAt   time.Time
}

// cellLength is the number of characters in a cell (K-5).
const cellLength = 3

func cardRefused(k Kind, id string, reason Code) []Event {
	if k == KindOSCC {
		return []Event{OnlineCodeCardRefused{AuthenticatorID: id, Reason: reason}}
	}
	return []Event{SecurityCodeCardRefused{AuthenticatorID: id, Reason: reason}}
}

func (d *decision) issueCodeCard(c IssueCodeCard) ([]Event, error) {
	if !c.Kind.Grid() {
		return nil, invalid("kind", "want scc or oscc")
	}
	cells := int(d.p.Int(pCardCells, d.now))
	if d.now.Before(d.u.lockedUntil) {
		return cardRefused(c.Kind, "", ReasonUserLocked), nil
	}
	if c.Kind == KindSCC {
		switch {
		case d.p.Int(pSCCIssue, d.now) != 1:
			return cardRefused(c.Kind, "", ReasonCardNotIssued), nil
		case !d.u.active(d.now, func(*Authenticator) bool { return true }):
			return cardRefused(c.Kind, "", ReasonNotEnrolled), nil
		}
		return []Event{SecurityCodeCardIssued{AuthenticatorID: d.newID(PrefixAuthenticator), GridCommitment: d.f.GridCommitment, Cells: cells}}, nil
	}
	t := d.u.transactions.get(c.TxnID)
	if t == nil || !d.u.recentPortalLogin(t, d.now, d.p) || t.SucceededBy == KindOSCC {
		return cardRefused(c.Kind, "", ReasonOSCCScope), nil
	}
	return []Event{OnlineCodeCardIssued{AuthenticatorID: d.newID(PrefixAuthenticator), GridCommitment: d.f.GridCommitment, Cells: cells, TxnID: t.ID}}, nil
}

func (d *decision) challengeCard(c ActivateCodeCard) ([]Event, error) {
	card := d.u.cards.get(c.AuthenticatorID)
	if card == nil {
		return nil, unknown("code card that waits for its activation")
	}
	var t *Transaction
	var reason Code
	if card.Kind == KindOSCC {
		t = d.u.transactions.get(card.TxnID)
		switch {
		case d.now.Before(d.u.lockedUntil):
			reason = ReasonUserLocked
		case t == nil || !d.u.recentPortalLogin(t, d.now, d.p):
			reason = ReasonOSCCScope
		}
	} else {
		t, reason = d.process(c.TxnID)
		if reason == "" && d.stepUpMissing(t) {
			reason = ReasonStepUpRequired
		}
	}
	if reason != "" {
		return cardRefused(card.Kind, card.ID, reason), nil
	}
	d.challengeFor(t, &Authenticator{ID: card.ID, Kind: card.Kind, Cells: card.Cells}, card.ID)
	return d.events, nil
}

// activateCard binds a card whose two cells were right.
func (d *decision) activateCard(card *CodeCard) {
	e := AuthenticatorEnrolled{
		AuthenticatorID: card.ID, Kind: card.Kind, Trigger: triggerUser, Cells: card.Cells, GridCommitment: card.Commitment,
	}
	if card.Kind == KindOSCC {
		ends := d.now.Add(d.seconds(pOSCCTTL))
		e.Trigger, e.ExpiresAt = triggerTemporary, &ends
	}
	d.bind(e)
}

func (u *User) applyCodeCard(e Event, at time.Time) {
	switch e := e.(type) {
	case OnlineCodeCardIssued:
		u.took(e.AuthenticatorID)
		u.cards.add(e.AuthenticatorID, &CodeCard{
			ID: e.AuthenticatorID, Kind: KindOSCC, Cells: e.Cells, Commitment: e.GridCommitment, TxnID: e.TxnID, IssuedAt: at,
		})
	case SecurityCodeCardIssued:
		u.took(e.AuthenticatorID)
		u.cards.add(e.AuthenticatorID, &CodeCard{ID: e.AuthenticatorID, Kind: KindSCC, Cells: e.Cells, Commitment: e.GridCommitment, IssuedAt: at})
	case AuthenticatorEnrolled:
		u.cards.remove(e.AuthenticatorID)
	}
}
