package projections

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/authledger/authledger/eventstore"
)

// canonical lists every table of every read model with the query that gives
// its rows in canonical order. Numbers that depend on the file, which are those
// of interned texts, are replaced by what they stand for; the checkpoint is
// hashed as its sequence and event, because a position is the store's business.
var canonical = [...]struct{ table, query string }{
	{"checkpoint", `SELECT sequence, event FROM checkpoint`},
	{"events", `SELECT e.seq, e.id, f.type, f.reason, f.outcome, e.owner, e.revision, e.occurred, e.recorded, a.kind, a.ref, e.correlation
FROM events e CROSS JOIN facets f ON f.id = e.facet CROSS JOIN actors a ON a.id = e.actor ORDER BY e.seq`},
	{"timeline", `SELECT t.entity, t.seq, f.type, f.reason FROM timeline t CROSS JOIN facets f ON f.id = t.facet ORDER BY t.entity, t.seq`},
	{"links", `SELECT child, parents FROM links ORDER BY child`},
	{"authenticators", `SELECT id, user, kind, installation, former, device, sharing, phone, activation_phone, os, trigger, restricted, suite,
	enrolled, enrolled_seq, enrolled_event, full_until, expires, lost, suspended, suspended_reason, revoked, revoked_event, reason,
	successor, first_used, last_used FROM authenticators ORDER BY id`},
	{"installations", `SELECT id, event, app, os, app_version, handset, key_id, algorithm, registered, pin_policy, pin_changed, blocked,
	retired, retired_reason, successor, push_service, push_changed FROM installations ORDER BY id`},
	{"phones", `SELECT id, user, cc, line, sealed, event, blind, restricted, erased, status, added, added_seq, verified, retired, replaced_by
FROM phones ORDER BY id`},
	{"sms", `SELECT seq, id, user, phone, purpose, subject, code_seq, template, locale, status, requested, gap_ms, dispatched, gateway,
	uncertain, sent, provider, provider_ref, sender, segments, delivered, latency_ms, receipt, failed, failure, provider_code, emailed,
	email_rule, reason, retry_after_s FROM sms ORDER BY seq`},
	{"optouts", `SELECT seq, id, user, status, requested, requested_by, agreement, acknowledged, decided, decided_seq, reason, jurisdiction,
	rule, rule_version, policy_version, decision, scope, ends, ended, cause, effective, detected, exposed_s, end_decision, ended_by
FROM optouts ORDER BY seq`},
	{"units", `SELECT id, event, model, manufacturer, serial, suite, registered, request, user, dispatched_on, due_on, shipped, waiting,
	activated, returned_on, returned, condition FROM units ORDER BY id`},
	{"charges", `SELECT seq, unit, kind, minor, currency, reason, fee_rule, recorded FROM charges ORDER BY seq`},
	{"bindings", `SELECT seq, host, user, authenticator, bound, unbound FROM bindings ORDER BY seq`},
	{"calls", `SELECT seq, id, user, phone, challenge, code_seq, platform, channel, template, locale, status, requested, dispatched, gateway,
	uncertain, placed, wait_ms, sla_missed, provider, provider_ref, answered, duration_s, failed, failure, provider_code, reason,
	retry_after_s FROM calls ORDER BY seq`},
	{"locks", `SELECT seq, user, started, failures, first_failed, last_failed, until, ended, ended_by, idv FROM locks ORDER BY seq`},
	{"processes", `SELECT seq, id, user, kind, variant, step, started, source, authenticator, installation, device, phone, owner, proof,
	proved, uv, idv, expires, ended, outcome, reason FROM processes ORDER BY seq`},
	{"erasures", `SELECT seq, id, user, status, basis, requested, requested_by, reason, retained_until, hold, rule, rule_cc, years,
	counted_from, restricted, erased, subject, also, key, destroyed, certified, certificate, method, files, bytes FROM erasures ORDER BY seq`},
	{"holds", `SELECT seq, id, user, case_ref, basis, placed, asked, asked_by, released, approved_by FROM holds ORDER BY seq`},
}

// Hash returns the hash of all rows of all read models and the sequence they
// stand at. Two views have the same hash exactly when they answer every query
// alike, however the records reached them. It reads everything.
//
// It is SHA-256 over, for each table in the order above: u32 length ‖ name,
// then for each row the byte 0x01 and its columns, then 0x00. A column is 'n'
// for NULL, 'i' ‖ i64, 't' ‖ u32 length ‖ UTF-8, or 'b' ‖ u32 length ‖ bytes;
// integers are big-endian.
func (v *Views) Hash(ctx context.Context) (h eventstore.Hash, at eventstore.Sequence, err error) {
	err = v.snapshot(ctx, func(q queryer) error {
		h, at, err = hashViews(ctx, q)
		return err
	})
	if err != nil {
		return eventstore.Hash{}, 0, fmt.Errorf("hash views: %w", err)
	}
	return h, at, nil
}

func hashViews(ctx context.Context, q queryer) (h eventstore.Hash, at eventstore.Sequence, err error) {
	c, err := readCheckpoint(ctx, q)
	if err != nil {
		return h, 0, err
	}
	sum := sha256.New()
	for _, t := range canonical {
		if err := hashTable(ctx, q, sum, t.table, t.query); err != nil {
			return h, 0, fmt.Errorf("table %s: %w", t.table, err)
		}
	}
	sum.Sum(h[:0])
	return h, c.seq, nil
}

func hashTable(ctx context.Context, q queryer, sum hash.Hash, table, query string) error {
	rows, err := q.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, targets := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	buf := appendBytes(nil, table)
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		buf = append(buf, 1)
		for i, v := range values {
			if buf, err = appendColumn(buf, v); err != nil {
				return fmt.Errorf("column %s: %w", columns[i], err)
			}
		}
		sum.Write(buf)
		buf = buf[:0]
	}
	sum.Write(append(buf, 0))
	return rows.Err()
}

func appendColumn(buf []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(buf, 'n'), nil
	case int64:
		return binary.BigEndian.AppendUint64(append(buf, 'i'), uint64(v)), nil
	case string:
		return appendBytes(append(buf, 't'), v), nil
	case []byte:
		return appendBytes(append(buf, 'b'), v), nil
	}
	return nil, fmt.Errorf("unexpected %T", v)
}

func appendBytes[T ~string | ~[]byte](buf []byte, b T) []byte {
	return append(binary.BigEndian.AppendUint32(buf, uint32(len(b))), b...)
}

var _ queryer = (*sql.Conn)(nil)
