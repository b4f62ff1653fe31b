package policy

import "golang.org/x/crypto/ssh"

// Algorithms are what sshd has to take for the keys that the rules accept, and no more: names for PubkeyAcceptedAlgorithms, one list for
// each rule in its order, of which a login needs one. bits is the least size of an RSA modulus, for RequiredRSASize (sshd_config(5)); 0
// where no RSA key is accepted. ssh-rsa is not among them: there it means signatures by SHA-1.
func (r Rules) Algorithms() (names [][]string, bits int) {
	for _, rule := range r.Keys {
		switch rule.Type {
		case ed25519:
			names = append(names, []string{ssh.KeyAlgoED25519})
		case skEd25519:
			names = append(names, []string{ssh.KeyAlgoSKED25519})
		case rsa:
			names = append(names, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256})
			bits = rule.MinBits
		}
	}
	return names, bits
}
