package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// jar is a browser's cookies.
type jar map[string]string

func (j jar) take(res *http.Response) {
	for _, c := range res.Cookies() {
		if c.MaxAge < 0 {
			delete(j, c.Name)
			continue
		}
		j[c.Name] = c.Value
	}
}

func (j jar) give(r *http.Request) {
	for name, value := range j {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
}

// token is the value of the form's hidden field.
func token(body string) string {
	_, after, _ := strings.Cut(body, `name="token" value="`)
	value, _, _ := strings.Cut(after, `"`)
	return value
}

// logIn opens a session with a key.
func (b *bench) logIn(key string) (jar, *http.Response) {
	b.t.Helper()
	j := jar{}
	res, body := b.get("/console/login")
	j.take(res)
	res = b.request("POST", "/console/login", url.Values{"token": {token(body)}, "key": {key}}.Encode(), j.give)
	j.take(res)
	return j, res
}

func TestConsoleNeedsALogin(t *testing.T) {
	t.Parallel()
	b := newBench(t, false)
	b.story()
	for _, target := range []string{"/console", "/console/users/" + userID, "/console/nothing"} {
		res, body := b.get(target)
		b.expect(res, 303)
		if res.Header.Get("Location") != "/console/login" || strings.Contains(body, userID+"\"") {
			t.Errorf("%s leads to %q", target, res.Header.Get("Location"))
		}
	}
	res, _ := b.get("/console/users/" + userID + "/live")
	b.expect(res, 401)
	if len(b.reads) != 0 {
		t.Errorf("reads recorded: %v", b.reads)
	}
}

func TestLoginOpensASession(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"auditor", "incident", "compliance", "operator"} {
		b := newBench(t, false)
		b.story()
		j, res := b.logIn("key-" + role)
		b.expect(res, 303)
		for _, c := range res.Cookies() {
			if c.Name == sessionCookie && (!c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || len(c.Value) != 43) {
				t.Errorf("cookie %v", c)
			}
		}
		res, body := b.get("/console/users/"+userID, j.give)
		b.expect(res, 200)
		b.safe(res, body)
		b.contains(body, "Log out")
		b.lacks(body, "DEMO", "482913", "Dev inbox", "key-"+role)
		if len(b.reads) != 1 || b.reads[0].Reader != "ak_"+role {
			t.Errorf("reads %v", b.reads)
		}
	}
}

func TestLoginIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, false)
	for key, want := range map[string]int{
		"key-frontend": 403, "key-device": 403, "key-gateway": 403, "wrong": 401, "": 401, strings.Repeat("x", 5000): 403,
	} {
		j, res := b.logIn(key)
		if res.StatusCode != want || j[sessionCookie] != "" {
			t.Errorf("%.20q: status %d, want %d; session %q", key, res.StatusCode, want, j[sessionCookie])
		}
	}
	b.keys.err = errors.New("file gone")
	_, res := b.logIn("key-auditor")
	b.expect(res, 503)
}

func TestFormsNeedTheirToken(t *testing.T) {
	t.Parallel()
	b := newBench(t, false)
	for name, change := range map[string]func(*http.Request){
		"no cookie":    func(*http.Request) {},
		"other cookie": jar{loginCookie: "other"}.give,
		"empty cookie": jar{loginCookie: ""}.give,
	} {
		_, body := b.get("/console/login")
		res := b.request("POST", "/console/login", url.Values{"token": {token(body)}, "key": {"key-auditor"}}.Encode(), change)
		if res.StatusCode != 403 {
			t.Errorf("%s: status %d", name, res.StatusCode)
		}
	}
	j, _ := b.logIn("key-auditor")
	res := b.request("POST", "/console/logout", "token=wrong", j.give)
	b.expect(res, 403)
	res, body := b.get("/console", j.give)
	b.expect(res, 200)
	res = b.request("POST", "/console/logout", url.Values{"token": {token(body)}}.Encode(), j.give)
	b.expect(res, 303)
	if !strings.Contains(res.Header.Get("Clear-Site-Data"), "cookies") {
		t.Error("logout leaves site data")
	}
	res, _ = b.get("/console", j.give) // a thief's copy of the cookie
	b.expect(res, 303)
}

func TestOtherSitesCannotPost(t *testing.T) {
	t.Parallel()
	b := newBench(t, false)
	for name, change := range map[string]func(*http.Request){
		"cross-site":   func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"same-site":    func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"other origin": func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"null origin":  func(r *http.Request) { r.Header.Set("Origin", "null") },
	} {
		j := jar{}
		res, body := b.get("/console/login")
		j.take(res)
		form := url.Values{"token": {token(body)}, "key": {"key-auditor"}}.Encode()
		if res := b.request("POST", "/console/login", form, j.give, change); res.StatusCode != 403 {
			t.Errorf("%s: status %d", name, res.StatusCode)
		}
	}
	res := b.request("PUT", "/console/login", "")
	b.expect(res, 405)
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, false)
		j, _ := b.logIn("key-auditor")
		b.now = b.now.Add(idleLimit - time.Second)
		res, _ := b.get("/console/live", j.give) // live updates do not keep it open
		b.expect(res, 200)
		b.now = b.now.Add(time.Second)
		res, _ = b.get("/console", j.give)
		b.expect(res, 303)
	})
	t.Run("at last", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, false)
		j, _ := b.logIn("key-auditor")
		for end := b.now.Add(absoluteLimit); b.now.Before(end); b.now = b.now.Add(idleLimit / 2) {
			res, _ := b.get("/console", j.give)
			b.expect(res, 200)
		}
		res, _ := b.get("/console", j.give)
		b.expect(res, 303)
	})
	t.Run("with their key", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, false)
		j, _ := b.logIn("key-auditor")
		b.keys.revoked = true
		res, _ := b.get("/console", j.give)
		b.expect(res, 303)
		b.keys.revoked = false
		res, _ = b.get("/console", j.give)
		b.expect(res, 303)
	})
	t.Run("when a new one replaces them", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, false)
		old, _ := b.logIn("key-auditor")
		res, body := b.get("/console/login", old.give)
		both := jar{sessionCookie: old[sessionCookie]}
		both.take(res)
		res = b.request("POST", "/console/login", url.Values{"token": {token(body)}, "key": {"key-auditor"}}.Encode(), both.give)
		b.expect(res, 303)
		res, _ = b.get("/console", old.give)
		b.expect(res, 303)
	})
}

func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	now := noon
	s := newSessions(func() time.Time { now = now.Add(time.Millisecond); return now })
	first := s.start("k")
	var last string
	for range maxSessions {
		last = s.start("k")
	}
	if _, ok := s.find(first, true); ok || len(s.open) != maxSessions {
		t.Errorf("%d sessions; the oldest is open: %t", len(s.open), ok)
	}
	if _, ok := s.find(last, true); !ok {
		t.Error("the newest is not open")
	}
}

// The demonstration is open to this machine under its own names only.
func TestDemoIsOpenToThisMachineOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	for name, c := range map[string]struct {
		host, remote string
		want         int
	}{
		"loopback":       {"127.0.0.1:8080", "127.0.0.1:1", 200},
		"localhost":      {"localhost:8080", "[::1]:1", 200},
		"IPv6":           {"[::1]:8080", "[::1]:1", 200},
		"elsewhere":      {"127.0.0.1:8080", "192.0.2.7:1", 303},
		"rebound name":   {"evil.example:8080", "127.0.0.1:1", 303},
		"loopback alike": {"127.0.0.1.evil.example", "127.0.0.1:1", 303},
	} {
		res, body := b.get("/console", func(r *http.Request) { r.Host, r.RemoteAddr = c.host, c.remote })
		if res.StatusCode != c.want || c.want != 200 && strings.Contains(body, "482913") {
			t.Errorf("%s: status %d, want %d", name, res.StatusCode, c.want)
		}
	}
}
