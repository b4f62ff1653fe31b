package policy

// Reason is the stable code of a verdict. Codes are a contract: reports, audit records and metrics carry them, and one
// that was published never changes its meaning.
type Reason string

// The reasons of this package. Lines that are no key lines carry the codes of [authkeys.ParseError] instead.
const (
	// ReasonGranted: the registry knows the key and the policy accepts it.
	ReasonGranted Reason = "granted"
	// ReasonUnregistered: the policy would accept the key, but the registry does not list it for this user.
	ReasonUnregistered Reason = "unregistered"
	// ReasonFormer: as ReasonUnregistered, but the registry listed the key for this user before.
	ReasonFormer Reason = "no-longer-registered"
	// ReasonHeld: the key is no longer registered, and its lines stay for the time being.
	ReasonHeld Reason = "held"
	// ReasonDSA: a DSA key. OpenSSH 7.0 turned them off and 10.0 dropped them.
	ReasonDSA Reason = "dsa"
	// ReasonType: a type that no rule accepts.
	ReasonType Reason = "type"
	// ReasonRSAShort: an RSA key below the rule's size.
	ReasonRSAShort Reason = "rsa-too-short"
	// ReasonWeak: a key of an accepted type and size with which anybody can log in.
	ReasonWeak Reason = "weak"
	// ReasonSmallFactor: an RSA key whose modulus has a prime factor of at most 65537.
	ReasonSmallFactor Reason = "small-factor"
	// ReasonROCA: an RSA key that was made by the faulty library of CVE-2017-15361.
	ReasonROCA Reason = "roca"
	// ReasonClosePrimes: an RSA key whose two primes are near to each other, or one.
	ReasonClosePrimes Reason = "close-primes"
	// ReasonNotCanonical: an ed25519 key that is another encoding of its point than the one of RFC 8032.
	ReasonNotCanonical Reason = "not-canonical"
	// ReasonBlocklisted: a key that the centre's blocklist has.
	ReasonBlocklisted Reason = "blocklisted"
	// ReasonCertAuthority: a line with the option cert-authority or principals.
	ReasonCertAuthority Reason = "cert-authority"
	// ReasonOption: a registered key with an option that the policy does not allow, and that cannot be left out.
	ReasonOption Reason = "option-not-allowed"
	// ReasonDropped: an option that the policy does not allow was left out of what the key may do; the key counts.
	ReasonDropped Reason = "option-dropped"
	// ReasonSoon: the key counts, but a rule ends soon, and then none accepts it.
	ReasonSoon Reason = "refused-soon"
	// ReasonForcedOption: a registered key whose options cannot be joined with those that are forced.
	ReasonForcedOption Reason = "option-conflict"
	// ReasonSSHD: a registered key with an option that this host's sshd does not know, so that it would ignore the line. Lines that are
	// there stay: other hosts may read them.
	ReasonSSHD Reason = "option-unknown-to-sshd"
	// ReasonNotYet: registered, but only from a later moment on.
	ReasonNotYet Reason = "not-yet-valid"
	// ReasonExpired: registered until an earlier moment.
	ReasonExpired Reason = "expired"
	// ReasonAccountLocked, ReasonAccountDisabled, ReasonAccountElsewhere: registered, but the registry says that of the account.
	ReasonAccountLocked    Reason = "account-locked"
	ReasonAccountDisabled  Reason = "account-disabled"
	ReasonAccountElsewhere Reason = "account-elsewhere"
	// ReasonAccountExpired: registered, but the account ended at an earlier moment.
	ReasonAccountExpired Reason = "account-expired"
	// ReasonNotPlain: a comment line that is not plain text.
	ReasonNotPlain Reason = "not-plain-text"
	// ReasonMalformed: a line that sshd would not read as a key either.
	ReasonMalformed Reason = "malformed"
)

// OfAccount reports whether the reason lies in the account and not in the key, so that it may end without another registration.
func (r Reason) OfAccount() bool {
	return r == ReasonAccountLocked || r == ReasonAccountDisabled || r == ReasonAccountElsewhere || r == ReasonAccountExpired
}

// Verdict is a decision about a key or a line, with a sentence for people (empty when granted).
type Verdict struct {
	Reason Reason
	Detail string
}

// Granted reports whether the key or line may be used.
func (v Verdict) Granted() bool { return v.Reason == ReasonGranted }

// Stays reports whether a line that is there may stay: it is granted or held, or granted where sshd is newer.
func (v Verdict) Stays() bool { return v.Granted() || v.Reason == ReasonHeld || v.Reason == ReasonSSHD }
