package server

import (
	"context"
	"io"

	"remit/server/export"
)

// Exports is the export engine as the server needs it. Methods are called
// concurrently; any error that is not named here is a fault of the server's
// side, answered as such and logged. [FromEngine] makes one.
type Exports interface {
	// Kickoff accepts an export, durably, and returns an id that nobody can
	// guess (BE-154). With lenient, unknown patients become notes as long as
	// one is left. Errors: export.ErrUnknownGroup,
	// *export.UnknownPatientsError.
	Kickoff(ctx context.Context, r export.Request, lenient bool) (id string, err error)
	// Running counts the client's exports that are not finished (BE-153).
	Running(ctx context.Context, clientID string) (int, error)
	// Status tells where an export stands. Errors: export.ErrNotFound,
	// export.ErrExpired.
	Status(ctx context.Context, id string) (*export.Status, error)
	// Manifest lists the files of a complete export; their URLs begin with
	// base. Errors: as Status, and export.ErrNotReady.
	Manifest(ctx context.Context, id, base string, requiresAccessToken bool) (*export.Manifest, error)
	// Delete cancels a running export and removes a finished one; the id is
	// unknown from then on (BE-210..214). Error: export.ErrNotFound.
	Delete(ctx context.Context, id string) error
	// OpenFile finds a file of a complete export. Errors: as Manifest.
	OpenFile(ctx context.Context, id, name string) (*File, error)
}

// File is one file of an export. Its content never changes.
type File struct {
	// Bytes is the size of the identity form.
	Bytes int64
	// SHA256 is the digest of the identity form in hexadecimal.
	SHA256 string
	// Identity opens the identity form. The reader is the caller's to close.
	Identity func(ctx context.Context) (io.ReadSeekCloser, error)
	// Stored is the size of the gzip form, where there is one.
	Stored int64
	// Gzip opens the gzip form; nil where the file is not kept in it.
	Gzip func(ctx context.Context) (io.ReadSeekCloser, error)
}

// FromEngine fits the engine to the server.
func FromEngine(e *export.Engine) Exports { return engine{e} }

type engine struct{ *export.Engine }

func (e engine) OpenFile(ctx context.Context, id, name string) (*File, error) {
	f, err := e.Engine.OpenFile(ctx, id, name)
	if err != nil {
		return nil, err
	}
	return &File{Bytes: f.Bytes, SHA256: f.SHA256, Identity: f.Identity, Stored: f.Stored, Gzip: f.Gzip}, nil
}
