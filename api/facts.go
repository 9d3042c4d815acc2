package api

import (
	"context"
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
)

// Facts: what the broker's own systems know about clients and users.

// RegisterClient implements gen.StrictServerInterface, as do all methods here.
func (s *Server) RegisterClient(ctx context.Context, r gen.RegisterClientRequestObject) (gen.RegisterClientResponseObject, error) {
	if err := checkCountries(country{"/carryingCountry", r.Body.CarryingCountry}, country{"/domicile", r.Body.Domicile}); err != nil {
		return nil, err
	}
	id := codec.ClientIDOf(r.Body.Reference)
	out, err := s.execute(ctx, domain.RegisterClient{
		ClientID: id, Kind: domain.ClientKind(r.Body.Kind), CarryingEntity: r.Body.CarryingEntity,
		CarryingCC: r.Body.CarryingCountry, Domicile: r.Body.Domicile,
	}, "")
	if err != nil {
		return nil, err
	}
	answer := gen.ClientAnswer{ClientId: id, EventIds: eventIDs(out)}
	if len(out.Events) == 0 {
		return gen.RegisterClient200JSONResponse(answer), nil
	}
	return gen.RegisterClient201JSONResponse(answer), nil
}

func (s *Server) AddHolder(ctx context.Context, r gen.AddHolderRequestObject) (gen.AddHolderResponseObject, error) {
	if err := checkCountries(country{"/residence", r.Body.Residence}); err != nil {
		return nil, err
	}
	a, err := s.act(ctx, domain.AddHolder{
		ClientID: r.ClientId, PersonRef: r.Body.PersonRef, Residence: r.Body.Residence, EffectiveOn: r.Body.EffectiveOn,
	}, "")
	return gen.AddHolder200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) RemoveHolder(ctx context.Context, r gen.RemoveHolderRequestObject) (gen.RemoveHolderResponseObject, error) {
	a, err := s.act(ctx, domain.RemoveHolder{ClientID: r.ClientId, PersonRef: r.Body.PersonRef, EffectiveOn: r.Body.EffectiveOn}, "")
	return gen.RemoveHolder200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) AssignCarryingEntity(ctx context.Context, r gen.AssignCarryingEntityRequestObject) (gen.AssignCarryingEntityResponseObject, error) {
	if err := checkCountries(country{"/carryingCountry", r.Body.CarryingCountry}); err != nil {
		return nil, err
	}
	a, err := s.act(ctx, domain.AssignCarryingEntity{
		ClientID: r.ClientId, CarryingEntity: r.Body.CarryingEntity, CarryingCC: r.Body.CarryingCountry, EffectiveOn: r.Body.EffectiveOn,
	}, "")
	return gen.AssignCarryingEntity200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) RecordHolderResidence(ctx context.Context, r gen.RecordHolderResidenceRequestObject) (gen.RecordHolderResidenceResponseObject, error) {
	if err := checkCountries(country{"/residence", r.Body.Residence}); err != nil {
		return nil, err
	}
	a, err := s.act(ctx, domain.RecordHolderResidence{
		ClientID: r.ClientId, PersonRef: r.Body.PersonRef, To: r.Body.Residence, EffectiveOn: r.Body.EffectiveOn, EvidenceRef: r.Body.EvidenceRef,
	}, "")
	return gen.RecordHolderResidence200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) RecordDomicile(ctx context.Context, r gen.RecordDomicileRequestObject) (gen.RecordDomicileResponseObject, error) {
	if err := checkCountries(country{"/domicile", r.Body.Domicile}); err != nil {
		return nil, err
	}
	a, err := s.act(ctx, domain.RecordDomicile{
		ClientID: r.ClientId, To: r.Body.Domicile, EffectiveOn: r.Body.EffectiveOn, EvidenceRef: r.Body.EvidenceRef,
	}, "")
	return gen.RecordDomicile200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) RegisterUser(ctx context.Context, r gen.RegisterUserRequestObject) (gen.RegisterUserResponseObject, error) {
	if err := checkCountries(country{"/residence", r.Body.Residence}); err != nil {
		return nil, err
	}
	id := codec.UserIDOf(r.Body.Reference)
	out, err := s.execute(ctx, domain.RegisterUser{
		UserID: id, ClientID: r.Body.ClientId, Role: domain.Role(r.Body.Role), Username: domain.Clear(r.Body.Username),
		Locale: r.Body.Locale, Residence: r.Body.Residence, ResidentOn: r.Body.ResidentOn, EvidenceRef: r.Body.EvidenceRef,
	}, "")
	if err != nil {
		return nil, err
	}
	answer := gen.UserAnswer{UserId: id, EventIds: eventIDs(out)}
	if len(out.Events) == 0 {
		return gen.RegisterUser200JSONResponse(answer), nil
	}
	return gen.RegisterUser201JSONResponse(answer), nil
}

func (s *Server) RecordResidence(ctx context.Context, r gen.RecordResidenceRequestObject) (gen.RecordResidenceResponseObject, error) {
	if err := checkCountries(country{"/residence", r.Body.Residence}); err != nil {
		return nil, err
	}
	a, err := s.act(ctx, domain.RecordResidence{
		UserID: r.UserId, To: r.Body.Residence, EffectiveOn: r.Body.EffectiveOn, EvidenceRef: r.Body.EvidenceRef,
	}, "")
	return gen.RecordResidence200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) GrantAccountAccess(ctx context.Context, r gen.GrantAccountAccessRequestObject) (gen.GrantAccountAccessResponseObject, error) {
	a, err := s.act(ctx, domain.GrantAccountAccess{UserID: r.UserId, ClientID: r.Body.ClientId, EffectiveOn: r.Body.EffectiveOn}, "")
	return gen.GrantAccountAccess200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) RevokeAccountAccess(ctx context.Context, r gen.RevokeAccountAccessRequestObject) (gen.RevokeAccountAccessResponseObject, error) {
	a, err := s.act(ctx, domain.RevokeAccountAccess{UserID: r.UserId, ClientID: r.Body.ClientId, EffectiveOn: r.Body.EffectiveOn}, "")
	return gen.RevokeAccountAccess200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) GetUser(ctx context.Context, r gen.GetUserRequestObject) (gen.GetUserResponseObject, error) {
	if err := s.readLog(ctx); err != nil {
		return nil, err
	}
	recorded := s.readIsRecorded(ctx)
	var snap domain.Snapshot
	err := s.journal.User(ctx, r.UserId, func(u *domain.User, now time.Time) error {
		snap = u.Snapshot(now, s.journal.Policy())
		return nil
	})
	if err != nil {
		return nil, err
	}
	user := gen.User{
		UserId: snap.UserID, ClientId: snap.ClientID, Role: gen.UserRole(snap.Role), Locale: snap.Locale, Residence: snap.Residence,
		Closed: snap.Closed, Seamless: snap.Seamless, OptOut: optOutInForce(snap.OptOut),
	}
	if snap.LockedUntil != nil && recorded {
		user.LockedUntil = *snap.LockedUntil
	}
	if user.Phones, err = s.phones(ctx, snap); err != nil {
		return nil, err
	}
	if recorded {
		if err := s.recordRead(ctx, "getUser", "", 1); err != nil {
			return nil, err
		}
	}
	return gen.GetUser200JSONResponse(user), nil
}

func optOutInForce(o *domain.OptOutSnapshot) gen.OptOutInForce {
	if o == nil {
		return gen.OptOutInForce{}
	}
	out := gen.OptOutInForce{OptOutId: o.OptOutID, GrantedAt: o.GrantedAt, RuleId: o.RuleID}
	if o.EndsAt != nil {
		out.EndsAt = *o.EndsAt
	}
	return out
}
