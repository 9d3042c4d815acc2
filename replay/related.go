package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

// Related lists the streams of a user's history: the user's own and those of
// every installation and physical device that an event of the user names. An
// installation can serve other users too, whose events come along. A user
// without events has the own stream alone.
func Related(ctx context.Context, r eventstore.Reader, userID string) ([]string, error) {
	stream := domain.UserStream(userID)
	found := map[string]bool{stream: true}
	for record, err := range r.ReadStream(ctx, stream, 0) {
		var data any
		if err == nil {
			err = json.Unmarshal(record.Data, &data)
		}
		if err != nil {
			return nil, fmt.Errorf("read what %s lives on: %w", stream, err)
		}
		for _, id := range texts(data, nil) {
			switch {
			case domain.IsID(id, domain.PrefixInstallation):
				found[domain.InstallationStream(id)] = true
			case domain.IsID(id, domain.PrefixDevice):
				found[domain.DeviceStream(id)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// texts appends every text of a JSON value.
func texts(value any, out []string) []string {
	switch v := value.(type) {
	case string:
		out = append(out, v)
	case []any:
		for _, x := range v {
			out = texts(x, out)
		}
	case map[string]any:
		for _, x := range v {
			out = texts(x, out)
		}
	}
	return out
}
