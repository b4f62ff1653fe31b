// Package authkeys knows what a public key is, what a line of an authorized_keys file is, and how both are written down.
//
// # Reading
//
// Parse is total: it turns any bytes into lines, and every byte belongs to one line. It recognises a key exactly where
// some OpenSSH server between 9.2 and 10.5 would, so that nothing that opens a door to sshd is a harmless comment here:
// signature algorithm names in place of a type, white space inside the base64, a NUL that ends the line early, short type
// names inside the blob, RSA numbers with leading zeros. The grammar is that of auth2-pubkeyfile.c, auth-options.c,
// sshkey.c and misc.c of OpenSSH; the code is not.
//
// A line is one of four kinds. Blank and Comment lines are what sshd skips. An Entry is a line that sshd would take as a
// key, with options that sshd would accept. All else is Malformed, with the reason in Err.
//
// # Writing
//
// Line.AppendTo writes the canonical text, made from the parsed parts alone: no byte of an Entry is copied from what was
// read, so two programs can not read two different keys from it. A Malformed line is written as nothing. Comments are kept
// only where Line.Plain says that their text is plain.
//
// # Identity
//
// A Key is comparable, and equal to another Key if and only if sshd takes them for the same key: its value is the
// canonical wire encoding (RFC 4253 section 6.6, RFC 5656, RFC 8709, PROTOCOL.u2f of OpenSSH), never the text that was read.
//
// The package has no I/O, no clock and no state.
package authkeys
