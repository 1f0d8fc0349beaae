package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"remit/profiles"
	"remit/profiles/fhirpath"
	"remit/profiles/r4"
)

type fhirpathCmd struct {
	Package    []string `help:"FHIR package of your own (folder or .tgz), for memberOf() and conformsTo()." placeholder:"DIR" sep:"none"`
	Codes      []string `help:"Folder of code lists of your own (.csv, .json), for memberOf()." placeholder:"DIR" sep:"none"`
	Expression string   `arg:"" help:"FHIRPath expression."`
	File       string   `arg:"" help:"Resource to evaluate it on: .json, .ndjson (one result a line), either as .gz, or - for standard input."`
}

// Help shows a worked line.
func (fhirpathCmd) Help() string {
	return "Example: remit fhirpath 'item.adjudication.amount.value' eob.json"
}

// Run prints the result as one JSON array on one line. Exit code 1 says that
// the expression is no FHIRPath or names what cannot be, 3 that it cannot be
// evaluated on this resource.
func (c *fhirpathCmd) Run(ctx context.Context, a *app) error {
	in, err := openResources(a.stdin, c.File)
	if err != nil {
		return err
	}
	defer in.Close()
	e := evaluation{cmd: c, app: a, parser: r4.Parser{MaxBytes: maxResource}, programs: map[*r4.Type]*fhirpath.Expression{}}
	return in.each(func(b batch) error {
		for i, line := range b.lines {
			if err := ctx.Err(); err != nil {
				return err
			}
			if len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			if err := e.line(b.first+i, line); err != nil {
				return err
			}
		}
		return nil
	})
}

// evaluation is one expression on its way over the resources of a file.
type evaluation struct {
	cmd      *fhirpathCmd
	app      *app
	env      *fhirpath.Env
	programs map[*r4.Type]*fhirpath.Expression
	parser   r4.Parser
	resource r4.Resource
	out      []byte
}

func (e *evaluation) line(number int, data []byte) error {
	at := fmt.Sprintf("%s:%d", e.cmd.File, number)
	for _, p := range e.parser.Parse(data, &e.resource) {
		if e.resource.Type() == nil {
			return fmt.Errorf("%s: %s [%s]", at, p.Message, p.Code)
		}
		// What could be understood is there to be asked about.
		fmt.Fprintf(e.app.stderr, "%s: warning: %s: %s [%s]\n", at, p.Path, p.Message, p.Code)
	}
	x, err := e.compiled(e.resource.Type())
	if err != nil {
		return e.fail(err)
	}
	result, err := x.Eval(e.env, &e.resource, r4.Root)
	if err != nil {
		return e.fail(err)
	}
	e.out = append(result.AppendJSON(e.out[:0]), '\n')
	if _, err := e.app.stdout.Write(e.out); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// compiled gives the expression for resources of a type.
func (e *evaluation) compiled(t *r4.Type) (*fhirpath.Expression, error) {
	if x := e.programs[t]; x != nil {
		return x, nil
	}
	x, err := fhirpath.Compile(e.cmd.Expression, fhirpath.Options{Type: t, Strict: true})
	if err != nil {
		return nil, err
	}
	e.programs[t] = x
	if e.env == nil {
		if err := e.open(); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// open readies the environment. The definitions are opened only for an
// expression that asks for them.
func (e *evaluation) open() error {
	e.env = &fhirpath.Env{}
	if strings.Contains(e.cmd.Expression, "memberOf") || strings.Contains(e.cmd.Expression, "conformsTo") {
		set, err := openDefinitions(e.cmd.Package, e.cmd.Codes)
		if err != nil {
			return err
		}
		v, err := set.Validator(profiles.ValidatorOptions{})
		if err != nil {
			return err
		}
		e.env = v.Environment()
	}
	e.env.Now = e.app.now()
	e.env.Trace = func(name string, items fhirpath.Collection) {
		fmt.Fprintf(e.app.stderr, "trace %s: %s\n", name, items.AppendJSON(nil))
	}
	return nil
}

// fail turns a fault of the expression into its message and exit code.
func (e *evaluation) fail(err error) error {
	var fault *fhirpath.Error
	if !errors.As(err, &fault) || fault.Kind == fhirpath.Evaluation {
		return fmt.Errorf("evaluate: %w", err)
	}
	fmt.Fprintf(e.app.stderr, "remit: %v\n", err)
	return exitCode(exitFindings)
}
