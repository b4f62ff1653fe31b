package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/enforcer"
)

func newRegistryAccept(p process, path *string) *cobra.Command {
	var pastBrake bool
	var reason string
	cmd := &cobra.Command{
		Use:   "accept [DIGEST]",
		Short: "Let the reading through that is held",
		Long: "Let the reading through that is held, once, and print who loses what by it. DIGEST, or its first eight characters,\n" +
			"makes sure that this is the loss that \"keyreeve registry status\" has shown. The daemon takes it at once; without a daemon\n" +
			"the next \"keyreeve apply\" does. If the directory changes before that, the loss counts: a reading by which people lose\n" +
			"exactly that, or a part of it, is let through, and any other is held again. A later reading is compared with this one. The\n" +
			"audit trail has who accepted it.\n\n" +
			"If more people lose a key by it than \"brake.people\", the brake stops their removal, and \"keyreeve brake release\" is a\n" +
			"second word. With --past-brake, which needs DIGEST and --reason, both words are given at once, for exactly the keys of the\n" +
			"people who lose them by this loss; everybody else counts for the brake as ever.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case !pastBrake && reason != "":
				return errors.New("--reason is for --past-brake")
			case pastBrake && len(args) == 0:
				return withHint(errors.New("--past-brake needs the DIGEST of the loss"), "see \"keyreeve registry status\" for it, and for who loses what")
			case pastBrake:
				if err := checkReason(reason); err != nil {
					return err
				}
			}
			g, err := openGated(cmd.Context(), p, *path)
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
			return accept(p, g, *held, reason)
		},
	}
	cmd.Flags().BoolVar(&pastBrake, "past-brake", false, "let these people's keys go without \"keyreeve brake release\"")
	cmd.Flags().StringVar(&reason, "reason", "", "`why` the keys may go, for the audit trail")
	return cmd
}

// accept lets a loss through the gate, and past the brake too if there is a reason for that.
func accept(p process, g gated, held enforcer.Verdict, reason string) (err error) {
	by, err := caller()
	if err != nil {
		return err
	}
	hand, trail, err := newEnforcer(g.config, nil, p.warn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trail.Close()) }()
	var past *enforcer.Past
	if reason != "" {
		past = hand.PastBrake(held, fmt.Sprintf("%s (uid %d)", by, os.Getuid()), reason)
	}
	if err := hand.Accept(g.gate, held, by, past); err != nil {
		return err
	}
	return printDocument(p, "text", nil, func(out *bufio.Writer) {
		describeVerdict(held).text(out)
		if reason != "" {
			fmt.Fprintf(out, "brake      %d keys of these people are let past it\n", past.Count())
		}
		fmt.Fprintln(out, "accepted: the daemon takes it now; without a daemon the next \"keyreeve apply\" does")
	})
}

// leastDigest is how many characters of a digest tell one loss from another.
const leastDigest = 8
