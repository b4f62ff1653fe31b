package ldapsource

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
)

const (
	// leastStep bounds the bytes that a server may send in one step, a bind or a page, and stepEntry is what more they may be for
	// each entry of a large page. The library makes 130 bytes of memory out of each byte where values have three (measured), and
	// the unit lets the daemon have 2 GiB.
	leastStep = 4 << 20
	stepEntry = 4 << 10
)

// errFlood is what a read gives when a server sends more than a step, or a message, may hold. A single user's entry may be why.
var errFlood = errors.New("too much at once")

// guard is the network connection under the library: it counts what comes in.
type guard struct {
	net.Conn

	most int64 // for a step
	left atomic.Int64
}

// Read reads from the connection until the bytes of the step are used up.
func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if g.left.Add(-int64(n)) < 0 {
		return 0, errFlood
	}
	return n, err
}

// conn is a connection to one server.
//
// The library's own time-out is never set: it drops entries of a search whose reader pauses and still ends that search
// well. The deadline of the network connection does the work, and it holds for the TLS handshake too, which
// the library does not bound.
type conn struct {
	lib     *ldap.Conn
	guard   *guard
	frames  *frames
	timeout time.Duration
	release func() bool // ends the watch over the context
}

// newConn makes a connection of a network connection; isTLS says that raw is encrypted and guard lies under it.
func newConn(ctx context.Context, raw net.Conn, g *guard, isTLS bool, timeout time.Duration) *conn {
	c := &conn{guard: g, frames: &frames{Conn: raw}, timeout: timeout}
	c.lib = ldap.NewConn(c.frames, isTLS)
	c.release = context.AfterFunc(ctx, func() { _ = g.Close() }) // whoever waits gets an error at once
	c.lib.Start()
	return c
}

// close ends the connection; the library cannot hang on a closed socket.
func (c *conn) close() {
	c.release()
	_ = c.guard.Close() // the answer is complete or was given up
	_ = shield(c.lib.Close)
}

// step runs one request. It must end within the time-out, and afterwards the connection must be whole: the library gives
// "no more entries" and no error for some of the ways in which a connection ends.
func (c *conn) step(ctx context.Context, do func() error) error {
	if err := c.guard.arm(c.timeout); err != nil {
		return errors.Join(err, ctx.Err())
	}
	err := shield(do)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && c.guard.left.Load() < 0:
		return because(Malformed, fmt.Errorf("%w: the server sent more than %d MiB in one step", errFlood, c.guard.most>>20))
	case err != nil && c.frames.broken.Load():
		return because(Malformed, c.frames.err)
	case err != nil:
		return because(kindOf(err), err)
	case c.lib.GetLastError() != nil:
		return because(Malformed, c.lib.GetLastError())
	case c.lib.IsClosing():
		return because(Lost, errors.New("the connection ended"))
	}
	return nil
}

// kindOf tells the server's answers from the library's own errors, which it gives numbers from 200 on where it gives any.
func kindOf(err error) Fault {
	answer, ok := errors.AsType[*ldap.Error](err)
	switch {
	case !ok || answer.ResultCode == ldap.ErrorNetwork:
		return Lost
	case answer.ResultCode > ldap.ErrorNetwork && answer.ResultCode < 300:
		return Malformed
	case answer.ResultCode == ldap.LDAPResultReferral:
		return Referred
	}
	return Refused
}

// arm begins a step.
func (g *guard) arm(timeout time.Duration) error {
	g.left.Store(g.most)
	return g.SetDeadline(time.Now().Add(timeout))
}

// shield turns a panic of the library into an error: what a server sends must not end the daemon.
func shield(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = because(Malformed, fmt.Errorf("the LDAP library failed on the server's answer: %v", r))
		}
	}()
	return do()
}

// connect opens a connection, makes it secure, and says who is asking.
func (l *LDAP) connect(ctx context.Context, s server) (*conn, error) {
	// Within half a minute it is found that the other end of a silent connection is gone.
	keep := net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
	dialer := net.Dialer{Timeout: l.config.Timeout, Resolver: l.resolver, KeepAliveConfig: keep}
	network, err := dialer.DialContext(ctx, s.network, s.address)
	if err != nil {
		return nil, because(Unreachable, err)
	}
	g := &guard{Conn: network, most: max(leastStep, int64(l.config.PageSize)*stepEntry)}
	c, err := l.secure(ctx, s, g)
	if err != nil {
		_ = g.Close()
		return nil, err
	}
	if err := l.bind(ctx, c, s); err != nil {
		c.close()
		return nil, fmt.Errorf("bind: %w", err)
	}
	return c, nil
}
