package ldapsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/keyreeve/keyreeve/internal/statefile"
)

const (
	// maxSecret bounds a password and a keytab, in bytes.
	maxSecret = 64 << 10
	// credentials begins the path of a credential that systemd hands to the service (systemd.exec(5), LoadCredential=).
	credentials = "$CREDENTIALS_DIRECTORY/"
)

// bind says who is asking; without an account the connection stays anonymous.
func (l *LDAP) bind(ctx context.Context, c *conn, s server) error {
	var do func() error
	switch {
	case l.config.External:
		do = c.lib.ExternalBind
	case l.config.GSSAPI.on():
		return l.bindKerberos(ctx, c, s)
	case l.config.BindDN != "":
		password, err := l.password()
		if err != nil {
			return because(Credential, err)
		}
		do = func() error { return c.lib.Bind(l.config.BindDN, password) }
	default:
		return nil
	}
	return refused(c.step(ctx, do))
}

// CheckFiles reads all files that a connection needs, and says what is wrong with them; no server is asked. Credentials of systemd are
// looked at where there are any: the service has them, and whoever calls this by hand has not.
func (l *LDAP) CheckFiles() error {
	there := func(path string) bool {
		return path != "" && (l.Credentials != "" || !strings.HasPrefix(path, credentials))
	}
	var errs []error
	if l.config.ClientKey == "" || there(l.config.ClientKey) {
		_, err := l.tlsConfig(server{})
		errs = append(errs, err)
	}
	if there(l.config.PasswordFile) {
		_, err := l.password()
		errs = append(errs, err)
	}
	if there(l.config.GSSAPI.Keytab) {
		_, err := l.newKerberos()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// refused marks what a server says to a bind.
func refused(err error) error {
	if FaultOf(err) == Refused {
		return marked{err, Bind}
	}
	return err
}

// password reads the password of BindDN. One final newline is no part of it.
func (l *LDAP) password() (string, error) {
	secret, path, err := l.secret(l.config.PasswordFile, maxSecret)
	if err != nil {
		return "", err
	}
	secret = bytes.TrimSuffix(bytes.TrimSuffix(secret, []byte("\n")), []byte("\r"))
	if len(secret) == 0 {
		return "", fmt.Errorf("%s: holds no password", path)
	}
	return string(secret), nil
}

// secret reads a file that others must not read, and says which it was.
func (l *LDAP) secret(path string, limit int64) (data []byte, at string, err error) {
	if name, ok := strings.CutPrefix(path, credentials); ok {
		if l.Credentials == "" {
			return nil, "", fmt.Errorf("%s: the service manager gave no credentials", path)
		}
		path = filepath.Join(l.Credentials, name)
	}
	data, err = statefile.ReadSecret(path, limit)
	return data, path, err
}

// checkSecret says whether a path can be that of a secret: absolute, or one name among the credentials.
func checkSecret(path string) error {
	if name, ok := strings.CutPrefix(path, credentials); ok {
		if name == "" || strings.Contains(name, "/") || name == "." || name == ".." {
			return fmt.Errorf("%q is not the name of a credential", path)
		}
		return nil
	}
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q is neither an absolute path nor %sNAME", path, credentials)
	}
	return nil
}
