package access_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/esdbstore"
	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
	"github.com/authledger/authledger/eventstore/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// place is where a store lives, however often it is opened.
type place func(t *testing.T, c *clock) *access.Store

func open(t *testing.T, o access.Options) *access.Store {
	t.Helper()
	s, err := access.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// everywhere runs a test over every home: the contract is one.
func everywhere(t *testing.T, test func(t *testing.T, home place)) {
	t.Helper()
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		test(t, func(t *testing.T, c *clock) *access.Store { return open(t, access.Options{Dir: dir, Clock: c.Now}) })
	})
	t.Run("side", func(t *testing.T) {
		t.Parallel()
		side := memstore.NewSide()
		test(t, func(t *testing.T, c *clock) *access.Store { return open(t, access.Options{Side: side, Clock: c.Now}) })
	})
	t.Run("event database", func(t *testing.T) {
		t.Parallel()
		server := esdbtest.Start(t, esdbtest.Options{})
		test(t, func(t *testing.T, c *clock) *access.Store {
			return open(t, access.Options{Side: beside(t, server), Clock: c.Now})
		})
	})
}

// beside is one more node's connection to the streams of a server.
func beside(t *testing.T, server *esdbtest.Server) eventstore.Side {
	t.Helper()
	sides, err := esdbstore.OpenSides(esdbstore.Options{URL: server.URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sides.Close(); err != nil {
			t.Error(err)
		}
	})
	return sides
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)} }

func create(t *testing.T, s *access.Store, role access.Role, expires time.Time) (access.Client, access.Key) {
	t.Helper()
	c, key, err := s.Create(context.Background(), "login page", role, expires)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

func TestAuthenticateKnowsTheKeyAndNothingElse(t *testing.T) {
	t.Parallel()
	everywhere(t, authenticateKnowsTheKeyAndNothingElse)
}

func authenticateKnowsTheKeyAndNothingElse(t *testing.T, home place) {
	s := home(t, newClock())
	want, key := create(t, s, access.Frontend, time.Time{})
	got, err := s.Authenticate(context.Background(), string(key))
	if err != nil || got != want {
		t.Fatalf("Authenticate = %+v, %v; want %+v", got, err, want)
	}
	k := string(key)
	flipped := k[:len(k)-1] + string("0v"[map[bool]int{true: 1, false: 0}[k[len(k)-1] == '0']])
	for _, wrong := range []string{"", "x", want.ID, want.ID + "_", k + "0", k[:len(k)-1], flipped, strings.ToUpper(k), " " + k} {
		if _, err := s.Authenticate(context.Background(), wrong); !errors.Is(err, access.ErrUnauthenticated) {
			t.Errorf("a wrong key of length %d: %v", len(wrong), err)
		}
	}
}

func TestKeyEndsWhenItExpires(t *testing.T) { t.Parallel(); everywhere(t, keyEndsWhenItExpires) }

func keyEndsWhenItExpires(t *testing.T, home place) {
	c := newClock()
	s := home(t, c)
	_, key := create(t, s, access.Auditor, c.Now().Add(time.Hour))
	c.add(time.Hour - time.Microsecond)
	if _, err := s.Authenticate(context.Background(), string(key)); err != nil {
		t.Fatalf("just before: %v", err)
	}
	c.add(time.Microsecond)
	if _, err := s.Authenticate(context.Background(), string(key)); !errors.Is(err, access.ErrUnauthenticated) {
		t.Fatalf("at the moment: %v", err)
	}
}

func TestRevocationIsNoticedHereAtOnceAndElsewhereSoon(t *testing.T) {
	t.Parallel()
	everywhere(t, revocationIsNoticedHereAtOnceAndElsewhereSoon)
}

func revocationIsNoticedHereAtOnceAndElsewhereSoon(t *testing.T, home place) {
	c := newClock()
	server, line := home(t, c), home(t, c)
	client, key := create(t, line, access.Frontend, time.Time{})
	if _, err := server.Authenticate(context.Background(), string(key)); err != nil {
		t.Fatalf("a key made by another process: %v", err)
	}
	if err := line.Revoke(context.Background(), client.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := line.Authenticate(context.Background(), string(key)); !errors.Is(err, access.ErrUnauthenticated) {
		t.Fatalf("where it was revoked: %v", err)
	}
	c.add(2 * time.Second)
	if _, err := server.Authenticate(context.Background(), string(key)); !errors.Is(err, access.ErrUnauthenticated) {
		t.Fatalf("elsewhere, two seconds later: %v", err)
	}
	if err := line.Revoke(context.Background(), "ak_0000000000000000"); !errors.Is(err, access.ErrNotFound) {
		t.Fatalf("revoke nobody: %v", err)
	}
}

func TestListSurvivesReopen(t *testing.T) { t.Parallel(); everywhere(t, listSurvivesReopen) }

func listSurvivesReopen(t *testing.T, home place) {
	c := newClock()
	first, _ := create(t, home(t, c), access.Gateway, time.Time{})
	c.add(time.Second)
	s := home(t, c)
	second, _ := create(t, s, access.Device, c.Now().Add(time.Hour))
	list, err := s.List(context.Background())
	if err != nil || len(list) != 2 || list[0] != first || list[1] != second {
		t.Fatalf("List = %+v, %v; want %+v and %+v", list, err, first, second)
	}
}

func TestCreateRefusesWhatBreaksTheFormat(t *testing.T) {
	t.Parallel()
	everywhere(t, createRefusesWhatBreaksTheFormat)
}

func createRefusesWhatBreaksTheFormat(t *testing.T, home place) {
	c := newClock()
	s := home(t, c)
	for _, v := range []struct {
		name    string
		role    access.Role
		expires time.Time
	}{
		{"", access.Frontend, time.Time{}},
		{"a\nb", access.Frontend, time.Time{}},
		{strings.Repeat("a", 61), access.Frontend, time.Time{}},
		{"a", "admin", time.Time{}},
		{"a", access.Frontend, c.Now()},
	} {
		if _, _, err := s.Create(context.Background(), v.name, v.role, v.expires); !errors.Is(err, access.ErrInvalid) {
			t.Errorf("Create(%q, %q, %v): %v", v.name, v.role, v.expires, err)
		}
	}
}

func TestNoKeyAtRestOrInPrint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, access.Options{Dir: dir, Clock: newClock().Now})
	client, key := create(t, s, access.Frontend, time.Time{})
	secret := strings.TrimPrefix(string(key), client.ID+"_")
	for _, text := range []string{fmt.Sprint(key), fmt.Sprintf("%v %+v %#v %s", key, key, key, key)} {
		if strings.Contains(text, secret) {
			t.Errorf("a key prints itself")
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "access.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("files of the store: %v, %v", files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), secret) {
			t.Errorf("%s holds a key in clear", filepath.Base(f))
		}
	}
}
