package ldapsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/keyreeve/keyreeve/registry"
)

const (
	maxPageSize = 10_000
	maxTimeouts = 20 // a whole read may last so many times LDAPConfig.Timeout
)

// OpenSSHLPK is the schema of openssh-lpk: posixAccount (RFC 2307) with the object class ldapPublicKey.
const OpenSSHLPK = "openssh-lpk"

// LDAPConfig says where the directory is and how to read it. All but URLs and Base begin with DefaultLDAP.
type LDAPConfig struct {
	// URLs are servers of one directory, in the order in which they are tried: "ldaps://host[:636]", "ldap://host[:389]"
	// with StartTLS, or "ldapi://" with the percent-encoded path of a socket.
	URLs []string `yaml:"urls"`
	// Base is the DN below which the users are.
	Base string `yaml:"base"`
	// Filter (RFC 4515) chooses the entries.
	Filter string `yaml:"filter"`
	// Preset names the kind of entries: OpenSSHLPK.
	Preset string `yaml:"schema"`
	// Schema names their attributes.
	Schema Schema `yaml:"attributes"`
	// StartTLS makes ldap:// secure before anything else is said (RFC 4513 section 3).
	StartTLS bool `yaml:"start_tls"`
	// CAFile holds the certificates (PEM) that may sign the server's; empty is the system's.
	CAFile string `yaml:"ca_file"`
	// ServerName is the name in the server's certificate; empty is the host of the URL.
	ServerName string `yaml:"server_name"`
	// BindDN and PasswordFile name the reader's account; both empty is an anonymous reader. One final newline of the
	// file is no part of the password.
	BindDN       string `yaml:"bind_dn"`
	PasswordFile string `yaml:"password_file"`
	// External binds by SASL EXTERNAL (RFC 4422 appendix A) as the user of this process, over ldapi only.
	External bool `yaml:"sasl_external"`
	// PageSize is the number of entries to ask for at once (RFC 2696).
	PageSize int `yaml:"page_size"`
	// Timeout bounds each step: to connect, to bind, to read one page. A server that makes use of it again and again is
	// given up after twenty times that.
	Timeout time.Duration `yaml:"timeout"`
}

// DefaultLDAP is what holds of an LDAPConfig where nothing else is said.
func DefaultLDAP() LDAPConfig {
	return LDAPConfig{
		Filter: "(&(objectClass=posixAccount)(objectClass=ldapPublicKey))", Preset: OpenSSHLPK, Schema: DefaultSchema(),
		PageSize: 500, Timeout: 10 * time.Second,
	}
}

// LDAP is a registry in an LDAP directory.
type LDAP struct {
	config  LDAPConfig
	base    *ldap.DN
	servers []server
}

// server is one parsed URL.
type server struct {
	url              string
	network, address string // for net.Dial
	host             string // for the certificate
	ldaps            bool
}

// NewLDAP checks a configuration; it neither connects nor opens a file. All that is wrong is in the error.
func NewLDAP(config LDAPConfig) (*LDAP, error) {
	base, err := ldap.ParseDN(config.Base)
	errs := []error{config.check()}
	if err != nil || len(base.RDNs) == 0 {
		errs = append(errs, fmt.Errorf("base %q is not a distinguished name", config.Base))
	}
	l := &LDAP{config: config, base: base}
	if len(config.URLs) == 0 {
		errs = append(errs, errors.New("no server's URL"))
	}
	for _, text := range config.URLs {
		s, err := parseURL(text)
		if err == nil {
			err = config.permits(s)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("server %q: %w", text, err))
		}
		l.servers = append(l.servers, s)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return l, nil
}

// check looks at all but the URLs and the base.
func (c LDAPConfig) check() error {
	var errs []error
	if _, err := ldap.CompileFilter(c.Filter); err != nil {
		errs = append(errs, fmt.Errorf("filter %q: %w", c.Filter, err))
	}
	if c.Preset != OpenSSHLPK {
		errs = append(errs, fmt.Errorf("schema %q is not one of %s", c.Preset, OpenSSHLPK))
	}
	errs = append(errs, c.Schema.Check())
	if (c.BindDN == "") != (c.PasswordFile == "") {
		errs = append(errs, errors.New("a bind DN and a password file need each other"))
	}
	if c.External && c.BindDN != "" {
		errs = append(errs, errors.New("SASL EXTERNAL and a bind DN exclude each other"))
	}
	if c.PageSize < 1 || c.PageSize > maxPageSize {
		errs = append(errs, fmt.Errorf("page size %d is not between 1 and %d", c.PageSize, maxPageSize))
	}
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("timeout %s is not above 0", c.Timeout))
	}
	return errors.Join(errs...)
}

// permits refuses a way to a server that somebody could listen to or stand in.
func (c LDAPConfig) permits(s server) error {
	switch {
	case s.network == "unix":
		return nil
	case c.External:
		return errors.New("SASL EXTERNAL needs ldapi")
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

// Fetch reads the whole registry from the first server that gives it, over a connection of its own. The error holds what
// happened at each server; it wraps the context's error when that is done.
func (l *LDAP) Fetch(ctx context.Context) (*registry.Snapshot, error) {
	var errs []error
	for _, s := range l.servers {
		if err := ctx.Err(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.url, err))
			break
		}
		snapshot, err := l.fetch(ctx, s)
		if err == nil {
			return snapshot, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// fetch reads the registry from one server.
func (l *LDAP) fetch(ctx context.Context, s server) (*registry.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTimeouts*l.config.Timeout)
	defer cancel()
	conn, err := l.connect(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.url, err)
	}
	defer conn.close()
	entries, err := l.search(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.url, err)
	}
	return Decode(entries, l.config.Schema, s.url)
}
