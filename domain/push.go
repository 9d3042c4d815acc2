package domain

import "time"

// The way of a push (domain.md 6.2, R-20): sent, failed, opened.

// RecordPushSent says that the push service accepted the push.
type RecordPushSent struct{ ChallengeID string }

// RecordPushFailed says that it did not.
type RecordPushFailed struct{ ChallengeID, Failure string }

// RecordPushOpened says that the app showed the challenge.
type RecordPushOpened struct{ ChallengeID, InstallationID string }

// PushSent means that the push service accepted the push.
type PushSent struct {
	PushID         string `json:"push_id"`
	ChallengeID    string `json:"challenge_id"`
	InstallationID string `json:"installation_id"`
}

// PushFailed means that it did not.
type PushFailed struct {
	PushID      string `json:"push_id"`
	ChallengeID string `json:"challenge_id"`
	Failure     string `json:"failure"` // token_invalid, service_error, throttled
}

// PushOpened is reported by the app.
type PushOpened struct {
	PushID      string    `json:"push_id,omitempty"` // absent when the app fetched it before the push was sent
	ChallengeID string    `json:"challenge_id"`
	OpenedAt    time.Time `json:"opened_at"`
}

func (d *decision) recordPushSent(cmd RecordPushSent) ([]Event, error) {
	c, _, err := d.find(cmd.ChallengeID)
	if err != nil || c.PushID != "" || c.Mode != ModePush {
		return nil, err
	}
	return []Event{PushSent{PushID: d.newID(PrefixPush), ChallengeID: c.ID, InstallationID: c.InstallationID}}, nil
}

func (d *decision) recordPushFailed(cmd RecordPushFailed) ([]Event, error) {
	c, _, err := d.find(cmd.ChallengeID)
	if err != nil || c.PushFailed || c.Mode != ModePush {
		return nil, err
	}
	id := c.PushID
	if id == "" {
		id = d.newID(PrefixPush)
	}
	return []Event{PushFailed{PushID: id, ChallengeID: c.ID, Failure: cmd.Failure}}, nil
}

func (d *decision) recordPushOpened(cmd RecordPushOpened) ([]Event, error) {
	c, _, err := d.find(cmd.ChallengeID)
	if err != nil {
		return nil, err
	}
	if c.InstallationID != cmd.InstallationID || c.Mode != ModePush {
		return nil, unknown("challenge")
	}
	if !c.OpenedAt.IsZero() {
		return nil, nil
	}
	return []Event{PushOpened{PushID: c.PushID, ChallengeID: c.ID, OpenedAt: d.now}}, nil
}
