package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"

	"github.com/keyreeve/keyreeve/authkeys"
)

// Blocklist is a list of keys whose private halves are public, such as those of Debian's broken generator (CVE-2008-0166). The
// zero Blocklist has no key.
type Blocklist struct{ records []byte }

// A record of the file: the first 120 bits of a SHA-256, and the number of the list that it comes from.
const (
	hashSize   = 15
	recordSize = hashSize + 1
)

// ParseBlocklist takes the blocklist.dat of badkeys, format 0 (its docs/BLOCKLISTFORMAT.md): sorted records of 16 bytes. The hash is that
// of one number of a key, in bytes without leading zeros: N of RSA, x of ECDSA, the bytes of an Ed25519 point. The list
// keeps data.
//
// The file has no checksum. One that is damaged shows all the same: it is not sorted, or its hashes do not go from the least
// numbers to the greatest, as they do in a whole one.
func ParseBlocklist(data []byte) (Blocklist, error) {
	switch {
	case len(data) == 0:
		return Blocklist{}, errors.New("the blocklist is empty")
	case len(data)%recordSize != 0:
		return Blocklist{}, fmt.Errorf("the blocklist has %d bytes, which are no whole records of %d", len(data), recordSize)
	}
	for i := recordSize; i < len(data); i += recordSize {
		if bytes.Compare(data[i-recordSize:i-1], data[i:i+hashSize]) > 0 {
			return Blocklist{}, fmt.Errorf("the blocklist is not sorted at record %d: it is damaged, or no blocklist.dat of badkeys in format 0", i/recordSize)
		}
	}
	if gap := widestGap(data); gap > mostGap {
		return Blocklist{}, fmt.Errorf("the blocklist lacks about %.0f records in one place: it was cut, or part of it is lost", gap)
	}
	return Blocklist{data}, nil
}

// mostGap is how many records may be missing between two neighbours, or before the first, or after the last. The hashes are as good as
// random: between n of them there is a gap of g times the mean once in e^g / n lists. Lists of fewer records show nothing.
const mostGap = 60

// widestGap measures the widest gap in mean gaps.
func widestGap(data []byte) float64 {
	n := len(data) / recordSize
	var last, widest uint64
	for i := range n {
		hash := binary.BigEndian.Uint64(data[i*recordSize:])
		last, widest = hash, max(widest, hash-last)
	}
	widest = max(widest, math.MaxUint64-last)
	return float64(widest) / math.MaxUint64 * float64(n)
}

// Len is the number of records.
func (b Blocklist) Len() int { return len(b.records) / recordSize }

func (b Blocklist) has(key authkeys.Key) bool {
	number := key.Number()
	if len(b.records) == 0 || len(number) == 0 {
		return false
	}
	sum := sha256.Sum256(number)
	at := func(i int) []byte { return b.records[i*recordSize:][:hashSize] }
	i := sort.Search(b.Len(), func(i int) bool { return bytes.Compare(at(i), sum[:hashSize]) >= 0 })
	return i < b.Len() && bytes.Equal(at(i), sum[:hashSize])
}
