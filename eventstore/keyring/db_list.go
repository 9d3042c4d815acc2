package keyring

import (
	"context"
	"time"
)

const (
	// Counts of living and destroyed keys, in this order, if there are any.
	sqlSubjectCounts = `SELECT count(*), min(created_at), max(destroyed_at), destroyed_at = 9223372036854775807 AS living
FROM subject_keys GROUP BY living ORDER BY living DESC`
	sqlEpochCounts = `SELECT count(*), min(created_at), max(destroyed_at), 0
FROM code_epochs WHERE destroyed_at <> 9223372036854775807 HAVING count(*) > 0`
	sqlSecretCounts = `SELECT count(*), min(changed_at), 9223372036854775807, 1 FROM secrets HAVING count(*) > 0`
)

func (d *database) counts(ctx context.Context) ([]KeyInfo, error) {
	var list []KeyInfo
	for _, part := range []struct{ kind, query string }{
		{string(KindCodeEpoch), sqlEpochCounts}, {"subject", sqlSubjectCounts}, {"secret", sqlSecretCounts},
	} {
		lines, err := d.countKeys(ctx, part.kind, part.query)
		if err != nil {
			return nil, err
		}
		list = append(list, lines...)
	}
	return list, nil
}

func (d *database) countKeys(ctx context.Context, kind, query string) ([]KeyInfo, error) {
	rows, err := d.read.QueryContext(ctx, query)
	if err != nil {
		return nil, storage("count keys", err)
	}
	defer rows.Close()
	var list []KeyInfo
	for rows.Next() {
		line := KeyInfo{Kind: kind, State: Destroyed}
		var since, ended int64
		var living bool
		if err := rows.Scan(&line.Count, &since, &ended, &living); err != nil {
			return nil, storage("count keys", err)
		}
		line.Since = time.UnixMicro(since).UTC()
		if living {
			line.State = InUse
		} else {
			line.Ended = time.UnixMicro(ended).UTC()
		}
		list = append(list, line)
	}
	return list, storage("count keys", rows.Err())
}
