// Package postgrestest gives tests a temporary PostgreSQL server: one for each
// test binary, a database for each test.
//
// The server runs as another user where the tests run as root, listens on a
// socket in a temporary folder alone, and is stopped and removed when the test
// binary ends, however it ends.
package postgrestest

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/klauspost/compress/gzip"
	"go.yaml.in/yaml/v3"

	"remit/sql/source"
)

// RequireEnv set to 1 turns the absence of PostgreSQL from a skip into a failure.
const RequireEnv = "REMIT_REQUIRE_POSTGRES"

// ErrAbsent says that no server binaries are on this machine.
var ErrAbsent = errors.New("no PostgreSQL server binaries (initdb, postgres) were found")

// server starts the one server of the test binary at its first use.
var server = sync.OnceValues(start)

// databases numbers the databases made.
var databases atomic.Int64

// DSN makes a database for the test and returns its address, a postgres:// URL
// of its superuser. Without PostgreSQL binaries it skips the test, or fails it
// where RequireEnv is 1.
func DSN(t testing.TB) string {
	t.Helper()
	address, err := Database(t.Context())
	if errors.Is(err, ErrAbsent) && os.Getenv(RequireEnv) != "1" {
		t.Skipf("SKIPPED: %v; set PATH or install PostgreSQL to run this test", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// Database makes a database and returns its address, for what has no test at
// hand. Error: ErrAbsent where there is no server to start.
func Database(ctx context.Context) (address string, err error) {
	dir, err := server()
	if err != nil {
		return "", fmt.Errorf("start PostgreSQL: %w", err)
	}
	name := "test" + strconv.FormatInt(databases.Add(1), 10)
	if err := Exec(ctx, dsn(dir, "postgres"), "CREATE DATABASE "+name); err != nil {
		return "", fmt.Errorf("create database: %w", err)
	}
	return dsn(dir, name), nil
}

func dsn(dir, database string) string {
	return "postgres://postgres@/" + database + "?host=" + url.QueryEscape(dir)
}

// Exec runs SQL statements on a database.
func Exec(ctx context.Context, dsn, sql string) error {
	c, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	err = c.Exec(ctx, sql).Close()
	return errors.Join(err, c.Close(ctx))
}

// binaries finds the folder of initdb and postgres: on the PATH, else the
// newest version where Debian and Red Hat install them.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(real), nil
		}
	}
	var found []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/initdb", "/usr/pgsql-*/bin/initdb", "/opt/homebrew/opt/postgresql*/bin/initdb"} {
		hits, _ := filepath.Glob(pattern) // the patterns are well formed
		found = append(found, hits...)
	}
	if len(found) == 0 {
		return "", ErrAbsent
	}
	sort.Slice(found, func(i, j int) bool {
		return len(found[i]) < len(found[j]) || len(found[i]) == len(found[j]) && found[i] < found[j]
	})
	return filepath.Dir(found[len(found)-1]), nil
}

// start makes and starts a cluster and returns its folder.
func start() (dir string, err error) {
	bin, err := binaries()
	if err != nil {
		return "", err
	}
	base := os.TempDir()
	if len(base) > 60 {
		base = "/tmp" // a socket's path has at most 107 bytes
	}
	if dir, err = os.MkdirTemp(base, "remit-pg-"); err != nil {
		return "", err
	}
	attr := &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		// The server refuses to run as root.
		if attr.Credential, err = otherUser(dir); err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	data := filepath.Join(dir, "data")
	common := []string{"-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"}
	// A linguistic collation shows where an order by bytes is forgotten.
	err = initdb(bin, attr, append(common, "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"))
	if err != nil {
		if err = os.RemoveAll(data); err == nil {
			err = initdb(bin, attr, append(common, "--locale=C.UTF-8"))
		}
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, serve(bin, dir, attr)
}

func otherUser(dir string) (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2, os.Chown(dir, int(uid), int(gid))); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("neither user postgres nor nobody exists")
}

func initdb(bin string, attr *syscall.SysProcAttr, args []string) error {
	cmd := exec.Command(filepath.Join(bin, "initdb"), args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = attr
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// watchdog waits until its input ends, which is when the test binary does, then
// stops the server and removes the folder.
const watchdog = `read -r _; kill -QUIT "$1" 2>/dev/null
n=0; while kill -0 "$1" 2>/dev/null && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done
rm -rf -- "$2"`

func serve(bin, dir string, attr *syscall.SysProcAttr) error {
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", filepath.Join(dir, "data"), "-k", dir,
		"-c", "listen_addresses=", "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
		"-c", "max_connections=100", "-c", "shared_buffers=64MB", "-c", "autovacuum=off", "-c", "logging_collector=off")
	cmd.Dir = "/"
	cmd.SysProcAttr = attr
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	// The pipe's other end stays open for as long as this process lives.
	end, alive, err := os.Pipe()
	if err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	guard := exec.Command("/bin/sh", "-c", watchdog, "sh", strconv.Itoa(cmd.Process.Pid), dir)
	guard.Stdin = end
	guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := guard.Start(); err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	exited := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		_ = alive.Close() // held until here so that it is not collected
		exited <- err
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-exited:
			text, _ := os.ReadFile(filepath.Join(dir, "log")) // best effort
			return fmt.Errorf("the server ended at once: %w\n%s", err, text)
		case <-ctx.Done():
			return errors.New("the server did not start in time")
		case <-tick.C:
		}
		if err := Exec(ctx, dsn(dir, "postgres"), "SELECT 1"); err == nil {
			return nil
		}
	}
}

// tables is what warehouse.yaml says, as far as it matters here.
type tables struct {
	Schema string                `yaml:"schema"`
	Tables map[string]tableTypes `yaml:"tables"`
}

type tableTypes struct {
	Columns map[string]string `yaml:"columns"`
}

// LoadCSV makes a table of each .csv and .csv.gz file of a folder, in the given
// schema, with the column types of its warehouse.yaml (columns not named there
// are text; an empty field is NULL): the same tables that sql/duckdb makes.
func LoadCSV(ctx context.Context, dsn, schema string, dir fs.FS) error {
	var declared tables
	text, err := fs.ReadFile(dir, "warehouse.yaml")
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if err := yaml.Unmarshal(text, &declared); err != nil {
		return fmt.Errorf("load: warehouse.yaml: %w", err)
	}
	quotedSchema, err := source.QuoteIdent(schema)
	if err != nil {
		return err
	}
	c, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }() // what is loaded is committed
	if err := c.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+quotedSchema).Close(); err != nil {
		return err
	}
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		stem, ok := strings.CutSuffix(strings.TrimSuffix(e.Name(), ".gz"), ".csv")
		if !ok {
			continue
		}
		if err := loadTable(ctx, c, quotedSchema, stem, dir, e.Name(), declared.Tables[stem].Columns); err != nil {
			return fmt.Errorf("load %s: %w", e.Name(), err)
		}
	}
	return nil
}

func loadTable(ctx context.Context, c *pgconn.PgConn, schema, table string, dir fs.FS, file string, types map[string]string) error {
	open := func() (io.Reader, io.Closer, error) {
		f, err := dir.Open(file)
		if err != nil || !strings.HasSuffix(file, ".gz") {
			return f, f, err
		}
		z, err := gzip.NewReader(f)
		return z, f, err
	}
	r, closer, err := open()
	if err != nil {
		return err
	}
	header, err := csv.NewReader(r).Read()
	if err := errors.Join(err, closer.Close()); err != nil {
		return err
	}
	quoted, err := source.QuoteIdent(table)
	if err != nil {
		return err
	}
	target := schema + "." + quoted
	columns := make([]string, len(header))
	names := make([]string, len(header))
	for i, name := range header {
		if names[i], err = source.QuoteIdent(name); err != nil {
			return err
		}
		kind := types[name]
		switch strings.ToUpper(kind) {
		case "":
			kind = "text"
		case "DOUBLE":
			kind = "double precision"
		}
		columns[i] = names[i] + " " + kind
	}
	if err := c.Exec(ctx, "CREATE TABLE "+target+" ("+strings.Join(columns, ", ")+")").Close(); err != nil {
		return err
	}
	if r, closer, err = open(); err != nil {
		return err
	}
	_, err = c.CopyFrom(ctx, r, "COPY "+target+" FROM STDIN WITH (FORMAT csv, HEADER true, FORCE_NULL ("+strings.Join(names, ", ")+"))")
	if err := errors.Join(err, closer.Close()); err != nil {
		return err
	}
	return c.Exec(ctx, "ANALYZE "+target).Close()
}
