package authkeys_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/authkeys"
)

// BenchmarkParse reads an ordinary file: six lines, three of them keys.
func BenchmarkParse(b *testing.B) {
	keys := testKeys(b)
	text := []byte("# laptop\n" + keyA + " me@laptop\n\nrestrict,command=\"rsync --server\" " + keys["R4096"].String() +
		" backup\n# desk\n" + keys["E256"].String() + " me@desk\n")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if lines := authkeys.Parse(text); len(lines) != 6 {
			b.Fatal(len(lines))
		}
	}
}

// BenchmarkParseLong reads what a hostile user may write: 256 KiB in few lines, each long in another way.
func BenchmarkParseLong(b *testing.B) {
	const size = 64 << 10
	kind, encoded, _ := strings.Cut(keyA, " ")
	text := bytes.Join([][]byte{
		[]byte(strings.Repeat(",", size) + " " + keyA),
		[]byte(kind + " " + encoded[:9] + strings.Repeat("\v", size) + encoded[9:]),
		[]byte(keyA + " " + strings.Repeat("x", size)),
		[]byte(`environment="X=` + strings.Repeat(`\"`, size/2) + `" ` + keyA),
	}, []byte("\n"))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if lines := authkeys.Parse(text); len(lines) != 4 {
			b.Fatal(len(lines))
		}
	}
}
