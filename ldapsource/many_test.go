package ldapsource

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// manyUsers is a file of n users with keys of their own, every tenth of them locked.
func manyUsers(n int) string {
	var b strings.Builder
	b.WriteString("version: 1\n")
	key := make([]byte, 51)
	copy(key, "\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20")
	for i := range n {
		binary.BigEndian.PutUint64(key[19:], uint64(i))
		fmt.Fprintf(&b, "\ndn: uid=u%06[1]d,ou=people,dc=example,dc=org\nobjectClass: posixAccount\nobjectClass: ldapPublicKey\nuid: u%06[1]d\n"+
			"uidNumber: %[2]d\ngidNumber: %[2]d\nhomeDirectory: /home/u%06[1]d\nsshPublicKey: ssh-ed25519 %[3]s u%06[1]d@example.org\n",
			i, 10_000+i, base64.StdEncoding.EncodeToString(key))
		if i%10 == 0 {
			b.WriteString("pwdAccountLockedTime: 000001010000Z\n")
		}
	}
	return b.String()
}

// A hundred thousand users are read as one is.
func TestManyUsers(t *testing.T) {
	const n = 100_000
	path := file(t, manyUsers(n))
	got, err := NewLDIF(path, posix()).Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	locked := 0
	for u := range got.Users() {
		if u.Status != 0 {
			locked++
		}
	}
	if got.Len() != n || got.Keys() != n || got.Rejects() != 0 || locked != n/10 || len(got.Shared()) != 0 {
		t.Errorf("%d users, %d keys, %d rejects, %d locked", got.Len(), got.Keys(), got.Rejects(), locked)
	}
	// Cut anywhere but between two entries, the file is no smaller registry.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{len(text) - 1, len(text) / 2, len(text)/2 + 1, 12} {
		if text[cut-1] == '\n' {
			cut++
		}
		snapshot, err := NewLDIF(file(t, string(text[:cut])), posix()).Fetch(t.Context())
		wantError(t, snapshot, err, "the file was cut")
	}
}

func BenchmarkManyUsers(b *testing.B) {
	path := filepath.Join(b.TempDir(), "registry.ldif")
	text := manyUsers(100_000)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewLDIF(path, posix()).Fetch(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(peak(b), "peak-MiB")
}

// peak is the most memory that this process ever had, in MiB (proc_pid_status(5)).
func peak(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}
