package domain

import "time"

// Security notifications (D-58) and the record of auditors' reads.

// RecordNotification says that the user was told, by a channel that was not
// the login's factor. NoticeOf is the id of the event it is about.
type RecordNotification struct {
	UserID     string
	Topic      string
	Channel    string // email, sms, push, portal
	TemplateID string
	Locale     string
	RuleID     string // that demands it, if one does
	NoticeOf   string
	Failed     bool
}

// RecordAuditQuery says that an auditor read the record.
type RecordAuditQuery struct {
	Month       string // yyyy-mm of the read
	AuditorRef  string
	Operation   string
	QueryDigest string // SHA-256 of the normalised query, base64url
	Purpose     string
	Rows        int
}

// SecurityNotificationSent records a notice.
type SecurityNotificationSent struct {
	NotificationID string `json:"notification_id"`
	Topic          string `json:"topic"`
	Channel        string `json:"channel"`
	TemplateID     string `json:"template_id"`
	Locale         string `json:"locale"`
	RuleID         string `json:"rule_id,omitempty"`
	NoticeOf       string `json:"notice_of"`
}

// SecurityNotificationFailed records a notice that could not be handed over.
type SecurityNotificationFailed struct {
	NotificationID string `json:"notification_id"`
	Topic          string `json:"topic"`
	Channel        string `json:"channel"`
	NoticeOf       string `json:"notice_of"`
}

// AuditQueryPerformed records a read of the record.
type AuditQueryPerformed struct {
	AuditorRef  string `json:"auditor_ref"`
	Operation   string `json:"operation"`
	QueryDigest string `json:"query_digest"`
	Purpose     string `json:"purpose,omitempty"`
	Rows        int    `json:"rows"`
}

func (d *decision) notify(c RecordNotification) ([]Event, error) {
	id := d.newID(PrefixNotification)
	if c.Failed {
		return []Event{SecurityNotificationFailed{NotificationID: id, Topic: c.Topic, Channel: c.Channel, NoticeOf: c.NoticeOf}}, nil
	}
	return []Event{SecurityNotificationSent{
		NotificationID: id, Topic: c.Topic, Channel: c.Channel, TemplateID: c.TemplateID, Locale: c.Locale, RuleID: c.RuleID,
		NoticeOf: c.NoticeOf,
	}}, nil
}

// Audit is the state of a stream of auditors' reads: it has none.
type Audit struct{}

// Apply records nothing.
func (*Audit) Apply(Event, time.Time) {}
