package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
)

// Receipts of providers of messages and calls, in the normalised words of the
// specification.

const routeReceipts = "/v1/gateways/generic/receipts"

// verifyReceipts checks the Standard Webhooks signature of receipts, when the
// server has a secret for them, over the exact bytes that came.
func (s *Server) verifyReceipts(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if s.receipts == nil || c.Path() != routeReceipts {
			return next(c)
		}
		r := c.Request()
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return readProblem(err)
		}
		if err := s.receipts.Verify(content, r.Header); err != nil {
			return fault("signature_invalid")
		}
		r.Body = io.NopCloser(bytes.NewReader(content))
		return next(c)
	}
}

// RecordReceipts implements gen.StrictServerInterface. Each receipt is a
// command of its own; one that cannot be recorded now fails the whole call,
// and the repeat finds the others done.
func (s *Server) RecordReceipts(ctx context.Context, r gen.RecordReceiptsRequestObject) (gen.RecordReceiptsResponseObject, error) {
	results := make([]gen.ReceiptResult, 0, len(r.Body.Receipts))
	for i, receipt := range r.Body.Receipts {
		result, err := s.recordReceipt(ctx, i, receipt)
		if err != nil {
			return nil, err
		}
		results = append(results, result)
	}
	return gen.RecordReceipts202JSONResponse{Results: results}, nil
}

func (s *Server) recordReceipt(ctx context.Context, i int, r gen.Receipt) (gen.ReceiptResult, error) {
	result := gen.ReceiptResult{MessageId: r.MessageId, Outcome: gen.ReceiptResultOutcomeOrphan, EventIds: gen.EventIds{}}
	var cmd domain.Command
	var err error
	switch {
	case domain.IsID(r.MessageId, domain.PrefixSMS):
		cmd, err = s.receiptCommand(ctx, r)
	case domain.IsID(r.MessageId, domain.PrefixCall):
		cmd = s.callCommand(r)
	default:
		return result, s.orphan(ctx)
	}
	var out journal.Outcome
	if err == nil && cmd != nil {
		k := callOf(ctx)
		out, err = s.journal.Execute(ctx, journal.Request{
			Command: cmd, Actor: k.actor(), RequestID: k.requestID,
			CommandID: commandIDOf(k.client.ID, "POST", k.route, k.path, k.key+"\x1f"+strconv.Itoa(i)),
		})
	}
	var d *domain.Error
	if errors.As(err, &d) && (d.Code == domain.Unknown || d.Code == domain.ReasonUserClosed) {
		return result, s.orphan(ctx)
	}
	if err != nil {
		return result, fmt.Errorf("record receipt: %w", err)
	}
	if err := s.wrote(ctx, out); err != nil {
		return result, err
	}
	result.Outcome, result.EventIds = gen.ReceiptResultOutcomeRecorded, eventIDs(out)
	if len(out.Events) == 0 {
		result.Outcome = gen.ReceiptResultOutcomeIgnored
	}
	return result, nil
}

// orphan counts a receipt for a message nobody knows. It is no error: a
// provider that is told so would only repeat it.
func (s *Server) orphan(ctx context.Context) error {
	k := callOf(ctx)
	s.metrics.orphans.Inc()
	s.log.Warn("receipt for an unknown message", slog.String("request_id", k.requestID), slog.String("caller", k.client.ID))
	return s.wrote(ctx, journal.Outcome{})
}

// failures translates the statuses that mean that a message will not arrive.
var failures = map[gen.ReceiptStatus]string{
	gen.ReceiptStatusUndelivered: "unreachable",
	gen.ReceiptStatusBlocked:     "carrier_blocked",
	gen.ReceiptStatusExpired:     "expired",
	gen.ReceiptStatusFailed:      "unknown",
	gen.ReceiptStatusRejected:    "unknown",
	gen.ReceiptStatusUnknown:     "unknown",
}

// receiptCommand says what a receipt of a message records; nothing when it
// speaks of a call. A provider that refuses a
// message before accepting it failed to send; later it failed to deliver.
func (s *Server) receiptCommand(ctx context.Context, r gen.Receipt) (domain.Command, error) {
	at := r.OccurredAt
	if at.IsZero() {
		at = s.journal.Now()
	}
	var m domain.SMS
	err := s.journal.User(ctx, domain.UserOf(r.MessageId), func(u *domain.User, _ time.Time) error {
		m, _ = u.Message(r.MessageId)
		return nil
	})
	if err != nil {
		return nil, err
	}
	switch r.Status {
	case gen.ReceiptStatusAccepted, gen.ReceiptStatusQueued, gen.ReceiptStatusSent:
		return domain.RecordSMSSent{
			SMSID: r.MessageId, Provider: or(r.Provider, "generic"), ProviderRef: r.ProviderMessageId, SenderID: r.SenderId,
			Segments: max(1, r.Segments), AcceptedAt: at,
		}, nil
	case gen.ReceiptStatusDelivered, gen.ReceiptStatusRead:
		return domain.RecordSMSDelivered{
			SMSID: r.MessageId, ProviderRef: r.ProviderMessageId, DeliveredAt: at, Receipt: or(string(r.Receipt), "network"),
		}, nil
	case gen.ReceiptStatusPlaced, gen.ReceiptStatusAnswered, gen.ReceiptStatusBusy, gen.ReceiptStatusNoAnswer:
		return nil, nil
	case gen.ReceiptStatusFailed, gen.ReceiptStatusRejected:
		if m.ID != "" && !m.Sent {
			return domain.RecordSMSSendFailed{SMSID: r.MessageId, ProviderCode: r.ProviderCode}, nil
		}
	}
	return domain.RecordSMSDeliveryFailed{
		SMSID: r.MessageId, ProviderRef: r.ProviderMessageId, Failure: failures[r.Status], ProviderCode: r.ProviderCode,
	}, nil
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}
