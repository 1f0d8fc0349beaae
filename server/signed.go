package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// A capability URL opens a file by itself, for the time that a bearer token
// would (Bulk Data 3.0.0, requiresAccessToken; BE-174, BE-205). Its signature
// binds export, file and expiry.

// minimumURLKey is the least length of Options.FileURLKey.
const minimumURLKey = 32

// sign is the query that makes a file's URL a capability.
func (s *Server) sign(id, name string) string {
	until := strconv.FormatInt(s.now().Add(s.options.FileURLLife).Unix(), 10)
	return url.Values{"expires": {until}, "signature": {s.signature(id, name, until)}}.Encode()
}

func (s *Server) signature(id, name, until string) string {
	mac := hmac.New(sha256.New, s.options.FileURLKey)
	for _, part := range []string{id, name, until} {
		mac.Write([]byte(part))
		mac.Write([]byte{0})
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// capable says that a request's URL is a capability for the file that is still
// good; given says that it claims to be one.
func (s *Server) capable(r *http.Request, id, name string) (good, given bool) {
	q := r.URL.Query()
	until, signature := q.Get("expires"), q.Get("signature")
	if s.options.FileURLKey == nil || signature == "" {
		return false, false
	}
	if !hmac.Equal([]byte(signature), []byte(s.signature(id, name, until))) {
		return false, true
	}
	at, err := strconv.ParseInt(until, 10, 64)
	return err == nil && s.now().Before(time.Unix(at, 0)), true
}
