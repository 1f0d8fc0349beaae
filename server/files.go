package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"remit/server/auth"
	"remit/server/export"
)

// file answers GET and HEAD of a file (Bulk Data 3.0.0, Bulk Data Output File
// Request; BE-200..208). Gzip goes out as stored; ranges are of the identity
// form.
func (s *Server) file(w http.ResponseWriter, r *http.Request) {
	id, name := chi.URLParam(r, "export"), chi.URLParam(r, "name")
	access, p := s.fileAccess(r, id, name)
	if p != nil {
		s.refuse(w, p)
		return
	}
	f, err := s.options.Exports.OpenFile(r.Context(), id, name)
	if gone(err) || errors.Is(err, export.ErrNotReady) {
		s.refuse(w, noFile())
		return
	}
	if err != nil {
		s.refuse(w, s.transient(r, "open file", err))
		return
	}
	s.send(w, r, f, name, func(outcome string) {
		// The bytes are out. The client's next request on this connection need
		// not wait for the disk of the trail; Stop does.
		s.later(func() { s.audit(r, access, "download", id, outcome, name) })
	})
}

// fileAccess finds who asks for a file: by a capability URL, or else by a token
// of the export's client that covers what is exported.
func (s *Server) fileAccess(r *http.Request, id, name string) (*auth.Access, *problem) {
	good, given := s.capable(r, id, name)
	if given && !good {
		p := fail("expired", "the URL is not valid, or not any more; read the manifest again")
		p.challenge = noToken
		return nil, p
	}
	if good {
		e, err := s.options.Exports.Status(r.Context(), id)
		switch {
		case gone(err):
			return nil, noFile()
		case err != nil:
			return nil, s.transient(r, "look up export", err)
		}
		if a := s.authenticator(); a != nil {
			// A client that was turned off has nothing left, URLs neither
			// (SB-028).
			access, err := a.Registered(r.Context(), e.Request.ClientID)
			if errors.Is(err, auth.ErrInvalidToken) {
				return nil, noFile()
			}
			if err != nil {
				return nil, s.transient(r, "look up client", err)
			}
			return access, nil
		}
		return &auth.Access{Client: &auth.Client{ID: e.Request.ClientID}}, nil
	}
	access, _, p := s.granted(r, id)
	return access, p
}

func noFile() *problem { return fail("not-found", "there is no such file, or not any more") }

// send answers with the file; sent is told how the sending of its body ended.
func (s *Server) send(w http.ResponseWriter, r *http.Request, f *File, name string, sent func(outcome string)) {
	h := w.Header()
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-store")
	h.Set("Accept-Ranges", "bytes")
	coding, ok := chooseEncoding(r.Header, f.Gzip != nil)
	if !ok {
		p := fail("not-supported", "the file is served as identity or gzip")
		p.status = http.StatusNotAcceptable
		s.refuse(w, p)
		return
	}
	wantsRange := r.Header.Get("Range") != "" && r.Method == http.MethodGet
	if _, identityToo := chooseEncoding(r.Header, false); wantsRange && identityToo {
		coding = identity
	}
	tag := fmt.Sprintf("%q", f.SHA256)
	if coding == gzipped {
		tag = fmt.Sprintf("%q", f.SHA256+"-gzip")
	}
	if matchesTag(r.Header.Values("If-None-Match"), tag) {
		h.Set("ETag", tag)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if v := r.Header.Values("If-Match"); len(v) > 0 && !matchesTag(v, tag) {
		p := fail("conflict", "the file is not the one that If-Match names")
		p.status = http.StatusPreconditionFailed
		s.refuse(w, p)
		return
	}
	from, length, status := int64(0), f.Bytes, http.StatusOK
	if coding == gzipped {
		length = f.Stored
	} else if v := r.Header.Get("If-Range"); wantsRange && (v == "" || v == tag) {
		start, n, state := parseRange(r.Header.Get("Range"), f.Bytes)
		switch state {
		case rangeUnsatisfiable:
			h.Set("Content-Range", fmt.Sprintf("bytes */%d", f.Bytes))
			p := fail("value", "the range lies outside the file")
			p.status = http.StatusRequestedRangeNotSatisfiable
			s.refuse(w, p)
			return
		case rangeGood:
			from, length, status = start, n, http.StatusPartialContent
			h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, start+n-1, f.Bytes))
		}
	}
	h.Set("ETag", tag)
	h.Set("Content-Type", ndjson)
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	if coding == gzipped {
		h.Set("Content-Encoding", gzipped)
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(status)
		return
	}
	open := f.Identity
	if coding == gzipped {
		open = f.Gzip
	}
	body, err := s.openAt(r.Context(), open, from)
	if err != nil {
		h.Del("Content-Range")
		if gone(err) {
			s.refuse(w, noFile())
			return
		}
		s.refuse(w, s.transient(r, "open file", err))
		return
	}
	defer body.Close()
	w.WriteHeader(status)
	n, ours, err := sendBody(w, body, length)
	if err != nil {
		if ours {
			s.logFault(r, "read file", fmt.Errorf("after %d of %d bytes: %w", n, length, err))
		}
		sent("failed")
		// The status is out; only a broken connection can tell the client.
		panic(http.ErrAbortHandler)
	}
	sent("ok")
}

// openAt opens a body and skips to the offset.
func (s *Server) openAt(ctx context.Context, open func(context.Context) (io.ReadSeekCloser, error), from int64) (io.ReadCloser, error) {
	body, err := open(ctx)
	if err != nil {
		return nil, err
	}
	if from > 0 {
		if _, err := body.Seek(from, io.SeekStart); err != nil {
			return nil, errors.Join(fmt.Errorf("skip to offset %d: %w", from, err), body.Close())
		}
	}
	return body, nil
}

// piece is how much of a body must be taken within writeTimeout, so that a slow
// reader may take however long for the whole.
const piece = 4 << 20

// sendBody sends length bytes; ours says that an error is the file's, not the
// connection's. A file on a local disk is handed to the kernel whole.
func sendBody(w http.ResponseWriter, body io.Reader, length int64) (sent int64, ours bool, err error) {
	control := http.NewResponseController(w)
	noting := &notingReader{r: body}
	src := io.Reader(noting)
	if u, ok := body.(interface{ Unwrap() io.Reader }); ok {
		if f, ok := u.Unwrap().(*os.File); ok {
			src = f
		}
	}
	for sent < length {
		// Not every writer has deadlines; those that have none need none.
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
		n, err := io.CopyN(w, src, min(piece, length-sent))
		sent += n
		if err != nil {
			var path *fs.PathError
			return sent, noting.err != nil || errors.Is(err, io.EOF) || errors.As(err, &path), err
		}
	}
	return sent, false, nil
}

// notingReader remembers the error of its reader.
type notingReader struct {
	r   io.Reader
	err error
}

func (n *notingReader) Read(b []byte) (int, error) {
	k, err := n.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return k, err
}

// matchesTag says whether a list of entity tags holds the tag, by weak
// comparison (RFC 9110, 8.8.3.2).
func matchesTag(lines []string, tag string) bool {
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			member = strings.TrimPrefix(strings.TrimSpace(member), "W/")
			if member == "*" || member == tag {
				return true
			}
		}
	}
	return false
}

type rangeState int

const (
	rangeIgnored rangeState = iota // not understood, or several: the whole file
	rangeGood
	rangeUnsatisfiable
)

// parseRange reads a Range header of one range (RFC 9110, 14.1.2).
func parseRange(header string, size int64) (start, length int64, state rangeState) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	if !ok || strings.Contains(spec, ",") {
		return 0, 0, rangeIgnored
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return 0, 0, rangeIgnored
	}
	number := func(s string) (int64, bool) {
		if s == "" || strings.ContainsFunc(s, func(c rune) bool { return c < '0' || c > '9' }) {
			return 0, false
		}
		n, err := strconv.ParseInt(s, 10, 64)
		return n, err == nil
	}
	if first == "" {
		n, ok := number(last)
		switch {
		case !ok:
			return 0, 0, rangeIgnored
		case n == 0 || size == 0:
			return 0, 0, rangeUnsatisfiable
		}
		n = min(n, size)
		return size - n, n, rangeGood
	}
	start, ok = number(first)
	if !ok {
		return 0, 0, rangeIgnored
	}
	end := size - 1
	if last != "" {
		n, ok := number(last)
		if !ok || n < start {
			return 0, 0, rangeIgnored
		}
		end = min(end, n)
	}
	if start >= size {
		return 0, 0, rangeUnsatisfiable
	}
	return start, end - start + 1, rangeGood
}
