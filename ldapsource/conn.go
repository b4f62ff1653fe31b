package ldapsource

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/keyreeve/keyreeve/internal/statefile"
)

const (
	// maxStep bounds the bytes that a server may send in one step, a bind or a page. The library reads messages of up to 2
	// GiB; its limit is a variable of the whole process, and this one is not.
	maxStep = 32 << 20
	// maxSecret and maxCA bound the password and the CA file, in bytes.
	maxSecret = 4 << 10
	maxCA     = 4 << 20
)

// errFlood is what a read gives when a server sends more than a step may need.
var errFlood = fmt.Errorf("the server sent more than %d MiB in one step", maxStep>>20)

// guard is the network connection under the library: it counts what comes in.
type guard struct {
	net.Conn

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
	timeout time.Duration
	release func() bool // ends the watch over the context
}

// newConn makes a connection of a network connection; isTLS says that raw is encrypted and guard lies under it.
func newConn(ctx context.Context, raw net.Conn, g *guard, isTLS bool, timeout time.Duration) *conn {
	c := &conn{lib: ldap.NewConn(&frames{Conn: raw}, isTLS), guard: g, timeout: timeout}
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
		return errFlood
	case err != nil:
		return err
	case c.lib.GetLastError() != nil:
		return c.lib.GetLastError()
	case c.lib.IsClosing():
		return errors.New("the connection ended")
	}
	return nil
}

// arm begins a step.
func (g *guard) arm(timeout time.Duration) error {
	g.left.Store(maxStep)
	return g.SetDeadline(time.Now().Add(timeout))
}

// shield turns a panic of the library into an error: what a server sends must not end the daemon.
func shield(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the LDAP library failed on the server's answer: %v", r)
		}
	}()
	return do()
}

// connect opens a connection, makes it secure, and says who is asking.
func (l *LDAP) connect(ctx context.Context, s server) (*conn, error) {
	dialer := net.Dialer{Timeout: l.config.Timeout}
	network, err := dialer.DialContext(ctx, s.network, s.address)
	if err != nil {
		return nil, err
	}
	g := &guard{Conn: network}
	c, err := l.secure(ctx, s, g)
	if err != nil {
		_ = g.Close()
		return nil, err
	}
	if err := c.step(ctx, func() error { return l.bind(c.lib) }); err != nil {
		c.close()
		return nil, fmt.Errorf("bind: %w", err)
	}
	return c, nil
}

// secure puts TLS on a connection as the URL and the configuration want it.
func (l *LDAP) secure(ctx context.Context, s server, g *guard) (*conn, error) {
	if s.network == "unix" || (!s.ldaps && !l.config.StartTLS) {
		return newConn(ctx, g, g, false, l.config.Timeout), nil
	}
	config, err := l.tlsConfig(s)
	if err != nil {
		return nil, err
	}
	if err := g.arm(l.config.Timeout); err != nil {
		return nil, err
	}
	layer := "TLS"
	if !s.ldaps {
		layer = "StartTLS"
		if err := startTLS(ctx, g); err != nil {
			return nil, fmt.Errorf("StartTLS: %w", err)
		}
	}
	encrypted := tls.Client(g, config)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", layer, err)
	}
	return newConn(ctx, encrypted, g, true, l.config.Timeout), nil
}

// startTLS asks the server for TLS (RFC 4511 section 4.14). The library's own way would put its TLS under [frames], which has
// to see what was encrypted. Nothing is read ahead, so that no word from before the handshake is believed after it.
func startTLS(ctx context.Context, g *guard) error {
	defer context.AfterFunc(ctx, func() { _ = g.Close() })()
	request := ber.NewSequence("LDAPMessage")
	request.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 1, "messageID"))
	operation := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationExtendedRequest, nil, "ExtendedRequest")
	operation.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, "1.3.6.1.4.1.1466.20037", "requestName"))
	request.AppendChild(operation)
	if _, err := g.Write(request.Bytes()); err != nil {
		return errors.Join(err, ctx.Err())
	}
	return errors.Join(shield(func() error {
		answer, err := ber.ReadPacket(&frames{Conn: g})
		if err != nil {
			return err
		}
		if len(answer.Children) < 2 || answer.Children[1].Tag != ldap.ApplicationExtendedResponse {
			return errFrame
		}
		return ldap.GetLDAPError(answer)
	}), ctx.Err())
}

// tlsConfig reads the CA file at every connection, so that a new CA needs no restart.
func (l *LDAP) tlsConfig(s server) (*tls.Config, error) {
	config := &tls.Config{ServerName: s.host, MinVersion: tls.VersionTLS12}
	if l.config.ServerName != "" {
		config.ServerName = l.config.ServerName
	}
	if l.config.CAFile == "" {
		return config, nil
	}
	pem, err := statefile.Read(l.config.CAFile, maxCA)
	if err != nil {
		return nil, err
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: holds no certificate", l.config.CAFile)
	}
	return config, nil
}

// bind says who is asking; without an account the connection stays anonymous.
func (l *LDAP) bind(lib *ldap.Conn) error {
	switch {
	case l.config.External:
		return lib.ExternalBind()
	case l.config.BindDN == "":
		return nil
	}
	secret, err := statefile.Read(l.config.PasswordFile, maxSecret)
	if err != nil {
		return err
	}
	secret = bytes.TrimSuffix(bytes.TrimSuffix(secret, []byte("\n")), []byte("\r"))
	if len(secret) == 0 {
		return fmt.Errorf("%s: holds no password", l.config.PasswordFile)
	}
	return lib.Bind(l.config.BindDN, string(secret))
}
