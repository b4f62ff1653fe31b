package ldapsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/registry"
)

const (
	// firstPause is how long a server that failed is tried last; it doubles with each failure up to lastPause.
	firstPause = 30 * time.Second
	lastPause  = 15 * time.Minute
)

// server is one way to a server.
type server struct {
	url              string
	network, address string // for net.Dial
	host             string // for the certificate
	ldaps, startTLS  bool   // both false over a socket
}

// permits refuses a way to a server that somebody could listen to or stand in.
func (c LDAPConfig) permits(s server) error {
	switch {
	case s.network == "unix" && c.GSSAPI.on():
		return errors.New("GSSAPI is for ldaps and StartTLS, where the name of the service is that of the host; ldapi has SASL EXTERNAL")
	case s.network == "unix":
		return nil
	case c.External && c.ClientCert == "":
		return errors.New("SASL EXTERNAL needs ldapi or a client certificate")
	case s.ldaps || c.StartTLS:
		return nil
	}
	return errors.New("plain ldap is not safe: neither ldaps, nor StartTLS, nor ldapi")
}

// parseURL reads the URL of a server.
func parseURL(text string) (server, error) {
	if rest, ok := strings.CutPrefix(text, "ldapi://"); ok {
		path, err := url.PathUnescape(strings.TrimSuffix(rest, "/"))
		if err != nil {
			return server{}, err
		}
		if !filepath.IsAbs(path) {
			return server{}, errors.New("ldapi needs the absolute path of a socket, percent-encoded")
		}
		return server{url: text, network: "unix", address: path}, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return server{}, err
	}
	port := map[string]string{"ldap": "389", "ldaps": "636"}[u.Scheme]
	switch {
	case port == "":
		return server{}, errors.New("the scheme is none of ldap, ldaps, ldapi")
	case u.Hostname() == "":
		return server{}, errors.New("no host")
	case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return server{}, errors.New("more than a scheme, a host and a port")
	}
	return server{
		url:     text,
		network: "tcp",
		address: net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)),
		host:    u.Hostname(),
		ldaps:   u.Scheme == "ldaps",
	}, nil
}

// Fetch reads the whole registry from the first server that gives it, over a connection of its own. Servers that failed lately
// are tried last. The error holds what happened at each server; it wraps the context's error when that is done.
func (l *LDAP) Fetch(ctx context.Context) (*registry.Snapshot, error) {
	var (
		errs []error
		left []leaving
	)
	servers, err := l.find(ctx)
	if err != nil {
		left = append(left, leaving{l.srvName(), err})
		errs = append(errs, fmt.Errorf("%s: %w", l.srvName(), err))
	}
	for _, s := range l.pool.order(servers, time.Now()) {
		if err := ctx.Err(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.url, err))
			break
		}
		snapshot, fat, err := l.fetch(ctx, s)
		if ctx.Err() == nil {
			l.pool.note(s.url, err, time.Now())
		}
		if err == nil {
			l.tell(s.url, left)
			l.trust.set(s, snapshot, fat)
			return snapshot, nil
		}
		left = append(left, leaving{s.url, err})
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// leaving is a server that was left, and why.
type leaving struct {
	server string
	err    error
}

// tell reports the servers that were left for one that gave the registry, each reason once.
func (l *LDAP) tell(good string, left []leaving) {
	if l.Report == nil {
		return
	}
	for _, one := range left {
		if l.pool.news(one.server, FaultOf(one.err)) {
			l.Report(one.server, one.err)
		}
	}
	if l.config.SRV != "" && !slices.ContainsFunc(left, func(one leaving) bool { return one.server == l.srvName() }) && l.pool.good(l.srvName()) {
		l.Report(l.srvName(), nil)
	}
	if l.pool.good(good) {
		l.Report(good, nil)
	}
}

// pool remembers how servers fared.
type pool struct {
	mu     sync.Mutex
	states map[string]*state
	found  []server // of the SRV records, in the order in which they are tried
}

// state is how one server fared.
type state struct {
	failures int       // one after the other
	until    time.Time // it is tried last
	told     bool
	reason   Fault // that was told
}

// of returns the state of a server. The lock is held.
func (p *pool) of(server string) *state {
	if p.states == nil {
		p.states = make(map[string]*state)
	}
	if p.states[server] == nil {
		p.states[server] = new(state)
	}
	return p.states[server]
}

// order puts those that have a pause behind the others, whose pause ends first before the rest. None is left out: a slow answer is
// better than none.
func (p *pool) order(servers []server, now time.Time) []server {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.SortedStableFunc(slices.Values(servers), func(a, b server) int {
		first, second := p.of(a.url).until, p.of(b.url).until
		if !first.After(now) {
			first = now
		}
		if !second.After(now) {
			second = now
		}
		return first.Compare(second)
	})
}

// note counts a failure, or forgets those that were.
func (p *pool) note(server string, err error, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.of(server)
	if err == nil {
		s.failures, s.until = 0, time.Time{}
		return
	}
	pause := firstPause
	for range min(s.failures, 10) {
		pause = min(2*pause, lastPause)
	}
	s.failures++
	s.until = now.Add(pause)
}

// news says whether a reason was not told yet, and takes it for told.
func (p *pool) news(server string, reason Fault) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.of(server)
	if s.told && s.reason == reason {
		return false
	}
	s.told, s.reason = true, reason
	return true
}

// good says whether a server that was told of is good again, which is told once.
func (p *pool) good(server string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.of(server)
	was := s.told
	s.told, s.reason = false, ""
	return was
}
