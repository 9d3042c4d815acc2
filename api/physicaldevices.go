package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/api/pskc"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
)

// Physical units: ordered by users, made by a manufacturer, sent by logistics.

// RequestDevice implements gen.StrictServerInterface, as do all methods here.
func (s *Server) RequestDevice(ctx context.Context, r gen.RequestDeviceRequestObject) (gen.RequestDeviceResponseObject, error) {
	b := r.Body
	out, err := s.execute(ctx, domain.RequestPhysicalDevice{
		UserID: r.UserId, Model: string(b.Model), PIN: domain.Secret(b.Pin), EquityUSDMinor: b.EquityUsdMinor, ShipTo: domain.Clear(b.ShipTo),
	}, "")
	if err != nil {
		return nil, err
	}
	a := gen.DeviceRequestAnswer{Status: gen.DeviceRequestAnswerStatusRefused, EventIds: eventIDs(out)}
	if e, ok := find[domain.PhysicalDeviceRequestRefused](out); ok {
		a.ReasonCode, a.Threshold = gen.ReasonCode(e.Reason), moneyAnswer(e.EquityCheck.Threshold)
		return gen.RequestDevice200JSONResponse(a), nil
	}
	e, ok := find[domain.PhysicalDeviceRequested](out)
	if !ok {
		return nil, fmt.Errorf("request device for %s: no event says so", r.UserId)
	}
	a.Status, a.RequestId, a.Threshold = gen.DeviceRequestAnswerStatusRequested, e.RequestID, moneyAnswer(e.EquityCheck.Threshold)
	return gen.RequestDevice201JSONResponse(a), nil
}

// ImportedToken is one unit of a manufacturer's file.
type ImportedToken struct {
	DeviceID     string // derived from manufacturer and serial number
	Manufacturer string
	Serial       string
	Model        string
	Suite        string
	Counter      uint64
	Seed         pskc.Secret
}

// namespaceImport is the UUIDv5 name space of the command ids of one import's
// units; fixed for ever, because the ids stand in the ledger.
var namespaceImport = uuid.MustParse("0f7f5c8e-0d0b-5e0c-8a4f-6d0a4f1c7b52")

// ImportDevices registers the units of a file, each by a command of its own
// stream. The whole file is read and compared with the ledger before the first
// is registered; a repeat after a failure finds the others done.
func (s *Server) ImportDevices(ctx context.Context, r gen.ImportDevicesRequestObject) (gen.ImportDevicesResponseObject, error) {
	if len(s.transportKey) == 0 {
		return nil, fault("transport_key_missing")
	}
	tokens, err := s.readPSKC(bytes.NewReader(r.Body.Pskc), s.transportKey)
	if err != nil {
		return nil, &problem{code: "pskc_invalid", detail: err.Error()}
	}
	defer func() {
		for _, t := range tokens {
			clear(t.Seed)
		}
	}()
	known := make([]bool, len(tokens))
	for i, t := range tokens {
		if known[i], err = s.isRegistered(ctx, t); err != nil {
			return nil, err
		}
	}
	items := make([]gen.ImportedDevice, 0, len(tokens))
	for i, t := range tokens {
		item, err := s.importDevice(ctx, t, known[i])
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return gen.ImportDevices200JSONResponse{Items: items}, nil
}

// isRegistered reports whether a unit is in the ledger with this content; with
// other content it is the fault exists.
func (s *Server) isRegistered(ctx context.Context, t ImportedToken) (bool, error) {
	same := false
	err := s.journal.Device(ctx, t.DeviceID, func(v *domain.Device) {
		same = v.Model == t.Model && v.Suite == t.Suite && v.NextCounter == t.Counter
	})
	var d *domain.Error
	switch {
	case errors.As(err, &d) && d.Code == domain.Unknown:
		return false, nil
	case err != nil:
		return false, err
	case !same:
		return false, fault("exists")
	}
	return true, nil
}

// importDevice keeps the seed and then registers the unit: a unit without its
// seed could never be used. The seed of one that is known stays what it is.
func (s *Server) importDevice(ctx context.Context, t ImportedToken, known bool) (gen.ImportedDevice, error) {
	item := gen.ImportedDevice{DeviceId: t.DeviceID, Manufacturer: t.Manufacturer, Serial: t.Serial, Outcome: gen.Registered}
	if !known {
		if err := s.tokens.PutSecret(ctx, domain.DeviceStream(t.DeviceID), journal.SecretSeed, t.Seed); err != nil {
			return item, fmt.Errorf("keep seed of %s: %w", t.DeviceID, err)
		}
	}
	k := callOf(ctx)
	out, err := s.journal.Execute(ctx, journal.Request{
		Command: domain.RegisterDevice{
			DeviceID: t.DeviceID, Model: t.Model, Manufacturer: t.Manufacturer, Serial: t.Serial, Suite: t.Suite, Counter: t.Counter,
		},
		CommandID: uuid.NewSHA1(namespaceImport, slices.Concat(k.commandID[:], []byte(t.DeviceID))), Actor: k.actor(), RequestID: k.requestID,
	})
	if err != nil {
		return item, err
	}
	if err := s.wrote(ctx, out); err != nil {
		return item, err
	}
	item.EventIds = eventIDs(out)
	if len(out.Events) == 0 {
		item.Outcome = gen.Known
	}
	return item, nil
}

func (s *Server) ShipDevice(ctx context.Context, r gen.ShipDeviceRequestObject) (gen.ShipDeviceResponseObject, error) {
	a, err := s.act(ctx, domain.RecordDeviceShipped{
		DeviceID: r.DeviceId, RequestID: r.Body.RequestId, DispatchedOn: r.Body.DispatchedOn,
	}, r.Body.RequestId)
	return gen.ShipDevice200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) ReturnDevice(ctx context.Context, r gen.ReturnDeviceRequestObject) (gen.ReturnDeviceResponseObject, error) {
	a, err := s.act(ctx, domain.RecordDeviceReturned{
		DeviceID: r.DeviceId, ReceivedOn: r.Body.ReceivedOn, Condition: string(r.Body.Condition),
	}, "")
	return gen.ReturnDevice200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) RecordDeposit(ctx context.Context, r gen.RecordDepositRequestObject) (gen.RecordDepositResponseObject, error) {
	a, err := s.act(ctx, domain.RecordDeposit{DeviceID: r.DeviceId, Amount: moneyOf(r.Body.Amount), Released: r.Body.Released}, "")
	return gen.RecordDeposit200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) RecordFee(ctx context.Context, r gen.RecordFeeRequestObject) (gen.RecordFeeResponseObject, error) {
	a, err := s.act(ctx, domain.RecordReplacementFee{
		DeviceID: r.DeviceId, Amount: moneyOf(r.Body.Amount), Reason: string(r.Body.Reason), FeeRuleID: r.Body.FeeRuleId,
	}, "")
	return gen.RecordFee200JSONResponse{ActionJSONResponse: a}, err
}

func moneyAnswer(m domain.Money) gen.Money { return gen.Money{Minor: m.Minor, Currency: m.Currency} }

func moneyOf(m gen.Money) domain.Money { return domain.Money{Minor: m.Minor, Currency: m.Currency} }
