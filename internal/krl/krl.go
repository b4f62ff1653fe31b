// Package krl writes key revocation lists, as sshd reads them for RevokedKeys (sshd_config(5); PROTOCOL.krl in OpenSSH's source).
//
// A list names keys by the SHA-256 of their wire encoding, which sshd takes from OpenSSH 7.9 on. Of the forms that RevokedKeys can have it is the
// safest and the fastest: a line of text of a type that this sshd does not know would refuse everybody's keys, and has to be
// parsed as a key at each look.
//
// The package is pure: no I/O, no clock, no log.
package krl

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
)

const (
	magic         = "SSHKRL\n\x00"
	formatVersion = 1
	// sha256Section is KRL_SECTION_FINGERPRINT_SHA256.
	sha256Section = 5
	comment       = "keyreeve"
	// each is what a key takes: its length and its hash.
	each = 4 + sha256.Size
)

// Hash is the SHA-256 of a key's wire encoding.
type Hash = [sha256.Size]byte

// Make gives a list of these keys: equal sets give equal bytes. A list of no key is no byte at all, which sshd takes for a list too.
func Make(hashes []Hash) []byte {
	if len(hashes) == 0 {
		return nil
	}
	hashes = slices.Clone(hashes)
	slices.SortFunc(hashes, func(a, b Hash) int { return bytes.Compare(a[:], b[:]) })
	hashes = slices.Compact(hashes)
	list := header()
	list = binary.BigEndian.AppendUint32(append(list, sha256Section), uint32(each*len(hashes))) //nolint:gosec // its users are bounded far below
	for _, h := range hashes {
		list = appendString(list, h[:])
	}
	return list
}

// Parse gives the keys of a list that Make gave. Ours says that it is one, or was; with an error it is damaged.
func Parse(data []byte) (hashes []Hash, ours bool, err error) {
	if len(data) == 0 {
		return nil, true, nil
	}
	head := len(header()) + 1 + 4 // the section's type and length
	if !bytes.HasPrefix(data, header()) {
		return nil, false, nil
	}
	for at := head + 4; at+sha256.Size <= len(data); at += each {
		hashes = append(hashes, Hash(data[at:]))
	}
	if !bytes.Equal(Make(hashes), data) {
		return nil, true, errors.New("the list is damaged")
	}
	return hashes, true, nil
}

// header is the same for all lists: no version and no date, which sshd does not look at.
func header() []byte {
	list := binary.BigEndian.AppendUint32([]byte(magic), formatVersion)
	list = append(list, make([]byte, 3*8)...) // the list's version, its date, flags
	return appendString(appendString(list, nil), []byte(comment))
}

func appendString(dst, text []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(text))), text...) //nolint:gosec // short
}
