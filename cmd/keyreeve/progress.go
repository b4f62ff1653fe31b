package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// How often progress is told: on a terminal, where one line is written over and over, and elsewhere, where each is a line of its own.
const (
	liveEvery  = time.Second
	plainEvery = 10 * time.Second
)

// progress tells on stderr how far a pass has come, unless it is over before the first time. It is the stderr of the pass, so that other
// messages do not end up behind the line that is written over.
type progress struct {
	every time.Duration
	live  bool

	mu          sync.Mutex
	out         io.Writer
	shown       bool // there is a line to be written over
	began       time.Time
	done, total int
}

func newProgress(out io.Writer) *progress {
	if isTerminal(out) {
		return &progress{out: out, every: liveEvery, live: true}
	}
	return &progress{out: out, every: plainEvery}
}

// Write prints a message in the place of the line.
func (g *progress) Write(text []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.clear()
	return g.out.Write(text)
}

// clear takes the line away: back to its beginning (CR) and erase it (EL of ECMA-48).
func (g *progress) clear() {
	if g.shown {
		fmt.Fprint(g.out, "\r\x1b[K")
		g.shown = false
	}
}

// begin tells of a number of accounts from now on, until end is called.
func (g *progress) begin(total int) (end func()) {
	g.mu.Lock()
	g.began, g.done, g.total = time.Now(), 0, total
	g.mu.Unlock()
	stop, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(g.every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				g.tell()
			case <-stop:
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-over
		g.mu.Lock()
		defer g.mu.Unlock()
		g.clear()
	}
}

// step counts one account.
func (g *progress) step() {
	g.mu.Lock()
	g.done++
	g.mu.Unlock()
}

func (g *progress) tell() {
	g.mu.Lock()
	defer g.mu.Unlock()
	text := fmt.Sprintf("keyreeve: looked at %d of %d accounts", g.done, g.total)
	if spent := time.Since(g.began); g.done > 0 {
		left := time.Duration(float64(spent) / float64(g.done) * float64(g.total-g.done))
		text += fmt.Sprintf(", %.0f a second, %v left", float64(g.done)/spent.Seconds(), left.Round(time.Second))
	}
	if !g.live {
		fmt.Fprintln(g.out, text)
		return
	}
	g.clear()
	fmt.Fprint(g.out, text)
	g.shown = true
}
