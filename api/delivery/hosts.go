package delivery

import (
	"context"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// hosts keeps the streams of installations and physical units, which host
// authenticators, in step with the streams of the users who own them.
//
// Streams are served side by side, so a reaction in one may come before or
// after one in another; and after a loss of positions all come again, long
// after. Therefore nothing here trusts the state of the moment: what an event
// leads to is found from the order of the log, and a command whose moment has
// passed is not given. Where two reactions may miss each other, the later one
// does the work of both (see arrived).
type hosts struct{ c Config }

func hostTypes() []string {
	return []string{
		"AuthenticatorEnrolled", "AuthenticatorRevoked", "UnificationCompleted", "RecoveryCompleted", "AuthenticatorReportedLost",
		"DeviceSharingRequested", "PhysicalDeviceShipped", "DeviceReturned", "AppPINBlocked",
	}
}

func (h *hosts) act(ctx context.Context, d codec.Decoded) error {
	category, key, _ := cutStream(d.Record.Stream)
	switch category {
	case "user":
		return h.user(ctx, d)
	case "installation":
		if _, ok := d.Event.(domain.AppPINBlocked); ok {
			return h.pinBlocked(ctx, d, domain.InstallationID(key), "")
		}
	case "device":
		switch e := d.Event.(type) {
		case domain.PhysicalDeviceShipped:
			return h.do(ctx, d, "shipped", domain.NoteDeviceShipped{
				UserID: e.UserID, DeviceID: e.DeviceID, RequestID: e.RequestID, DispatchedOn: e.DispatchedOn, DueOn: e.ActivationDueOn,
			})
		case domain.DeviceReturned:
			return h.returned(ctx, d, e.DeviceID)
		}
	}
	return nil
}

// user reacts to what stands in a user's stream.
func (h *hosts) user(ctx context.Context, d codec.Decoded) error {
	switch e := d.Event.(type) {
	case domain.AuthenticatorEnrolled:
		return h.bind(ctx, d, e.AuthenticatorID, host{installationID: e.InstallationID, deviceID: e.DeviceID})
	case domain.AuthenticatorRevoked:
		l, err := h.life(ctx, e.AuthenticatorID)
		if err != nil {
			return err
		}
		return h.unbind(ctx, d, e.AuthenticatorID, l.host)
	case domain.UnificationCompleted:
		return h.unified(ctx, d, e)
	case domain.RecoveryCompleted:
		return h.recovered(ctx, d, e)
	case domain.AuthenticatorReportedLost:
		return h.reportedLost(ctx, d, e.AuthenticatorID)
	case domain.DeviceSharingRequested:
		if e.DeviceID == "" {
			return nil // nothing but a physical unit can be shared
		}
		return h.do(ctx, d, "sharing", domain.NoteSharingRequested{
			DeviceID: e.DeviceID, SharingID: e.SharingID, OwnerUserID: e.OwnerUserID, RequestingUserID: e.RequestingUserID,
		})
	}
	return nil
}

// do gives a command once for each event and name.
func (h *hosts) do(ctx context.Context, d codec.Decoded, name string, c domain.Command) error {
	_, err := h.c.Journal.Execute(ctx, request(d, "hosts/"+name, system("hosts"), c))
	if moot(err) {
		return nil
	}
	return err
}

// host is where an authenticator lives; the zero value for one that has no
// place, such as SMS.
type host struct{ installationID, deviceID string }

func (h *hosts) bind(ctx context.Context, d codec.Decoded, authenticatorID string, at host) error {
	userID := domain.UserOf(authenticatorID)
	var c domain.Command
	switch {
	case at.installationID != "":
		c = domain.BindToInstallation{InstallationID: at.installationID, UserID: userID, AuthenticatorID: authenticatorID}
	case at.deviceID != "":
		c = domain.BindToDevice{DeviceID: at.deviceID, UserID: userID, AuthenticatorID: authenticatorID}
	default:
		return nil
	}
	if err := h.do(ctx, d, "bind", c); err != nil {
		return err
	}
	return h.arrived(ctx, d, authenticatorID, at)
}

func (h *hosts) unbind(ctx context.Context, d codec.Decoded, authenticatorID string, from host) error {
	userID := domain.UserOf(authenticatorID)
	switch {
	case from.installationID != "":
		return h.do(ctx, d, "unbind", domain.UnbindFromInstallation{
			InstallationID: from.installationID, UserID: userID, AuthenticatorID: authenticatorID,
		})
	case from.deviceID != "":
		return h.do(ctx, d, "unbind", domain.UnbindFromDevice{DeviceID: from.deviceID, UserID: userID, AuthenticatorID: authenticatorID})
	}
	return nil
}

// arrived makes up for what happened to the host between the authenticator's
// arrival and its being bound: the reactions to that did not find it there.
func (h *hosts) arrived(ctx context.Context, d codec.Decoded, authenticatorID string, at host) error {
	if at.installationID != "" {
		return h.pinBlocked(ctx, d, at.installationID, authenticatorID)
	}
	v, err := h.unit(ctx, at.deviceID, 0)
	if err != nil {
		return err
	}
	if v.returned > d.Record.Position {
		return h.do(ctx, d, "revoke/"+authenticatorID, domain.RevokeAuthenticator{AuthenticatorID: authenticatorID, Reason: "returned"})
	}
	for _, b := range v.Bindings {
		if b.AuthenticatorID == authenticatorID {
			continue
		}
		l, err := h.life(ctx, b.AuthenticatorID)
		if err != nil {
			return err
		}
		if err := h.suspend(ctx, d, authenticatorID, at, "reported_lost", l.lost); err != nil {
			return err
		}
	}
	return nil
}

// unified moves IB Key from the standalone app to its successor on the same
// phone, and retires the former when nobody is left there.
func (h *hosts) unified(ctx context.Context, d codec.Decoded, e domain.UnificationCompleted) error {
	if err := h.unbind(ctx, d, e.AuthenticatorID, host{installationID: e.StandaloneInstallationID}); err != nil {
		return err
	}
	if err := h.bind(ctx, d, e.AuthenticatorID, host{installationID: e.NewInstallationID}); err != nil {
		return err
	}
	return h.do(ctx, d, "retire", domain.RetireInstallation{
		InstallationID: e.StandaloneInstallationID, Reason: "unified", SuccessorID: e.NewInstallationID,
	})
}

// recovered ends a blocked PIN, and retires the installation that was there
// before; its binding ended with the authenticator, earlier in the same stream.
// A PIN that was blocked after the recovery stays blocked.
func (h *hosts) recovered(ctx context.Context, d codec.Decoded, e domain.RecoveryCompleted) error {
	app, err := h.app(ctx, e.InstallationID)
	if err != nil {
		return err
	}
	if app.Blocked && app.blocked < d.Record.Position {
		err := h.do(ctx, d, "unblock", domain.UnblockInstallation{InstallationID: e.InstallationID, RecoveryID: e.RecoveryID})
		if err != nil {
			return err
		}
	}
	if e.FormerInstallation == "" || e.FormerInstallation == e.InstallationID {
		return nil
	}
	return h.do(ctx, d, "retire", domain.RetireInstallation{
		InstallationID: e.FormerInstallation, Reason: "recovered", SuccessorID: e.InstallationID,
	})
}

// pinBlocked suspends who was on an installation when its PIN was blocked: all
// of them, or one.
func (h *hosts) pinBlocked(ctx context.Context, d codec.Decoded, installationID, only string) error {
	app, err := h.app(ctx, installationID)
	if err != nil || !app.Blocked {
		return err
	}
	for _, b := range app.Bindings {
		if only != "" && b.AuthenticatorID != only {
			continue
		}
		if err := h.suspend(ctx, d, b.AuthenticatorID, host{installationID: installationID}, "pin_blocked", app.blocked); err != nil {
			return err
		}
	}
	return nil
}

// reportedLost suspends the other users of a physical unit that one of them
// misses (S-18).
func (h *hosts) reportedLost(ctx context.Context, d codec.Decoded, authenticatorID string) error {
	l, err := h.life(ctx, authenticatorID)
	if err != nil || l.host.deviceID == "" {
		return err
	}
	v, err := h.unit(ctx, l.host.deviceID, 0)
	if err != nil {
		return err
	}
	for _, b := range v.Bindings {
		if b.AuthenticatorID == authenticatorID {
			continue
		}
		if err := h.suspend(ctx, d, b.AuthenticatorID, l.host, "reported_lost", d.Record.Position); err != nil {
			return err
		}
	}
	return nil
}

// suspend stops an authenticator for what happened to its host at a moment of
// the log: unless it came there later, has left, or was activated again since.
func (h *hosts) suspend(ctx context.Context, d codec.Decoded, authenticatorID string, at host, reason string, since eventstore.Position) error {
	l, err := h.life(ctx, authenticatorID)
	if err != nil {
		return err
	}
	if l.host != at || l.revoked || l.arrived >= since || l.resumed >= since {
		return nil
	}
	return h.do(ctx, d, "suspend/"+authenticatorID, domain.SuspendAuthenticator{AuthenticatorID: authenticatorID, Reason: reason})
}

// returned ends what was bound to a unit when it came back. Later bindings are
// of whoever it was sent to next.
func (h *hosts) returned(ctx context.Context, d codec.Decoded, deviceID string) error {
	v, err := h.unit(ctx, deviceID, d.Record.Position)
	if err != nil {
		return err
	}
	for _, b := range v.Bindings {
		c := domain.RevokeAuthenticator{AuthenticatorID: b.AuthenticatorID, Reason: "returned"}
		if err := h.do(ctx, d, "revoke/"+b.AuthenticatorID, c); err != nil {
			return err
		}
	}
	return nil
}

// life is what the log says about an authenticator. Positions are 0 for what
// never happened, and of the last time otherwise.
type life struct {
	host                   host
	arrived, lost, resumed eventstore.Position
	revoked                bool
}

// life reads an authenticator's life from its user's stream. A revocation does
// not change where it lived last.
func (h *hosts) life(ctx context.Context, authenticatorID string) (life, error) {
	var l life
	own := func(id string) bool { return id == authenticatorID }
	stream := domain.UserStream(domain.UserOf(authenticatorID))
	types := []string{
		"AuthenticatorEnrolled", "UnificationCompleted", "AuthenticatorReportedLost", "AuthenticatorReactivated", "AuthenticatorRevoked",
	}
	for d, err := range history(ctx, h.c, stream, types...) {
		if err != nil {
			return life{}, err
		}
		switch e := d.Event.(type) {
		case domain.AuthenticatorEnrolled:
			if own(e.AuthenticatorID) {
				l.host, l.arrived = host{installationID: e.InstallationID, deviceID: e.DeviceID}, d.Record.Position
			}
		case domain.UnificationCompleted:
			if own(e.AuthenticatorID) {
				l.host, l.arrived = host{installationID: e.NewInstallationID}, d.Record.Position
			}
		case domain.AuthenticatorReportedLost:
			if own(e.AuthenticatorID) {
				l.lost = d.Record.Position
			}
		case domain.AuthenticatorReactivated:
			if own(e.AuthenticatorID) {
				l.resumed = d.Record.Position
			}
		case domain.AuthenticatorRevoked:
			l.revoked = l.revoked || own(e.AuthenticatorID)
		}
	}
	return l, nil
}

// app is an installation as the log has it now.
type app struct {
	domain.Installation
	blocked eventstore.Position // when its PIN was blocked last
}

func (h *hosts) app(ctx context.Context, installationID string) (app, error) {
	var a app
	types := []string{"AppPINBlocked", "AppPINUnblocked", "AuthenticatorBound", "AuthenticatorUnbound"}
	for d, err := range history(ctx, h.c, domain.InstallationStream(installationID), types...) {
		if err != nil {
			return app{}, err
		}
		a.Apply(d.Event, d.Meta.OccurredAt)
		if _, ok := d.Event.(domain.AppPINBlocked); ok {
			a.blocked = d.Record.Position
		}
	}
	return a, nil
}

// unit is a physical unit as the log has it.
type unit struct {
	domain.Device
	returned eventstore.Position // when it came back last
}

// unit reads one, up to and including a moment of the log; 0 is now.
func (h *hosts) unit(ctx context.Context, deviceID string, until eventstore.Position) (unit, error) {
	var v unit
	for d, err := range history(ctx, h.c, domain.DeviceStream(deviceID), "DeviceReturned", "AuthenticatorBound", "AuthenticatorUnbound") {
		if err != nil {
			return unit{}, err
		}
		if until != 0 && d.Record.Position > until {
			break
		}
		v.Apply(d.Event, d.Meta.OccurredAt)
		if _, ok := d.Event.(domain.DeviceReturned); ok {
			v.returned = d.Record.Position
		}
	}
	return v, nil
}
