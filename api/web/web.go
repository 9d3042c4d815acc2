package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/domain"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed assets/*
var assetFiles embed.FS

// Keys tells whose API key one is. *access.Store does.
type Keys interface {
	Authenticate(ctx context.Context, key string) (access.Client, error)
}

// Read is a look at the record, to be recorded itself.
type Read struct {
	Reader    string // id of the API client; DemoReader without one
	Operation string
	Query     string // normalised; only its digest may be stored
	Rows      int
}

// DemoReader is who reads in a demonstration without logging in.
const DemoReader = "demo"

// Config says what the console works with. Fields are required unless they say
// otherwise.
type Config struct {
	Data   Data
	Policy func() *domain.Policy // explains the rules decisions name
	Keys   Keys
	// Record makes a read part of the record. When it fails, nothing is shown.
	Record func(ctx context.Context, r Read) error
	// Demo opens the console to this machine without a key, and says so on
	// every page. Callers from elsewhere log in all the same.
	Demo bool
	// Inbox lists a user's newest messages of the demonstration's gateway, or
	// everybody's for ""; nil hides them. It is shown with Demo only.
	Inbox  func(userID string) []Card
	Clock  func() time.Time
	Logger *slog.Logger
}

// pageSize is how many events a page of a timeline has.
const pageSize = 50

// recentSize is how many users the first page lists.
const recentSize = 12

// console serves the pages.
type console struct {
	c        Config
	pages    map[string]*template.Template
	assets   map[string]asset
	sessions *sessions
}

type asset struct {
	body        []byte
	contentType string
	version     string // of its content
}

// New returns the handler of everything below /console. It starts nothing.
func New(c Config) (http.Handler, error) {
	if c.Data == nil || c.Policy == nil || c.Keys == nil || c.Record == nil || c.Clock == nil || c.Logger == nil {
		return nil, errors.New("build console: Data, Policy, Keys, Record, Clock and Logger are required")
	}
	w := &console{c: c, pages: map[string]*template.Template{}, assets: map[string]asset{}, sessions: newSessions(c.Clock)}
	for name, contentType := range map[string]string{
		"style.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml",
	} {
		body, err := assetFiles.ReadFile("assets/" + name)
		if err != nil {
			return nil, fmt.Errorf("build console: %w", err)
		}
		sum := sha256.Sum256(body)
		w.assets[name] = asset{body: body, contentType: contentType, version: hex.EncodeToString(sum[:6])}
	}
	for _, name := range []string{"home", "user", "login", "message", "reveal", "revealed", "erasures"} {
		t, err := template.New(name).Funcs(w.functions()).ParseFS(templateFiles, "templates/base.html", "templates/parts.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("build console: %w", err)
		}
		w.pages[name] = t
	}
	return w.routes(), nil
}

func (w *console) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /console/assets/{name}", w.asset)
	mux.HandleFunc("GET /console/login", w.loginPage)
	mux.HandleFunc("POST /console/login", w.login)
	mux.HandleFunc("POST /console/logout", w.logout)
	mux.HandleFunc("GET /console", w.guarded(w.home))
	mux.HandleFunc("GET /console/{$}", w.guarded(w.home))
	mux.HandleFunc("GET /console/live", w.guarded(w.homeLive))
	mux.HandleFunc("GET /console/users/{userID}", w.guarded(w.user))
	mux.HandleFunc("GET /console/users/{userID}/live", w.guarded(w.userLive))
	mux.HandleFunc("GET /console/users/{userID}/events/{eventID}/reveal", w.guarded(w.revealForm))
	mux.HandleFunc("POST /console/users/{userID}/events/{eventID}/reveal", w.guarded(w.reveal))
	mux.HandleFunc("GET /console/erasures", w.guarded(w.erasures))
	mux.HandleFunc("GET /console/", w.guarded(func(rw http.ResponseWriter, r *http.Request, v visitor) {
		w.message(rw, r, v, http.StatusNotFound, "There is no such page", "Go to the start page and search for a user.")
	}))
	// Refuses what another site makes a browser send; the forms' tokens are the
	// second lock.
	return headers(http.NewCrossOriginProtection().Handler(mux))
}

// policy is the content security policy of every page: nothing inline, nothing
// from elsewhere, no framing.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
		}
		next.ServeHTTP(rw, r)
	})
}

func (w *console) asset(rw http.ResponseWriter, r *http.Request) {
	a, ok := w.assets[r.PathValue("name")]
	if !ok {
		http.NotFound(rw, r)
		return
	}
	rw.Header().Set("Content-Type", a.contentType)
	rw.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	if r.URL.Query().Get("v") == a.version {
		rw.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = rw.Write(a.body) // a client that went away is no error of ours
}

// render writes a page, or one of its parts, only when it is complete.
func (w *console) render(rw http.ResponseWriter, r *http.Request, status int, page, part string, data any) {
	var b bytes.Buffer
	if err := w.pages[page].ExecuteTemplate(&b, part, data); err != nil {
		w.c.Logger.ErrorContext(r.Context(), "console page could not be rendered", "page", page, "error", err)
		http.Error(rw, "This page could not be shown.", http.StatusInternalServerError)
		return
	}
	h := rw.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	if part == partLive {
		sum := sha256.Sum256(b.Bytes())
		tag := `"` + hex.EncodeToString(sum[:16]) + `"`
		h.Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			rw.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	rw.WriteHeader(status)
	_, _ = rw.Write(b.Bytes()) // a client that went away is no error of ours
}

// fromHere reports whether a request was made on this machine to this
// machine's own name: a page elsewhere whose name was pointed at us has
// another Host.
func fromHere(r *http.Request) bool {
	return loopback(r.RemoteAddr) && loopback(r.Host)
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
