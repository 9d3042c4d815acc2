package delivery

import (
	"errors"
	"strings"
	"testing"
)

func newTexts(t *testing.T) *Texts {
	t.Helper()
	texts, err := NewTexts("IBKR Mobile")
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func TestTextsBeginWithTheCodeAndWarn(t *testing.T) {
	t.Parallel()
	texts := newTexts(t)
	for _, id := range []string{"confirm_code@1", "login_code@1", "activation_code@1"} {
		text, locale, err := texts.Render(id, "zh-Hant-HK", "042137", "")
		if err != nil || locale != "en" {
			t.Fatalf("%s in %q: %v", id, locale, err)
		}
		s := string(text)
		if !strings.HasPrefix(s, "042137 ") || !strings.Contains(s, "IBKR Mobile") || !strings.Contains(strings.ToLower(s), "never share") {
			t.Errorf("%s: %q", id, s)
		}
		if n, gsm := segments(s); n != 1 || !gsm {
			t.Errorf("%s takes %d segments", id, n)
		}
	}
}

func TestEveryTemplateInUseHasAText(t *testing.T) {
	t.Parallel()
	texts := newTexts(t)
	ids := []string{pushTemplate}
	for _, about := range []string{
		"login", "login_one_factor", "authenticator_enrolled", "phone_replaced", "phone_removed", "opt_out_granted",
		"opt_out_denied", "opt_out_revoked", "opted_back_in", "user_locked", "user_closed",
	} {
		ids = append(ids, "notice_"+about+"@1")
	}
	for _, id := range ids {
		text, _, err := texts.Render(id, "en", "", "2026-11-23 12:00 UTC")
		if err != nil || strings.ContainsAny(string(text), "{}") {
			t.Errorf("%s: %q, %v", id, string(text), err)
		}
	}
	if _, _, err := texts.Render("login_code@2", "en", "1", ""); !errors.Is(err, ErrNoText) {
		t.Errorf("unknown template: %v", err)
	}
}

func TestLintRefusesBadTexts(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"Your {app} code is {code}. Never share it.",
		"{code} is your {app} code: https://example.com",
		"{code} is your {app} code, see www.example",
		"{code} is your {app} code, see example.com",
		"{code} is your code. Never share it.",
		"{code} is your {app} code. " + strings.Repeat("x", 160),
		"{code} ist Ihr {app}-Code – nicht weitergeben.",
		"{code} is your {app} code. " + strings.Repeat("€", 70),
	} {
		texts := &Texts{app: "App", locales: map[string]map[string]string{"en": {"bad@1": bad}}}
		if texts.lint() == nil {
			t.Errorf("accepted %q", bad)
		}
	}
	missing := &Texts{app: "App", locales: map[string]map[string]string{"en": {"a@1": "{app}"}, "de": {}}}
	if missing.lint() == nil {
		t.Error("accepted a catalogue with a text missing")
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
