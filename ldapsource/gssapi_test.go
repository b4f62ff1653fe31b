package ldapsource

import (
	"bytes"
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3/gssapi"
	wrap "github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/types"
	"go.uber.org/goleak"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// kerberized is a slapd that takes tickets, its KDC, and the configuration that reads it.
func kerberized(t *testing.T) (*testenv.Slapd, *testenv.KDC, LDAPConfig) {
	t.Helper()
	kdc := testenv.StartKDC(t)
	s := testenv.StartSlapdWith(t, render(people()), testenv.SlapdSetup{
		Global:  "sasl-host localhost\nsasl-realm " + testenv.KDCRealm + "\n",
		Readers: []string{"^uid=keyreeve/login1.example.org,cn=.*gssapi,cn=auth$"},
		Env:     []string{"KRB5_CONFIG=" + kdc.Conf, "KRB5_KTNAME=" + kdc.Keytab("ldap/localhost")},
	})
	config := secured(s, s.LDAPS)
	config.URLs, config.BindDN, config.PasswordFile = []string{strings.Replace(s.LDAPS, "127.0.0.1", "localhost", 1)}, "", ""
	config.GSSAPI = GSSAPI{
		Keytab: kdc.Keytab("keyreeve/login1.example.org", "other"), Principal: "keyreeve/login1.example.org@" + testenv.KDCRealm, KRB5Conf: kdc.Conf,
	}
	return s, kdc, config
}

// TestGSSAPI binds with a keytab at a real KDC and a real server, over each kind of TLS.
func TestGSSAPI(t *testing.T) {
	s, _, config := kerberized(t)
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
	shortName := config
	shortName.GSSAPI.Principal = "keyreeve/login1.example.org" // of the default realm
	startTLS := config
	startTLS.URLs, startTLS.StartTLS = []string{strings.Replace(s.URL, "127.0.0.1", "localhost", 1)}, true
	for name, c := range map[string]LDAPConfig{"LDAPS": config, "StartTLS": startTLS, "default realm": shortName} {
		t.Run(name, func(t *testing.T) {
			if got, err := fetch(t, c); err != nil || got.Len() != 27 {
				t.Error(err)
			}
		})
	}
}

func TestGSSAPIRefuses(t *testing.T) {
	_, kdc, good := kerberized(t)
	keys := read(t, good.GSSAPI.Keytab)
	open := file(t, keys)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*LDAPConfig)
		fault  Fault
		want   string
	}{
		{"no keytab", func(c *LDAPConfig) { c.GSSAPI.Keytab = "/none" }, Credential, "/none"},
		{"a keytab for everybody", func(c *LDAPConfig) { c.GSSAPI.Keytab = open }, Credential, "mode 0644 lets everybody read"},
		{"no key in it", func(c *LDAPConfig) { c.GSSAPI.Principal = "nobody" }, Bind, "no ticket for ldap/localhost"},
		{"keys of before", func(c *LDAPConfig) {
			c.GSSAPI.Keytab = file(t, keys)
			kdc.Keytab("keyreeve/login1.example.org") // makes new ones
		}, Bind, "no ticket for ldap/localhost"},
		{"a half keytab", func(c *LDAPConfig) { c.GSSAPI.Keytab = file(t, keys[:len(keys)/4]) }, Credential, "is no keytab"},
		{"no krb5.conf", func(c *LDAPConfig) { c.GSSAPI.KRB5Conf = "/none" }, Credential, "/none"},
		{"a realm without a KDC", func(c *LDAPConfig) { c.GSSAPI.Principal = "keyreeve@ELSEWHERE" }, Bind, "no ticket"},
		{"a server without a ticket", func(c *LDAPConfig) { c.URLs[0] = strings.Replace(c.URLs[0], "localhost", "127.0.0.1", 1) }, Bind, "no ticket for ldap/127.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := good
			config.URLs = []string{good.URLs[0]}
			c.change(&config)
			got, err := fetch(t, config)
			wantError(t, got, err, config.URLs[0], "bind", c.want)
			wantFault(t, err, c.fault)
			if strings.Contains(err.Error(), keys[len(keys)/8:len(keys)/8+4]) {
				t.Errorf("bytes of the keytab are in the error: %q", err)
			}
		})
	}
}

// A KDC that says nothing costs the time-out, and a context that ends is heeded at once.
func TestGSSAPISilentKDC(t *testing.T) {
	_, _, config := kerberized(t)
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	leaks := goleak.IgnoreCurrent()
	defer func() { // whoever still waits is sent away
		for buffer := make([]byte, 4096); ; {
			_ = silent.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			_, from, err := silent.ReadFrom(buffer)
			if err != nil {
				break
			}
			_, _ = silent.WriteTo([]byte("x"), from)
		}
		silent.Close()
		goleak.VerifyNone(t, leaks)
	}()
	config.GSSAPI.KRB5Conf = file(t, "[libdefaults]\ndefault_realm = "+testenv.KDCRealm+"\n[realms]\n"+testenv.KDCRealm+" = {\nkdc = "+silent.LocalAddr().String()+"\n}\n")
	config.Timeout = 500 * time.Millisecond
	got, err := fetch(t, config)
	wantError(t, got, err, "no ticket", "the KDC", "deadline exceeded")
	wantFault(t, err, Unreachable)

	config.Timeout = time.Minute
	l, err := NewLDAP(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	began := time.Now()
	if got, err := l.Fetch(ctx); got != nil || err == nil || time.Since(began) > 4*time.Second {
		t.Errorf("after %v: %v %v", time.Since(began), got, err)
	}
}

// The rotation of a token is undone, whatever its count (RFC 4121 section 4.2.5).
func TestUnrotate(t *testing.T) {
	plain := append(make([]byte, 16), "payload+checksum"...)
	for rrc := range 40 {
		n := rrc % 16
		token := append(make([]byte, 16), append([]byte("payload+checksum")[16-n:], "payload+checksum"[:16-n]...)...)
		token[7] = byte(rrc)
		if got := unrotate(token); !bytes.Equal(got[16:], plain[16:]) {
			t.Errorf("rotated by %d: %q", rrc, got[16:])
		}
	}
	for _, short := range [][]byte{nil, make([]byte, 15), make([]byte, 16)} {
		if got := unrotate(short); !bytes.Equal(got, short) {
			t.Errorf("%d bytes become %q", len(short), got)
		}
	}
}

// The server's offer is taken in every rotation, and only under the right key; the answer asks for no layer (RFC 4752 section 3.1).
func TestNegotiate(t *testing.T) {
	key := types.EncryptionKey{KeyType: etypeID.AES256_CTS_HMAC_SHA1_96, KeyValue: bytes.Repeat([]byte{7}, 32)}
	other := types.EncryptionKey{KeyType: key.KeyType, KeyValue: bytes.Repeat([]byte{8}, 32)}
	const none, layers, acceptor, subkey = 1, 7, 0b001, 0b100
	offer := func(by types.EncryptionKey, flags byte, payload []byte, rotation int) []byte {
		token := wrap.WrapToken{Flags: flags, EC: 12, Payload: payload}
		if err := token.SetCheckSum(by, keyusage.GSSAPI_ACCEPTOR_SEAL); err != nil {
			t.Fatal(err)
		}
		text, err := token.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		body := text[wrap.HdrLen:]
		n := len(body) - rotation%len(body)
		text = slices.Concat(text[:wrap.HdrLen], body[n:], body[:n])
		text[7] = byte(rotation)
		return text
	}
	k := kerberos{&gssapi.Client{Subkey: key}}
	for rotation := range 33 {
		answer, err := k.NegotiateSaslAuth(offer(key, acceptor|subkey, []byte{layers, 0, 16, 0}, rotation), "")
		if err != nil {
			t.Fatalf("rotated by %d: %v", rotation, err)
		}
		var token wrap.WrapToken
		if err := token.Unmarshal(answer, false); err != nil {
			t.Fatal(err)
		}
		if _, err := token.Verify(key, keyusage.GSSAPI_INITIATOR_SEAL); err != nil || !bytes.Equal(token.Payload, []byte{none, 0, 0, 0}) {
			t.Errorf("the answer is %v, %v", token.Payload, err)
		}
	}
	for name, c := range map[string]struct {
		token []byte
		want  string
	}{
		"another key":     {offer(other, acceptor|subkey, []byte{layers, 0, 16, 0}, 0), "not under the key"},
		"no subkey":       {offer(key, acceptor, []byte{layers, 0, 16, 0}, 0), "not under its own subkey"},
		"our own":         {offer(key, subkey, []byte{layers, 0, 16, 0}, 0), "acceptor flag"},
		"layers alone":    {offer(key, acceptor|subkey, []byte{6, 0, 16, 0}, 0), "wants a security layer"},
		"a short payload": {offer(key, acceptor|subkey, []byte{layers}, 0), "wants a security layer"},
		"nothing":         {nil, "header length"},
	} {
		if answer, err := k.NegotiateSaslAuth(c.token, ""); answer != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v", name, answer, err)
		}
	}
}
