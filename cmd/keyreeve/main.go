// Command keyreeve keeps users' authorized_keys files in line with a centre's key registry.
//
//	keyreeve plan [USER...]     say what would be changed
//	keyreeve apply [USER...]    change it, once
//	keyreeve daemon             keep it so
//	keyreeve config check       read the configuration and say what is wrong with it
//	keyreeve quarantine ...     list, show and restore what files held before
//	keyreeve brake ...          say whether too many people lost a registered key, and let them
//	keyreeve audit verify       say whether the audit trail is whole
//	keyreeve doctor             say what on this host defeats enforcement
//	keyreeve check-key [FILE]   say whether a pasted public key is good, and what mends it
//	keyreeve policy show        say for users which keys are accepted
//	keyreeve version            say what this program is
//
// Results go to stdout, everything else to stderr: errors with the prefix "keyreeve: ", the daemon's log as JSON lines. The
// exit status is 0 when all is well, 1 on an error, and 2 of plan when changes are pending, of check-key when the key is refused.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	status := run(ctx, process{Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
	stop()
	os.Exit(status)
}
