package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/go-chi/chi/v5"

	"remit/server/auth"
	"remit/server/export"
)

// publishPath is the manifest of what is published.
const publishPath = "/$bulk-publish"

// Publications are what is published; *export.Publications fits through
// [FromPublications].
type Publications interface {
	// Manifest lays down a page, the first one of the current epoch for "".
	// Error: export.ErrNotFound.
	Manifest(ctx context.Context, exportID, base string, requiresAccessToken bool) (*export.PublishedManifest, error)
	// OpenFile finds a file of a page. Error: export.ErrNotFound.
	OpenFile(ctx context.Context, exportID, name string) (*File, error)
}

// FromPublications fits the engine's publications to the server.
func FromPublications(p *export.Publications) Publications { return publications{p} }

type publications struct{ *export.Publications }

func (p publications) OpenFile(ctx context.Context, exportID, name string) (*File, error) {
	f, err := p.Publications.OpenFile(ctx, exportID, name)
	if err != nil {
		return nil, err
	}
	return &File{Bytes: f.Bytes, SHA256: f.SHA256, Identity: f.Identity, Stored: f.Stored, Gzip: f.Gzip}, nil
}

// published answers a page of the publication's manifest (Bulk Data
// 4.0.0-ballot, $bulk-publish; BE-283).
func (s *Server) published(w http.ResponseWriter, r *http.Request) {
	access, p := s.access(r)
	if p != nil {
		s.refuse(w, p)
		return
	}
	if r.URL.RawQuery != "" {
		s.refuse(w, fail("not-supported", "a publication takes no parameters; for a part of the data kick off an export"))
		return
	}
	m, p := s.page(r, access)
	if p != nil {
		s.refuse(w, p)
		return
	}
	body, err := json.Marshal(m)
	if err != nil {
		s.refuse(w, s.transient(r, "write manifest", err))
		return
	}
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	h := w.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "private, max-age=10")
	h.Set("Vary", "Authorization")
	if matchesTag(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	s.audit(r, access, "publication", chi.URLParam(r, "export"), "ok", "")
	write(w, http.StatusOK, plain, body)
}

// page finds the page of the path, for a client that may have all of it, and in
// the full view: there is no other one of it.
func (s *Server) page(r *http.Request, access *auth.Access) (*export.PublishedManifest, *problem) {
	m, err := s.options.Publications.Manifest(r.Context(), chi.URLParam(r, "export"), s.base+publishPath, s.authenticator() != nil)
	switch {
	case errors.Is(err, export.ErrNotFound):
		return nil, fail("not-found", "nothing is published here, or not any more")
	case err != nil:
		return nil, s.transient(r, "read publication", err)
	}
	if access.Client.View != "" {
		return nil, insufficient("the publication is of the full view, which the client may not have; kick off an export")
	}
	for _, t := range m.Types {
		if !access.MayExport(t) || s.restrict(access, auth.Read|auth.Search, t) != nil {
			return nil, insufficient("the token's scopes do not cover every resource type of the publication")
		}
	}
	return m, nil
}

// publishedFile answers a file of a publication.
func (s *Server) publishedFile(w http.ResponseWriter, r *http.Request) {
	access, p := s.access(r)
	if p == nil {
		_, p = s.page(r, access)
	}
	if p != nil {
		s.refuse(w, p)
		return
	}
	id, name := chi.URLParam(r, "export"), chi.URLParam(r, "name")
	f, err := s.options.Publications.OpenFile(r.Context(), id, name)
	if gone(err) || errors.Is(err, export.ErrNotReady) {
		s.refuse(w, noFile())
		return
	}
	if err != nil {
		s.refuse(w, s.transient(r, "open file", err))
		return
	}
	s.send(w, r, f, name, func(outcome string) { s.audit(r, access, "download", id, outcome, name) })
}
