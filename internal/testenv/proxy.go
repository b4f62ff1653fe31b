package testenv

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
)

// Proxy stands between LDAP clients and a Slapd, and does to their conversation what networks and servers do when they fail. It ends
// the clients' TLS itself, so that a Fault can act on single messages of the server.
type Proxy struct {
	// URL is ldaps://127.0.0.1:port, CAFile verifies it.
	URL, CAFile string

	ca       CA
	listener net.Listener
	running  sync.WaitGroup

	mu    sync.Mutex
	state scene
	first scene
	open  map[net.Conn]bool
}

// scene is what clients meet.
type scene struct {
	socket      string // of slapd
	certificate tls.Certificate
	silent      bool
	fault       Fault
}

// StartProxy leads clients to a server until the test ends.
func StartProxy(tb testing.TB, server *Slapd) *Proxy {
	tb.Helper()
	p := &Proxy{ca: NewCA(tb), open: make(map[net.Conn]bool)}
	p.CAFile = p.ca.File
	p.first = scene{socket: server.socket(), certificate: p.ca.Issue(tb, nil).Server}
	p.state = p.first
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed with the test
	if err != nil {
		tb.Fatal(err)
	}
	p.listener, p.URL = listener, "ldaps://"+listener.Addr().String()
	p.running.Go(p.accept)
	tb.Cleanup(p.stop)
	return p
}

// Play lets a fault act on what the server sends from now on, in open connections too.
func (p *Proxy) Play(f Fault) { p.change(func(s *scene) { s.fault = f }) }

// Silence takes connections and says nothing, TLS included.
func (p *Proxy) Silence() { p.change(func(s *scene) { s.silent = true }) }

// Swap leads new clients to another server.
func (p *Proxy) Swap(server *Slapd) { p.change(func(s *scene) { s.socket = server.socket() }) }

// Show meets new clients with another certificate.
func (p *Proxy) Show(c Certificate) { p.change(func(s *scene) { s.certificate = c.Server }) }

// CA is who signed the proxy's own certificate.
func (p *Proxy) CA() CA { return p.ca }

// Heal ends all of that.
func (p *Proxy) Heal() { p.change(func(s *scene) { *s = p.first }) }

func (p *Proxy) change(how func(*scene)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	how(&p.state)
}

func (p *Proxy) now() scene {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// keep notes an open connection, so that stop ends it.
func (p *Proxy) keep(conn net.Conn, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if open {
		p.open[conn] = true
	} else {
		delete(p.open, conn)
	}
}

func (p *Proxy) stop() {
	_ = p.listener.Close()
	p.mu.Lock()
	for conn := range p.open {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.keep(conn, true)
		p.running.Go(func() {
			defer p.keep(conn, false)
			defer conn.Close() //nolint:errcheck // the client may be gone
			p.serve(conn)
		})
	}
}

// serve is one client's conversation with the server.
func (p *Proxy) serve(conn net.Conn) {
	now := p.now()
	if now.silent {
		_, _ = io.Copy(io.Discard, conn) // until the client goes
		return
	}
	client := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{now.certificate}, MinVersion: tls.VersionTLS12})
	if err := client.Handshake(); err != nil { //nolint:noctx // stop closes the connection
		return
	}
	server, err := net.Dial("unix", now.socket) //nolint:noctx // a socket of this host answers at once
	if err != nil {
		return
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	p.relay(Client{client, gone}, server)
	_ = conn.Close() // without a word of TLS, as a connection that is cut
	<-gone
}

// relay passes on what the server sends, until one of the three ends it.
func (p *Proxy) relay(client Client, server io.Reader) {
	var (
		reader = bufio.NewReader(server)
		m      = Message{Page: 1}
		err    error
	)
	for {
		if m.Bytes, err = readMessage(reader); err != nil {
			return
		}
		m.Kind = kindOf(m.Bytes)
		fault := p.now().fault
		if fault == nil {
			fault = passOn
		}
		if err := fault(client, m); err != nil {
			return
		}
		m.Before += len(m.Bytes)
		switch m.Kind {
		case Entry:
			m.Entries++
		case Done:
			m.Page++
			m.Entries = 0
		}
	}
}

// readMessage reads one LDAPMessage (RFC 4511 section 5.1: definite lengths alone).
func readMessage(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(2)
	if err != nil {
		return nil, err
	}
	length, size := int(head[1]), 2
	if length >= 0x80 {
		size += length & 0x7f
		if head, err = r.Peek(size); err != nil {
			return nil, err
		}
		length = 0
		for _, b := range head[2:] {
			length = length<<8 | int(b)
		}
	}
	const most = 1 << 24
	if length > most {
		return nil, errors.New("slapd sent a message of more than 16 MiB")
	}
	message := make([]byte, size+length)
	_, err = io.ReadFull(r, message)
	return message, err
}

// socket is the path of the server's socket.
func (s *Slapd) socket() string { return filepath.Join(s.dir, "ldapi") }
