package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// progress shows how far a long verb is: a bar on a terminal, a plain line
// every now and then elsewhere. It is safe for concurrent use.
type progress struct {
	mu    sync.Mutex
	w     io.Writer
	label string
	now   func() time.Time

	bars *mpb.Progress // nil elsewhere than on a terminal
	bar  *mpb.Bar

	last    time.Time
	printed int
}

// plainEvery is how often a plain line is written, at most.
const plainEvery = 2 * time.Second

// startProgress begins to show label on w. The caller calls done once.
func startProgress(w io.Writer, label string, now func() time.Time) *progress {
	p := &progress{w: w, label: label, now: now, last: now(), printed: -1}
	if isTerminal(w) {
		p.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(48))
		p.bar = p.bars.AddBar(100,
			mpb.PrependDecorators(decor.Name(label+" ")),
			mpb.AppendDecorators(decor.Percentage(), decor.Name(" "), decor.Elapsed(decor.ET_STYLE_GO)),
		)
	}
	return p
}

// set shows a percentage between 0 and 100; it never goes back.
func (p *progress) set(percent int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		if int64(percent) > p.bar.Current() && percent < 100 {
			p.bar.SetCurrent(int64(percent))
		}
		return
	}
	if percent <= p.printed || p.now().Sub(p.last) < plainEvery {
		return
	}
	p.printed, p.last = percent, p.now()
	fmt.Fprintf(p.w, "%s: %d%%\n", p.label, percent)
}

// done ends the bar: full where the work is done, as it stands where not.
func (p *progress) done(ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil {
		return
	}
	if ok {
		p.bar.SetCurrent(100)
	} else {
		p.bar.Abort(false)
	}
	p.bars.Wait()
}

// isTerminal says that w is a terminal on which a bar has room: one that tells
// no width would show nothing.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	return err == nil && width > 0
}
