package projections

import (
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
)

// farewell is somebody who comes, leaves and wants to be forgotten; how far that
// goes is drawn. Whose key is destroyed never appears again, as in a real log.
func (s *stories) farewell(*person) {
	s.ghosts++
	n := 100 + s.ghosts
	p := &person{id: user(n), installation: installation(n)}
	s.in(p.id, domain.UserRegistered{UserID: p.id, ClientID: client(0), Role: domain.RoleOwner, Username: domain.Clear("name"), Locale: "en"})
	s.phone(p)
	first := s.firstOf(p)
	s.in(p.id, domain.IdentityVerificationFailed{AgentRef: "agent-1", Method: "questions"})
	s.in(p.id, domain.PersonalDataRevealed{RevealID: s.id("rvl", p.id), EventID: first, Fields: []string{"username"}, Reason: "dispute", CaseRef: "c"},
		domain.EventAnnotated{EventID: first, Note: domain.Clear("remark"), Kind: "dispute"})
	hold := s.id("hld", p.id)
	s.in(p.id, domain.LegalHoldPlaced{HoldID: hold, CaseRef: "c", Basis: "litigation"})
	s.in(p.id, domain.UserClosed{Reason: "left"})
	s.ask(p, hold)
	if s.pick(3) == 0 {
		return
	}
	s.in(p.id, domain.LegalHoldReleaseRequested{HoldID: hold, RequestedBy: "one"})
	s.pass(time.Second)
	s.in(p.id, domain.LegalHoldReleased{HoldID: hold, ApprovedBy: "two"})
	last := s.ask(p, "")
	if s.pick(3) == 0 {
		return
	}
	s.destroy(p, last)
}

// firstOf is the id of a user's registration.
func (s *stories) firstOf(p *person) string {
	for _, r := range s.log {
		if r.Stream == streamName(p.id) {
			return codec.EventIDText(r.ID)
		}
	}
	s.t.Fatal("no record")
	return ""
}

// ask is a request that has to wait, for a hold or for the retention.
func (s *stories) ask(p *person, hold string) (erasureID string) {
	id, until := s.id("ers", p.id), s.now.AddDate(7, 0, 0)
	refused := domain.ErasureRefused{
		ErasureID: id, Reason: domain.ReasonRetentionRuns, RetainedUntil: &until,
		Retention: domain.Retention{Rule: "retention.default_y", CC: "*", Years: 7, From: s.now},
	}
	if hold != "" {
		refused.Reason, refused.HoldID = domain.ReasonLegalHold, hold
	}
	s.pass(time.Second)
	s.in(p.id, domain.ErasureRequested{ErasureID: id, Basis: domain.BasisSubjectRequest, RequestedBy: "letter"}, refused,
		domain.ProcessingRestricted{ErasureID: id, Until: &until})
	return id
}

// destroy decides the erasure, destroys the key and, at times, certifies it.
func (s *stories) destroy(p *person, erasureID string) {
	s.in(p.id, domain.PersonalDataErased{
		ErasureID: erasureID, SubjectRef: streamName(p.id), KeyID: "k1", Basis: domain.BasisSubjectRequest, Also: []string{streamName(p.installation)},
	})
	s.vault.destroy(streamName(p.id))
	s.in("keyring-codes", domain.KeyRotated{Kind: domain.KeyCodeEpoch, KeyID: "c2"})
	if s.pick(3) > 0 {
		s.in(domain.ErasuresStream(), domain.ErasureCertified{
			ErasureID: erasureID, SubjectRef: streamName(p.id), KeyID: "k1", DestroyedAt: s.now, Method: "m", Files: 3, Bytes: 4096,
		})
	}
}
