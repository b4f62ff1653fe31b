package testenv

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// KDCRealm is the realm of StartKDC.
const KDCRealm = "KEYREEVE.TEST"

// kdcPatience bounds the waiting for a KDC to answer.
const kdcPatience = 20 * time.Second

// KDC is a Kerberos server of a test: MIT's krb5kdc on a loopback port, with a database of its own.
type KDC struct {
	// Conf is the krb5.conf(5) that leads to it.
	Conf string

	tb  testing.TB
	dir string
	env []string
}

// StartKDC makes a realm and serves it until the test ends. It needs the part "kdc".
func StartKDC(tb testing.TB) *KDC {
	tb.Helper()
	Need(tb, "kdc")
	dir, port := tb.TempDir(), freePorts(tb, 1)[0]
	k := &KDC{tb: tb, dir: dir}
	k.Conf = putFile(tb, dir, "krb5.conf", fmt.Appendf(nil, `[libdefaults]
	default_realm = %[1]s
	dns_lookup_realm = false
	dns_lookup_kdc = false
	rdns = false
	dns_canonicalize_hostname = false
[realms]
	%[1]s = {
		kdc = 127.0.0.1:%[2]d
	}
[domain_realm]
	localhost = %[1]s
`, KDCRealm, port))
	conf := putFile(tb, dir, "kdc.conf", fmt.Appendf(nil, `[kdcdefaults]
	kdc_listen = 127.0.0.1:%[2]d
	kdc_tcp_listen = 127.0.0.1:%[2]d
[realms]
	%[1]s = {
		database_name = %[3]s/principal
		key_stash_file = %[3]s/stash
		acl_file = %[3]s/acl
	}
[logging]
	kdc = FILE:%[3]s/kdc.log
`, KDCRealm, port, dir))
	k.env = append(os.Environ(), "KRB5_CONFIG="+k.Conf, "KRB5_KDC_PROFILE="+conf)
	k.run("kdb5_util", "create", "-s", "-r", KDCRealm, "-P", "master")
	k.serve(fmt.Sprintf("127.0.0.1:%d", port))
	return k
}

// Keytab makes principals with random keys and returns a file with them, mode 0600.
func (k *KDC) Keytab(principals ...string) string {
	k.tb.Helper()
	path := filepath.Join(k.dir, strings.NewReplacer("/", "-", "@", "-").Replace(principals[0])+".keytab")
	for _, principal := range principals {
		k.run("kadmin.local", "-r", KDCRealm, "-q", "addprinc -randkey "+principal)
		k.run("kadmin.local", "-r", KDCRealm, "-q", "ktadd -k "+path+" "+principal)
	}
	return path
}

// serve runs krb5kdc in the foreground, as a child that ends with the test, and returns when it answers.
func (k *KDC) serve(address string) {
	k.tb.Helper()
	path, err := Program("krb5kdc")
	if err != nil {
		k.tb.Fatal(err)
	}
	cmd := exec.Command(path, "-n", "-r", KDCRealm, "-P", filepath.Join(k.dir, "pid")) //nolint:gosec,noctx // it ends with the test
	cmd.Env = k.env
	if err := cmd.Start(); err != nil {
		k.tb.Fatal(err)
	}
	k.tb.Cleanup(func() {
		_ = cmd.Process.Kill() // its database goes with the test
		_ = cmd.Wait()
	})
	for end := time.Now().Add(kdcPatience); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", address) //nolint:noctx // loopback answers at once
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(end) {
			k.tb.Fatalf("krb5kdc does not answer: %v", err)
		}
	}
}

// run runs one of MIT's programs.
func (k *KDC) run(program string, arguments ...string) {
	k.tb.Helper()
	path, err := Program(program)
	if err != nil {
		k.tb.Fatal(err)
	}
	cmd := exec.Command(path, arguments...) //nolint:gosec,noctx // a test runs the programs it names, to their end
	cmd.Env = k.env
	if out, err := cmd.CombinedOutput(); err != nil {
		k.tb.Fatalf("%s %v: %v\n%s", program, arguments, err, out)
	}
}
