package enforcer

import (
	"fmt"
	"sync"
)

// lastGood is a file of this program's whose last good content stays in force when it cannot be read.
type lastGood[T any] struct {
	path string
	what string // it holds, in errors
	read func(path string) (value T, found bool, err error)

	mu   sync.Mutex
	last T
	seen bool // the file was there
}

// Current reads the file again. With an error comes the content of the last good reading. A file that was there and is gone is an
// error too: nobody but this program takes it away, and "it is gone" is not "it is empty".
func (g *lastGood[T]) Current() (T, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.current()
}

func (g *lastGood[T]) current() (T, error) {
	value, found, err := g.read(g.path)
	if err == nil && !found && g.seen {
		err = fmt.Errorf("%s was there and is gone", g.path)
	}
	if err != nil {
		return g.last, fmt.Errorf("read %s: %w", g.what, err)
	}
	g.last, g.seen = value, g.seen || found
	return value, nil
}
