package ldapsource

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/keyreeve/keyreeve/registry"
)

const (
	maxPageSize = 10_000
	maxTimeouts = 20 // a whole read may last so many times LDAPConfig.Timeout
)

// LDAPConfig says where the directory is and how to read it. All but URLs and Base begin with DefaultLDAP.
type LDAPConfig struct {
	// URLs are servers of one directory, in the order in which they are tried: "ldaps://host[:636]", "ldap://host[:389]"
	// with StartTLS, or "ldapi://" with the percent-encoded path of a socket.
	URLs []string `yaml:"urls"`
	// SRV is a DNS domain whose SRV records (RFC 2782) name the servers instead: _ldaps._tcp, and _ldap._tcp with StartTLS where
	// there are none or StartTLS is set. Whoever answers for DNS may send us anywhere, so a server is believed only if
	// its certificate carries ServerName; or, where that is empty, its own name below the domain, by an authority of CAFile.
	SRV string `yaml:"srv"`
	// Base is the DN below which the users are.
	Base string `yaml:"base"`
	// Filter (RFC 4515) chooses the entries.
	Filter string `yaml:"filter"`
	// Preset names the kind of entries, one of Presets. Who changes it takes Filter and Schema from Preset too.
	Preset string `yaml:"schema"`
	// Schema names their attributes.
	Schema Schema `yaml:"attributes"`
	// Hosts says which of the users count on this host.
	Hosts Hosts `yaml:"hosts"`
	// StartTLS makes ldap:// secure before anything else is said (RFC 4513 section 3).
	StartTLS bool `yaml:"start_tls"`
	// CAFile holds the certificates (PEM) that may sign the server's; empty is the system's.
	CAFile string `yaml:"ca_file"`
	// ServerName is the name in the server's certificate; empty is the host of the URL.
	ServerName string `yaml:"server_name"`
	// ClientCert and ClientKey are a certificate with its chain and its key (PEM), shown to a server that asks for one.
	ClientCert string `yaml:"client_cert"`
	ClientKey  string `yaml:"client_key"`
	// BindDN and PasswordFile name the reader's account; both empty is an anonymous reader. One final newline of the
	// file is no part of the password. It, ClientKey and the keytab may be "$CREDENTIALS_DIRECTORY/NAME": a credential of systemd.
	BindDN       string `yaml:"bind_dn"`
	PasswordFile string `yaml:"password_file"`
	// External binds by SASL EXTERNAL (RFC 4422 appendix A): over ldapi as the user of this process, over TLS as the subject
	// of ClientCert.
	External bool `yaml:"sasl_external"`
	// GSSAPI binds by SASL GSSAPI (RFC 4752).
	GSSAPI GSSAPI `yaml:"gssapi"`
	// Referrals are the places, as the server writes their URLs, that hold nobody of the registry, so that a search is whole
	// without them.
	Referrals []string `yaml:"referrals"`
	// PageSize is the number of entries to ask for at once (RFC 2696).
	PageSize int `yaml:"page_size"`
	// Timeout bounds each step: to connect, to bind, to read one page. A server that makes use of it again and again is
	// given up after twenty times that.
	Timeout time.Duration `yaml:"timeout"`
	// Notice is NoticeAuto or NoticeOff: whether Watch says which users changed. Poll is how often it asks for those whom a server
	// does not tell of by itself.
	Notice string        `yaml:"notice"`
	Poll   time.Duration `yaml:"poll"`
}

// DefaultLDAP is what holds of an LDAPConfig where nothing else is said.
func DefaultLDAP() LDAPConfig {
	schema, filter, _ := Preset(OpenSSHLPK)
	return LDAPConfig{
		Filter: filter, Preset: OpenSSHLPK, Schema: schema,
		GSSAPI: GSSAPI{KRB5Conf: "/etc/krb5.conf"}, PageSize: 500, Timeout: 10 * time.Second,
		Notice: NoticeAuto, Poll: 10 * time.Second,
	}
}

// layout is how the entries are read.
func (c LDAPConfig) layout() Layout { return Layout{Schema: c.Schema, Hosts: c.Hosts} }

// LDAP is a registry in an LDAP directory. Its exported fields are set before the first Fetch.
type LDAP struct {
	// Canary is what every reading must hold.
	Canary Canary
	// Credentials is the folder that $CREDENTIALS_DIRECTORY names.
	Credentials string
	// Report, if it is there, hears why the registry came from another server than the one before it in the order: once for
	// each server and Fault, until that server gives the registry again, of which it hears with a nil error.
	Report func(server string, err error)
	// Noticing, if it is there, hears in which way Watch learns of changes, whenever that changes; with ByRefresh comes the reason.
	Noticing func(server string, by Way, err error)

	config   LDAPConfig
	total    int           // maxTotal
	alone    time.Duration // maxAlone
	base     *ldap.DN
	servers  []server // of URLs
	resolver *net.Resolver
	pool     pool
	trust    trust
}

// NewLDAP checks a configuration; it neither connects nor opens a file. All that is wrong is in the error.
func NewLDAP(config LDAPConfig) (*LDAP, error) {
	base, err := ldap.ParseDN(config.Base)
	var errs []error
	if err != nil || len(base.RDNs) == 0 {
		errs = append(errs, fmt.Errorf("base %q is not a distinguished name", config.Base))
	}
	errs = append(errs, config.check())
	l := &LDAP{config: config, total: maxTotal, alone: min(maxAlone, config.Timeout), base: base}
	for _, text := range config.URLs {
		s, err := parseURL(text)
		if err == nil {
			err = config.permits(s)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("server %q: %w", text, err))
		}
		s.startTLS = s.network == "tcp" && !s.ldaps
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
	errs = append(errs, checkPreset(c.Preset), c.layout().Check(), c.checkServers(), c.checkBind())
	if c.PageSize < 1 || c.PageSize > maxPageSize {
		errs = append(errs, fmt.Errorf("page size %d is not between 1 and %d", c.PageSize, maxPageSize))
	}
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("timeout %s is not above 0", c.Timeout))
	}
	errs = append(errs, c.checkNotice())
	return errors.Join(errs...)
}

// checkServers looks at what says where the servers are.
func (c LDAPConfig) checkServers() error {
	var errs []error
	switch {
	case c.SRV == "" && len(c.URLs) == 0:
		errs = append(errs, errors.New("no server's URL, and no domain with SRV records"))
	case c.SRV != "" && len(c.URLs) > 0:
		errs = append(errs, errors.New("URLs and a domain with SRV records exclude each other"))
	case c.SRV != "":
		errs = append(errs, checkDomain(c.SRV), c.permits(server{network: "tcp", ldaps: true}))
		if c.CAFile == "" && c.ServerName == "" {
			errs = append(errs, errors.New("SRV records need a CA file or a server name: "+
				"DNS says where the servers are, and the system's authorities certify anybody"))
		}
	}
	for _, place := range c.Referrals {
		if u, err := url.Parse(place); err != nil || !strings.HasPrefix(u.Scheme, "ldap") || u.Host == "" {
			errs = append(errs, fmt.Errorf("referral %q is not the URL of a directory", place))
		}
	}
	return errors.Join(errs...)
}

// checkBind looks at what says who is asking.
func (c LDAPConfig) checkBind() error {
	var errs []error
	ways := 0
	for _, way := range []bool{c.External, c.BindDN != "", c.GSSAPI.on()} {
		if way {
			ways++
		}
	}
	if ways > 1 {
		errs = append(errs, errors.New("SASL EXTERNAL, GSSAPI and a bind DN exclude each other"))
	}
	if (c.BindDN == "") != (c.PasswordFile == "") {
		errs = append(errs, errors.New("a bind DN and a password file need each other"))
	}
	if (c.ClientCert == "") != (c.ClientKey == "") {
		errs = append(errs, errors.New("a client certificate and its key need each other"))
	}
	errs = append(errs, c.GSSAPI.check())
	for _, path := range []string{c.PasswordFile, c.ClientKey, c.GSSAPI.Keytab} {
		if path != "" {
			errs = append(errs, checkSecret(path))
		}
	}
	return errors.Join(errs...)
}

// fetch reads the registry from one server; fat says that somebody's names are too many to be read.
func (l *LDAP) fetch(ctx context.Context, s server) (snapshot *registry.Snapshot, fat bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxTimeouts*l.config.Timeout)
	defer cancel()
	entries, err := l.read(ctx, s, l.all())
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", s.url, err)
	}
	fat = slices.ContainsFunc(entries, func(e Entry) bool { return e.tooBig(l.config.Schema.User) })
	snapshot, err = l.Canary.folded(l.config.Schema).proven(l.config.layout().Decode(entries, s.url))
	return snapshot, fat, err
}
