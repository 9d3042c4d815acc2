package web

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// partLive is the part of a page that live updates replace.
const partLive = "live"

func isLive(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/live") }

// frame is what every page shows around its content.
type frame struct {
	Title  string
	Demo   bool
	Reader string // name of the reader's key; empty when nobody logged in
	Token  string // of the logout form
}

func (w *console) frame(v visitor, title string) frame {
	f := frame{Title: title, Demo: w.c.Demo, Reader: v.name}
	if v.session != nil {
		f.Token = v.session.csrf
	}
	return f
}

type loginView struct {
	frame
	Token, Fault string
}

type messageView struct {
	frame
	Heading, Detail string
}

type homeView struct {
	frame
	Query  string // what was searched for without success
	Phone  bool   // the query looked like a phone number
	Recent []recentRow
	Cards  []Card
	Inbox  bool
	Live   string
}

type recentRow struct {
	UserID string
	Line   Line
	At     time.Time
}

type userView struct {
	frame
	User  User
	Now   time.Time
	Days  []day
	Empty bool
	Place string // of this page; empty for the newest
	Next  template.URL
	Opens bool // whether the reader may reveal personal data
	Cards []Card
	Inbox bool
	Live  string
}

func (w *console) message(rw http.ResponseWriter, r *http.Request, v visitor, status int, heading, detail string) {
	w.render(rw, r, status, "message", "page", messageView{frame: w.frame(v, heading), Heading: heading, Detail: detail})
}

// unavailable answers for a store that is out of reach, and logs why.
func (w *console) unavailable(rw http.ResponseWriter, r *http.Request, v visitor, err error) {
	w.c.Logger.ErrorContext(r.Context(), "console page is unavailable", "error", err)
	rw.Header().Set("Retry-After", "2")
	w.message(rw, r, v, http.StatusServiceUnavailable, "Not available at the moment", "The record could not be read. Nothing was changed; reload the page in a moment.")
}

// record makes the read part of the record, once for a page and all its live
// updates of the next hour. It answers the request when that fails.
func (w *console) record(rw http.ResponseWriter, r *http.Request, v visitor, read Read) bool {
	now, page := w.c.Clock(), read.Operation+"\x1f"+read.Query
	if isLive(r) && v.session.recorded(page, now) {
		return true
	}
	read.Reader = v.reader
	if err := w.c.Record(r.Context(), read); err != nil {
		w.c.Logger.ErrorContext(r.Context(), "a read of the record could not be recorded", "operation", read.Operation, "error", err)
		rw.Header().Set("Retry-After", "2")
		w.message(rw, r, v, http.StatusServiceUnavailable, "Nothing is shown", "This read could not be recorded, and what is read must be. Reload the page in a moment.")
		return false
	}
	v.session.note(page, now)
	return true
}

// maxQuery bounds what is searched for, in bytes.
const maxQuery = 200

func (w *console) home(rw http.ResponseWriter, r *http.Request, v visitor) {
	query := strings.TrimSpace(r.URL.Query().Get("q"))
	if query != "" && len(query) <= maxQuery && !phoneLike(query) {
		id, err := w.c.Data.Find(r.Context(), query)
		if err == nil {
			http.Redirect(rw, r, "/console/users/"+url.PathEscape(id), http.StatusSeeOther)
			return
		}
		if !errors.Is(err, ErrNotFound) {
			w.unavailable(rw, r, v, err)
			return
		}
	}
	w.showHome(rw, r, v, query, "page")
}

func (w *console) homeLive(rw http.ResponseWriter, r *http.Request, v visitor) {
	w.showHome(rw, r, v, "", partLive)
}

func (w *console) showHome(rw http.ResponseWriter, r *http.Request, v visitor, query, part string) {
	recent, err := w.c.Data.Recent(r.Context(), recentSize)
	if err != nil {
		w.unavailable(rw, r, v, err)
		return
	}
	read := Read{Operation: "console.start", Rows: len(recent)}
	if query != "" {
		read.Operation, read.Query = "console.search", query
	}
	if !w.record(rw, r, v, read) {
		return
	}
	view := homeView{frame: w.frame(v, "Users"), Query: cut(query, maxQuery), Phone: phoneLike(query), Live: "/console/live"}
	for _, i := range recent {
		view.Recent = append(view.Recent, recentRow{UserID: i.UserID, Line: lineOf(i), At: i.OccurredAt})
	}
	view.Inbox, view.Cards = w.inbox("")
	status := http.StatusOK
	if query != "" {
		status = http.StatusNotFound
	}
	w.render(rw, r, status, "home", part, view)
}

// phoneLike recognises a phone number: those do not belong into addresses and
// are not searched for here.
func phoneLike(s string) bool {
	digits := 0
	for _, c := range s {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case !strings.ContainsRune("+ ()-./", c):
			return false
		}
	}
	return strings.HasPrefix(s, "+") && digits >= 7
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// inboxSize is how many messages a page shows.
const inboxSize = 20

func (w *console) inbox(userID string) (shown bool, cards []Card) {
	if !w.c.Demo || w.c.Inbox == nil {
		return false, nil
	}
	cards = w.c.Inbox(userID)
	return true, cards[:min(len(cards), inboxSize)]
}

func (w *console) user(rw http.ResponseWriter, r *http.Request, v visitor) {
	w.showUser(rw, r, v, r.URL.Query().Get("before"), "page")
}

func (w *console) userLive(rw http.ResponseWriter, r *http.Request, v visitor) {
	w.showUser(rw, r, v, "", partLive)
}

func (w *console) showUser(rw http.ResponseWriter, r *http.Request, v visitor, place, part string) {
	id := r.PathValue("userID")
	user, err := w.c.Data.User(r.Context(), id)
	if errors.Is(err, ErrNotFound) {
		w.message(rw, r, v, http.StatusNotFound, "There is no such user", "Searched for the user id "+cut(id, maxQuery)+". Search by the broker's reference on the start page.")
		return
	}
	if err != nil {
		w.unavailable(rw, r, v, err)
		return
	}
	timeline, err := w.c.Data.Timeline(r.Context(), id, place, pageSize)
	if errors.Is(err, ErrCursor) {
		w.message(rw, r, v, http.StatusBadRequest, "There is no such place in the timeline", "Open the user's page again and go back from there.")
		return
	}
	if err != nil {
		w.unavailable(rw, r, v, err)
		return
	}
	if !w.record(rw, r, v, Read{Operation: "console.user", Query: id + "?" + place, Rows: len(timeline.Items)}) {
		return
	}
	view := userView{
		frame: w.frame(v, "User"), User: user, Now: w.c.Clock(), Days: w.days(id, timeline.Items), Empty: len(timeline.Items) == 0, Place: place,
		Opens: v.mayReveal() && !user.Erased,
	}
	path := "/console/users/" + url.PathEscape(id)
	if timeline.Next != "" {
		view.Next = template.URL(path + "?before=" + url.QueryEscape(timeline.Next)) // both parts are escaped
	}
	if place == "" {
		view.Live = path + "/live"
	}
	view.Inbox, view.Cards = w.inbox(id)
	if user.Restricted || user.Erased {
		view.Cards = nil // they name the phone, in part
	}
	w.render(rw, r, http.StatusOK, "user", part, view)
}
