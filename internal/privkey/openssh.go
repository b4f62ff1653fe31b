package privkey

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
)

// wire reads the strings and numbers of RFC 4251 section 5 one after the other.
type wire struct {
	rest []byte
	bad  bool // it ended early
}

func (w *wire) number() uint32 {
	if len(w.rest) < 4 {
		w.rest, w.bad = nil, true
		return 0
	}
	n := binary.BigEndian.Uint32(w.rest)
	w.rest = w.rest[4:]
	return n
}

func (w *wire) text() []byte {
	n := w.number()
	if int64(n) > int64(len(w.rest)) {
		w.rest, w.bad = nil, true
		return nil
	}
	text := w.rest[:n]
	w.rest = w.rest[n:]
	return text
}

// fields writes strings of RFC 4251 section 5.
func fields(list ...[]byte) (text []byte) {
	for _, field := range list {
		text = append(binary.BigEndian.AppendUint32(text, uint32(len(field))), field...) //nolint:gosec // of a file of 64 KiB
	}
	return text
}

// openssh reads OpenSSH's own form (PROTOCOL.key; sshkey_parse_private2 in sshkey.c): the names of cipher and key derivation, its options, the number of keys,
// the public key, and the private one, which the cipher "none" leaves as it is.
func openssh(data []byte) Key {
	key := Key{Form: OpenSSH, State: Unclear}
	body, is := bytes.CutPrefix(data, []byte("openssh-key-v1\x00"))
	w := wire{rest: body}
	cipher, derivation, _ := string(w.text()), string(w.text()), w.text()
	number, public, private := w.number(), w.text(), w.text()
	if !is || w.bad || number != 1 {
		return key
	}
	key.Public, _ = authkeys.ParseBlob(public)
	if cipher != "none" {
		key.State = Encrypted
		return key
	}
	// The two numbers are the same, so that who decrypts sees that it was the right passphrase: without that it is not plain.
	w = wire{rest: private}
	if one, other := w.number(), w.number(); one != other || w.bad || derivation != "none" {
		return key
	}
	name := string(w.text())
	if strings.HasPrefix(name, "sk-") {
		key.State = Hardware
		return key
	}
	count := fieldsOf(name)
	if count == 0 {
		key.State = Plain // of a type that is not known here
		return key
	}
	for range count {
		w.text()
	}
	label := w.text()
	for i, pad := range w.rest {
		w.bad = w.bad || pad != byte(i+1) // private2_check_padding
	}
	if !w.bad {
		key.State, key.Comment = Plain, comment(label)
	}
	return key
}

// fieldsOf is how many fields a private key has behind the name of its type (the functions *_serialize_private of ssh-rsa.c, ssh-dss.c, ssh-ecdsa.c
// and ssh-ed25519.c); 0: not known.
func fieldsOf(name string) int {
	switch name {
	case "ssh-rsa":
		return 6 // n, e, d, iqmp, p, q
	case "ssh-dss":
		return 5 // p, q, g, y, x
	case "ssh-ed25519":
		return 2 // public, private
	case "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521":
		return 3 // curve, point, exponent
	}
	return 0
}
