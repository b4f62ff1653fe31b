package policy_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/policy"
)

// record is one of a blocklist: of list 1, the way badkeys' documentation describes it.
func record(number []byte) []byte {
	sum := sha256.Sum256(bytes.TrimLeft(number, "\x00"))
	return append(sum[:15:15], 1)
}

// blocklist makes a file of records, with so many of other keys.
func blocklist(t *testing.T, others int, records ...[]byte) []byte {
	t.Helper()
	for range others {
		other := make([]byte, 32)
		if _, err := rand.Read(other); err != nil {
			t.Fatal(err)
		}
		records = append(records, record(other))
	}
	slices.SortFunc(records, bytes.Compare)
	return bytes.Join(records, nil)
}

func parseList(t *testing.T, data []byte) policy.Blocklist {
	t.Helper()
	list, err := policy.ParseBlocklist(data)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// The hashes of these keys were worked out apart from this program (sha256sum over the number's bytes), by docs/BLOCKLISTFORMAT.md of badkeys.
func TestBlocklistedKeysAreRefusedEverywhere(t *testing.T) {
	lines := make(map[string]string)
	for text := range strings.Lines(badkeys) {
		if fields := strings.Fields(text); fields[0] != "#" {
			lines[fields[3]] = strings.Join(fields[1:3], " ")
		}
	}
	debian, rfc8032 := lines["rsa-debianweak"], unhex(t, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
	zero := append([]byte{0, 0}, rfc8032[2:]...)
	for name, c := range map[string]struct{ hash, line string }{
		"RSA of Debian's":          {"31c152529eb033a010f8c272fd8d42", debian},
		"Ed25519 of RFC 8032":      {"21fe31dfa154a261626bf854046fd2", ed25519Line(rfc8032)},
		"sk-ed25519, same point":   {"21fe31dfa154a261626bf854046fd2", skLine(rfc8032)},
		"Ed25519 with zeros first": {"dc7aaff7d8050de49a845f3a41c5d0", ed25519Line(zero)},
	} {
		data := blocklist(t, 5000, append(unhex(t, c.hash), 7))
		refused(t, compile(t, from2048(), parseList(t, data)), name, c.line, "blocklisted")
		refused(t, compile(t, from2048(), parseList(t, blocklist(t, 1)), parseList(t, data)), name+", second list", c.line, "blocklisted")
		sound(t, compile(t, from2048(), parseList(t, blocklist(t, 5000))), name+", other list", c.line)
		sound(t, compile(t, from2048()), name+", no list", c.line)
	}
	// No rule takes ECDSA keys, but an exception can.
	ecdsa := exception(t, "alice", ecdsaLine(t))
	data := blocklist(t, 100, append(unhex(t, "40577091d962d2c36217b8e1a3c7ee"), 1))
	if _, err := compile(t, from2048(), parseList(t, data)).NewException(ecdsa, now); err == nil || !strings.Contains(err.Error(), "blocklist") {
		t.Errorf("ECDSA: %v", err)
	}
	if _, err := compile(t, from2048(), parseList(t, blocklist(t, 100))).NewException(ecdsa, now); err != nil {
		t.Errorf("ECDSA, other list: %v", err)
	}
}

// The first and the last record count as those between do, and so does a list of one.
func TestBlocklistFindsEachRecord(t *testing.T) {
	for _, n := range []int{1, 2, 3, 64, 1000} {
		points := make([][]byte, n)
		records := make([][]byte, n)
		for i := range points {
			points[i] = make([]byte, 32)
			points[i][0], points[i][1], points[i][2] = 9, byte(i), byte(i>>8)
			records[i] = record(points[i])
		}
		p := compile(t, from2048(), parseList(t, blocklist(t, 0, records...)))
		var lines []string
		for _, point := range points {
			lines = append(lines, ed25519Line(point))
		}
		if denied := len(p.Evaluate(snapshotOf(t, user(t, "alice", lines...)), now).Denied("alice")); denied != n {
			t.Errorf("of %d keys %d are found", n, denied)
		}
	}
}

func TestParseBlocklistRefuses(t *testing.T) {
	whole := blocklist(t, 20000)
	parseList(t, whole)
	swapped := slices.Clone(whole)
	copy(swapped[16*500:], whole[16*501:16*502])
	copy(swapped[16*501:], whole[16*500:16*501])
	zeroed := slices.Clone(whole)
	clear(zeroed[16*700 : 16*956])
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":                 {nil, "is empty"},
		"cut in a record":       {whole[:len(whole)-3], "no whole records"},
		"cut between records":   {whole[:len(whole)-16*256], "lacks about"},
		"without its beginning": {whole[16*256:], "lacks about"},
		"without a block":       {slices.Concat(whole[:16*8000], whole[16*8256:]), "lacks about"},
		"two records changed":   {swapped, "not sorted at record 501"},
		"a block of zeros":      {zeroed, "not sorted at record 700"},
		"text":                  {[]byte(strings.Repeat(hex.EncodeToString(whole[:16])+"\n", 16)), "not sorted"},
		"compressed with xz":    {append([]byte("\xfd7zXZ\x00\x00\x04"), whole[:5000*16-8]...), "not sorted"},
		"a list, twice":         {slices.Concat(whole, whole), "not sorted at record 20000"},
		"only the second half":  {whole[10000*16:], "lacks about"},
		"from last to first":    {reversed(whole), "not sorted at record 1"},
	} {
		if _, err := policy.ParseBlocklist(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// reversed has the records from the last to the first.
func reversed(data []byte) (out []byte) {
	for i := len(data) - 16; i >= 0; i -= 16 {
		out = append(out, data[i:i+16]...)
	}
	return out
}

// A whole list is never taken for a damaged one, whatever its length.
func TestParseBlocklistTakesWholeLists(t *testing.T) {
	for _, n := range []int{1, 2, 10, 59, 61, 100, 1000, 100000} {
		for range max(1, 200/n) {
			if got := parseList(t, blocklist(t, n)); got.Len() != n {
				t.Errorf("%d records, want %d", got.Len(), n)
			}
		}
	}
	one := record([]byte{1})
	if got := parseList(t, slices.Concat(one, one)); got.Len() != 2 {
		t.Error("two lists have the same key")
	}
}
