// Package files keeps NDJSON files on a blob store: a local folder, S3 or
// Azure. A file is written line by line, compressed as it goes, and becomes
// visible whole, on Commit, or not at all.
//
// The room does not know what a line means, nor who may read it.
package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/klauspost/compress/gzip"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob:// addresses
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"
	_ "gocloud.dev/blob/s3blob" // s3:// addresses
	"gocloud.dev/gcerrors"
)

// ErrNotExist says that there is no such file, or none any more.
var ErrNotExist = errors.New("file does not exist")

// ErrFull says that the store has no room left.
var ErrFull = errors.New("file store is full")

// Store keeps files under object keys such as "ID/0-1/Patient.1.ndjson.gz". It
// is safe for concurrent use.
type Store struct {
	bucket *blob.Bucket
	dir    string // of a local folder, else ""
	zips   sync.Pool
}

// Open opens the store at address: "file:DIR" (made where missing, readable by
// its owner alone), "mem:" (for tests), "s3://BUCKET?region=...&prefix=..." or
// "azblob://CONTAINER?prefix=...". The cloud stores take their credentials as
// their own tools do, from the environment or the machine's role.
func Open(ctx context.Context, address string) (*Store, error) {
	scheme, rest, _ := strings.Cut(address, ":")
	switch scheme {
	case "file":
		dir, err := filepath.Abs(strings.TrimPrefix(rest, "//"))
		if err != nil || rest == "" {
			return nil, errors.Join(errors.New("file store address has no folder, want file:DIR"), err)
		}
		// Temporary names lie beside the final ones: a rename is atomic only
		// within one file system.
		bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{
			CreateDir: true, DirFileMode: 0o700, NoTempDir: true, Metadata: fileblob.MetadataDontWrite,
		})
		if err != nil {
			return nil, fmt.Errorf("open file store: %w", err)
		}
		s := New(bucket)
		s.dir = dir
		return s, nil
	case "mem":
		return New(memblob.OpenBucket(nil)), nil
	case "s3", "azblob":
		u, err := url.Parse(address)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("file store address names no %s bucket", scheme)
		}
		bucket, err := blob.OpenBucket(ctx, address)
		if err != nil {
			return nil, fmt.Errorf("open file store: %w", err)
		}
		return New(bucket), nil
	}
	return nil, fmt.Errorf("file store address has scheme %q, want file:DIR, s3:// or azblob://", scheme)
}

// New makes a store of an open bucket, which it closes in the end.
func New(bucket *blob.Bucket) *Store {
	return &Store{bucket: bucket, zips: sync.Pool{New: func() any {
		z, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // the level is valid
		return z
	}}}
}

// Close releases the store.
func (s *Store) Close() error { return s.bucket.Close() }

// Reader reads a file as stored, in gzip form, and can seek in it. The caller
// closes it. Error: ErrNotExist.
func (s *Store) Reader(ctx context.Context, object string) (io.ReadSeekCloser, error) {
	if s.dir != "" && filepath.IsLocal(filepath.FromSlash(object)) {
		// The file itself, so that the kernel can send it.
		f, err := os.Open(filepath.Join(s.dir, filepath.FromSlash(object)))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open file: %w", ErrNotExist)
		}
		if err != nil {
			return nil, fault("open file", err)
		}
		return f, nil
	}
	r, err := s.bucket.NewReader(ctx, object, nil)
	if err != nil {
		return nil, fault("open file", err)
	}
	return r, nil
}

// Plain reads a file in its identity form, decompressed. size is that form's
// length in bytes, as Info told it. The reader can seek; going back, or far
// ahead, reads the file anew, as gzip has no other way. The caller closes it.
// Error: ErrNotExist.
func (s *Store) Plain(ctx context.Context, object string, size int64) (io.ReadSeekCloser, error) {
	p := &plain{open: func() (io.ReadCloser, error) { return s.Reader(ctx, object) }, size: size}
	if err := p.restart(); err != nil {
		return nil, err
	}
	return p, nil
}

// Remove removes one file. It is no error where there is none.
func (s *Store) Remove(ctx context.Context, object string) error {
	err := s.bucket.Delete(ctx, object)
	if err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fault("remove file", err)
	}
	return nil
}

// RemoveAll removes every file in folder (a key without its last slash), those
// that a crash left half written included.
func (s *Store) RemoveAll(ctx context.Context, folder string) error {
	if folder == "" || !filepath.IsLocal(folder) {
		return fmt.Errorf("remove folder: malformed name")
	}
	if s.dir != "" {
		if err := os.RemoveAll(filepath.Join(s.dir, filepath.FromSlash(folder))); err != nil {
			return fmt.Errorf("remove folder: %w", err)
		}
		return nil
	}
	it := s.bucket.List(&blob.ListOptions{Prefix: folder + "/"})
	for {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fault("list folder", err)
		}
		if err := s.Remove(ctx, o.Key); err != nil {
			return err
		}
	}
}

// fault wraps an error of the bucket with the operation and this room's
// sentinels.
func fault(op string, err error) error {
	switch {
	case gcerrors.Code(err) == gcerrors.NotFound:
		return fmt.Errorf("%s: %w", op, ErrNotExist)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s: %w: %w", op, ErrFull, err)
	}
	return fmt.Errorf("%s: %w", op, err)
}

// plain is the identity form of a gzip file.
type plain struct {
	open func() (io.ReadCloser, error)
	size int64
	want int64 // where the next Read begins
	at   int64 // where the decompressor stands
	src  io.ReadCloser
	zip  *gzip.Reader
}

func (p *plain) restart() error {
	if err := p.Close(); err != nil {
		return err
	}
	src, err := p.open()
	if err != nil {
		return err
	}
	zip, err := gzip.NewReader(src)
	if err != nil {
		return errors.Join(fmt.Errorf("read file: %w", err), src.Close())
	}
	p.src, p.zip, p.at = src, zip, 0
	return nil
}

// Read reads from the current place.
func (p *plain) Read(b []byte) (int, error) {
	if p.want >= p.size {
		return 0, io.EOF
	}
	if p.src == nil || p.want < p.at {
		if err := p.restart(); err != nil {
			return 0, err
		}
	}
	if p.want > p.at {
		n, err := io.CopyN(io.Discard, p.zip, p.want-p.at)
		p.at += n
		if err != nil {
			return 0, fmt.Errorf("read file: %w", err)
		}
	}
	n, err := p.zip.Read(b)
	p.at += int64(n)
	p.want = p.at
	return n, err
}

// Seek sets the place of the next Read; it costs nothing until then.
func (p *plain) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += p.want
	case io.SeekEnd:
		offset += p.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the start of the file")
	}
	p.want = offset
	return offset, nil
}

// Close releases the reader; it may be called twice.
func (p *plain) Close() error {
	if p.src == nil {
		return nil
	}
	src := p.src
	p.src, p.zip = nil, nil
	if err := src.Close(); err != nil {
		return fmt.Errorf("close file: %w", err)
	}
	return nil
}
