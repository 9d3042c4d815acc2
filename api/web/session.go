package web

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/domain"
)

const (
	sessionCookie = "__Host-authledger-session"
	loginCookie   = "__Host-authledger-login"
	idleLimit     = 15 * time.Minute
	absoluteLimit = 12 * time.Hour
	// maxSessions bounds memory; whoever has a key could open sessions for ever.
	maxSessions = 1000
	// maxForm bounds the body of a form in bytes.
	maxForm = 4 << 10
	// rereadAfter is how long live updates of one page count as the read that
	// was recorded when it was opened.
	rereadAfter = time.Hour
)

// visitor is who asks for a page.
type visitor struct {
	reader  string
	name    string // empty in a demonstration
	role    access.Role
	session *session
}

// session of a reader. It lives in memory only: a restart ends all of them.
type session struct {
	key    access.Key // asked again at every request, so that a revoked key ends the session
	csrf   string
	opened time.Time

	mu   sync.Mutex           // guards the rest
	seen time.Time            // last request
	read map[string]time.Time // when a page's read was recorded, by page
}

// recorded reports whether a page's read was recorded a short while ago.
func (s *session) recorded(page string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.read[page]
	return ok && now.Sub(at) < rereadAfter
}

func (s *session) note(page string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.read) > maxSessions {
		clear(s.read) // at worst a read is recorded again
	}
	s.read[page] = now
}

// sessions are the open ones, by their random id.
type sessions struct {
	now func() time.Time

	mu   sync.Mutex // guards open
	open map[string]*session
	// demo stands for everybody who reads in a demonstration without logging in.
	demo *session
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, open: map[string]*session{}, demo: &session{csrf: random(), read: map[string]time.Time{}}}
}

// random is 256 bits in base64url.
func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails; see crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (s *sessions) start(key access.Key) (id string) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	id = random()
	s.open[id] = &session{key: key, csrf: random(), opened: now, seen: now, read: map[string]time.Time{}}
	return id
}

// sweep drops sessions that have ended, and the one idle longest when there
// are too many.
func (s *sessions) sweep(now time.Time) {
	oldest := ""
	for id, o := range s.open {
		if o.over(now) {
			delete(s.open, id)
		} else if oldest == "" || o.last().Before(s.open[oldest].last()) {
			oldest = id
		}
	}
	if len(s.open) >= maxSessions {
		delete(s.open, oldest)
	}
}

func (s *session) last() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.opened) >= absoluteLimit || now.Sub(s.last()) >= idleLimit
}

// find returns a session that has not ended. touch counts the request as the
// reader's own; live updates do not keep a session open.
func (s *sessions) find(id string, touch bool) (*session, bool) {
	now := s.now()
	s.mu.Lock()
	o, ok := s.open[id]
	s.mu.Unlock()
	if !ok || o.over(now) {
		return nil, false
	}
	if touch {
		o.mu.Lock()
		o.seen = now
		o.mu.Unlock()
	}
	return o, true
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, id)
}

func cookie(name, value string) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
}

func expired(name string) *http.Cookie {
	c := cookie(name, "")
	c.MaxAge = -1
	return c
}

// mayRead lists the roles that read the record with the console.
func mayRead(r access.Role) bool {
	return r == access.Auditor || r == access.Incident || r == access.Operator || r == access.Compliance
}

// mayReveal reports whether the visitor may open personal data. In a
// demonstration nobody's is real.
func (v visitor) mayReveal() bool {
	return v.role == access.Incident || v.role == access.Compliance
}

// actor is who reads, as the record names it.
func (v visitor) actor() domain.Actor {
	if v.role == access.Compliance {
		return domain.Actor{Kind: domain.ActorCompliance, Ref: v.reader}
	}
	return domain.Actor{Kind: domain.ActorAgent, Ref: v.reader}
}

// pageFunc is a handler that knows who asks.
type pageFunc func(rw http.ResponseWriter, r *http.Request, v visitor)

// guarded lets readers through and sends everybody else to the login.
func (w *console) guarded(next pageFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		v, err := w.visitor(r)
		switch {
		case err == nil:
			next(rw, r, v)
		case !errors.Is(err, access.ErrUnauthenticated):
			w.unavailable(rw, r, v, err)
		case isLive(r):
			// The script stops asking; a reload shows the login.
			http.Error(rw, "log in again", http.StatusUnauthorized)
		default:
			http.Redirect(rw, r, "/console/login", http.StatusSeeOther)
		}
	}
}

// visitor finds out who asks, or returns access.ErrUnauthenticated.
func (w *console) visitor(r *http.Request) (visitor, error) {
	if w.c.Demo && fromHere(r) {
		return visitor{reader: DemoReader, role: access.Incident, session: w.sessions.demo}, nil
	}
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return visitor{}, access.ErrUnauthenticated
	}
	s, ok := w.sessions.find(c.Value, !isLive(r))
	if !ok {
		return visitor{}, access.ErrUnauthenticated
	}
	client, err := w.c.Keys.Authenticate(r.Context(), string(s.key))
	if err != nil {
		if errors.Is(err, access.ErrUnauthenticated) {
			w.sessions.end(c.Value)
		}
		return visitor{}, err
	}
	if !mayRead(client.Role) {
		return visitor{}, access.ErrUnauthenticated
	}
	return visitor{reader: client.ID, name: client.Name, role: client.Role, session: s}, nil
}

// loginPage gives the form a token of its own, which the cookie repeats.
func (w *console) loginPage(rw http.ResponseWriter, r *http.Request) {
	w.showLogin(rw, r, http.StatusOK, "")
}

func (w *console) showLogin(rw http.ResponseWriter, r *http.Request, status int, fault string) {
	token := random()
	http.SetCookie(rw, cookie(loginCookie, token))
	w.render(rw, r, status, "login", "page", loginView{frame: w.frame(visitor{}, "Log in"), Token: token, Fault: fault})
}

func (w *console) login(rw http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(rw, r.Body, maxForm)
	given, err := r.Cookie(loginCookie)
	if err != nil || !same(given.Value, r.PostFormValue("token")) {
		w.showLogin(rw, r, http.StatusForbidden, "This form was no longer valid. Try again, with cookies allowed.")
		return
	}
	key := access.Key(r.PostFormValue("key"))
	client, err := w.c.Keys.Authenticate(r.Context(), string(key))
	switch {
	case errors.Is(err, access.ErrUnauthenticated):
		w.showLogin(rw, r, http.StatusUnauthorized, "This is not a valid API key.")
		return
	case err != nil:
		w.unavailable(rw, r, visitor{}, err)
		return
	case !mayRead(client.Role):
		w.showLogin(rw, r, http.StatusForbidden, "The console needs a key of role auditor, incident, compliance or operator.")
		return
	}
	if old, err := r.Cookie(sessionCookie); err == nil {
		w.sessions.end(old.Value)
	}
	http.SetCookie(rw, expired(loginCookie))
	http.SetCookie(rw, cookie(sessionCookie, w.sessions.start(key)))
	http.Redirect(rw, r, "/console", http.StatusSeeOther)
}

func (w *console) logout(rw http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(rw, r.Body, maxForm)
	c, err := r.Cookie(sessionCookie)
	if err == nil {
		s, ok := w.sessions.find(c.Value, false)
		if ok && !same(s.csrf, r.PostFormValue("token")) {
			w.message(rw, r, visitor{}, http.StatusForbidden, "You are still logged in", "The form was not valid. Go back, reload the page and try again.")
			return
		}
		w.sessions.end(c.Value)
	}
	http.SetCookie(rw, expired(sessionCookie))
	rw.Header().Set("Clear-Site-Data", `"cache", "cookies", "storage"`)
	http.Redirect(rw, r, "/console/login", http.StatusSeeOther)
}

func same(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
