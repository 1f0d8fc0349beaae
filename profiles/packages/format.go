package packages

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// The compressed form of a package:
//
//	magic     8 bytes "remitpk1"
//	header    uint32 little-endian: length of the compressed index
//	index     zstd; a line of JSON (head), then one tab-separated line an entry
//	blocks    zstd frames one after the other, at the offsets head names
const magic = "remitpk1"

// blockSize is how much JSON a block gathers: larger packs better, smaller
// opens faster. A definition is never split.
const blockSize = 96 << 10

// Limits that keep a damaged or hostile file from taking all memory.
const (
	maxIndex = 64 << 20
	maxBlock = 64 << 20
)

// head is the first line of the index.
type head struct {
	Name         string   `json:"name"`
	Version      string   `json:"version"`
	Dependencies []string `json:"dependencies,omitempty"`
	Ends         []int    `json:"ends"` // where each block ends, from the first block's start
}

// blocks gives a package's blocks unpacked.
type blocks interface {
	read(n int) ([]byte, error)
}

// plain holds blocks that are in memory already: a user's package.
type plain [][]byte

func (p plain) read(n int) ([]byte, error) {
	if n < 0 || n >= len(p) {
		return nil, errors.New("no such block")
	}
	return p[n], nil
}

// packed holds blocks as compressed frames. The block read last is kept,
// since neighbours in a package are often wanted together.
type packed struct {
	raw  []byte
	ends []int

	mu   sync.Mutex
	last int
	held []byte
}

func (p *packed) read(n int) ([]byte, error) {
	if n < 0 || n >= len(p.ends) {
		return nil, errors.New("no such block")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil && p.last == n {
		return p.held, nil
	}
	start := 0
	if n > 0 {
		start = p.ends[n-1]
	}
	b, err := inflate(p.raw[start:p.ends[n]], maxBlock)
	if err != nil {
		return nil, err
	}
	p.last, p.held = n, b
	return b, nil
}

// decoder is shared: DecodeAll may be called concurrently.
var decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxBlock))
})

func inflate(frame []byte, limit int) ([]byte, error) {
	d, err := decoder()
	if err != nil {
		return nil, err
	}
	var h zstd.Header
	if err := h.Decode(frame); err != nil {
		return nil, fmt.Errorf("read frame: %w", err)
	}
	// Small frames state no size. A frame may lie about it: the decoder has a
	// limit of its own.
	if h.HasFCS && h.FrameContentSize > uint64(limit) {
		return nil, errors.New("frame is too large")
	}
	return d.DecodeAll(frame, make([]byte, 0, min(int(h.FrameContentSize), 1<<20)))
}

// Pack writes p in the compressed form.
func Pack(w io.Writer, p *Package) error {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	var (
		h       = head{Name: p.Name, Version: p.Version, Dependencies: p.Dependencies}
		frames  []byte
		block   []byte
		entries strings.Builder
	)
	flush := func() {
		if len(block) > 0 {
			frames = enc.EncodeAll(block, frames)
			h.Ends = append(h.Ends, len(frames))
			block = block[:0]
		}
	}
	for i := range p.Entries {
		e := &p.Entries[i]
		body, err := p.Read(e)
		if err != nil {
			return err
		}
		if len(block) > 0 && len(block)+len(body) > blockSize {
			flush()
		}
		for _, f := range []string{e.ResourceType, e.ID, e.URL, e.Version, e.Name, e.Title, e.Kind, e.Type, e.Base, e.Derivation} {
			entries.WriteString(strings.Map(lineSafe, f))
			entries.WriteByte('\t')
		}
		fmt.Fprintf(&entries, "%d\t%d\t%d\n", len(h.Ends), len(block), len(body))
		block = append(block, body...)
	}
	flush()
	first, err := json.Marshal(h)
	if err != nil {
		return err
	}
	index := enc.EncodeAll([]byte(string(first)+"\n"+entries.String()), nil)
	out := append([]byte(magic), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(out[len(magic):], uint32(len(index)))
	for _, part := range [][]byte{out, index, frames} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

func lineSafe(r rune) rune {
	if r == '\t' || r == '\n' || r == '\r' {
		return ' '
	}
	return r
}

// Unpack opens the compressed form; raw must not change afterwards. Errors:
// anything but a whole, well-formed package.
func Unpack(raw []byte) (*Package, error) {
	if len(raw) < len(magic)+4 || string(raw[:len(magic)]) != magic {
		return nil, errors.New("not a packed package")
	}
	n := binary.LittleEndian.Uint32(raw[len(magic):])
	rest := raw[len(magic)+4:]
	if uint64(n) > uint64(len(rest)) {
		return nil, errors.New("package index is cut short")
	}
	text, err := inflate(rest[:n], maxIndex)
	if err != nil {
		return nil, fmt.Errorf("read package index: %w", err)
	}
	frames := rest[n:]
	// One string for all entries: their fields are cut out of it, not copied.
	first, lines, _ := strings.Cut(string(text), "\n")
	var h head
	if err := json.Unmarshal([]byte(first), &h); err != nil {
		return nil, fmt.Errorf("read package index: %w", err)
	}
	last := 0
	for _, end := range h.Ends {
		if end < last || end > len(frames) {
			return nil, errors.New("package blocks are cut short")
		}
		last = end
	}
	p := &Package{Name: h.Name, Version: h.Version, Dependencies: h.Dependencies, blocks: &packed{raw: frames, ends: h.Ends}}
	p.Entries = make([]Entry, 0, strings.Count(lines, "\n"))
	for lines != "" {
		var line string
		line, lines, _ = strings.Cut(lines, "\n")
		e, err := parseEntry(line)
		if err != nil {
			return nil, err
		}
		p.Entries = append(p.Entries, e)
	}
	return p, nil
}

func parseEntry(line string) (Entry, error) {
	var e Entry
	for _, f := range []*string{&e.ResourceType, &e.ID, &e.URL, &e.Version, &e.Name, &e.Title, &e.Kind, &e.Type, &e.Base, &e.Derivation} {
		var ok bool
		if *f, line, ok = strings.Cut(line, "\t"); !ok {
			return e, errors.New("package index has a short line")
		}
	}
	for _, f := range []*int{&e.block, &e.off, &e.length} {
		var part string
		part, line, _ = strings.Cut(line, "\t")
		v, err := strconv.Atoi(part)
		if err != nil {
			return e, errors.New("package index has a line without numbers")
		}
		*f = v
	}
	return e, nil
}
