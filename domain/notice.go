package domain

// Security notifications (D-58) and the record of auditors' reads.

// RecordNotification says that the user was told, by a channel that was not
// the login's factor. NoticeOf is the id of the event it is about.
type RecordNotification struct {
	UserID     string
	Topic      string
	Channel    string // email, sms, push, portal
	TemplateID string
	Locale     string
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
