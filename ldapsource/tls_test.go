package ldapsource

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// What is wrong with a server's certificate has a sentence of its own, with what the server showed and what was expected.
func TestCertificates(t *testing.T) {
	ca := testenv.NewCA(t)
	hour := func(n int) time.Time { return time.Now().Add(time.Duration(n) * time.Hour).Truncate(time.Second).UTC() }
	past, future := hour(-2), hour(2)
	for _, c := range []struct {
		name   string
		change func(*x509.Certificate)
		fault  Fault
		want   string
	}{
		{"common name alone", func(c *x509.Certificate) {
			c.Subject.CommonName, c.DNSNames, c.IPAddresses = "localhost", nil, nil
		}, CertificateName, `the certificate of "CN=localhost" has no subjectAltName that names a host, where "localhost" is expected; its common name does not count`},
		{"another name", func(c *x509.Certificate) {
			c.DNSNames, c.IPAddresses = []string{"a.example.org", "b.example.org"}, []net.IP{net.IPv4(192, 0, 2, 1)}
		}, CertificateName, `the certificate of "CN=keyreeve test server" is for "a.example.org, b.example.org, 192.0.2.1", where "localhost" is expected`},
		{"many names", func(c *x509.Certificate) {
			c.DNSNames = strings.Split(strings.Repeat("x.example.org ", 40), " ")[:40]
		}, CertificateName, `" and others, where "localhost" is expected`},
		{
			"over", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = hour(-3), past }, CertificateTime,
			`the certificate of "CN=keyreeve test server" ended at ` + past.Format(time.RFC3339) + ", and it is ",
		},
		{
			"not yet", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = future, hour(3) }, CertificateTime,
			`the certificate of "CN=keyreeve test server" begins at ` + future.Format(time.RFC3339) + ", and it is ",
		},
		{
			"a client's", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, TLS,
			`the certificate of "CN=keyreeve test server": x509: certificate specifies an incompatible key usage`,
		},
		{"good", nil, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := testenv.StartSlapdWith(t, render(people()), testenv.SlapdSetup{Certificate: ca.Issue(t, c.change)})
			for _, url := range []string{s.LDAPS, s.URL} {
				config := secured(s, url)
				config.URLs = []string{strings.Replace(url, "127.0.0.1", "localhost", 1)}
				got, err := fetch(t, config)
				if c.want == "" {
					if err != nil {
						t.Error(err)
					}
					continue
				}
				wantError(t, got, err, config.URLs[0], "TLS: ", c.want)
				wantFault(t, err, c.fault)
			}
		})
	}
}

// TestClientCertificate binds by SASL EXTERNAL with a certificate, which slapd maps to a reader.
func TestClientCertificate(t *testing.T) {
	ca := testenv.NewCA(t)
	named := func(name string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: name} }
	}
	client, stranger := ca.Issue(t, named("keyreeve")), ca.Issue(t, named("stranger"))
	foreign := testenv.NewCA(t).Issue(t, named("keyreeve"))
	s := testenv.StartSlapdWith(t, render(people()), testenv.SlapdSetup{
		Certificate: ca.Issue(t, nil), Global: "TLSVerifyClient try\n", Readers: []string{"^cn=keyreeve$"},
	})
	open := file(t, read(t, client.KeyFile))
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		cert  testenv.Certificate
		fault Fault
		want  string
	}{
		{"known", client, "", ""},
		{"of another authority", foreign, Lost, "bind"}, // slapd ends the connection
		{"with another's key", testenv.Certificate{CertFile: client.CertFile, KeyFile: stranger.KeyFile}, Credential, "private key does not match"},
		{"with a key that everybody may read", testenv.Certificate{CertFile: client.CertFile, KeyFile: open}, Credential, "mode 0644 lets everybody read"},
		{"without a file", testenv.Certificate{CertFile: "/none", KeyFile: client.KeyFile}, Credential, "/none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, url := range []string{s.LDAPS, s.URL} {
				config := secured(s, url)
				config.BindDN, config.PasswordFile, config.External = "", "", true
				config.ClientCert, config.ClientKey = c.cert.CertFile, c.cert.KeyFile
				got, err := fetch(t, config)
				if c.want == "" {
					if err != nil || got.Len() != 27 {
						t.Error(err)
					}
					continue
				}
				wantError(t, got, err, url, c.want)
				wantFault(t, err, c.fault)
			}
		})
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
