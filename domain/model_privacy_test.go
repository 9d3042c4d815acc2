package domain

import (
	"time"

	"pgregory.net/rapid"
)

// The moves about personal data, before and after the user has left. They share
// a few places among the moves, so that histories get as far as without them.

var privacyMoves = []func(*model) Command{private, private, private}

func private(m *model) Command {
	return privateMoves[rapid.IntRange(0, len(privateMoves)-1).Draw(m.rt, "private")](m)
}

var privateMoves = []func(*model) Command{
	func(m *model) Command {
		return RequestErasure{UserID: aliceID, Basis: rapid.SampledFrom([]string{BasisSubjectRequest, BasisRetentionElapsed}).Draw(m.rt, "basis")}
	},
	func(*model) Command { return EraseSubject{UserID: aliceID} },
	func(m *model) Command {
		return PlaceLegalHold{UserID: aliceID, CaseRef: rapid.SampledFrom([]string{"case-1", "case-2"}).Draw(m.rt, "case"), Basis: "litigation"}
	},
	func(m *model) Command { return RequestHoldRelease{HoldID: m.id(PrefixHold)} },
	func(m *model) Command { return ReleaseLegalHold{HoldID: m.id(PrefixHold)} },
	func(m *model) Command {
		return look(rapid.SampledFrom(revealReasons).Draw(m.rt, "reason"), "number")
	},
	func(m *model) Command {
		return AnnotateEvent{UserID: aliceID, EventID: someEvent, Note: Clear("n"), Kind: rapid.SampledFrom([]string{"correction", "dispute"}).Draw(m.rt, "remark")}
	},
	func(*model) Command {
		return RecordIdentityVerificationFailed{UserID: aliceID, AgentRef: "a", Method: "m"}
	},
}

// leave ends Alice's life as a user, which chance does too rarely, and goes on
// with what follows.
func (m *model) leave() {
	if m.boolean("looked at") {
		m.s.when(look("subject_access", "number"), ownNumber)
	}
	if m.boolean("held") {
		m.s.when(PlaceLegalHold{UserID: aliceID, CaseRef: "case-3", Basis: "regulator"})
	}
	m.s.when(CloseUser{UserID: aliceID, Reason: "r"})
	m.audit()
	for range 25 {
		m.step()
	}
}

// beForgotten is the way of a user who left: holds are lifted, the retention
// passes, and late reports come in after the end.
func beForgotten(m *model) (Command, evidence) {
	if !m.s.user().Closed() || !m.often("wants to be forgotten") {
		return nil, nil
	}
	if until, restricted := m.s.user().Restricted(); restricted {
		if m.boolean("years pass") {
			m.s.now = m.years(until)
		}
		if held := m.s.user().Holds(); len(held) > 0 {
			if held[0].RequestedBy == "" {
				return RequestHoldRelease{HoldID: held[0].ID}, person("one")
			}
			return ReleaseLegalHold{HoldID: held[0].ID}, person(rapid.SampledFrom([]string{"one", "two"}).Draw(m.rt, "approver"))
		}
		return rapid.SampledFrom([]Command{EraseSubject{UserID: aliceID}, forget()}).Draw(m.rt, "how"), code(0)
	}
	if m.s.user().Erased() && m.boolean("rests") {
		return StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: TWS}, code(0)
	}
	return forget(), code(0)
}

// years is a moment on either side of the end of the retention.
func (m *model) years(until time.Time) time.Time {
	at := until.Add(rapid.SampledFrom([]time.Duration{-time.Microsecond, 0, 0, 0, time.Hour, 366 * 24 * time.Hour}).Draw(m.rt, "around"))
	if at.Before(m.s.now) {
		return m.s.now
	}
	return at
}
