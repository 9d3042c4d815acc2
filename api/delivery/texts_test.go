package delivery

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/domain"
)

func newTexts(t *testing.T) *Texts {
	t.Helper()
	texts, err := NewTexts("IBKR Mobile")
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// say renders a text in the language of a locale.
func say(t *testing.T, texts *Texts, id, locale, code string) string {
	t.Helper()
	text, _, err := texts.Render(id, locale, code, noon)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTextsBeginWithTheCodeAndWarn(t *testing.T) {
	t.Parallel()
	texts := newTexts(t)
	for locale, never := range map[string]string{
		"en": "Never share it", "de": "iemals weitergeben", "it": "Non comunicarlo mai a nessuno", "ja": "誰にも教えないで", "zh-Hant": "切勿向任何人透露",
	} {
		for _, id := range []string{"confirm_code@1", "login_code@1", "activation_code@1", "migration_code@1", "recovery_code@1", codeEmailTemplate} {
			s := say(t, texts, id, locale, "042137")
			warns := strings.Contains(s, never) || locale == "de" && strings.Contains(s, "Geben Sie ihn niemals weiter")
			if !strings.HasPrefix(s, "042137 ") || strings.Count(s, "042137") != 1 || !strings.Contains(s, "IBKR Mobile") || !warns {
				t.Errorf("%s of %s: %q", id, locale, s)
			}
			if n, gsm := segments(s); id != codeEmailTemplate && (n != 1 || gsm == (locale == "ja" || locale == "zh-Hant")) {
				t.Errorf("%s of %s takes %d segments, GSM alphabet: %t", id, locale, n, gsm)
			}
		}
	}
}

func TestUsersAreToldInTheirLanguage(t *testing.T) {
	t.Parallel()
	texts := newTexts(t)
	for locale, want := range map[string]string{
		"en": "en", "en-GB": "en", "de": "de", "de-CH": "de", "de_AT": "de", "it-CH": "it", "ja": "ja", "ja-JP": "ja",
		"zh-HK": "zh-Hant", "zh-TW": "zh-Hant", "zh-MO": "zh-Hant", "zh-Hant": "zh-Hant", "zh-Hant-HK": "zh-Hant", "zh-Hant-CN": "zh-Hant",
		"zh": "en", "zh-CN": "en", "zh-SG": "en", "zh-Hans-HK": "en", "fr": "en", "ko-KR": "en", "": "en", "und": "en", "not a locale": "en", "xx-YY": "en",
	} {
		if _, spoken, err := texts.Render("push_login@1", locale, "", noon); err != nil || spoken != want {
			t.Errorf("%q is told in %s (%v), want %s", locale, spoken, err, want)
		}
	}
}

func TestVoiceSaysEveryDigitTwice(t *testing.T) {
	t.Parallel()
	texts := newTexts(t)
	for locale, digits := range map[string]string{
		"en": "0, 4, 8, 3, 9, 2", "de": "0, 4, 8, 3, 9, 2", "it": "0, 4, 8, 3, 9, 2", "ja": "0、4、8、3、9、2", "zh-Hant": "0，4，8，3，9，2",
	} {
		s := say(t, texts, "login_voice@1", locale, "048392")
		if strings.Count(s, digits) != 2 || strings.Contains(s, "048392") || !strings.Contains(s, "IBKR Mobile") {
			t.Errorf("script of %s: %q", locale, s)
		}
	}
}

func TestNoticesTellTheTimeAsTheLanguageDoes(t *testing.T) {
	t.Parallel()
	texts := newTexts(t)
	for locale, want := range map[string]string{
		"en": "2026-11-23 12:00 UTC", "de": "23.11.2026 um 12:00 UTC", "it": "23/11/2026 alle ore 12:00 UTC",
		"ja": "2026年11月23日12:00（UTC）", "zh-Hant": "2026年11月23日12:00（UTC）",
	} {
		if s := say(t, texts, "notice_login@1", locale, ""); !strings.Contains(s, want) {
			t.Errorf("%s: %q", locale, s)
		}
	}
}

func TestEveryTemplateInUseHasAText(t *testing.T) {
	t.Parallel()
	texts := newTexts(t)
	ids := []string{
		pushTemplate, codeEmailTemplate, "confirm_code@1", "login_code@1", "activation_code@1", "migration_code@1", "recovery_code@1", "login_voice@1",
	}
	for _, about := range allTopics() {
		ids = append(ids, "notice_"+about+"@1")
	}
	slices.Sort(ids)
	if diff := cmp.Diff(ids, texts.ids()); diff != "" {
		t.Errorf("texts (-in use +written):\n%s", diff)
	}
	for _, l := range tongues {
		for _, id := range ids {
			if s := say(t, texts, id, l.name, "1"); strings.ContainsAny(s, "{}") {
				t.Errorf("%s of %s: %q", id, l.name, s)
			}
		}
	}
	if _, _, err := texts.Render("login_code@2", "en", "1", noon); !errors.Is(err, ErrNoText) {
		t.Errorf("unknown template: %v", err)
	}
}

// allTopics lists what notices can be about.
func allTopics() []string {
	out := []string{topicLoginOneFactor}
	for _, n := range news {
		switch n.event {
		case "AuthenticatorRevoked":
			out = append(out, n.topic(domain.AuthenticatorRevoked{Reason: "lost"}))
		case "AuthenticationSucceeded":
			out = append(out, n.topic(domain.AuthenticationSucceeded{Factors: 2}))
		default:
			out = append(out, n.topic(nil))
		}
	}
	return out
}

// with is the catalogues with one text changed in one language, or added.
func with(t *testing.T, locale, id, pattern string) *Texts {
	t.Helper()
	texts := newTexts(t)
	texts.catalogues[locale][id] = pattern
	return texts
}

func TestLintRefusesBadTexts(t *testing.T) {
	t.Parallel()
	for why, bad := range map[string][3]string{
		"begin with the code": {"en", "login_code@1", "Your {app} code is {code}. Never share it."},
		"has it again":        {"en", "login_code@1", "{code} is your {app} code. Never share {code}, never share it."},
		"had a link":          {"en", "login_code@1", "{code} is your {app} code: https://example. Never share it."},
		"a link":              {"de", "login_code@1", "{code} ist Ihr {app} Code, siehe www.x. Niemals weitergeben."},
		"if it had":           {"it", "push_login@1", "Apri {app} e vedi esempio.it"},
		"as if":               {"ja", "push_login@1", "{app}を開き、例え.みんなをご覧ください"},
		"not name":            {"en", "login_code@1", "{code} is your code. Never share it."},
		"one text message":    {"en", "login_code@1", "{code} is your {app} code. Never share it." + strings.Repeat("x", 110)},
		"into one text":       {"de", "login_code@1", "{code} ist Ihr {app}-Code – niemals weitergeben. Wir fragen nicht danach, nie."},
		"fit into":            {"ja", "login_code@1", "{code} は{app}のコードです。誰にも教えないでください。" + strings.Repeat("あ", 29)},
		"must not be shared":  {"en", "login_code@1", "{code} is your {app} code."},
		"be shared":           {"ja", "login_voice@1", "{app}です。{digits}。{digits}。"},
		"exactly twice":       {"zh-Hant", "login_voice@1", "{app}：{digits}。切勿向任何人透露。"},
		"but them":            {"en", "login_voice@1", "{app}: {digits}, {digits}, {code}. Never share it."},
		"unknown placeholder": {"en", "push_login@1", "Open {app}, {name}."},
		"other placeholders":  {"it", "notice_login@1", "{app}: accesso al tuo conto."},
		"is missing":          {"en", "new@1", "{app}"},
	} {
		if err := with(t, bad[0], bad[1], bad[2]).lint(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: error %v, want one with %q", bad[2], err, why)
		}
	}
	extra := newTexts(t)
	extra.catalogues["fr"] = extra.catalogues["en"]
	if err := extra.lint(); err == nil || !strings.Contains(err.Error(), "fr") {
		t.Errorf("accepted a language that is never chosen: %v", err)
	}
	if _, err := NewTexts("my.app.com"); err == nil {
		t.Error("accepted an application name that looks like a link")
	}
	if _, err := NewTexts(strings.Repeat("x", 120)); err == nil {
		t.Error("accepted an application name that needs a second segment")
	}
}

func TestSegments(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"": 1, strings.Repeat("a", 160): 1, strings.Repeat("a", 161): 2, strings.Repeat("a", 306): 2, strings.Repeat("a", 307): 3,
		strings.Repeat("€", 80): 1, strings.Repeat("€", 81): 2,
		strings.Repeat("字", 70): 1, strings.Repeat("字", 71): 2, strings.Repeat("字", 134): 2, strings.Repeat("字", 135): 3,
		strings.Repeat("😀", 35): 1, strings.Repeat("😀", 36): 2,
	} {
		n, gsm := segments(text)
		if n != want {
			t.Errorf("%d runes of %.4q: %d segments, want %d", len([]rune(text)), text, n, want)
		}
		if wide := strings.ContainsAny(text, "字😀"); gsm == wide {
			t.Errorf("%.4q in the GSM alphabet: %t", text, gsm)
		}
	}
}
