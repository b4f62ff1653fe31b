package policy

import "time"

// Algorithms are what sshd has to take for the keys that the rules accept, and no more: names for PubkeyAcceptedAlgorithms, one list for
// each rule that counts at the moment now, in their order, of which a login needs one. bits is the least size of an RSA modulus, for RequiredRSASize (sshd_config(5)); 0
// where no RSA key is accepted. ssh-rsa is not among them: there it means signatures by SHA-1.
func (r Rules) Algorithms(now time.Time) (names [][]string, bits int) {
	for _, rule := range r.Keys {
		if _, s, err := rule.compile(); err != nil || !s.in(now) {
			continue
		}
		switch rule.Type {
		case ed25519:
			names = append(names, []string{wireEd25519})
		case skEd25519:
			names = append(names, []string{wireSKEd25519})
		case rsa:
			names = append(names, []string{"rsa-sha2-512", "rsa-sha2-256"})
			bits = rule.MinBits
		}
	}
	return names, bits
}
