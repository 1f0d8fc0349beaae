package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"remit/mapping/program"
)

func doubleTypesNow() []program.Type { return doubleTypes }

func newRequest(method, path, body string) *http.Request {
	return httptest.NewRequest(method, "http://127.0.0.1:1"+path, strings.NewReader(body))
}

// checkAnswer says that a request is answered well: a success, or a refusal
// with an OperationOutcome, and never a fault.
func checkAnswer(t *testing.T, s *Server, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Code >= 500 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
		t.Fatalf("the answer is not JSON: %s", w.Body)
	}
	if w.Code >= 400 && !strings.Contains(w.Body.String(), `"resourceType":"OperationOutcome"`) {
		t.Fatalf("%d without an OperationOutcome: %s", w.Code, w.Body)
	}
	return w
}
