package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key, a.pem, _ = certify(t, nil, "authority", 1)
	return a
}

// certify makes a certificate of the name; without an issuer it signs itself.
func certify(t *testing.T, by *authority, name string, serial int64) (*x509.Certificate, *ecdsa.PrivateKey, []byte, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true}
	parent, signer := tmpl, key
	if by == nil {
		tmpl.IsCA, tmpl.KeyUsage = true, x509.KeyUsageCertSign
	} else {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

func writeFiles(t *testing.T, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A changed certificate is served without a restart; a broken one is not, and
// the former stays. Client certificates are demanded where an authority is
// given.
func TestBE010_TLSFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, other := newAuthority(t), newAuthority(t)
	f := TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), ClientCA: filepath.Join(dir, "ca.pem")}
	_, _, cert, key := certify(t, ca, "first", 11)
	writeFiles(t, map[string][]byte{f.Cert: cert, f.Key: key, f.ClientCA: ca.pem})
	c := &clock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	var logged bytes.Buffer
	config, err := f.Config(slog.New(slog.NewTextHandler(&logged, nil)), c.Now)
	if err != nil {
		t.Fatal(err)
	}
	h := setup(t, func(o *Options) { o.TLS = config })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- h.server.Serve(l) }()
	t.Cleanup(func() {
		_ = h.server.Stop(t.Context())
		if err := <-served; err != nil {
			t.Error(err)
		}
	})

	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	get := func(by *authority, change func(*tls.Config)) (serial int64, err error) {
		tc := &tls.Config{RootCAs: roots}
		if by != nil {
			_, k, chain, _ := certify(t, by, "client", 99)
			block, _ := pem.Decode(chain)
			tc.Certificates = []tls.Certificate{{Certificate: [][]byte{block.Bytes}, PrivateKey: k}}
		}
		if change != nil {
			change(tc)
		}
		transport := &http.Transport{TLSClientConfig: tc, DisableKeepAlives: true}
		resp, err := (&http.Client{Transport: transport}).Get("https://" + l.Addr().String() + "/fhir/metadata")
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Strict-Transport-Security") == "" {
			t.Errorf("%d %v", resp.StatusCode, resp.Header)
		}
		return resp.TLS.PeerCertificates[0].SerialNumber.Int64(), nil
	}
	want := func(what string, serial int64) {
		t.Helper()
		if got, err := get(ca, nil); err != nil || got != serial {
			t.Errorf("%s: certificate %d, %v; want %d", what, got, err, serial)
		}
	}
	want("at first", 11)
	for name, by := range map[string]*authority{"no client certificate": nil, "of another authority": other} {
		if _, err := get(by, nil); err == nil {
			t.Errorf("%s gets through", name)
		}
	}
	if _, err := get(ca, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 }); err == nil {
		t.Error("TLS 1.1 gets through")
	}

	_, _, cert, key = certify(t, ca, "second", 22)
	writeFiles(t, map[string][]byte{f.Cert: cert, f.Key: key})
	want("before the next look", 11)
	c.Pass(lookEvery)
	want("after a change", 22)
	writeFiles(t, map[string][]byte{f.Cert: []byte("broken")})
	c.Pass(lookEvery)
	want("after a broken change", 22)
	if !strings.Contains(logged.String(), "the former stay in service") {
		t.Errorf("log: %s", logged.String())
	}
	if err := os.Remove(f.Key); err != nil {
		t.Fatal(err)
	}
	c.Pass(lookEvery)
	want("after a removal", 22)
	if _, err := f.Config(slog.New(slog.DiscardHandler), nil); err == nil {
		t.Error("missing files make a configuration")
	}
}
