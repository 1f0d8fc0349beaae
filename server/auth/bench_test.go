package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jws"

	"remit/sql/control"
	"remit/sql/postgres/postgrestest"
)

// benchSigner is an assertion's signer of the algorithm.
func benchSigner(b *testing.B, alg string) signer {
	b.Helper()
	if alg == "RS384" {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			b.Fatal(err)
		}
		return signer{"k1", alg, k}
	}
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	return signer{"k1", alg, k}
}

// assertions signs n assertions ahead, so that only the server's work is
// measured.
func (s signer) assertions(b *testing.B, id string, n int) []string {
	b.Helper()
	out := make([]string, n)
	for i := range out {
		claims := map[string]any{"iss": id, "sub": id, "aud": tokenURL, "exp": time.Now().Unix() + 300, "jti": fmt.Sprintf("%s-%d", id, i)}
		part := func(m map[string]any) string {
			data, err := json.Marshal(m)
			if err != nil {
				b.Fatal(err)
			}
			return b64(data)
		}
		input := part(s.header(nil)) + "." + part(claims)
		sum := sha512.Sum384([]byte(input))
		var signature []byte
		var err error
		switch k := s.private.(type) {
		case *rsa.PrivateKey:
			signature, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA384, sum[:])
		case *ecdsa.PrivateKey:
			r, v, signErr := ecdsa.Sign(rand.Reader, k, sum[:])
			if err = signErr; err == nil {
				signature = append(r.FillBytes(make([]byte, 48)), v.FillBytes(make([]byte, 48))...)
			}
		}
		if err != nil {
			b.Fatal(err)
		}
		out[i] = input + "." + b64(signature)
	}
	return out
}

// BenchmarkVerify is what one signature check costs by itself: what
// BenchmarkToken is held against. Both use all processors.
func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{"ES384", "RS384"} {
		b.Run(alg, func(b *testing.B) {
			s := benchSigner(b, alg)
			set, err := ParseKeySet(jwks(s.jwk()), true)
			if err != nil {
				b.Fatal(err)
			}
			compact := []byte(s.assertions(b, "a", 1)[0])
			a := algorithms()[map[string]int{"RS384": 0, "ES384": 1}[alg]]
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := jws.VerifyCompactFast(set.keys[0].raw, compact, a.jws); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "checks/s")
		})
	}
}

// BenchmarkToken is the token endpoint whole: form, claims, signature, and the
// durable record of jti, token and audit event, from 256 clients at once on two processors. Use
// -benchtime 5000x or the like: each request needs an assertion signed ahead.
func BenchmarkToken(b *testing.B) {
	for _, store := range []string{"SQLite", "PostgreSQL"} {
		for _, alg := range []string{"ES384", "RS384"} {
			b.Run(store+"/"+alg, func(b *testing.B) {
				address := "sqlite:" + b.TempDir() + "/control.db"
				if store == "PostgreSQL" {
					address = postgrestest.DSN(b)
				}
				benchToken(b, address, alg)
			})
		}
	}
}

func benchToken(b *testing.B, address, alg string) {
	db, err := control.Open(b.Context(), address)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	s := NewStore(db, nil)
	key := benchSigner(b, alg)
	id, err := s.Register(b.Context(), Registration{Name: "partner", Keys: jwks(key.jwk()), Scope: "system/*.rs"})
	if err != nil {
		b.Fatal(err)
	}
	a, err := New(Options{Clients: s, Ledger: s, Tokens: s, TokenURL: tokenURL, Audit: db.AddEvent, Log: slog.New(slog.NewJSONHandler(io.Discard, nil))})
	if err != nil {
		b.Fatal(err)
	}
	bodies := make([]string, b.N)
	for i, compact := range key.assertions(b, id, b.N) {
		bodies[i] = url.Values{"grant_type": {"client_credentials"}, "scope": {"system/*.rs"}, "client_assertion_type": {AssertionType}, "client_assertion": {compact}}.Encode()
	}
	var next atomic.Int64
	b.SetParallelism(128) // times GOMAXPROCS: clients that wait for the disk together
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := httptest.NewRequest(http.MethodPost, tokenURL, strings.NewReader(bodies[next.Add(1)-1]))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			a.ServeToken(w, r)
			if w.Code != http.StatusOK {
				b.Errorf("status %d: %s", w.Code, w.Body)
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
	events, err := db.Events(b.Context(), time.Time{}, b.N+1)
	if err != nil || len(events) != b.N {
		b.Fatalf("%d audit events for %d tokens: %v", len(events), b.N, err)
	}
}
