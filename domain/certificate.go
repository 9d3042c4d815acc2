package domain

import (
	"fmt"
	"slices"
	"time"
)

// Certificates of erasure: after a key was destroyed every file is searched for
// it, and what the search found is certified in a stream of its own, where an
// auditor finds all of them.

// CertifyErasure says that the keys of an erasure are gone from every file. A
// search that found something is no certificate and is refused: destroy and
// search again. A second certificate of the same erasure changes nothing.
type CertifyErasure struct {
	ErasureID   string
	SubjectRef  string
	Also        []string
	KeyID       string
	DestroyedAt time.Time
	Method      string
	Files       int   // searched; zero when a crash took what to search for
	Bytes       int64 // searched
	Findings    int   // places in which the key or what it sealed was still found
}

// ErasureCertified is the certificate.
type ErasureCertified struct {
	ErasureID   string    `json:"erasure_id"`
	SubjectRef  string    `json:"subject_ref"` // stream under whose key the data was sealed
	Also        []string  `json:"also,omitempty"`
	KeyID       string    `json:"key_id,omitempty"` // absent when nothing was ever sealed under one
	DestroyedAt time.Time `json:"destroyed_at"`
	Method      string    `json:"method"`
	Files       int       `json:"files"`    // searched
	Bytes       int64     `json:"bytes"`    // searched
	Findings    int       `json:"findings"` // 0
}

// Certificates is the state of the stream of certificates.
type Certificates struct {
	certified map[string]bool // by erasure id
}

// Apply records an event.
func (s *Certificates) Apply(e Event, _ time.Time) {
	if e, ok := e.(ErasureCertified); ok {
		s.certified[e.ErasureID] = true
	}
}

func decideCertificates(s *Certificates, c Command, now time.Time) ([]Event, error) {
	cert, ok := c.(CertifyErasure)
	if !ok {
		return nil, fmt.Errorf("command %s does not belong to the certificates", c.Name())
	}
	switch {
	case !IsID(cert.ErasureID, PrefixErasure):
		return nil, invalid("erasureId", "give the id of the erasure")
	case cert.SubjectRef != UserStream(UserOf(cert.ErasureID)):
		return nil, invalid("subjectRef", "give the stream the erasure belongs to")
	case cert.Method == "" || cert.Files < 0 || cert.Bytes < 0 || (cert.Files == 0) != (cert.Bytes == 0):
		return nil, invalid("method", "say how and in how many files and bytes the key was looked for; none when nobody knows any more what to look for")
	case cert.DestroyedAt.IsZero() || cert.DestroyedAt.Truncate(time.Microsecond).After(now): // as it is stored
		return nil, invalid("destroyedAt", "give the moment at which the key was destroyed")
	case cert.Findings != 0:
		return nil, invalid("findings", "the key or what it sealed was still found; destroy it and search again")
	case s.certified[cert.ErasureID]:
		return nil, nil
	}
	return []Event{ErasureCertified{
		ErasureID: cert.ErasureID, SubjectRef: cert.SubjectRef, Also: slices.Clone(cert.Also), KeyID: cert.KeyID,
		DestroyedAt: cert.DestroyedAt, Method: cert.Method, Files: cert.Files, Bytes: cert.Bytes,
	}}, nil
}
