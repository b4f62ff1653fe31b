// Package ldapsource reads the centre's key registry from an LDAP directory or from an LDIF file.
//
// A user of the registry is an entry with a user name, an account (uid number, gid number, home directory: posixAccount of
// RFC 2307) and any number of keys, one line of authorized_keys in each value. [Schema] names the attributes, [Preset] those of the
// usual directories. [LDAP] asks a server, [LDIF] reads a file; both give their entries to [Layout.Decode], which is pure, so that
// the same entries make the same registry wherever they come from.
//
// # All or error
//
// What the registry does not name is removed from people's homes. So a Fetch gives the whole registry or an error, and an
// error means that nothing is known. It is an error when
//
//   - the server answers with any result code but success (a size limit is code 4, a referral code 10);
//   - a page of the result comes without the paging control of RFC 2696, whose empty cookie is the only proof of the end;
//   - the server names another place to search (a search continuation, RFC 4511 section 4.5.3) that is not on the list of
//     those that hold nobody;
//   - the connection ends or stalls, a message cannot be read, or the context is done;
//   - an entry lies outside the search base or comes twice;
//   - the directory returned a part of the values of an attribute (the "range" option of Active Directory) and the rest
//     does not fit to it;
//   - no entry at all carries the key attribute, or the attribute that names hosts, or the one that Active Directory has for every
//     account: directories hide what the reader may not see, and success proves nothing;
//   - no user, or no usable key;
//   - the [Canary] is not there.
//
// [Fault] tells these apart.
//
// One entry that is too large costs its user only: an attribute with more than 512 KiB of values has none, which is a Reject, and a lock
// that cannot be read is one. The reading goes on entry by entry then.
//
// A name that several entries have is the one's whose DN begins with it. Where none does, or several, [registry.Snapshot.Settled] decides
// by an earlier reading, and of one user alone that is an error.
//
// One bad value costs that value only: it becomes a [registry.Reject] of its user, and the user's other keys count. An entry
// whose account cannot be used (no uid number, two homes) stays in the registry with the uid -1 and a Reject, so that
// its keys are known and its files are left alone. A value that is only ill pasted, with a newline behind it, counts, and is
// remarked. Of a private key, whole or in pieces, nothing is repeated.
//
// # Accounts that do not count
//
// A locked, disabled or expired account stays in the registry, with its status: were it left out, its files would be left alone with
// all of their keys. Only what an administrator has done counts as a lock. What wrong passwords bring about (pwdAccountLockedTime
// with a time, lockoutTime) does not, since whoever knows a name can bring it about, and would take a registered user's keys
// from him. That a reader may not see a lock cannot be told from nobody being locked, but for Active Directory, where every account
// has its userAccountControl.
//
// # Trust
//
// The server is known by its certificate: ldaps, or ldap with StartTLS, against the CA of the configuration or the system's.
// The socket ldapi is trusted because of where it lies. There is no switch that turns verification off. Files (LDIF, CA,
// password, key, keytab) are read by internal/statefile and refused when somebody else could have written them, or everybody read
// a secret. Where DNS names the servers (SRV), the name in the certificate is the configuration's, or one below the
// configured domain by the configured CA.
//
// # Servers
//
// Each reading goes to the first server that gives it, and on to the next for any [Fault] at all: a replica without the canary is
// no better than one that is down. A server that failed is asked last for a while, which doubles with each failure and ends with
// the first success.
//
// # Changes
//
// [LDAP.Watch] says who changed, as soon as the server tells of it (RFC 4533) or shows a new stamp, and [LDAP.FetchUser] reads that one
// user. A notice is a hint: it proves neither that something changed nor that nothing else did.
package ldapsource
