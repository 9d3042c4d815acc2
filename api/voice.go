package api

import (
	"context"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
)

// RequestVoiceCall implements gen.StrictServerInterface: a call that speaks a
// new code of an open SMS challenge.
func (s *Server) RequestVoiceCall(ctx context.Context, r gen.RequestVoiceCallRequestObject) (gen.RequestVoiceCallResponseObject, error) {
	before, err := s.look(ctx, r.ChallengeId)
	if err != nil {
		return nil, err
	}
	out, err := s.execute(ctx, domain.RequestVoiceCall{ChallengeID: r.ChallengeId}, before.challenge.TxnID)
	if err != nil {
		return nil, err
	}
	a := gen.VoiceCall{Status: gen.VoiceCallStatusRefused, EventIds: eventIDs(out)}
	if a.MaskedTo, err = s.masked(ctx, before.phoneID); err != nil {
		return nil, err
	}
	e, ok := find[domain.VoiceCallRequested](out)
	if !ok {
		if no, ok := refused(out); ok {
			if a.ReasonCode = shownAtLogin(no.reason); a.ReasonCode != "" {
				a.RetryAfterS = no.retryAfter
			}
		}
		return gen.RequestVoiceCall200JSONResponse(a), nil
	}
	a.Status, a.CallId = gen.VoiceCallStatusRequested, e.CallID
	if code, ok := find[domain.LoginCodeIssued](out); ok {
		a.ExpiresAt = code.ExpiresAt
	}
	return gen.RequestVoiceCall201JSONResponse(a), nil
}

// callFailures translates the statuses that mean that nobody heard the code.
var callFailures = map[gen.ReceiptStatus]string{
	gen.ReceiptStatusBusy:        "busy",
	gen.ReceiptStatusNoAnswer:    "no_answer",
	gen.ReceiptStatusExpired:     "no_answer",
	gen.ReceiptStatusUndelivered: "unreachable",
	gen.ReceiptStatusBlocked:     "rejected",
	gen.ReceiptStatusRejected:    "rejected",
	gen.ReceiptStatusFailed:      "unknown",
	gen.ReceiptStatusUnknown:     "unknown",
}

// callCommand says what a receipt of a call records; nothing when it says only
// that the provider took the order.
func (s *Server) callCommand(r gen.Receipt) domain.Command {
	at := r.OccurredAt
	if at.IsZero() {
		at = s.journal.Now()
	}
	switch r.Status {
	case gen.ReceiptStatusPlaced, gen.ReceiptStatusSent:
		return domain.RecordVoicePlaced{CallID: r.MessageId, Provider: or(r.Provider, "generic"), ProviderRef: r.ProviderMessageId, PlacedAt: at}
	case gen.ReceiptStatusAnswered, gen.ReceiptStatusDelivered:
		return domain.RecordVoiceAnswered{CallID: r.MessageId, DurationS: r.DurationS}
	}
	if failure, ok := callFailures[r.Status]; ok {
		return domain.RecordVoiceFailed{CallID: r.MessageId, Failure: failure, ProviderCode: r.ProviderCode}
	}
	return nil
}
