package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// TLSFiles are the files of a server's TLS.
type TLSFiles struct {
	// Cert and Key are PEM files of the certificate chain and its key.
	Cert, Key string
	// ClientCA, where not "", is a PEM file of the authorities of client
	// certificates: who has none of theirs does not get through the handshake.
	ClientCA string
}

// lookEvery is how long a look at the files serves.
const lookEvery = 10 * time.Second

// Config makes a TLS configuration of at least TLS 1.2 (BE-010) that takes up
// changed files without a restart: it looks at them at most every ten seconds,
// when a client connects. What cannot be read leaves the former in service, and
// is logged. A nil clock means the system's. Errors: files that cannot be used
// now.
func (f TLSFiles) Config(log *slog.Logger, clock func() time.Time) (*tls.Config, error) {
	if clock == nil {
		clock = time.Now
	}
	r := &tlsReloader{files: f, log: log, clock: clock}
	if err := r.load(); err != nil {
		return nil, err
	}
	r.looked = clock()
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: r.config}, nil
}

type tlsReloader struct {
	files TLSFiles
	log   *slog.Logger
	clock func() time.Time

	mu      sync.Mutex
	looked  time.Time
	stamps  [3]stamp
	current *tls.Config
}

// stamp tells one state of a file from another.
type stamp struct {
	at   time.Time
	size int64
}

// config is asked for each connection.
func (r *tlsReloader) config(*tls.ClientHelloInfo) (*tls.Config, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.clock(); now.Sub(r.looked) >= lookEvery {
		r.looked = now
		if stamps, err := r.look(); err == nil && stamps != r.stamps {
			if err := r.load(); err != nil {
				r.log.Error("changed TLS files cannot be used; the former stay in service", slog.String("error", err.Error()))
			} else {
				r.log.Info("TLS files reloaded")
			}
		}
	}
	return r.current, nil
}

func (r *tlsReloader) look() (stamps [3]stamp, err error) {
	for i, name := range []string{r.files.Cert, r.files.Key, r.files.ClientCA} {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return stamps, err
		}
		stamps[i] = stamp{info.ModTime(), info.Size()}
	}
	return stamps, nil
}

// load reads the files; the stamps are taken before, so that a change under way
// is met again.
func (r *tlsReloader) load() error {
	stamps, err := r.look()
	if err != nil {
		return fmt.Errorf("read TLS files: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(r.files.Cert, r.files.Key)
	if err != nil {
		return fmt.Errorf("read TLS certificate: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	if r.files.ClientCA != "" {
		pem, err := os.ReadFile(r.files.ClientCA)
		if err != nil {
			return fmt.Errorf("read client authorities: %w", err)
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(pem) {
			return errors.New("read client authorities: no certificate in the file")
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	r.stamps, r.current = stamps, c
	return nil
}
