package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certificate is a TLS server certificate for 127.0.0.1 and localhost, and the CA that signed it.
type Certificate struct {
	// CAFile, CertFile and KeyFile are PEM files with mode 0600.
	CAFile, CertFile, KeyFile string
	// Server is the same pair for a server inside the test.
	Server tls.Certificate
}

// CA signs certificates.
type CA struct {
	// File is its own certificate, PEM, mode 0600.
	File string

	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewCA makes an authority of the test's own.
func NewCA(tb testing.TB) CA {
	tb.Helper()
	ca := CA{key: newKey(tb), certificate: &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "keyreeve test CA"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}}
	ca.File = putFile(tb, tb.TempDir(), "ca.pem", sign(tb, ca.certificate, ca.certificate, ca.key, ca.key))
	return ca
}

// Issue makes a certificate for 127.0.0.1 and localhost, in a folder of the test, after change has had its way with it.
func (ca CA) Issue(tb testing.TB, change func(*x509.Certificate)) Certificate {
	tb.Helper()
	template, key := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "keyreeve test server"},
		NotBefore:    ca.certificate.NotBefore,
		NotAfter:     ca.certificate.NotAfter,
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:     []string{"localhost"},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, newKey(tb)
	if change != nil {
		change(template)
	}
	certPEM := sign(tb, template, ca.certificate, key, ca.key)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	return Certificate{
		CAFile:   ca.File,
		CertFile: putFile(tb, dir, "cert.pem", certPEM),
		KeyFile:  putFile(tb, dir, "key.pem", keyPEM),
		Server:   pair,
	}
}

// NewCertificate makes a CA of its own and a certificate by it.
func NewCertificate(tb testing.TB) Certificate {
	tb.Helper()
	return NewCA(tb).Issue(tb, nil)
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// sign returns the PEM form of a certificate for the public half of key.
func sign(tb testing.TB, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) []byte {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// putFile writes a file of a test, mode 0600, and returns its path.
func putFile(tb testing.TB, dir, name string, data []byte) string {
	tb.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil { //nolint:forbidigo // test folders are no state of the daemon
		tb.Fatal(err)
	}
	return path
}
