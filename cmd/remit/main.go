// Command remit turns a payer's claims warehouse into FHIR and hands it out in
// bulk. This package wires the rooms together: one file a verb, one
// configuration, four exit codes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"remit/mapping/diag"
)

// The exit codes of every verb.
const (
	exitFine     = 0 // done, nothing to say
	exitFindings = 1 // done, and diagnostics or findings were reported
	exitUsage    = 2 // the command line or the configuration is at fault
	exitFault    = 3 // it could not be done
)

// app is the world of one run: its streams, clock and environment. Nothing
// below this package reads them.
type app struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	getenv func(string) string
	now    func() time.Time
}

// cli is the command line.
type cli struct {
	Demo     demoCmd     `cmd:"" help:"Run the whole exchange on the shipped claims: serve, authorize, export, download."`
	Check    checkCmd    `cmd:"" help:"Check a mapping set against its warehouse and profiles."`
	Test     testCmd     `cmd:"" help:"Run the mapping tests of a set on the embedded engine."`
	Explain  explainCmd  `cmd:"" help:"Tell how one resource is made: rows, SQL, lines of the mapping, findings."`
	Plan     planCmd     `cmd:"" help:"Print the passes and queries of a run."`
	Lineage  lineageCmd  `cmd:"" help:"Print which column goes where, and what is not used or not mapped."`
	Schema   schemaCmd   `cmd:"" help:"Print the JSON Schema of the mapping language, for editors."`
	Init     initCmd     `cmd:"" help:"Start a mapping set from a warehouse's tables and from profiles."`
	Fmt      fmtCmd      `cmd:"" help:"Lay mapping files out, meaning and comments kept."`
	Load     loadCmd     `cmd:"" help:"Load a folder of tables into a new PostgreSQL schema: the only verb that writes to a warehouse."`
	Export   exportCmd   `cmd:"" help:"Export resources to NDJSON files, without HTTP."`
	Validate validateCmd `cmd:"" help:"Validate FHIR resources against profiles."`
	Workbook workbookCmd `cmd:"" help:"Write a mapping set as a workbook, and take it back."`
	Fhirpath fhirpathCmd `cmd:"" name:"fhirpath" help:"Evaluate a FHIRPath expression on a resource."`
	Serve    serveCmd    `cmd:"" help:"Serve the Bulk Data API."`
	Worker   workerCmd   `cmd:"" help:"Run chunks of the exports that servers over the same control store accept."`
	Job      jobCmd      `cmd:"" help:"List, show, cancel and retry exports."`
	Migrate  migrateCmd  `cmd:"" help:"Bring the control store's schema to this version, or tell where it stands."`
	Pull     pullCmd     `cmd:"" help:"Download an export from a Bulk Data server."`
	Audit    auditCmd    `cmd:"" help:"Read and verify the audit trail."`
	Choices  choicesCmd  `cmd:"" name:"member-choices" help:"Manage which members' data may be shared for what."`
	Publish  publishCmd  `cmd:"" help:"Publish what belongs to nobody as a static manifest, or add what changed."`
	Submit   submitCmd   `cmd:"" help:"Submit an export to a Bulk Data receiver ($bulk-submit)."`
	Client   clientCmd   `cmd:"" help:"Manage the clients that may export."`
	Bench    benchCmd    `cmd:"" help:"Measure reading, mapping, validating and writing on scaled claims."`
	Config   configCmd   `cmd:"" help:"Print the effective configuration, secrets masked."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks; a second one is obeyed at once.
	context.AfterFunc(ctx, stop)
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, now: time.Now}
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// exitCode carries a verb's exit code through kong without a message.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit %d", int(c)) }

// usageError is a fault of the command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// run parses the arguments, runs the verb and returns the exit code.
func (a *app) run(ctx context.Context, args []string) (code int) {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("remit"),
		kong.Description("Remit turns a claims warehouse into FHIR R4 and hands it out in bulk."),
		kong.Writers(a.stdout, a.stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(a),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		fmt.Fprintf(a.stderr, "remit: %v\n", err)
		return exitFault
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 {
		return exited // --help was asked for and printed
	}
	if err != nil {
		fmt.Fprintf(a.stderr, "remit: %v\n", err)
		return exitUsage
	}
	return a.report(ctx, parsed.Run())
}

// report prints what a verb returned and chooses the exit code.
func (a *app) report(ctx context.Context, err error) int {
	var (
		code  exitCode
		usage *usageError
		list  *diag.ListError
	)
	switch {
	case err == nil:
		return exitFine
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage):
		fmt.Fprintf(a.stderr, "remit: %v\n", err)
		return exitUsage
	case errors.As(err, &list):
		_ = list.List.WriteText(a.stderr)
		return exitFindings
	case ctx.Err() != nil:
		fmt.Fprintln(a.stderr, "remit: interrupted")
		return exitFault
	default:
		fmt.Fprintf(a.stderr, "remit: %v\n", err)
		return exitFault
	}
}
