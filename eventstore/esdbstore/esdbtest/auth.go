package esdbtest

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// right is an operation as access lists name it.
type right string

const (
	rightRead      right = "$r"
	rightWrite     right = "$w"
	rightDelete    right = "$d"
	rightMetaRead  right = "$mr"
	rightMetaWrite right = "$mw"
)

const (
	roleEverybody = "$all"
	roleAdmins    = "$admins"
)

func readOf(stream string) right {
	if strings.HasPrefix(stream, metadataPrefix) {
		return rightMetaRead
	}
	return rightRead
}

func writeOf(stream string) right {
	if strings.HasPrefix(stream, metadataPrefix) {
		return rightMetaWrite
	}
	return rightWrite
}

// authenticate returns the user of a call, nothing for an anonymous one, and
// refuses a wrong name or password.
func (s *Server) authenticate(ctx context.Context) (string, error) {
	if s.options.User == "" {
		return "", nil
	}
	text := header(ctx, "authorization")
	if text == "" {
		return "", nil
	}
	login, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "Basic "))
	want := s.options.User + ":" + s.options.Password
	if err != nil || subtle.ConstantTimeCompare(login, []byte(want)) != 1 {
		return "", status.Error(codes.Unauthenticated, "Unauthenticated")
	}
	return s.options.User, nil
}

// authorize asks whether the caller has a right on a stream. Without a user
// everybody may do everything. Otherwise the stream's own list decides, for a
// right it names, then the default of $settings, then the built-in one: user
// streams are open to every user, streams that begin with $ to $admins only,
// which is true of $all too. Admins may always.
func (s *Server) authorize(ctx context.Context, stream string, to right) error {
	if s.options.User == "" {
		return nil
	}
	user := callOf(ctx).user
	if user == "" || !s.options.Admin && !s.allowed(user, stream, to) {
		return refuse(ctx, codes.PermissionDenied, "access-denied", "Access Denied")
	}
	return nil
}

func (s *Server) allowed(user, stream string, to right) bool {
	of := strings.TrimPrefix(stream, metadataPrefix)
	granted := s.log.acl(of)[string(to)]
	if granted == nil {
		granted = s.defaultACL(of)[string(to)]
	}
	switch {
	case granted != nil:
		return slices.Contains(granted, roleEverybody) || slices.Contains(granted, user)
	default:
		return !strings.HasPrefix(of, "$")
	}
}

// defaultACL is the list $settings gives to streams of this kind.
func (s *Server) defaultACL(stream string) map[string]roles {
	var settings struct {
		User   map[string]roles `json:"$userStreamAcl"`
		System map[string]roles `json:"$systemStreamAcl"`
	}
	end, _ := s.log.horizon(0)
	events, _, err := s.log.read("$settings", end)
	if err != nil || len(events) == 0 || json.Unmarshal(events[len(events)-1].Data, &settings) != nil {
		return nil
	}
	if strings.HasPrefix(stream, "$") {
		return settings.System
	}
	return settings.User
}

// acl is the access list of a stream's own metadata.
func (l *ledger) acl(stream string) map[string]roles {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.meta[stream].acl
}

// requireOps lets only $admins manage persistent subscriptions, as on a server
// by default ($ops aside, which this one does not know).
func (s *Server) requireOps(ctx context.Context) error {
	if s.options.User == "" || s.options.Admin && callOf(ctx).user != "" {
		return nil
	}
	return refuse(ctx, codes.PermissionDenied, "access-denied", "Access Denied")
}
