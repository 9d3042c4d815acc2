package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/api/erase"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
)

// departed is a data directory with somebody who left and asked to be forgotten
// eight years ago, opened and closed as a process would.
type departed struct {
	t     *testing.T
	dir   string
	clock *stillClock
	logs  bytes.Buffer
	*stores

	userID string
}

// stillClock stands still until it is put forward.
type stillClock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *stillClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *stillClock) add(years int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.AddDate(years, 0, 0)
}

const (
	departedNumber = "+4915198765432"
	departedName   = "wanda.weggezogen"
)

func newDeparted(t *testing.T) *departed {
	t.Helper()
	d := leftBehind(t)
	d.do(domain.RequestErasure{UserID: d.userID, Basis: domain.BasisSubjectRequest, RequestedBy: "letter-1"})
	d.feed()
	d.clock.add(8)
	return d
}

// leftBehind is somebody who left and asked for nothing.
func leftBehind(t *testing.T) *departed {
	t.Helper()
	d := &departed{
		t: t, dir: t.TempDir(), clock: &stillClock{t: time.Date(2018, 3, 1, 9, 0, 0, 0, time.UTC)}, userID: codec.UserIDOf("U-GONE"),
	}
	d.open()
	t.Cleanup(d.close)
	client := codec.ClientIDOf("C-GONE")
	d.do(domain.RegisterClient{ClientID: client, Kind: "individual", CarryingEntity: "IB-IE", CarryingCC: "IE"})
	d.do(domain.RegisterUser{UserID: d.userID, ClientID: client, Role: "owner", Username: domain.Clear(departedName), Locale: "de", Residence: "DE"})
	d.do(domain.AddPhone{UserID: d.userID, CC: "DE", Number: domain.Clear(departedNumber), Line: "mobile"})
	d.do(domain.CloseUser{UserID: d.userID, Reason: "left"})
	d.feed()
	return d
}

func (d *departed) open() {
	d.t.Helper()
	var err error
	if d.stores, err = openStores(d.t.Context(), d.dir, d.clock.now, slog.New(slog.NewTextHandler(&d.logs, nil))); err != nil {
		d.t.Fatal(err)
	}
}

func (d *departed) close() {
	if d.stores == nil {
		return
	}
	if err := d.Close(); err != nil {
		d.t.Error(err)
	}
	d.stores = nil
}

func (d *departed) do(c domain.Command) {
	d.t.Helper()
	r := journal.Request{Command: c, CommandID: uuid.New(), Actor: domain.Actor{Kind: domain.ActorCompliance, Ref: "test"}}
	if _, err := d.journal.Execute(d.t.Context(), r); err != nil {
		d.t.Fatalf("%s: %v", c.Name(), err)
	}
}

// feed lets the views see what there is, and returns the order to erase.
func (d *departed) feed() (order eventstore.Record) {
	d.t.Helper()
	at, err := d.views.From(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	var fresh []eventstore.Record
	for r, err := range d.log.ReadAll(d.t.Context(), 1) {
		if err != nil {
			d.t.Fatal(err)
		}
		if r.Type == "PersonalDataErased" {
			order = r
		}
		if r.Sequence > at {
			fresh = append(fresh, r)
		}
	}
	if err := d.views.Apply(d.t.Context(), fresh); err != nil {
		d.t.Fatal(err)
	}
	return order
}

// carryOut decides what is due, as the daily process does.
func (d *departed) carryOut() eventstore.Record {
	d.t.Helper()
	if err := d.eraser.CarryOut(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	order := d.feed()
	if order.Sequence == 0 {
		d.t.Fatal("nothing was decided to be erased")
	}
	return order
}

// stopping is an eraser that ends behind a step, as a process that is killed
// there.
func (d *departed) stopping(behind string) *erase.Eraser {
	d.t.Helper()
	e, err := erase.New(erase.Config{
		Journal: d.journal, Log: d.log, Codec: d.codec, Keys: d.keys, Views: d.views, Dir: d.dir,
		Step: func(name string) error {
			if name == behind {
				return errCut
			}
			return nil
		},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return e
}

var errCut = errors.New("cut")

// certificates are those in the log.
func (d *departed) certificates() (list []domain.ErasureCertified) {
	d.t.Helper()
	for r, err := range d.log.ReadStream(d.t.Context(), domain.ErasuresStream(), 0) {
		if err != nil {
			d.t.Fatal(err)
		}
		e, err := d.codec.Decode(r)
		if err != nil {
			d.t.Fatal(err)
		}
		list = append(list, e.Event.(domain.ErasureCertified))
	}
	return list
}

// number opens the number in its event.
func (d *departed) number() (string, error) {
	d.t.Helper()
	for r, err := range d.log.ReadStream(d.t.Context(), domain.UserStream(d.userID), 0) {
		if err != nil {
			d.t.Fatal(err)
		}
		if r.Type == "PhoneNumberAdded" {
			e, err := d.codec.Decode(r)
			if err != nil {
				d.t.Fatal(err)
			}
			return d.codec.Reveal(d.t.Context(), e, "number")
		}
	}
	d.t.Fatal("no number was ever added")
	return "", nil
}

// holding lists the files that contain one of the texts.
func holding(t *testing.T, dir string, texts ...[]byte) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, f fs.DirEntry, err error) error {
		if err != nil || !f.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		for _, text := range texts {
			if len(text) > 0 && bytes.Contains(content, text) {
				found = append(found, filepath.Base(path))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestErasureEndsInACertificate cuts an erasure behind each of its steps. The
// next process carries it to its end, and nothing of the person is left.
func TestErasureEndsInACertificate(t *testing.T) {
	t.Parallel()
	for _, behind := range []string{"", "traces", "destroyed", "scrubbed", "searched", "certified"} {
		t.Run("cut behind "+behind, func(t *testing.T) {
			t.Parallel()
			d := newDeparted(t)
			if n, err := d.number(); err != nil || n != departedNumber {
				t.Fatalf("before the erasure the number is %q, %v", n, err)
			}
			index, err := d.keys.Blind(t.Context(), "phone", departedNumber)
			if err != nil {
				t.Fatal(err)
			}
			order := d.carryOut()
			err = d.stopping(behind).Act(t.Context(), order)
			if (err == nil) != (behind == "") || err != nil && !errors.Is(err, errCut) {
				t.Fatalf("got %v", err)
			}
			d.close()
			d.open()
			if err := d.eraser.Act(t.Context(), d.feed()); err != nil {
				t.Fatal(err)
			}
			list := d.certificates()
			lost := slices.Contains([]string{"destroyed", "scrubbed", "searched"}, behind) // what to search for
			if len(list) != 1 || list[0].Findings != 0 || (list[0].Files < 6) != lost || (list[0].Bytes == 0) != lost ||
				strings.Contains(list[0].Method, "every file searched") == lost || list[0].SubjectRef != domain.UserStream(d.userID) || list[0].KeyID == "" {
				t.Errorf("certificates %+v", list)
			}
			if _, err := d.number(); !errors.Is(err, keyring.ErrKeyDestroyed) {
				t.Errorf("the number opens: %v", err)
			}
			if files := holding(t, d.dir, []byte(departedNumber), []byte(departedName), index); len(files) > 0 {
				t.Errorf("%v still hold the person", files)
			}
		})
	}
}

// TestOldKeysDoNotBringAPersonBack puts an old copy of keys.db back, as after a
// lost disk: before and after the certificate the keys are destroyed again at
// start.
func TestOldKeysDoNotBringAPersonBack(t *testing.T) {
	t.Parallel()
	for _, certified := range []bool{false, true} {
		d := newDeparted(t)
		d.close()
		backup, err := os.ReadFile(filepath.Join(d.dir, "keys.db"))
		if err != nil {
			t.Fatal(err)
		}
		d.open()
		order := d.carryOut()
		if certified {
			if err := d.eraser.Act(t.Context(), order); err != nil {
				t.Fatal(err)
			}
		}
		d.close()
		for _, name := range []string{"keys.db-wal", "keys.db-shm"} {
			if err := os.Remove(filepath.Join(d.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(d.dir, "keys.db"), backup, 0o600); err != nil {
			t.Fatal(err)
		}
		d.open()
		if _, err := d.number(); !errors.Is(err, keyring.ErrKeyDestroyed) {
			t.Errorf("certified %v: the number opens: %v", certified, err)
		}
		if !strings.Contains(d.logs.String(), "older copy of keys.db") {
			t.Errorf("certified %v: the log does not say so:\n%s", certified, d.logs.String())
		}
	}
}

// TestTracesHoldUpTheCertificate: while a file holds the number in clear there
// is no certificate, and once it is gone there is a whole one.
func TestTracesHoldUpTheCertificate(t *testing.T) {
	t.Parallel()
	d := newDeparted(t)
	order := d.carryOut()
	dump := filepath.Join(d.dir, "dump.txt")
	if err := os.WriteFile(dump, []byte("call "+departedNumber+" back"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := d.eraser.Act(t.Context(), order)
		var found *erase.FoundError
		if !errors.As(err, &found) || found.Findings[0].File != "dump.txt" || found.Findings[0].Offset != 5 || strings.Contains(err.Error(), departedNumber) {
			t.Errorf("got %v", err)
		}
		if list := d.certificates(); len(list) > 0 {
			t.Errorf("certified all the same: %+v", list)
		}
	}
	if err := os.Remove(dump); err != nil {
		t.Fatal(err)
	}
	if err := d.eraser.Act(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	if list := d.certificates(); len(list) != 1 || !strings.Contains(list[0].Method, "every file searched") {
		t.Errorf("certificates %+v", list)
	}
}

// TestErasureAtOnce: asked for when nothing stands in the way any more, so that
// nothing was locked away before. The views let go of the number's digest in the
// same breath, and no page of theirs may keep it.
func TestErasureAtOnce(t *testing.T) {
	t.Parallel()
	d := leftBehind(t)
	index, err := d.keys.Blind(t.Context(), "phone", departedNumber)
	if err != nil {
		t.Fatal(err)
	}
	if files := holding(t, d.dir, index); len(files) == 0 {
		t.Fatal("the digest is nowhere, so this test proves nothing")
	}
	d.clock.add(8)
	d.do(domain.RequestErasure{UserID: d.userID, Basis: domain.BasisSubjectRequest})
	if err := d.eraser.Act(t.Context(), d.feed()); err != nil {
		t.Fatal(err)
	}
	if list := d.certificates(); len(list) != 1 || list[0].Files < 6 {
		t.Errorf("certificates %+v", list)
	}
	if files := holding(t, d.dir, index); len(files) > 0 {
		t.Errorf("%v still hold the digest", files)
	}
}

// TestTracesSurviveARestart: what was found before the keys were destroyed is
// found again by the next process.
func TestTracesSurviveARestart(t *testing.T) {
	t.Parallel()
	d := newDeparted(t)
	order := d.carryOut()
	dump := filepath.Join(d.dir, "dump.txt")
	if err := os.WriteFile(dump, []byte(departedName), 0o600); err != nil {
		t.Fatal(err)
	}
	var found *erase.FoundError
	if err := d.eraser.Act(t.Context(), order); !errors.As(err, &found) {
		t.Errorf("got %v", err)
	}
	d.close()
	d.open()
	if err := d.eraser.Act(t.Context(), order); !errors.As(err, &found) {
		t.Errorf("behind a restart: got %v", err)
	}
	if list := d.certificates(); len(list) > 0 {
		t.Errorf("certified all the same: %+v", list)
	}
}

// TestSharedNumberIsFoundOn: somebody else has the same number. It goes on being
// found as theirs, and holds nothing up.
func TestSharedNumberIsFoundOn(t *testing.T) {
	t.Parallel()
	d := newDeparted(t)
	other, client := codec.UserIDOf("U-STAYS"), codec.ClientIDOf("C-GONE")
	d.do(domain.RegisterUser{UserID: other, ClientID: client, Role: "owner", Username: domain.Clear("somebody.else"), Locale: "de", Residence: "DE"})
	d.do(domain.AddPhone{UserID: other, CC: "DE", Number: domain.Clear(departedNumber), Line: "mobile"})
	d.feed()
	if err := d.eraser.Act(t.Context(), d.carryOut()); err != nil {
		t.Fatal(err)
	}
	if list := d.certificates(); len(list) != 1 || list[0].Files < 6 {
		t.Errorf("certificates %+v", list)
	}
	phones, err := d.views.PhonesWithNumber(t.Context(), departedNumber)
	if err != nil || len(phones) != 1 || phones[0].UserID != other {
		t.Errorf("the number finds %+v, %v", phones, err)
	}
}

// TestOldKeysAndLateViews: the order to erase stands in the log, the views have
// not seen it, and an older keys.db is back.
func TestOldKeysAndLateViews(t *testing.T) {
	t.Parallel()
	d := newDeparted(t)
	if err := d.eraser.CarryOut(t.Context()); err != nil { // and nobody feeds the views
		t.Fatal(err)
	}
	d.close()
	d.open()
	if _, err := d.number(); !errors.Is(err, keyring.ErrKeyDestroyed) {
		t.Errorf("the number opens: %v", err)
	}
}

// TestNothingIsErasedEarly: not while the retention runs, not under a hold.
func TestNothingIsErasedEarly(t *testing.T) {
	t.Parallel()
	d := newDeparted(t)
	d.do(domain.PlaceLegalHold{UserID: d.userID, CaseRef: "case-7", Basis: "litigation"})
	d.feed()
	if err := d.eraser.CarryOut(context.Background()); err != nil {
		t.Fatal(err)
	}
	if order := d.feed(); order.Sequence != 0 {
		t.Error("erased under a legal hold")
	}
	if n, err := d.number(); err != nil || n != departedNumber {
		t.Errorf("the held number is %q, %v", n, err)
	}
}
