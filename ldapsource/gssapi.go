package ldapsource

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3/gssapi"
	"github.com/jcmturner/gokrb5/v8/client"
	krb5 "github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/crypto"
	wrap "github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/keytab"

	"github.com/keyreeve/keyreeve/internal/statefile"
)

// maxKRB5Conf bounds the configuration of Kerberos, in bytes.
const maxKRB5Conf = 1 << 20

// GSSAPI says as whom to bind by SASL GSSAPI, with the ticket for ldap/HOST of the server's URL. It is off without a keytab. It
// proves who is asking and asks for no security layer, so it is for connections with TLS.
type GSSAPI struct {
	// Keytab is a file with the key of Principal, "name[/instance][@REALM]"; the realm is else the default of KRB5Conf.
	Keytab    string `yaml:"keytab"`
	Principal string `yaml:"principal"`
	// KRB5Conf is a krb5.conf(5). Files that it includes are not read. A realm whose servers it does not name is looked up in
	// DNS only with "dns_lookup_kdc = true".
	KRB5Conf string `yaml:"krb5_conf"`
}

func (g GSSAPI) on() bool { return g.Keytab != "" }

// check reports what cannot be used.
func (g GSSAPI) check() error {
	name, realm, found := strings.Cut(g.Principal, "@")
	switch {
	case (g.Keytab == "") != (g.Principal == ""):
		return errors.New("a keytab and a principal need each other")
	case !g.on():
		return nil
	case name == "" || (found && realm == "") || strings.ContainsAny(g.Principal, " \\"):
		return fmt.Errorf("principal %q is not of the form name[/instance][@REALM]", g.Principal)
	case !filepath.IsAbs(g.KRB5Conf):
		return fmt.Errorf("krb5_conf %q is no absolute path", g.KRB5Conf)
	}
	return nil
}

// kerberos is the library's client with the last step of RFC 4752 done anew.
type kerberos struct {
	*gssapi.Client
}

// bindKerberos gets a ticket and binds with it.
func (l *LDAP) bindKerberos(ctx context.Context, c *conn, s server) error {
	k, err := l.newKerberos()
	if err != nil {
		return because(Credential, err)
	}
	service := "ldap/" + s.host
	if err := k.ticket(ctx, service, l.config.Timeout); err != nil {
		return err
	}
	defer k.Destroy()
	return refused(c.step(ctx, func() error { return c.lib.GSSAPIBind(k, service, "") }))
}

// newKerberos reads the files, which may change from one connection to the next.
func (l *LDAP) newKerberos() (kerberos, error) {
	text, err := statefile.Read(l.config.GSSAPI.KRB5Conf, maxKRB5Conf)
	if err != nil {
		return kerberos{}, err
	}
	conf, err := krb5.NewFromReader(bytes.NewReader(text))
	if _, harmless := errors.AsType[krb5.UnsupportedDirective](err); err != nil && !harmless {
		return kerberos{}, fmt.Errorf("%s: %w", l.config.GSSAPI.KRB5Conf, err)
	}
	secret, path, err := l.secret(l.config.GSSAPI.Keytab, maxSecret)
	if err != nil {
		return kerberos{}, err
	}
	keys := keytab.New()
	if err := shield(func() error { return keys.Unmarshal(secret) }); err != nil {
		// The library's error repeats the bytes of the file, which are keys.
		return kerberos{}, fmt.Errorf("%s: is no keytab", path)
	}
	name, realm, _ := strings.Cut(l.config.GSSAPI.Principal, "@")
	if realm == "" {
		realm = conf.LibDefaults.DefaultRealm
	}
	// FAST, the outer armor of RFC 6113, is not spoken by the library; MIT's servers break off when it says that it is.
	return kerberos{&gssapi.Client{Client: client.NewWithKeytab(name, realm, keys, conf, client.DisablePAFXFAST(true))}}, nil
}

// ticket asks the KDC, which the bind then finds done. The library gives each KDC five seconds and knows no context, so whoever waits is
// let go, and the asking ends by itself.
func (k kerberos) ticket(ctx context.Context, service string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		err := shield(func() error {
			_, _, err := k.GetServiceTicket(service)
			return err
		})
		if err != nil || ctx.Err() != nil {
			k.Destroy()
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return because(Bind, fmt.Errorf("no ticket for %s: %w", service, err))
		}
		return nil
	case <-ctx.Done():
		return because(Unreachable, fmt.Errorf("no ticket for %s: the KDC: %w", service, ctx.Err()))
	}
}

// NegotiateSaslAuth answers the server's offer of security layers (RFC 4752 section 3.1) with "none" (1). The library takes the
// token to be rotated by the length of its checksum, as Active Directory sends it; MIT's does not rotate, and RFC 4121 section
// 4.2.5 leaves it to the sender. And it answers with 0, which is none of the layers.
func (k kerberos) NegotiateSaslAuth(token []byte, authzid string) ([]byte, error) {
	const none, acceptorSubkey = 1, 0b100
	var offer wrap.WrapToken
	if err := offer.Unmarshal(unrotate(token), true); err != nil {
		return nil, err
	}
	if offer.Flags&acceptorSubkey == 0 {
		return nil, errors.New("the server's offer is not under its own subkey")
	}
	if _, err := offer.Verify(k.Subkey, keyusage.GSSAPI_ACCEPTOR_SEAL); err != nil {
		return nil, errors.New("the server's offer is not under the key of the ticket")
	}
	if len(offer.Payload) != 4 || offer.Payload[0]&none == 0 {
		return nil, errors.New("the server wants a security layer of its own, beside TLS")
	}
	kind, err := crypto.GetEtype(k.Subkey.KeyType)
	if err != nil {
		return nil, err
	}
	answer := wrap.WrapToken{
		Flags: acceptorSubkey, EC: uint16(kind.GetHMACBitLength() / 8), //nolint:gosec // some dozen bytes
		SndSeqNum: 1, Payload: append([]byte{none, 0, 0, 0}, authzid...),
	}
	if err := answer.SetCheckSum(k.Subkey, keyusage.GSSAPI_INITIATOR_SEAL); err != nil {
		return nil, err
	}
	return answer.Marshal()
}

// unrotate undoes the right rotation of what follows a token's header (RFC 4121 section 4.2.5).
func unrotate(token []byte) []byte {
	if len(token) <= wrap.HdrLen {
		return token
	}
	body := token[wrap.HdrLen:]
	by := int(binary.BigEndian.Uint16(token[6:8])) % len(body)
	return bytes.Join([][]byte{token[:wrap.HdrLen], body[by:], body[:by]}, nil)
}
