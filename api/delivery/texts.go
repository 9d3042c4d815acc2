package delivery

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/authledger/authledger/domain"
)

//go:embed texts/*.json
var textFiles embed.FS

// tongue is what a language needs beside its texts.
type tongue struct {
	name      string   // BCP 47, and of its file
	separator string   // between digits that are spoken one by one
	clock     string   // layout of a moment in UTC
	never     []string // how its texts say, in lower case, that a code is for nobody else
}

// tongues lists the languages there are texts in. The first one is spoken when
// there is none in the user's language.
//
// There is no Simplified Chinese: nobody has written and checked it, and the
// Traditional text is no substitute, for its words differ as well as its
// characters. A reader of Simplified Chinese gets English.
var tongues = []tongue{
	{name: "en", separator: ", ", clock: "2006-01-02 15:04 UTC", never: []string{"never share"}},
	{name: "de", separator: ", ", clock: "02.01.2006 um 15:04 UTC", never: []string{"niemals weiter"}},
	{name: "it", separator: ", ", clock: "02/01/2006 alle ore 15:04 UTC", never: []string{"non comunicarlo mai a nessuno"}},
	{name: "ja", separator: "、", clock: "2006年1月2日15:04（UTC）", never: []string{"誰にも教えないで"}},
	{name: "zh-Hant", separator: "，", clock: "2006年1月2日15:04（UTC）", never: []string{"切勿向任何人透露"}},
}

// ErrNoText means a template id that no catalogue has.
var ErrNoText = errors.New("no such text")

// Texts are the catalogues of everything users are told, one for each language.
// A template id names text and version ("login_code@1"): a changed text gets a
// new version, so that the ledger can tell which one a user received.
type Texts struct {
	app        string
	catalogues map[string]map[string]string // by language, then template id
	matcher    language.Matcher             // over tongues, in their order
}

// NewTexts reads the catalogues built into the program, naming the application
// as app, and checks every text (lint).
func NewTexts(app string) (*Texts, error) {
	t := &Texts{app: app, catalogues: map[string]map[string]string{}, matcher: newMatcher()}
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
		t.catalogues[strings.TrimSuffix(f.Name(), ".json")] = catalogue
	}
	return t, t.lint()
}

func newMatcher() language.Matcher {
	tags := make([]language.Tag, len(tongues))
	for i, l := range tongues {
		tags[i] = language.MustParse(l.name)
	}
	return language.NewMatcher(tags)
}

// tongue is the language to speak to somebody of a locale (BCP 47). A match
// that is merely better than none, such as Traditional for Simplified Chinese,
// does not count: English is understood more widely.
func (t *Texts) tongue(locale string) tongue {
	tag, _ := language.Parse(locale) // of a malformed one, what could be read
	_, i, confidence := t.matcher.Match(tag)
	if confidence < language.High {
		i = 0
	}
	return tongues[i]
}

// Render fills a text in: code replaces {code}, and {digits} by its characters
// one by one as a voice reads them out; at replaces {time}. It returns the
// language it found for the locale.
func (t *Texts) Render(templateID, locale, code string, at time.Time) (text domain.Secret, spoken string, err error) {
	l := t.tongue(locale)
	pattern, ok := t.catalogues[l.name][templateID]
	if !ok {
		return "", "", fmt.Errorf("render %s: %w", templateID, ErrNoText)
	}
	return domain.Secret(t.fill(l, pattern, code, at)), l.name, nil
}

func (t *Texts) fill(l tongue, pattern, code string, at time.Time) string {
	return strings.NewReplacer(
		"{app}", t.app, "{code}", code, "{digits}", strings.Join(strings.Split(code, ""), l.separator), "{time}", at.UTC().Format(l.clock),
	).Replace(pattern)
}
