package delivery

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/authledger/authledger/domain"
)

//go:embed texts/*.json
var textFiles embed.FS

// defaultLocale is spoken when there is no text in the user's language.
const defaultLocale = "en"

// ErrNoText means a template id that no catalogue has.
var ErrNoText = errors.New("no such text")

// Texts are the catalogues of everything users are told, one for each locale.
// A template id names text and version ("login_code@1"): a changed text gets a
// new version, so that the ledger can tell which one a user received.
type Texts struct {
	app     string
	locales map[string]map[string]string
}

// NewTexts reads the catalogues built into the program, naming the application
// as app, and checks every text (lint).
func NewTexts(app string) (*Texts, error) {
	t := &Texts{app: app, locales: map[string]map[string]string{}}
	files, err := textFiles.ReadDir("texts")
	if err != nil {
		return nil, fmt.Errorf("read texts: %w", err)
	}
	for _, f := range files {
		b, err := textFiles.ReadFile(path.Join("texts", f.Name()))
		if err != nil {
			return nil, fmt.Errorf("read texts: %w", err)
		}
		catalogue := map[string]string{}
		if err := json.Unmarshal(b, &catalogue); err != nil {
			return nil, fmt.Errorf("read texts of %s: %w", f.Name(), err)
		}
		t.locales[strings.TrimSuffix(f.Name(), ".json")] = catalogue
	}
	return t, t.lint()
}

// Render fills a text in: code and time replace {code} and {time}. It returns
// the locale it found a text in: the one asked for, its language, or English.
func (t *Texts) Render(templateID, locale, code, at string) (text domain.Secret, spoken string, err error) {
	language, _, _ := strings.Cut(locale, "-")
	for _, l := range []string{locale, language, defaultLocale} {
		if pattern, ok := t.locales[l][templateID]; ok {
			return domain.Secret(t.fill(pattern, code, at)), l, nil
		}
	}
	return "", "", fmt.Errorf("render %s: %w", templateID, ErrNoText)
}

func (t *Texts) fill(pattern, code, at string) string {
	return strings.NewReplacer("{app}", t.app, "{code}", code, "{time}", at).Replace(pattern)
}

// longestCode is as long as an activation code (D-13), the longest there is.
const longestCode = "88888888"

var link = regexp.MustCompile(`(?i)://|www\.|[a-z0-9]\.[a-z]{2,}`)

// lint refuses a text that would break the rules for messages: no link (D-59),
// and for a code: code first, application named, "never share", one segment of
// the GSM alphabet (3GPP TS 23.038) whatever the code.
func (t *Texts) lint() error {
	var faults []error
	fault := func(locale, id, why string) {
		faults = append(faults, fmt.Errorf("text %s of %s %s", id, locale, why))
	}
	for locale, catalogue := range t.locales {
		for id, pattern := range catalogue {
			text := t.fill(pattern, longestCode, "2006-01-02 15:04 UTC")
			if link.MatchString(text) {
				fault(locale, id, "looks as if it had a link")
			}
			if !strings.Contains(pattern, "{app}") {
				fault(locale, id, "does not name the application")
			}
			if !strings.Contains(pattern, "{code}") {
				continue
			}
			if !strings.HasPrefix(pattern, "{code}") {
				fault(locale, id, "does not begin with the code")
			}
			if n, gsm := segments(text); !gsm || n != 1 {
				fault(locale, id, "does not fit into one segment of the GSM alphabet")
			}
		}
		if len(catalogue) != len(t.locales[defaultLocale]) {
			fault(locale, "count", "differs from English")
		}
	}
	return errors.Join(faults...)
}
