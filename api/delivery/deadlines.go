package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
)

// Due is a physical device that was sent to a user and not activated in time
// (D-29).
type Due struct{ UserID, DeviceID string }

// namespaceDeadlines is the UUIDv5 name space of commands that time alone
// caused; fixed for ever.
var namespaceDeadlines = uuid.MustParse("8f0d6f0e-6a1c-5b8e-9d57-0c3b1f5e2a94")

// CheckDeadlines activates the physical devices whose window has ended, and
// notes what has expired. It is safe to call at any time, on any number of
// nodes. One that fails does not keep the others waiting; the first failure is
// returned.
func (d *Delivery) CheckDeadlines(ctx context.Context) error {
	now := d.c.Journal.Now()
	failed := d.activateDue(ctx, now)
	if err := d.tidyExpired(ctx, now); failed == nil {
		failed = err
	}
	return failed
}

// RunDeadlines calls CheckDeadlines at once and at every tick, until ctx ends
// or ticks is closed. A failure is logged and made up for at the next tick.
// Without both lists of Config there is nothing to do and it returns at once.
func (d *Delivery) RunDeadlines(ctx context.Context, ticks <-chan time.Time) {
	if d.c.DueDevices == nil && d.c.ExpiredProcesses == nil {
		return
	}
	d.run(ctx, ticks, d.CheckDeadlines, "deadlines could not be checked; trying again at the next tick")
}

func (d *Delivery) activateDue(ctx context.Context, now time.Time) error {
	if d.c.DueDevices == nil {
		return nil
	}
	due, err := d.c.DueDevices(ctx, now)
	if err != nil {
		return fmt.Errorf("list due devices: %w", err)
	}
	var failed error
	for _, one := range due {
		if err := d.activate(ctx, one); err != nil && failed == nil {
			failed = fmt.Errorf("activate %s: %w", one.DeviceID, err)
		}
	}
	return failed
}

// activate gives one command for each shipment: its id derives from the
// request the device was shipped for. A device that is no longer with the user
// is left alone.
func (d *Delivery) activate(ctx context.Context, due Due) error {
	sent, waits := domain.ShippedDevice{}, false
	err := d.c.Journal.User(ctx, due.UserID, func(u *domain.User, _ time.Time) error {
		sent, waits = u.ShippedDevice(due.DeviceID)
		return nil
	})
	if moot(err) || err == nil && !waits {
		return nil
	}
	if err != nil {
		return err
	}
	there := false
	err = d.c.Journal.Device(ctx, due.DeviceID, func(v *domain.Device) { there = v.UserID == due.UserID && !v.Returned })
	if moot(err) || err == nil && !there {
		return nil
	}
	if err != nil {
		return err
	}
	return d.onTime(ctx, "activate/"+sent.RequestID+"/"+due.DeviceID, domain.AutoActivateDevice{UserID: due.UserID, DeviceID: due.DeviceID})
}

// tidyExpired tidies each user at most once a minute.
func (d *Delivery) tidyExpired(ctx context.Context, now time.Time) error {
	if d.c.ExpiredProcesses == nil {
		return nil
	}
	expired, err := d.c.ExpiredProcesses(ctx, now)
	if err != nil {
		return fmt.Errorf("list expired processes: %w", err)
	}
	var failed error
	seen := map[string]bool{}
	for _, id := range expired {
		userID := domain.UserOf(id)
		if userID == "" || seen[userID] {
			continue
		}
		seen[userID] = true
		minute := now.Truncate(time.Minute).Format(time.RFC3339)
		if err := d.onTime(ctx, "tidy/"+userID+"/"+minute, domain.TidyUser{UserID: userID}); err != nil && failed == nil {
			failed = fmt.Errorf("tidy %s: %w", userID, err)
		}
	}
	return failed
}

// onTime gives a command that no event caused, once for each name.
func (d *Delivery) onTime(ctx context.Context, name string, c domain.Command) error {
	_, err := d.c.Journal.Execute(ctx, journal.Request{
		Command: c, CommandID: uuid.NewSHA1(namespaceDeadlines, []byte(name)), Actor: system("deadlines"),
	})
	if moot(err) {
		return nil
	}
	return err
}
