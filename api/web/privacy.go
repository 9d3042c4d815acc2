package web

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/projections"
	"github.com/authledger/authledger/replay"
)

// The door to personal data, and the register of those who asked to be
// forgotten.

type revealView struct {
	frame
	UserID  string
	Event   Item
	Summary string
	Action  string
	Fields  []choice
	Reasons []string
}

// choice is a field to be opened; the address is not chosen beforehand.
type choice struct {
	Name    string
	Checked bool
}

type revealedView struct {
	frame
	UserID          string
	Event           Item
	Reason, CaseRef string
	Fields          []field
}

type erasuresView struct {
	frame
	Register
	Place string
	Older template.URL
}

// erasureTone marks where a request stands.
type erasureTone struct{ Class, Text string }

var erasureTones = map[projections.ErasureStatus]erasureTone{
	projections.ErasureRequested:  {"", "requested"},
	projections.ErasureRefused:    {"", "refused"},
	projections.ErasureRestricted: {"warn", "restricted, waits"},
	projections.ErasureSuperseded: {"", "replaced by a later request"},
	projections.ErasureErased:     {"bad", "erased, not certified yet"},
	projections.ErasureCertified:  {"good", "erased and certified"},
}

// revealReasons are those the rules know, in the order of the form.
var revealReasons = []string{"dispute", "incident", "subject_access", domain.RevealForRegulator, domain.RevealForLegal}

func revealPath(userID, eventID string) string {
	return "/console/users/" + url.PathEscape(userID) + "/events/" + url.PathEscape(eventID) + "/reveal"
}

// revealForm asks which fields, why and for which case. It shows no value.
func (w *console) revealForm(rw http.ResponseWriter, r *http.Request, v visitor) {
	if !w.opens(rw, r, v) {
		return
	}
	userID := r.PathValue("userID")
	event, err := w.c.Data.Sealed(r.Context(), r.PathValue("eventID"))
	if err == nil && len(event.Personal) == 0 {
		err = ErrNotFound
	}
	if errors.Is(err, ErrNotFound) {
		w.message(rw, r, v, http.StatusNotFound, "Nothing is sealed here", "There is no such event, or it holds no personal data.")
		return
	}
	if err != nil {
		w.unavailable(rw, r, v, err)
		return
	}
	if !w.record(rw, r, v, Read{Operation: "console.revealForm", Query: userID + "/" + event.ID, Rows: 1}) {
		return
	}
	view := revealView{
		frame: w.frame(v, "Reveal personal data"), UserID: userID, Event: event, Summary: replay.Summary(event.Event), Action: revealPath(userID, event.ID), Reasons: revealReasons,
	}
	for _, name := range event.Personal {
		view.Fields = append(view.Fields, choice{Name: name, Checked: name != codec.FieldIP || len(event.Personal) == 1})
	}
	w.render(rw, r, http.StatusOK, "reveal", "page", view)
}

// opens answers visitors who may not reveal.
func (w *console) opens(rw http.ResponseWriter, r *http.Request, v visitor) bool {
	if v.mayReveal() {
		return true
	}
	w.message(rw, r, v, http.StatusForbidden, "You may not reveal personal data", "It takes a key of role incident or compliance, a reason and a case.")
	return false
}

// reveal shows the values once; the record of it is durable before.
func (w *console) reveal(rw http.ResponseWriter, r *http.Request, v visitor) {
	if !w.opens(rw, r, v) {
		return
	}
	r.Body = http.MaxBytesReader(rw, r.Body, maxForm)
	if !same(v.session.csrf, r.PostFormValue("token")) {
		w.message(rw, r, v, http.StatusForbidden, "Nothing was revealed", "The form was not valid any more. Go back, reload the page and try again.")
		return
	}
	ask := Reveal{
		Reader: v.actor(), UserID: r.PathValue("userID"), EventID: r.PathValue("eventID"),
		Fields: slices.Clone(r.PostForm["field"]), Reason: r.PostFormValue("reason"), CaseRef: r.PostFormValue("case"),
	}
	if len(ask.Fields) == 0 {
		w.message(rw, r, v, http.StatusBadRequest, "Nothing was revealed", "Choose at least one field.")
		return
	}
	event, err := w.c.Data.Sealed(r.Context(), ask.EventID)
	var revealed []journal.Revealed
	if err == nil {
		revealed, err = w.c.Data.Reveal(r.Context(), ask)
	}
	if err != nil {
		w.unrevealed(rw, r, v, err)
		return
	}
	view := revealedView{
		frame: w.frame(v, "Revealed personal data"), UserID: ask.UserID, Event: event, Reason: ask.Reason, CaseRef: ask.CaseRef,
	}
	for _, f := range revealed {
		view.Fields = append(view.Fields, field{f.Field, string(f.Value)})
	}
	w.render(rw, r, http.StatusOK, "revealed", "page", view)
}

// refusals are the statuses of what the rules refuse.
var refusals = map[domain.Code]int{
	domain.Invalid: http.StatusBadRequest, domain.Unknown: http.StatusNotFound,
	domain.DataRestricted: http.StatusForbidden, domain.DataErased: http.StatusGone,
}

func (w *console) unrevealed(rw http.ResponseWriter, r *http.Request, v visitor, err error) {
	if errors.Is(err, ErrNotFound) {
		err = &domain.Error{Code: domain.Unknown, Detail: "there is no such event"}
	}
	var refused *domain.Error
	if errors.As(err, &refused) && refusals[refused.Code] != 0 {
		w.message(rw, r, v, refusals[refused.Code], "Nothing was revealed", refused.Detail)
		return
	}
	w.unavailable(rw, r, v, err)
}

// erasures shows the register of requests to be forgotten.
func (w *console) erasures(rw http.ResponseWriter, r *http.Request, v visitor) {
	place := r.URL.Query().Get("before")
	register, err := w.c.Data.Erasures(r.Context(), place, pageSize)
	if errors.Is(err, ErrCursor) {
		w.message(rw, r, v, http.StatusBadRequest, "There is no such place in the register", "Open the register again and go back from there.")
		return
	}
	if err != nil {
		w.unavailable(rw, r, v, err)
		return
	}
	rows := len(register.Erasures) + len(register.Holds)
	if !w.record(rw, r, v, Read{Operation: "console.erasures", Query: place, Rows: rows}) {
		return
	}
	view := erasuresView{frame: w.frame(v, "Register of erasures"), Register: register, Place: place}
	if register.Next != "" {
		view.Older = template.URL("/console/erasures?before=" + url.QueryEscape(register.Next)) // escaped
	}
	w.render(rw, r, http.StatusOK, "erasures", "page", view)
}
