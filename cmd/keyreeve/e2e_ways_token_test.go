package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// touched says that somebody touched the token (SSH_SK_USER_PRESENCE_REQD in PROTOCOL.u2f).
const touched = 1

// newToken is a hardware token in software, touched as flags say: what a server sees of one is the public key, the application and a
// signature in its own form (PROTOCOL.u2f, "SSH U2F Signatures").
func newToken(private ed25519.PrivateKey, flags byte) stranger {
	const application = "ssh:"
	return stranger{
		typ: ssh.KeyAlgoSKED25519, blob: blobOf([]byte(ssh.KeyAlgoSKED25519), private[ed25519.SeedSize:], []byte(application)),
		sign: func(data []byte) *ssh.Signature {
			said := binary.BigEndian.AppendUint32([]byte{flags}, 7) // and a counter
			of, what := sha256.Sum256([]byte(application)), sha256.Sum256(data)
			message := append(append(of[:], said...), what[:]...)
			return &ssh.Signature{Format: ssh.KeyAlgoSKED25519, Blob: ed25519.Sign(private, message), Rest: said}
		},
	}
}

// tokenAgent is an agent that has one token, so that the real client can use it.
type tokenAgent struct {
	agent.Agent // is asked for nothing else
	token       stranger
}

func (a tokenAgent) List() ([]*agent.Key, error) {
	return []*agent.Key{{Format: a.token.typ, Blob: a.token.blob}}, nil
}

func (a tokenAgent) Sign(_ ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	return a.token.sign(data), nil
}

// serve answers at a socket, whose path it gives, until the test ends.
func (a tokenAgent) serve(t *testing.T) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(a, conn) }() // until the client ends it
		}
	}()
	return socket
}

// newTokens makes one token, which is touched or not, and the file of its public half.
func newTokens(t *testing.T) (publicFile, line string, sockets map[byte]string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	line, publicFile = newToken(private, 0).line(), filepath.Join(t.TempDir(), "token.pub")
	if err := os.WriteFile(publicFile, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sockets = make(map[byte]string)
	for _, flags := range []byte{0, touched} {
		sockets[flags] = tokenAgent{token: newToken(private, flags)}.serve(t)
	}
	return publicFile, line, sockets
}
