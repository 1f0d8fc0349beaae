package server

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
)

// done kicks off an export of Patient that is done at once, and returns the URL
// and content of its file.
func (h *house) done(token string) (target string, content []byte) {
	h.t.Helper()
	status := h.kickoff(token, "/$export?_type=Patient")
	m := h.manifest(token, status)
	return m.Output[0].URL, h.double.exports[exportID(status)].files["Patient.1.ndjson"]
}

func TestBE200_File(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	token := h.token("alpha", "")
	target, content := h.done(token)
	for _, accept := range []string{"", "application/fhir+ndjson", "application/ndjson", "*/*", "text/html"} { // BE-202
		var headers []string
		if accept != "" {
			headers = []string{"Accept", accept}
		}
		a := h.do(http.MethodGet, target, token, "", headers...)
		if a.status != http.StatusOK || a.header.Get("Content-Type") != ndjson || !bytes.Equal(a.body, content) {
			t.Fatalf("Accept %q: %d %s, %d bytes", accept, a.status, a.header.Get("Content-Type"), len(a.body))
		}
		for name, want := range map[string]string{ // BE-207
			"Content-Length": strconv.Itoa(len(content)), "Accept-Ranges": "bytes", "Cache-Control": "no-store", "Vary": "Accept-Encoding",
			"Content-Disposition": "attachment; filename=Patient.1.ndjson", "Content-Encoding": "",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s %q, want %q", name, got, want)
			}
		}
	}
	head := h.do(http.MethodHead, target, token, "")
	if head.status != http.StatusOK || len(head.body) != 0 || head.header.Get("Content-Length") != strconv.Itoa(len(content)) {
		t.Errorf("HEAD: %d, %d bytes, Content-Length %s", head.status, len(head.body), head.header.Get("Content-Length"))
	}
	h.wantOutcome(h.do(http.MethodGet, target+"x", token, ""), http.StatusNotFound, "not-found") // BE-208
}

func TestBE203_Encodings(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	token := h.token("alpha", "")
	target, content := h.done(token)
	for accept, want := range map[string]string{
		"gzip": gzipped, "x-gzip": gzipped, "gzip, deflate, br, identity": gzipped, "*": gzipped, "GZIP;q=0.5": gzipped,
		"identity": "", "gzip;q=0": "", "br": "", "gzip;q=0.2, identity;q=0.8": "", "": "", "deflate, gzip;q=0, *;q=0.5": "",
	} {
		var headers []string
		if accept != "" {
			headers = []string{"Accept-Encoding", accept}
		}
		a := h.do(http.MethodGet, target, token, "", headers...)
		if a.status != http.StatusOK || a.header.Get("Content-Encoding") != want {
			t.Errorf("%q: %d %q, want %q", accept, a.status, a.header.Get("Content-Encoding"), want)
			continue
		}
		body := a.body
		if want == gzipped {
			z, err := gzip.NewReader(bytes.NewReader(a.body))
			if err != nil {
				t.Fatal(err)
			}
			if body, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(body, content) || a.header.Get("Content-Length") != strconv.Itoa(len(a.body)) {
			t.Errorf("%q: another content", accept)
		}
	}
	h.wantOutcome(h.do(http.MethodGet, target, token, "", "Accept-Encoding", "br, identity;q=0, gzip;q=0"), http.StatusNotAcceptable, "not-supported")
}

func TestBE207_Ranges(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	token := h.token("alpha", "")
	target, content := h.done(token)
	n := len(content)
	for _, tc := range []struct {
		value    string
		from, to int // of the part; to is exclusive; 0, 0 for the whole
	}{
		{"bytes=0-9", 0, 10}, {"bytes=10-", 10, n}, {"bytes=-5", n - 5, n}, {fmt.Sprintf("bytes=5-%d", n+100), 5, n},
		{fmt.Sprintf("bytes=-%d", n+1), 0, n}, {"bytes=0-1,3-4", 0, 0}, {"lines=1-2", 0, 0}, {"bytes=9-3", 0, 0}, {"bytes=x-", 0, 0}, {"bytes=-", 0, 0}, {"bytes=+1-2", 0, 0},
	} {
		a := h.do(http.MethodGet, target, token, "", "Range", tc.value, "Accept-Encoding", "gzip")
		if tc.to == 0 {
			if a.status != http.StatusOK {
				t.Errorf("%s: %d", tc.value, a.status)
			}
			continue
		}
		want := fmt.Sprintf("bytes %d-%d/%d", tc.from, tc.to-1, n)
		if a.status != http.StatusPartialContent || a.header.Get("Content-Range") != want || !bytes.Equal(a.body, content[tc.from:tc.to]) || a.header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %d, Content-Range %q, want %q", tc.value, a.status, a.header.Get("Content-Range"), want)
		}
	}
	a := h.do(http.MethodGet, target, token, "", "Range", fmt.Sprintf("bytes=%d-", n))
	h.wantOutcome(a, http.StatusRequestedRangeNotSatisfiable, "value")
	if got := a.header.Get("Content-Range"); got != fmt.Sprintf("bytes */%d", n) {
		t.Errorf("Content-Range %q", got)
	}
}

func TestBE207_EntityTags(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	token := h.token("alpha", "")
	target, _ := h.done(token)
	plainTag := h.do(http.MethodHead, target, token, "").header.Get("ETag")
	zipTag := h.do(http.MethodHead, target, token, "", "Accept-Encoding", "gzip").header.Get("ETag")
	if len(plainTag) != 66 || plainTag == zipTag {
		t.Errorf("tags %s and %s", plainTag, zipTag)
	}
	for _, tc := range []struct {
		headers []string
		want    int
	}{
		{[]string{"If-None-Match", plainTag}, http.StatusNotModified},
		{[]string{"If-None-Match", `"x", W/` + plainTag}, http.StatusNotModified},
		{[]string{"If-None-Match", "*"}, http.StatusNotModified},
		{[]string{"If-None-Match", zipTag}, http.StatusOK},
		{[]string{"If-None-Match", zipTag, "Accept-Encoding", "gzip"}, http.StatusNotModified},
		{[]string{"If-Match", plainTag}, http.StatusOK},
		{[]string{"If-Match", `"x"`}, http.StatusPreconditionFailed},
		{[]string{"Range", "bytes=0-1", "If-Range", plainTag}, http.StatusPartialContent},
		{[]string{"Range", "bytes=0-1", "If-Range", `"x"`}, http.StatusOK},
	} {
		if a := h.do(http.MethodGet, target, token, "", tc.headers...); a.status != tc.want {
			t.Errorf("%v: %d, want %d", tc.headers, a.status, tc.want)
		}
	}
}
