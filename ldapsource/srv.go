package ldapsource

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// maxServers bounds what DNS may name.
const maxServers = 32

// srvName is what the look-up of servers is called in reports.
func (l *LDAP) srvName() string { return "the SRV records of " + l.config.SRV }

// find lists the servers. Those that DNS named last are still there beside an error. As long as DNS names the same ones they
// keep their order: weights spread the hosts over the servers, and one host need not go to and fro between replicas.
func (l *LDAP) find(ctx context.Context) ([]server, error) {
	if l.config.SRV == "" {
		return l.servers, nil
	}
	found, err := l.lookUp(ctx)
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	if err != nil {
		return l.pool.found, because(Unreachable, err)
	}
	if !sameServers(found, l.pool.found) {
		l.pool.found = found
	}
	return l.pool.found, nil
}

func sameServers(a, b []server) bool {
	byURL := func(a, b server) int { return strings.Compare(a.url, b.url) }
	return slices.Equal(slices.SortedFunc(slices.Values(a), byURL), slices.SortedFunc(slices.Values(b), byURL))
}

// lookUp asks DNS. The answer is in the order of RFC 2782: by priority, and by chance and weight among equals.
func (l *LDAP) lookUp(ctx context.Context) ([]server, error) {
	ctx, cancel := context.WithTimeout(ctx, l.config.Timeout)
	defer cancel()
	service := "ldaps"
	if l.config.StartTLS {
		service = "ldap"
	}
	_, records, err := l.resolver.LookupSRV(ctx, service, "tcp", l.config.SRV+".")
	if nothing, ok := errors.AsType[*net.DNSError](err); ok && nothing.IsNotFound && service == "ldaps" {
		service = "ldap"
		_, records, err = l.resolver.LookupSRV(ctx, service, "tcp", l.config.SRV+".")
	}
	if err != nil {
		return nil, err
	}
	var servers []server
	for _, r := range records {
		s, err := l.srvServer(service, r)
		if err != nil {
			return nil, err
		}
		servers = append(servers, s)
	}
	if len(servers) == 0 || len(servers) > maxServers {
		return nil, fmt.Errorf("_%s._tcp has %d servers, where 1 to %d can be used", service, len(servers), maxServers)
	}
	return servers, nil
}

// srvServer makes a server of a record. RFC 4513 section 3.1.3 and RFC 6125 section 6.2.1 let no name from an insecure look-up
// be the one that the certificate is compared with; here it is one only below the domain that was configured, and
// NewLDAP has made sure that the authority is the centre's own.
func (l *LDAP) srvServer(service string, r *net.SRV) (server, error) {
	host := strings.ToLower(strings.TrimSuffix(r.Target, "."))
	if host == "" {
		return server{}, fmt.Errorf("_%s._tcp says that the domain has no such service", service)
	}
	domain := strings.ToLower(l.config.SRV)
	if l.config.ServerName == "" && host != domain && !strings.HasSuffix(host, "."+domain) {
		return server{}, fmt.Errorf("_%s._tcp names %q, which is not below %s", service, host, domain)
	}
	address := net.JoinHostPort(host, strconv.Itoa(int(r.Port)))
	return server{
		url: service + "://" + address, network: "tcp", address: address, host: host,
		ldaps: service == "ldaps", startTLS: service == "ldap",
	}, nil
}

// checkDomain holds a domain to the letters of host names (RFC 1123 section 2.1).
func checkDomain(domain string) error {
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label || strings.ContainsFunc(label, notHost) {
			return fmt.Errorf("%q is not the name of a domain", domain)
		}
	}
	return nil
}

func notHost(r rune) bool {
	return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}
