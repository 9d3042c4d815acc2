package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

// Phones of users. The number itself stays sealed in its event; the blind
// index finds it, and is NULL once the user is restricted or erased.
const (
	schemaPhones = `CREATE TABLE phones (
	id       TEXT PRIMARY KEY,
	user     TEXT NOT NULL,
	cc       TEXT NOT NULL,
	line     TEXT NOT NULL,
	sealed   TEXT NOT NULL,
	event    BLOB NOT NULL,
	blind    BLOB,
	restricted INTEGER NOT NULL DEFAULT 0,
	erased   INTEGER NOT NULL DEFAULT 0,
	status   TEXT NOT NULL,
	added    INTEGER NOT NULL,
	added_seq INTEGER NOT NULL,
	verified INTEGER,
	retired  INTEGER,
	replaced_by TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX phones_user ON phones (user, added_seq);
CREATE INDEX phones_blind ON phones (blind, added_seq) WHERE blind IS NOT NULL`

	sqlAddPhone = `INSERT INTO phones (id, user, cc, line, sealed, event, blind, erased, status, added, added_seq)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'unverified', ?, ?) ON CONFLICT DO NOTHING`
	sqlVerifyPhone    = `UPDATE phones SET verified = ?, status = 'verified' WHERE id = ? AND retired IS NULL`
	sqlRetirePhone    = `UPDATE phones SET status = ?, retired = ?, replaced_by = ? WHERE id = ? AND retired IS NULL`
	sqlRestrictPhones = `UPDATE phones INDEXED BY phones_user SET blind = NULL, restricted = 1 WHERE user = ?`
	sqlForgetPhones   = `UPDATE phones INDEXED BY phones_user SET blind = NULL, sealed = '', restricted = 0, erased = 1 WHERE user = ?`
	columnsPhone      = `SELECT id, user, cc, line, event, restricted, erased, status, added, verified, retired, replaced_by FROM phones `
	sqlPhonesOfUser   = columnsPhone + `WHERE user = ? ORDER BY added_seq, id`
	sqlPhone          = columnsPhone + `WHERE id = ?`
	sqlPhonesByBlind  = columnsPhone + `WHERE blind = ? ORDER BY added_seq, id`
)

// PhoneStatus is where a phone stands.
type PhoneStatus string

// Statuses of a phone. Replaced and removed ones are retired for good.
const (
	PhoneUnverified PhoneStatus = "unverified"
	PhoneVerified   PhoneStatus = "verified"
	PhoneReplaced   PhoneStatus = "replaced"
	PhoneRemoved    PhoneStatus = "removed"
)

// phones writes the phones.
type phones struct {
	direct

	opener

	add, verify, retire, restrict, forget *stmt
}

// opener turns a sealed number into its blind index.
type opener struct {
	reveal func(ctx context.Context, e *entry) (string, error)
	blind  func(ctx context.Context, number string) ([]byte, error)
	erased func(error) bool
}

// index returns the blind index of the number in e, and whether its key was
// destroyed, so that there is none and never will be.
func (o opener) index(ctx context.Context, e *entry) (blind []byte, erased bool, err error) {
	number, err := o.reveal(ctx, e)
	if err != nil && o.erased(err) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("open number: %w", err)
	}
	if blind, err = o.blind(ctx, number); err != nil {
		return nil, false, fmt.Errorf("compute blind index: %w", err)
	}
	return blind, false, nil
}

func (m *phones) prepare(p *preparer) {
	m.add, m.verify, m.retire = p.stmt(sqlAddPhone), p.stmt(sqlVerifyPhone), p.stmt(sqlRetirePhone)
	m.restrict, m.forget = p.stmt(sqlRestrictPhones), p.stmt(sqlForgetPhones)
}

func (m *phones) apply(ctx context.Context, e *entry) error {
	switch v := e.Event.(type) {
	case domain.PhoneNumberAdded:
		blind, erased, err := m.index(ctx, e)
		if err != nil {
			return err
		}
		return run(m.add, v.PhoneID, e.owner, v.CC, string(v.Line), v.Number.SealedText(), e.Record.ID[:], blind, erased, e.occurred, e.seq)
	case domain.PhoneNumberVerified:
		return run(m.verify, e.occurred, v.PhoneID)
	case domain.PhoneNumberReplaced:
		return run(m.retire, string(PhoneReplaced), e.occurred, v.NewPhoneID, v.OldPhoneID)
	case domain.PhoneNumberRemoved:
		return run(m.retire, string(PhoneRemoved), e.occurred, nil, v.PhoneID)
	case domain.ProcessingRestricted:
		return run(m.restrict, e.owner)
	case domain.PersonalDataErased:
		return run(m.forget, e.owner)
	}
	return nil
}

// Phone of a user. Whoever may see the number reveals field "number" of the
// event EventID.
type Phone struct {
	ID         string
	UserID     string
	CC         string
	Line       domain.Line
	EventID    eventstore.EventID
	Restricted bool // the number is locked away: not found, and not to be shown even in part
	Erased     bool // the number's key was destroyed; it cannot be revealed or found
	Status     PhoneStatus
	AddedAt    time.Time
	VerifiedAt *time.Time // last time
	RetiredAt  *time.Time
	ReplacedBy string
}

// Phones lists every phone the user ever had, in the order they were added.
func (v *Views) Phones(ctx context.Context, userID string) ([]Phone, error) {
	return queryPhones(ctx, v.read, sqlPhonesOfUser, userID)
}

// Phone returns one phone, or ErrNotFound.
func (v *Views) Phone(ctx context.Context, id string) (Phone, error) {
	return single(queryPhones(ctx, v.read, sqlPhone, id))
}

// PhonesWithNumber lists the phones of all users that have this number (E.164),
// in the order they were added. Restricted and erased ones are not found.
func (v *Views) PhonesWithNumber(ctx context.Context, number string) ([]Phone, error) {
	blind, err := v.options.Blind(ctx, number)
	if err != nil {
		return nil, fmt.Errorf("look up number: %w", err)
	}
	return queryPhones(ctx, v.read, sqlPhonesByBlind, blind)
}

func queryPhones(ctx context.Context, q queryer, query string, arg any) ([]Phone, error) {
	rows, err := q.QueryContext(ctx, query, arg)
	if err != nil {
		return nil, fmt.Errorf("read phones: %w", err)
	}
	out, err := collect(rows, scanPhone)
	if err != nil {
		return nil, fmt.Errorf("read phones: %w", err)
	}
	return out, nil
}

func scanPhone(r *sql.Rows) (Phone, error) {
	var p Phone
	var event []byte
	var added int64
	var verified, retired *int64
	var replacedBy *string
	err := r.Scan(&p.ID, &p.UserID, &p.CC, &p.Line, &event, &p.Restricted, &p.Erased, &p.Status, &added, &verified, &retired, &replacedBy)
	copy(p.EventID[:], event)
	p.AddedAt, p.VerifiedAt, p.RetiredAt, p.ReplacedBy = instant(added), moment(verified), moment(retired), text(replacedBy)
	return p, err
}

// single is the only element of a query by primary key, or ErrNotFound.
func single[T any](found []T, err error) (T, error) {
	var zero T
	switch {
	case err != nil:
		return zero, err
	case len(found) == 0:
		return zero, ErrNotFound
	case len(found) > 1:
		return zero, errors.New("more than one row of one id")
	}
	return found[0], nil
}
