package filestest

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"remit/server/files"
)

// Full makes a store in memory whose disk holds room bytes in all; a write
// beyond fails as a full disk does. objects lists what is there.
func Full(room int) (store *files.Store, objects func() []string) {
	d := &disk{room: room, data: map[string][]byte{}}
	return files.New(blob.NewBucket(d)), func() []string {
		d.mu.Lock()
		defer d.mu.Unlock()
		return slices.Sorted(maps.Keys(d.data))
	}
}

// disk is a bucket of bounded size. What it does not implement panics.
type disk struct {
	driver.Bucket
	mu   sync.Mutex
	room int
	data map[string][]byte
}

func (d *disk) Close() error { return nil }

func (d *disk) ErrorCode(err error) gcerrors.ErrorCode {
	if err == errAbsent {
		return gcerrors.NotFound
	}
	return gcerrors.Unknown
}

const errAbsent = syscall.ENOENT

func (d *disk) Delete(_ context.Context, key string, _ *driver.DeleteOptions) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.data[key]; !ok {
		return errAbsent
	}
	d.room += len(d.data[key])
	delete(d.data, key)
	return nil
}

func (d *disk) ListPaged(_ context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := &driver.ListPage{}
	for _, key := range slices.Sorted(maps.Keys(d.data)) {
		if strings.HasPrefix(key, o.Prefix) {
			p.Objects = append(p.Objects, &driver.ListObject{Key: key})
		}
	}
	return p, nil
}

func (d *disk) NewRangeReader(_ context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, ok := d.data[key]
	if !ok {
		return nil, errAbsent
	}
	size := int64(len(b))
	b = b[offset:]
	if length >= 0 {
		b = b[:length]
	}
	return &diskReader{bytes.NewReader(b), size}, nil
}

type diskReader struct {
	io.Reader
	size int64
}

func (*diskReader) Close() error { return nil }
func (r *diskReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{Size: r.size}
}
func (*diskReader) As(any) bool { return false }

func (d *disk) NewTypedWriter(ctx context.Context, key, _ string, _ *driver.WriterOptions) (driver.Writer, error) {
	return &diskWriter{ctx: ctx, d: d, key: key}, nil
}

type diskWriter struct {
	ctx context.Context
	d   *disk
	key string
	b   []byte
}

func (w *diskWriter) Write(b []byte) (int, error) {
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	if len(b) > w.d.room {
		return 0, syscall.ENOSPC
	}
	w.d.room -= len(b)
	w.b = append(w.b, b...)
	return len(b), nil
}

func (w *diskWriter) Close() error {
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	if err := w.ctx.Err(); err != nil {
		w.d.room += len(w.b)
		return err
	}
	w.d.data[w.key] = w.b
	return nil
}
