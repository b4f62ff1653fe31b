// Package keyreeve is the map of the house; it holds no code of its own.
//
// keyreeve keeps the authorized_keys files of a computing centre's login nodes in line with the centre's LDAP key registry
// and its key policy: what the registry does not know, or the policy refuses, is removed, with an audit record, and the
// registered keys keep working.
//
//   - authkeys: what a key and a line of authorized_keys are
//   - registry: who has which key
//   - policy: which of those keys may be used now
//   - ldapsource: LDAP directory or LDIF file to registry
//   - enforcer: plan and apply, and the loop of the daemon
//   - report: plans for people
//   - internal/homes: the only door to the users' homes
//   - internal/host: what sshd and getent of this host say
//   - internal/watch, internal/audit, internal/statefile, internal/config: events, trail, own files, configuration
//   - internal/doctor, internal/explain: what on a host defeats enforcement, and why a key logs in or does not
//   - internal/notify, internal/privkey: what users are told, and private keys in homes
//   - internal/manual, internal/generate, packaging: the manual and the packages
//   - cmd/keyreeve: the program
//
// docs/DESIGN.md says why the walls stand where they stand; layering_test.go holds them.
package keyreeve
