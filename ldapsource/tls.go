package ldapsource

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/keyreeve/keyreeve/internal/statefile"
)

// maxCertificates bounds a file of certificates, in bytes.
const maxCertificates = 4 << 20

// secure puts TLS on a connection as the URL and the configuration want it.
func (l *LDAP) secure(ctx context.Context, s server, g *guard) (*conn, error) {
	if s.network == "unix" || (!s.ldaps && !s.startTLS) {
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
			return nil, fmt.Errorf("StartTLS: %w", because(kindOf(err), err))
		}
	}
	encrypted := tls.Client(g, config)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", layer, l.handshakeError(ctx, s, err))
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
			return because(Malformed, errFrame)
		}
		return ldap.GetLDAPError(answer)
	}), ctx.Err())
}

// tlsConfig reads the files at every connection, so that a new authority or certificate needs no restart.
func (l *LDAP) tlsConfig(s server) (*tls.Config, error) {
	config := &tls.Config{ServerName: l.expected(s), MinVersion: tls.VersionTLS12}
	if l.config.CAFile != "" {
		pem, err := statefile.Read(l.config.CAFile, maxCertificates)
		if err != nil {
			return nil, because(Credential, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, because(Credential, fmt.Errorf("%s: holds no certificate", l.config.CAFile))
		}
	}
	if l.config.ClientCert != "" {
		pair, err := l.clientCertificate()
		if err != nil {
			return nil, because(Credential, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// expected is the name that a server's certificate must carry.
func (l *LDAP) expected(s server) string { return cmp.Or(l.config.ServerName, s.host) }

// clientCertificate reads the certificate that shows who is asking, and its key.
func (l *LDAP) clientCertificate() (tls.Certificate, error) {
	certificate, err := statefile.Read(l.config.ClientCert, maxCertificates)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, path, err := l.secret(l.config.ClientKey, maxCertificates)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s with the key %s: %w", l.config.ClientCert, path, err)
	}
	return pair, nil
}

// handshakeError says what the server showed and what was expected, where it is the certificate that is wrong.
func (l *LDAP) handshakeError(ctx context.Context, s server, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	wrong, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok || len(wrong.UnverifiedCertificates) == 0 {
		kind := TLS
		if _, network := errors.AsType[net.Error](err); network || errors.Is(err, io.EOF) {
			kind = Lost
		}
		return because(kind, err)
	}
	if name, ok := errors.AsType[x509.HostnameError](wrong.Err); ok {
		return because(CertificateName, nameError(name.Certificate, l.expected(s)))
	}
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](wrong.Err); ok {
		return because(CertificateAuthority, fmt.Errorf("the certificate of %q leads to %q, which is no authority of %s",
			subject(wrong.UnverifiedCertificates[0]), unknown.Cert.Issuer, cmp.Or(l.config.CAFile, "the system")))
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](wrong.Err); ok && invalid.Reason == x509.Expired {
		return because(CertificateTime, timeError(invalid.Cert, time.Now()))
	}
	return because(TLS, fmt.Errorf("the certificate of %q: %w", subject(wrong.UnverifiedCertificates[0]), wrong.Err))
}

// nameError tells of a certificate for somebody else. A common name is no name of a host (RFC 6125 section 6.4.4, which RFC
// 9525 section 2 makes final), and Go has no way to take it for one.
func nameError(c *x509.Certificate, expected string) error {
	var names []string
	names = append(names, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return fmt.Errorf("the certificate of %q has no subjectAltName that names a host, where %q is expected; its common name does not count",
			subject(c), expected)
	}
	const enough = 10
	more := ""
	if len(names) > enough {
		names, more = names[:enough], " and others"
	}
	return fmt.Errorf("the certificate of %q is for %q%s, where %q is expected", subject(c), strings.Join(names, ", "), more, expected)
}

// timeError tells of a certificate that is not valid now, which may be the clock's fault.
func timeError(c *x509.Certificate, now time.Time) error {
	if now.Before(c.NotBefore) {
		return fmt.Errorf("the certificate of %q begins at %s, and it is %s here", subject(c), stamp(c.NotBefore), stamp(now))
	}
	return fmt.Errorf("the certificate of %q ended at %s, and it is %s here", subject(c), stamp(c.NotAfter), stamp(now))
}

func subject(c *x509.Certificate) string { return c.Subject.String() }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
