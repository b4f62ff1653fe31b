package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newRegistryAccept(p process, path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "accept [DIGEST]",
		Short: "Let the reading through that is held",
		Long: "Let exactly the reading through that is held, once, and print who loses what by it. DIGEST, or its first eight\n" +
			"characters, makes sure that it is the one that \"keyreeve registry status\" has shown. The daemon takes it at once; without a\n" +
			"daemon the next \"keyreeve apply\" does. A later reading is compared with this one. The audit trail has who accepted it.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) (err error) {
			g, err := openGated(p, *path)
			if err != nil {
				return err
			}
			held, err := g.gate.Waiting(g.settings.Hold)
			switch {
			case held == nil && err != nil:
				return err
			case held == nil:
				return withHint(errors.New("no reading is held"), "see \"keyreeve registry status\"")
			case len(args) == 1 && (len(args[0]) < leastDigest || !strings.HasPrefix(held.Digest, args[0])):
				return withHint(fmt.Errorf("the reading that is held is %s, not %q", held.Digest, args[0]), "see \"keyreeve registry status\" for who loses what by it")
			}
			if err != nil {
				p.warn(err)
			}
			by, err := caller()
			if err != nil {
				return err
			}
			hand, trail, err := newEnforcer(g.config, nil, p.warn)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, trail.Close()) }()
			if err := hand.Accept(g.gate, *held, by); err != nil {
				return err
			}
			return printDocument(p, "text", nil, func(out *bufio.Writer) {
				describeVerdict(*held).text(out)
				fmt.Fprintln(out, "accepted: the daemon takes it now; without a daemon the next \"keyreeve apply\" does")
			})
		},
	}
}

// leastDigest is how many characters of a digest tell one reading from another.
const leastDigest = 8
