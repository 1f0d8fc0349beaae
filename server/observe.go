package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"remit/server/auth"
	"remit/sql/control"
)

// seen is what becomes known of a request while it is answered. Its context
// carries a pointer, so that the access line can tell.
type seen struct {
	id       string
	clientID string
}

type seenKey struct{}

func requestID(r *http.Request) string {
	if v, ok := r.Context().Value(seenKey{}).(*seen); ok {
		return v.id
	}
	return ""
}

// note records whose request it is.
func note(r *http.Request, clientID string) {
	if v, ok := r.Context().Value(seenKey{}).(*seen); ok {
		v.clientID = clientID
	}
}

var requestIDForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// observe gives each request an id, sets the headers that all answers bear, and
// writes one access line: the route, never the path or the query.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &seen{id: r.Header.Get("X-Request-Id")}
		if !requestIDForm.MatchString(v.id) {
			v.id = rand.Text()
		}
		h := w.Header()
		h.Set("X-Request-Id", v.id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		if s.http.TLSConfig != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		began := s.now()
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		r = r.WithContext(context.WithValue(r.Context(), seenKey{}, v))
		defer func() {
			route := ""
			if c := chi.RouteContext(r.Context()); c != nil {
				route = c.RoutePattern()
			}
			status := ww.Status()
			if status == 0 {
				status = http.StatusOK
			}
			took := s.now().Sub(began)
			if s.options.Observe != nil {
				s.options.Observe(route, knownMethod(r.Method), status, took)
			}
			s.options.Log.InfoContext(r.Context(), "request", slog.String("request_id", v.id),
				slog.String("method", knownMethod(r.Method)), slog.String("route", route), slog.Int("status", status),
				slog.Int("bytes", ww.BytesWritten()), slog.Int64("elapsed_ms", took.Milliseconds()),
				slog.String("client_id", v.clientID))
		}()
		next.ServeHTTP(ww, r)
	})
}

// audit notes what a client did, also when it has gone away meanwhile. Details
// are codes, names of files and counts, never what a client sent.
func (s *Server) audit(r *http.Request, access *auth.Access, action, exportID, outcome, detail string) {
	if s.options.Audit == nil {
		return
	}
	ctx := context.WithoutCancel(r.Context())
	err := s.options.Audit(ctx, control.Event{At: s.now(), ClientID: access.Client.ID, Action: action, ExportID: exportID,
		Outcome: outcome, Detail: detail, Remote: auth.RemoteAddress(r)})
	if err != nil {
		s.options.Log.ErrorContext(ctx, "audit event lost", slog.String("request_id", requestID(r)), slog.String("action", action),
			slog.String("job_id", exportID), slog.String("outcome", outcome), slog.String("error", err.Error()))
	}
}

// auditRefusal notes what a client was not allowed or able to do.
func (s *Server) auditRefusal(r *http.Request, access *auth.Access, action, exportID string, p *problem) {
	var codes []string
	for _, i := range p.issues {
		if !slices.Contains(codes, i.code) {
			codes = append(codes, i.code)
		}
	}
	outcome := "refused"
	if p.statusCode() >= http.StatusInternalServerError {
		outcome = "failed"
	}
	s.audit(r, access, action, exportID, outcome, strings.Join(codes, " "))
}

func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

// recoverPanics turns a broken invariant into an answer without detail. The log
// gets the stack and the type of what was thrown, not its text, which might
// hold a value.
func (s *Server) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			thrown := recover()
			if thrown == nil {
				return
			}
			if err, ok := thrown.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(thrown)
			}
			s.options.Log.ErrorContext(r.Context(), "handler panicked", slog.String("request_id", requestID(r)),
				slog.String("thrown", fmt.Sprintf("%T", thrown)), slog.String("stack", string(debug.Stack())))
			if ww, ok := w.(middleware.WrapResponseWriter); ok && ww.Status() != 0 {
				panic(http.ErrAbortHandler) // too late for another answer
			}
			s.refuse(w, fail("exception", "internal error"))
		}()
		next.ServeHTTP(w, r)
	})
}

// decodedPath makes routes match the decoded path, so that %24export is $export
// (BE-041).
func decodedPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.RawPath = ""
		next.ServeHTTP(w, r)
	})
}

// openToAll marks answers that any origin may read (SB-013).
func openToAll(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Cache-Control", "public, max-age=300")
		next(w, r)
	}
}

// preflight answers a browser's question about an open document.
func preflight(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "Accept")
	h.Set("Access-Control-Max-Age", "300")
	h.Set("Allow", "GET, HEAD, OPTIONS")
	w.WriteHeader(http.StatusNoContent)
}
