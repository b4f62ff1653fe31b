// Package testenv starts the real parts that keyreeve's tests run against: a slapd on loopback, a sshd with accounts of
// its own, and the homes of those accounts.
//
// Everything it starts is stopped by pid when the test ends, listens on loopback only and lives in a folder of the test.
// A part that this machine lacks is a skip with its reason; where the environment variable KEYREEVE_TEST_REQUIRE names
// the part (a list like "root,sshd,slapd") it is a failure instead, so that a green run in CI means that all of it ran.
//
// Only _test.go files import this package.
package testenv

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// BashCompletion is where the package bash-completion has what scripts of completions build upon.
const BashCompletion = "/usr/share/bash-completion/bash_completion"

// requireVariable names the parts whose absence is a failure.
const requireVariable = "KEYREEVE_TEST_REQUIRE"

// Need ends the test unless every part is there: "root" (this process may become any user), "sshd" (OpenSSH's server,
// client and ssh-keygen), "slapd" (OpenLDAP's server and slapadd), "dirsrv" (389 Directory Server), "mount" (this process may mount file systems),
// "ext4", "xfs" and "btrfs" (it may make and mount one in a file), "overlay" (the kernel has it),
// "logrotate", "lintian", "rpm", "mandoc", "zsh", "fish", "tinycdb", "puttygen", "strace", "bash-completion", "journald" (systemd-journald, and that it may run apart from the system's own), "systemd" (that one may boot in namespaces), "fuse" (/dev/fuse, and that a user
// may mount it in a namespace of his own), "kdc" (MIT's Kerberos server, and the GSSAPI of Cyrus SASL for slapd), "chromium" (and its chromedriver), "packages" (what Debian packages are made and
// installed with), "promtool" (Prometheus' own check of metrics, rules and their tests), "pids" (this process may say which pid is given next).
func Need(tb testing.TB, parts ...string) {
	tb.Helper()
	required := strings.Split(os.Getenv(requireVariable), ",")
	for _, part := range parts {
		missing := lack(tb, part)
		switch {
		case missing == "":
		case slices.Contains(required, part):
			tb.Fatalf("%s is required by %s, but %s", part, requireVariable, missing)
		default:
			tb.Skipf("needs %s: %s", part, missing)
		}
	}
}

// lack says why a part is not there, or nothing when it is.
func lack(tb testing.TB, part string) string {
	tb.Helper()
	switch part {
	case "root":
		if os.Geteuid() != 0 {
			return "the test does not run as root"
		}
		return ""
	case "sshd":
		return lackPrograms("sshd", "ssh", "ssh-keygen")
	case "slapd":
		return lackPrograms("slapd", "slapadd", "ldapmodify")
	case "dirsrv":
		return cmp.Or(lackPrograms("ns-slapd"), lackTemplate())
	case "mount":
		return lackMount()
	case "logrotate", "strace", "puttygen", "lintian", "rpm", "mandoc", "zsh", "fish", "promtool":
		return lackPrograms(part)
	case "packages":
		return lackPrograms("git", "make", "dpkg", "dpkg-deb", "man")
	case "bash-completion":
		if _, err := os.Stat(BashCompletion); err != nil {
			return err.Error()
		}
		return lackPrograms("bash")
	case "ext4", "xfs", "btrfs":
		return cmp.Or(lackPrograms("mkfs."+part, "mount"), lackMount(), lackLoop(), lackFileSystem(part))
	case "overlay":
		return cmp.Or(lackMount(), lackFileSystem(part))
	case "journald":
		return cmp.Or(lackPrograms("journalctl", "unshare", "nsenter", journald), lackMount())
	case "systemd":
		return lackSystemd()
	case "chromium":
		return lackPrograms("chromium", "chromedriver")
	case "pids":
		return lackLastPID()
	case "tinycdb":
		return lackPrograms("cdb")
	case "kdc":
		return cmp.Or(lackPrograms("krb5kdc", "kdb5_util", "kadmin.local"), lackGSSAPI())
	case "fuse":
		return lackFuse(tb)
	default:
		return fmt.Sprintf("%q is not a part that testenv knows", part)
	}
}

// LastPID has the pid that the kernel gave last; who writes into it has the next one given after that (proc_sys_kernel(5), CONFIG_CHECKPOINT_RESTORE).
const LastPID = "/proc/sys/kernel/ns_last_pid"

func lackLastPID() string {
	file, err := os.OpenFile(LastPID, os.O_WRONLY, 0)
	if err != nil {
		return err.Error()
	}
	_ = file.Close()
	return ""
}

// lackPrograms names the first program that is not there.
func lackPrograms(names ...string) string {
	for _, name := range names {
		if _, err := Program(name); err != nil {
			return err.Error()
		}
	}
	return ""
}

// Program finds a program of the system, in the administrator's folders too: Debian keeps sshd and slapd in
// /usr/sbin, which an ordinary user's PATH does not name.
func Program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		if path, err := exec.LookPath(dir + "/" + name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("the program %s is not installed", name)
}

// lackGSSAPI looks for the plug-in of Cyrus SASL where distributions put it.
func lackGSSAPI() string {
	for _, pattern := range []string{"/usr/lib/*/sasl2/libgssapiv2.so", "/usr/lib64/sasl2/libgssapiv2.so", "/usr/lib/sasl2/libgssapiv2.so"} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return ""
		}
	}
	return "the plug-in libgssapiv2.so of Cyrus SASL is not installed"
}

// lackTemplate looks for the configuration from which Dirsrv makes its own.
func lackTemplate() string {
	if _, err := os.Stat(dirsrvTemplates); err != nil {
		return err.Error()
	}
	return ""
}

// lackMount looks for CAP_SYS_ADMIN (bit 21 of capabilities(7)) in this thread's effective set: /proc/self would be that of the
// first thread, of which a test may have made something else.
func lackMount() string {
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(status)) {
		var effective uint64
		if n, _ := fmt.Sscanf(line, "CapEff:\t%x", &effective); n == 1 && effective&(1<<21) != 0 {
			return ""
		}
	}
	return "the test has no CAP_SYS_ADMIN"
}

// lackLoop looks for the devices by which a file is mounted, which a container may lack.
func lackLoop() string {
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return err.Error()
	}
	return ""
}

// lackFileSystem asks the kernel, which loads a module for a file system that it is asked to mount.
func lackFileSystem(kind string) string {
	_ = exec.Command("modprobe", kind).Run() //nolint:noctx,gosec // it answers at once, if it is there; of three words
	list, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return err.Error()
	}
	if !slices.Contains(strings.Fields(string(list)), kind) {
		return "the kernel has no " + kind
	}
	return ""
}

// lackFuse makes a user namespace with mounts of its own, which a container may forbid, for a program that does nothing.
func lackFuse(tb testing.TB) string {
	tb.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return err.Error()
	}
	cmd := exec.CommandContext(tb.Context(), "true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS}
	if err := cmd.Run(); err != nil {
		return fmt.Sprintf("no user namespace can be made here: %v", err)
	}
	return ""
}
