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
		Long: "Let the reading through that is held, once, and print who loses what by it. DIGEST, or its first eight characters,\n" +
			"makes sure that this is the loss that \"keyreeve registry status\" has shown. The daemon takes it at once; without a daemon\n" +
			"the next \"keyreeve apply\" does. If the directory changes before that, the loss counts: a reading by which people lose\n" +
			"exactly that, or a part of it, is let through, and any other is held again. A later reading is compared with this one. The\n" +
			"audit trail has who accepted it.",
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
			case len(args) == 1 && (len(args[0]) < leastDigest || !strings.HasPrefix(held.LossDigest, args[0])):
				return withHint(fmt.Errorf("the loss by the reading that is held is %s, not %q", held.LossDigest, args[0]), "see \"keyreeve registry status\" for who loses what by it")
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

// leastDigest is how many characters of a digest tell one loss from another.
const leastDigest = 8
