package esdbtest_test

import (
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
)

// secure starts a server with TLS and a user.
func secure(t testing.TB, admin bool) *esdbtest.Server {
	t.Helper()
	return esdbtest.Start(t, esdbtest.Options{TLS: true, User: "ledger", Password: "p@ss:/word", Admin: admin})
}

func TestTLSAndPassword(t *testing.T) {
	t.Parallel()
	s := secure(t, true)
	c := connect(t, s.URL())
	write(t, c, "user-1", esdb.NoStream{}, event(1))
	if got := readAll(t, c, esdb.ReadAllOptions{}, 100); len(got) != 4 {
		t.Errorf("an admin read %d events of $all, want 4", len(got))
	}
	s.RefuseLate(true)
	wrong := strings.Replace(s.URL(), "word", "w0rd", 1)
	_, err := readStream(t, connect(t, wrong), "user-1", esdb.ReadStreamOptions{}, 1)
	wantCode(t, "a wrong password", err, esdb.ErrorCodeUnauthenticated)
	_, err = connect(t, wrong).AppendToStream(within(t), "user-2", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, event(2))
	wantCode(t, "append with a wrong password", err, esdb.ErrorCodeUnauthenticated)
	anonymous := "esdb://" + s.Address(0) + "?tlsCaFile=" + s.CAFile()
	_, err = readStream(t, connect(t, anonymous), "user-1", esdb.ReadStreamOptions{}, 1)
	wantCode(t, "no password", err, esdb.ErrorCodeAccessDenied)
	if n := len(s.Events("user-2")); n != 0 {
		t.Error("an append with a wrong password was written")
	}
}

func TestForeignAuthority(t *testing.T) {
	t.Parallel()
	s, other := secure(t, true), secure(t, true)
	url := strings.Replace(s.URL(), s.CAFile(), other.CAFile(), 1)
	if url == s.URL() { // the file stands escaped in the query
		url = "esdb://ledger:x@" + s.Address(0) + "?maxDiscoverAttempts=1&tlsCaFile=" + other.CAFile()
	}
	c := connect(t, url+"&maxDiscoverAttempts=1")
	if _, err := c.GetServerVersion(); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of another authority was accepted: %v", err)
	}
}

func TestUserWithoutTLSIsRefused(t *testing.T) {
	t.Parallel()
	if s, err := esdbtest.New(esdbtest.Options{User: "ledger"}); err == nil {
		t.Error("started", s.Close())
	}
}

func put(t testing.TB, s *esdbtest.Server, stream, kind, data string) {
	t.Helper()
	if _, err := s.Put(stream, esdbtest.Proposed{Type: kind, Data: []byte(data)}); err != nil {
		t.Fatal(err)
	}
}

func TestAccessLists(t *testing.T) {
	t.Parallel()
	s := secure(t, false)
	c := connect(t, s.URL())
	write(t, c, "user-1", esdb.NoStream{}, event(1))
	write(t, c, "key-1", esdb.NoStream{}, event(2))
	remove := func(stream string) error {
		_, err := c.TombstoneStream(within(t), stream, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
		return err
	}
	put(t, s, "$settings", "update-settings", `{"$userStreamAcl":{"$r":"$all","$w":"$all","$d":"$admins"}}`)
	wantCode(t, "delete against the default list", remove("user-1"), esdb.ErrorCodeAccessDenied)
	put(t, s, "$$key-1", "$metadata", `{"$acl":{"$d":["ops","ledger"]}}`)
	wantCode(t, "delete by the stream's own list", remove("key-1"), -1)
	s.RefuseLate(true)
	put(t, s, "$$user-1", "$metadata", `{"$acl":{"$w":"$admins"}}`)
	_, err := c.AppendToStream(within(t), "user-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, event(3))
	wantCode(t, "write against the stream's list", err, esdb.ErrorCodeAccessDenied)
	_, err = c.AppendToStream(within(t), "$settings", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, event(4))
	wantCode(t, "write to a system stream", err, esdb.ErrorCodeAccessDenied)
	err = c.CreatePersistentSubscriptionToAll(within(t), "group", esdb.PersistentAllSubscriptionOptions{})
	wantCode(t, "create a group", err, esdb.ErrorCodeAccessDenied)
	_, err = c.SubscribeToAll(within(t), esdb.SubscribeToAllOptions{From: esdb.Start{}})
	wantCode(t, "subscribe to $all", err, esdb.ErrorCodeAccessDenied)
	put(t, s, "$$$all", "$metadata", `{"$acl":{"$r":["ledger"]}}`)
	sub := subscribeAll(t, c, esdb.SubscribeToAllOptions{From: esdb.End{}})
	if e := sub.Recv(); e.CaughtUp == nil {
		t.Errorf("subscribed by the list of $all: %+v", e)
	}
}
