package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"remit/profiles"
)

// maxResource is how many bytes one resource may have. What is longer is not
// read further than that: the parser says that it is too large. A tree of tiny
// elements takes some twenty times its text, so this bounds memory.
const maxResource = 32 << 20

// resources reads the resources of one file.
type resources struct {
	name   string
	r      *bufio.Reader
	single bool // one resource, maybe over many lines
	// demanded says that the file's name promises a resource: none at all is a
	// fault.
	demanded bool
	closed   func() error
}

// openResources opens a file of one resource or of one a line, plain or as
// gzip; "-" is stdin.
func openResources(stdin io.Reader, name string) (*resources, error) {
	in := &resources{name: name, closed: func() error { return nil }}
	from := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
		from, in.closed = f, f.Close
	}
	in.r = bufio.NewReaderSize(from, 1<<20)
	if magic, _ := in.r.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in.r)
		if err != nil {
			_ = in.closed()
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		in.r = bufio.NewReaderSize(z, 1<<20)
	}
	in.single = oneResource(name, in.r)
	in.demanded = filepath.Ext(strings.TrimSuffix(name, ".gz")) == ".json"
	return in, nil
}

// Close closes the file.
func (in *resources) Close() error { return in.closed() }

// oneResource tells a file that holds one resource, maybe over many lines,
// from one that holds a resource a line.
func oneResource(name string, r *bufio.Reader) bool {
	name = strings.TrimSuffix(name, ".gz")
	switch filepath.Ext(name) {
	case ".ndjson", ".jsonl":
		return false
	case ".json":
		return true
	}
	head, _ := r.Peek(r.Size())
	line, _, whole := bytes.Cut(head, []byte("\n"))
	return !whole || !json.Valid(line)
}

// batch is some lines of a file on their way through a worker.
type batch struct {
	lines [][]byte
	first int // line number of lines[0]
	bytes int
	// demanded says that a blank line, too, is to be judged.
	demanded bool
}

// batchBytes is about how much text one batch holds.
const batchBytes = 1 << 20

// each hands the resources on in batches of whole lines. Blank lines are kept,
// so that line numbers stay true.
func (in *resources) each(yield func(batch) error) error {
	if in.single {
		data, err := io.ReadAll(io.LimitReader(in.r, maxResource+1))
		if err != nil {
			return fmt.Errorf("read %s: %w", in.name, err)
		}
		return yield(batch{lines: [][]byte{data}, first: 1, bytes: len(data), demanded: in.demanded})
	}
	b, number := batch{first: 1}, 0
	for {
		line, err := readLine(in.r)
		if len(line) > 0 {
			number++
			b.lines = append(b.lines, bytes.TrimRight(line, "\r\n"))
			b.bytes += len(line)
		}
		if b.bytes >= batchBytes || err != nil && len(b.lines) > 0 {
			if err := yield(b); err != nil {
				return err
			}
			b = batch{first: number + 1}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", in.name, err)
		}
	}
}

// readLine reads up to the next newline. Of a line longer than maxResource it
// keeps so much that the parser sees that it is too long.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if room := maxResource + 1 - len(line); len(part) > room {
			part = part[:room]
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// openDefinitions opens the bundled definitions, the user's own packages and
// code lists.
func openDefinitions(packages, codes []string) (*profiles.Set, error) {
	var o profiles.Options
	for _, path := range packages {
		fsys, err := packageFS(path)
		if err != nil {
			return nil, err
		}
		o.Packages = append(o.Packages, fsys)
	}
	for _, path := range codes {
		info, err := os.Stat(path)
		if err != nil {
			return nil, &usageError{fmt.Errorf("code lists: %w", err)}
		}
		if info.IsDir() {
			o.CodeLists = append(o.CodeLists, os.DirFS(path))
		} else {
			o.CodeLists = append(o.CodeLists, singleFile{dir: os.DirFS(filepath.Dir(path)), name: filepath.Base(path)})
		}
	}
	return profiles.Open(o)
}

// packageFS opens a user's package: an unpacked folder, or the folder around a
// .tgz narrowed to that one file.
func packageFS(path string) (fs.FS, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &usageError{fmt.Errorf("package: %w", err)}
	}
	if info.IsDir() {
		return os.DirFS(path), nil
	}
	return singleFile{dir: os.DirFS(filepath.Dir(path)), name: filepath.Base(path)}, nil
}

// singleFile is a folder in which only one file shows.
type singleFile struct {
	dir  fs.FS
	name string
}

// Open opens the file, or the folder that lists it alone.
func (s singleFile) Open(name string) (fs.File, error) {
	if name != "." && name != s.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return s.dir.Open(name)
}

// ReadDir lists the one file.
func (s singleFile) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	info, err := fs.Stat(s.dir, s.name)
	if err != nil {
		return nil, err
	}
	return []fs.DirEntry{fs.FileInfoToDirEntry(info)}, nil
}
