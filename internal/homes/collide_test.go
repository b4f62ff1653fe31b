package homes

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// alike makes a name of n bytes that btrfs files under the hash of another one: CRC-32C from ^1, without the last inversion (fs/btrfs/ctree.h, btrfs_name_hash).
func alike(other string, n int) string {
	table := crc32.MakeTable(crc32.Castagnoli)
	hash := func(name []byte) uint32 { return ^crc32.Update(^uint32(0xfffffffe), table, name) }
	for {
		name := make([]byte, n)
		for i := range n - 4 {
			name[i] = 'a' + byte(rand.IntN(26))
		}
		r := hash([]byte(other))
		for range 4 { // backwards, as each byte of the table's entries is found but once
			for k, entry := range table {
				if entry>>24 == r>>24 {
					r = (r^entry)<<8 | uint32(k)
					break
				}
			}
		}
		binary.LittleEndian.PutUint32(name[n-4:], r^hash(name[:n-4]))
		if !strings.ContainsAny(string(name), "\x00/") && hash(name) == hash([]byte(other)) {
			return string(name)
		}
	}
}

// spoil makes so many files whose names btrfs files under the hash of one that there is no room for that one: they share one item, which is of
// one block at most, and then the error is EOVERFLOW.
func (h *home) spoil(dir, name string) {
	h.Helper()
	h.must(h.user(func() error {
		for n := 255; n >= 8; {
			if os.WriteFile(h.path(dir, alike(name, n)), nil, 0o600) != nil {
				n--
			}
		}
		return nil
	}))
	if h.user(func() error { return os.WriteFile(h.path(dir, name), nil, 0o600) }) == nil {
		h.Fatal("there is room for the name")
	}
}

// A user sees to it that nothing can be given the fixed name by which a file, or a directory, goes aside.
func TestNameThatIsFull(t *testing.T) {
	t.Parallel()
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		h := onDisk(t, "btrfs", 256<<20)
		h.mkdir(h.path(".ssh"), 0o700, testUID)
		h.write(h.keys(), bad+strings.Repeat("# "+strings.Repeat("x", 100)+"\n", 4000), 0o600, testUID)
		h.spoil(".ssh", hidden(name)+markSuffix)
		h.enforce(h.expect(Oversize))
	})
	t.Run("directory", func(t *testing.T) {
		t.Parallel()
		h := onDisk(t, "btrfs", 256<<20)
		h.mkdir(h.path("blind"), 0o700, testUID)
		h.mkdir(h.path("blind", "x"), 0o700, testUID)
		h.write(h.path("blind", "x", name), bad, 0o600, testUID)
		h.must(os.Chmod(h.path("blind"), 0o300))
		h.link("blind/x", h.path(".ssh"), testUID)
		h.spoil("", ".ssh"+markSuffix)
		h.enforce(h.expect(BadDir))
	})
}
