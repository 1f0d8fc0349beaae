package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/mapping/program"
	"remit/server/client"
)

// TestExchange is the whole exchange as a client of the guide makes it: from
// discovery to deletion.
func TestExchange(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		k    client.Kickoff
		want []string
	}{
		{"system", client.Kickoff{}, []string{"Coverage.1.ndjson", "Group.1.ndjson", "Organization.1.ndjson", "Patient.1.ndjson"}},
		{"patient", client.Kickoff{Level: client.Patient, Types: []string{"Patient", "Coverage"}}, []string{"Coverage.1.ndjson", "Patient.1.ndjson"}},
		{"group", client.Kickoff{Group: "g1", Types: []string{"Patient"}, Since: "2024-01-01T00:00:00+05:00"}, []string{"Patient.1.ndjson"}},
		{"some patients by POST", client.Kickoff{Level: client.Patient, Patients: []string{"p1"}, Types: []string{"Coverage"}}, []string{"Coverage.1.ndjson"}},
		{"lenient", client.Kickoff{Lenient: true, Types: []string{"Patient", "Observation"}}, []string{"OperationOutcome.1.ndjson", "Patient.1.ndjson"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			h := setup(t, nil)
			h.double.polls = 3
			c := h.client("alpha", "system/*.read")
			status := ""
			t.Run("BE-011 SMART Backend Services", func(t *testing.T) {
				configuration, err := c.Discover(ctx)
				if err != nil || configuration.TokenEndpoint != h.base+"/auth/token" {
					t.Fatalf("discover: %+v, %v", configuration, err)
				}
				if status, err = c.Kickoff(ctx, tc.k); err != nil {
					t.Fatal(err)
				}
			})
			polls := 0
			m, err := c.Poll(ctx, status, func(p client.Progress) {
				polls++
				if p.Percent != 40 || p.Next < time.Second {
					t.Errorf("progress %+v", p)
				}
			})
			if err != nil || polls != 3 {
				t.Fatalf("poll: %v after %d polls", err, polls)
			}
			t.Run("BE-186 every file is at its URL", func(t *testing.T) {
				dir := t.TempDir()
				saved, err := c.Fetch(ctx, m, client.Download{Dir: dir})
				if err != nil {
					t.Fatal(err)
				}
				entries, err := os.ReadDir(dir)
				if err != nil {
					t.Fatal(err)
				}
				var names []string
				for _, e := range entries {
					names = append(names, e.Name())
				}
				if diff := cmp.Diff(tc.want, names); diff != "" {
					t.Errorf("files (-want +got):\n%s", diff)
				}
				for _, s := range saved {
					data, err := os.ReadFile(s.Path)
					if err != nil {
						t.Fatal(err)
					}
					if want := h.double.exports[exportID(status)].files[filepath.Base(s.Path)]; string(data) != string(want) {
						t.Errorf("%s: %d bytes, want %d", s.Path, len(data), len(want))
					}
				}
			})
			if err := c.Delete(ctx, status); err != nil {
				t.Error(err)
			}
			if _, err := c.Poll(ctx, status, nil); err == nil || !strings.Contains(err.Error(), "there is no such export") {
				t.Errorf("poll after delete: %v", err)
			}
		})
	}
}

// TestExchangeRefused shows a client what the server says.
func TestExchangeRefused(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	_, err := h.client("alpha", "").Kickoff(t.Context(), client.Kickoff{Types: []string{"Foo", "Observation"}})
	if err == nil || !strings.Contains(err.Error(), `resource type "Foo" is not exported`) || !strings.Contains(err.Error(), "400") {
		t.Errorf("error %v", err)
	}
	_, err = h.client("alpha", "patient/*.read").Kickoff(t.Context(), client.Kickoff{})
	if err == nil || !strings.Contains(err.Error(), "[invalid_scope]") {
		t.Errorf("error %v", err)
	}
	h.keys["nobody"] = h.keys["alpha"]
	_, err = h.client("nobody", "").Kickoff(t.Context(), client.Kickoff{})
	if err == nil || !strings.Contains(err.Error(), "[invalid_client]") {
		t.Errorf("error %v", err)
	}
}

// TestBE010_TLS refuses what is older than TLS 1.2.
func TestBE010_TLS(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	d := &double{now: time.Now, exports: map[string]*doubleExport{}}
	s, err := New(Options{PublicURL: "https://127.0.0.1/fhir", Exports: d, Types: func() []program.Type { return doubleTypes },
		TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS10}}) //nolint:gosec // New must raise it
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	for version, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: version}}} //nolint:gosec // the old versions are the test
		resp, err := c.Get("https://" + l.Addr().String() + "/fhir/metadata")
		if (err == nil) != ok {
			t.Errorf("TLS %x: %v", version, err)
		}
		if err == nil {
			resp.Body.Close()
		}
	}
	if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
