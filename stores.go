package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/authledger/authledger/api/delivery"
	"github.com/authledger/authledger/api/erase"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/sealer"
	"github.com/authledger/authledger/projections"
	"github.com/google/uuid"
)

// stores is everything that lives in the data directory, opened in the order
// in which one proves the next: the log, the keyring, the views.
type stores struct {
	policy      *domain.Policy
	backend     backend
	log         ledgerLog
	side        eventstore.Side // what several nodes share beside the log; nil for SQLite
	closeKeys   func() error    // the keys' own connection, if they have one
	keys        *keyring.Keyring
	codec       *codec.Codec
	views       *projections.Views
	checkpoints *projections.Checkpoints
	journal     *journal.Journal
	eraser      *erase.Eraser
	sealer      *sealer.Sealer
	witnesses   merkle.Policy   // who is asked to cosign; for evidence
	recorded    map[string]bool // destroyed code epochs known to be in the log; owned by expireCodes
	rotated     int64           // the last rotation known to be in the log; owned by recordRotations
}

// sealing says how the log is named, and whether its proof may begin anew.
type sealing struct {
	origin  string // empty: the name it has, else the default
	rebuild bool   // see sealer.Options
}

// openStores opens the data directory and creates it when it is missing. On
// error nothing stays open.
func openStores(ctx context.Context, dir string, clock func() time.Time, logger *slog.Logger) (*stores, error) {
	return openSealed(ctx, dir, clock, logger, sealing{})
}

// openSealed is openStores for those who may name the log.
func openSealed(ctx context.Context, dir string, clock func() time.Time, logger *slog.Logger, as sealing) (*stores, error) {
	return openAt(ctx, dir, backend{}, clock, logger, as)
}

// openAt is openSealed with any event store.
func openAt(ctx context.Context, dir string, b backend, clock func() time.Time, logger *slog.Logger, as sealing) (s *stores, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("find the data directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	if err := codec.Check(); err != nil {
		return nil, fmt.Errorf("check the event formats: %w", err)
	}
	s = &stores{backend: b, recorded: map[string]bool{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.policy, err = domain.LoadPolicy(); err != nil {
		return s, err
	}
	if s.log, s.side, err = b.openLog(ctx, dir, clock, logger); err != nil {
		return s, err
	}
	head, _, err := s.log.Head(ctx)
	if err != nil {
		return s, err
	}
	if err := s.openKeys(ctx, dir, clock, logger, head > 0); err != nil {
		return s, err
	}
	s.codec = codec.New(s.keys)
	s.sealer, err = sealer.Open(ctx, sealer.Options{
		Dir: dir, LedgerID: s.log.ID(), Origin: as.origin, Log: stored(s.log), Side: s.side, Keys: s.keys, Clock: clock,
		Rotation: s.signingRotation, Rebuild: as.rebuild, Logger: logger,
	})
	if err != nil {
		return s, err
	}
	if s.checkpoints, err = projections.OpenCheckpoints(ctx, dir, clock); err != nil {
		return s, err
	}
	if s.views, err = projections.Open(ctx, s.viewOptions(dir, clock, logger)); err != nil {
		return s, err
	}
	s.journal, err = journal.New(journal.Config{
		Store: s.log, Codec: s.codec, Keyring: s.keys, Policy: s.policy, Clock: clock,
		SMSCounter: s.views.SMSInLastHour, Logger: logger,
	})
	if err != nil {
		return s, err
	}
	return s, s.openEraser(ctx, dir, logger)
}

// openKeys opens the keyring: in the directory, or in streams beside the log.
func (s *stores) openKeys(ctx context.Context, dir string, clock func() time.Time, logger *slog.Logger, notEmpty bool) error {
	side, closeSide, err := s.backend.keySide(s.side, logger)
	if err != nil {
		return err
	}
	s.closeKeys = closeSide
	o, err := s.backend.keyringOptions(dir, side)
	if err != nil {
		return err
	}
	o.Clock, o.LedgerNotEmpty = clock, notEmpty
	s.keys, err = keyring.Open(ctx, o)
	return err
}

func (s *stores) viewOptions(dir string, clock func() time.Time, logger *slog.Logger) projections.Options {
	return projections.Options{
		Dir: dir, Codec: s.codec, Clock: clock, Log: s.log, Logger: logger,
		Blind:  func(ctx context.Context, number string) ([]byte, error) { return s.keys.Blind(ctx, "phone", number) },
		Erased: func(err error) bool { return errors.Is(err, keyring.ErrKeyDestroyed) },
	}
}

// optedOut lists the users whose opt-out is in force, as of a state of the
// views that includes the position.
func (s *stores) optedOut(ctx context.Context, least eventstore.Position) ([]string, error) {
	if err := s.views.WaitFor(ctx, least); err != nil {
		return nil, err
	}
	list, err := s.views.OptedOut(ctx, s.journal.Now())
	if err != nil {
		return nil, err
	}
	users := make([]string, len(list))
	for i, o := range list {
		users[i] = o.UserID
	}
	return users, nil
}

// dueDevices lists the devices whose activation window has ended.
func (s *stores) dueDevices(ctx context.Context, now time.Time) ([]delivery.Due, error) {
	list, err := s.views.DueDevices(ctx, now)
	due := make([]delivery.Due, len(list))
	for i, d := range list {
		due[i] = delivery.Due{UserID: d.UserID, DeviceID: d.DeviceID}
	}
	return due, err
}

// expiredAtOnce is how many users are tidied in one look.
const expiredAtOnce = 100

// expiredProcesses lists users with something that expired and was not noted.
func (s *stores) expiredProcesses(ctx context.Context, now time.Time) ([]string, error) {
	return s.views.ExpiredProcesses(ctx, now, expiredAtOnce)
}

// namespaceEpochs is the UUIDv5 name space of the commands that record a
// destroyed code epoch; fixed for ever.
var namespaceEpochs = uuid.MustParse("c4d7f6a2-1b3e-5a90-8e57-0f9d2c6b8a41")

// expireCodes destroys the code epochs that are due and records every epoch
// that is destroyed and was not recorded: also those of a process that ended
// between the two.
func (s *stores) expireCodes(ctx context.Context) error {
	if _, err := s.keys.ExpireEpochs(ctx); err != nil {
		return err
	}
	epochs, err := s.keys.Epochs(ctx)
	if err != nil {
		return err
	}
	for _, e := range epochs {
		if e.Destroyed.IsZero() || s.recorded[e.Kid] {
			continue
		}
		_, err := s.journal.Execute(ctx, journal.Request{
			Command:   domain.RecordCodeEpochDestroyed{Kid: e.Kid},
			CommandID: uuid.NewSHA1(namespaceEpochs, []byte(e.Kid)),
			Actor:     housekeeper,
		})
		if err != nil {
			return fmt.Errorf("record the end of code epoch %s: %w", e.Kid, err)
		}
		s.recorded[e.Kid] = true
	}
	return nil
}

// recordRotations records what the keyring rotated and the log does not say
// yet: a process may have ended between the two.
func (s *stores) recordRotations(ctx context.Context, actor domain.Actor) error {
	rotations, err := s.keys.Rotations(ctx, s.rotated)
	if err != nil {
		return err
	}
	for _, r := range rotations {
		record := journal.RecordRotation(r)
		record.Actor = actor
		if _, err := s.journal.Execute(ctx, record); err != nil {
			return fmt.Errorf("record the rotation to key %s: %w", r.To, err)
		}
		s.rotated = r.Number
	}
	return nil
}

// housekeeper is who tidies the keyring up.
var housekeeper = domain.Actor{Kind: domain.ActorSystem, Ref: "housekeeping"}

// tidyKeys records rotations that nobody recorded, destroys code epochs that
// have outlived their thirty days, and records that, too.
func (s *stores) tidyKeys(ctx context.Context) error {
	return errors.Join(s.recordRotations(ctx, housekeeper), s.expireCodes(ctx))
}

// signingRotation recognises the event that announces a signing key.
func (s *stores) signingRotation(r eventstore.Record) (epoch uint32, public ed25519.PublicKey, found bool, err error) {
	if r.Stream != domain.KeyringStream() {
		return 0, nil, false, nil
	}
	d, err := s.codec.Decode(r)
	if err != nil {
		return 0, nil, false, err
	}
	e, ok := d.Event.(domain.KeyRotated)
	if !ok || e.Kind != domain.KeySigning {
		return 0, nil, false, nil
	}
	public, err = base64.StdEncoding.DecodeString(e.PublicKey)
	return e.Epoch, public, true, err
}

// signingEpochs are the public keys that check the log's checkpoints: the first
// one, and each that the log announced, in force from the announcement on.
func (s *stores) signingEpochs(ctx context.Context) ([]merkle.Epoch, error) {
	announced := map[uint32]merkle.Epoch{}
	for r, err := range s.log.ReadStream(ctx, domain.KeyringStream(), 0) {
		if err != nil {
			return nil, err
		}
		epoch, public, found, err := s.signingRotation(r)
		if err != nil {
			return nil, fmt.Errorf("signing key in record %d: %w", r.Sequence, err)
		}
		if found {
			announced[epoch] = merkle.Epoch{Number: epoch, Public: public, FromSize: uint64(r.Sequence)}
		}
	}
	keys, err := s.keys.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	var epochs []merkle.Epoch
	for _, k := range keys {
		e, ok := announced[k.Epoch]
		switch {
		case ok && !k.Public.Equal(e.Public):
			return nil, fmt.Errorf("signing key of epoch %d: the log announced another one than keys.db holds", k.Epoch)
		case k.Epoch == 1:
			epochs = append(epochs, merkle.Epoch{Number: 1, Public: k.Public})
		case ok:
			epochs = append(epochs, e)
		}
	}
	return epochs, nil
}

// Close closes what is open, last opened first.
func (s *stores) Close() error {
	var errs []error
	if s.views != nil {
		errs = append(errs, s.views.Close())
	}
	if s.checkpoints != nil {
		errs = append(errs, s.checkpoints.Close())
	}
	if s.sealer != nil {
		errs = append(errs, s.sealer.Close())
	}
	if s.keys != nil {
		errs = append(errs, s.keys.Close())
	}
	if s.closeKeys != nil {
		errs = append(errs, s.closeKeys())
	}
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	return errors.Join(errs...)
}
