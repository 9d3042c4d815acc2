package esdbstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
)

// Preparation is what an administrator does once for a ledger.
type Preparation struct {
	URL    string // with a user in $admins
	Prefix string // DefaultPrefix when empty
	Groups []eventstore.Group
	// User is who the nodes will connect as: it may then read $all, and read and
	// write all streams, and delete none. Empty leaves access as it is.
	User   string
	Logger *slog.Logger
}

// Prepare makes the groups of consumers, which needs an administrator, and lets
// the nodes' user do what a node does. Other members of the access lists that it
// touches are kept; the right to delete and to set limits on streams is taken
// away from all but $admins. Doing it again changes nothing.
func Prepare(ctx context.Context, p Preparation) (err error) {
	s, err := newStore(Options{URL: p.URL, Prefix: p.Prefix, Logger: p.Logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for _, g := range p.Groups {
		if err := s.ensureGroup(ctx, s.names.prefix+g.Name, g.Types, g.Lease, esdb.Start{}); err != nil {
			return outside("make the group "+g.Name, err)
		}
	}
	if p.User == "" {
		return nil
	}
	if err := s.change(ctx, "$settings", func(m map[string]any) { allow(m, "$userStreamAcl", p.User, true) }); err != nil {
		return outside("set the default access list", err)
	}
	if err := s.change(ctx, "$$$all", func(m map[string]any) { allow(m, "$acl", p.User, false) }); err != nil {
		return outside("set the access list of $all", err)
	}
	return nil
}

// allow lets a user read, and write if writes is set, by the access list under
// a name.
func allow(m map[string]any, name, user string, writes bool) {
	list, _ := m[name].(map[string]any)
	if list == nil {
		list = map[string]any{}
		m[name] = list
	}
	list["$r"] = with(list["$r"], user)
	if !writes {
		return
	}
	list["$w"], list["$mr"] = with(list["$w"], user), with(list["$mr"], user)
	list["$d"], list["$mw"] = []string{"$admins"}, []string{"$admins"}
}

// with adds a user to a right, which is a name or a list of names.
func with(right any, user string) []string {
	names := []string{}
	switch v := right.(type) {
	case string:
		names = append(names, v)
	case []string:
		names = append(names, v...)
	case []any:
		for _, n := range v {
			if s, ok := n.(string); ok {
				names = append(names, s)
			}
		}
	}
	if !slices.Contains(names, user) {
		names = append(names, user)
	}
	if !slices.Contains(names, "$admins") {
		names = append(names, "$admins")
	}
	return names
}

// change edits the newest entry of a stream that holds settings as JSON.
func (s *Store) change(ctx context.Context, stream string, edit func(map[string]any)) error {
	for try := 0; ; try++ {
		err := s.changeOnce(ctx, stream, edit)
		if classify(err) != conflict || try == tries {
			return err
		}
	}
}

func (s *Store) changeOnce(ctx context.Context, stream string, edit func(map[string]any)) error {
	_, err := patient(ctx, s.db, func(ctx context.Context, c *esdb.Client) (*esdb.WriteResult, error) {
		newest, err := s.newestEvent(ctx, c, stream)
		if err != nil {
			return nil, err
		}
		m := map[string]any{}
		var revision esdb.ExpectedRevision = esdb.NoStream{}
		if newest != nil {
			revision = esdb.Revision(newest.EventNumber)
			if err := json.Unmarshal(newest.Data, &m); err != nil {
				return nil, fmt.Errorf("%w: %s holds no JSON object", eventstore.ErrDamaged, stream)
			}
		}
		before, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		edit(m)
		after, err := json.Marshal(m)
		if err != nil || string(before) == string(after) {
			return nil, err
		}
		kind := "$metadata"
		if stream == "$settings" {
			kind = "update-default-acl"
		}
		return c.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: revision},
			esdb.EventData{EventID: uuid.New(), EventType: kind, ContentType: esdb.ContentTypeJson, Data: after})
	})
	if errors.Is(err, eventstore.ErrDamaged) {
		return fmt.Errorf("change %s: %w", stream, err)
	}
	return err
}
