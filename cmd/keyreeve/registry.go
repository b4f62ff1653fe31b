package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/plain"
)

func newRegistry(p process, path *string) *cobra.Command {
	group := newGroup("registry", "What was read of the key registry")
	group.AddCommand(newRegistryStatus(p, path), newRegistryFetch(p, path), newRegistryShow(p, path), newRegistryAccept(p, path))
	return group
}

// errHeld makes registry status and fetch end with statusAttention; it is not an error that is printed.
var errHeld = errors.New("the registry needs somebody's attention")

// gated is a configuration with its gate.
type gated struct {
	config   config.Config
	settings enforcer.Settings
	gate     *enforcer.Gate
	// trouble says what the gate could not read.
	trouble error
}

func openGated(ctx context.Context, p process, path string) (gated, error) {
	c, err := loadConfig(path)
	if err != nil {
		return gated{}, err
	}
	settings, err := compile(ctx, c, newSSHD(c.Homes.SSHD), func(_ string, err error) { p.warn(fmt.Errorf("another server was asked: %w", err)) })
	if err != nil {
		return gated{}, fmt.Errorf("%s: %w", path, err)
	}
	g := gated{config: c, settings: settings}
	g.gate, g.trouble = enforcer.OpenGate(registryDir(c))
	return g, nil
}

func newRegistryStatus(p process, path *string) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say what is known of the registry",
		Long: "Say what the last good reading of the registry is, how old, whether the registry answers, and whether a later reading is\n" +
			"held because too many people would lose something by it. This is what the daemon, or the last apply, has noted: no server\n" +
			"is asked.\n\n" +
			"Exit status: 0 all is well, 2 a reading is held or the last good one is stale, 1 an error.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := openGated(cmd.Context(), p, *path)
			if err != nil {
				return err
			}
			return registryStatus(p, g, format)
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

// statusDocument is what status prints.
type statusDocument struct {
	Good      *readingDocument `json:"good"`
	Stale     bool             `json:"stale"`
	Reachable bool             `json:"reachable"`
	Since     time.Time        `json:"reachable_since"`
	Error     string           `json:"error,omitempty"`
	Held      *readingDocument `json:"held"`
}

// readingDocument is one reading, and what would be lost by it.
type readingDocument struct {
	Source   string    `json:"source"`
	Read     time.Time `json:"read"`
	Age      int       `json:"age_seconds"`
	Digest   string    `json:"digest"`
	Users    int       `json:"users"`
	Keys     int       `json:"keys"`
	Rejected int       `json:"rejected_values"`
	// Lost is not there where a reading is no offer.
	Lost *lossDocument `json:"lost,omitempty"`
}

// lossDocument counts people within the window, and names those who lose something by this reading.
type lossDocument struct {
	// Digest is what accept asks for; empty where nothing is to be accepted.
	Digest    string   `json:"digest,omitempty"`
	Users     int      `json:"users"`
	MostUsers int      `json:"users_allowed"`
	Keys      int      `json:"people_with_fewer_keys"`
	MostKeys  int      `json:"people_with_fewer_keys_allowed"`
	UserNames []string `json:"user_names"`
	KeyNames  []string `json:"people_with_fewer_keys_names"`
	// Replaced are those of KeyNames who have as many keys as before.
	Replaced []string `json:"people_with_other_keys_names"`
}

func describeReading(k enforcer.Kept) *readingDocument {
	return &readingDocument{
		Source: k.Snapshot.Source(), Read: k.Read.UTC(), Age: int(time.Since(k.Read).Seconds()), Digest: k.Digest,
		Users: k.Snapshot.Len(), Keys: k.Snapshot.Keys(), Rejected: k.Snapshot.Rejects(),
	}
}

func describeVerdict(v enforcer.Verdict) *readingDocument {
	d := describeReading(v.Kept)
	d.Lost = &lossDocument{
		Users: v.Users, MostUsers: v.MostUsers, Keys: v.Keys, MostKeys: v.MostKeys,
		UserNames: append([]string{}, v.Loss.Users...), KeyNames: append([]string{}, v.Loss.Keys...), Replaced: append([]string{}, v.Loss.Replaced...),
		Digest: v.LossDigest,
	}
	return d
}

// noGood says why there is no last good reading: it cannot be read, or none was kept.
func (g gated) noGood() error {
	if g.trouble != nil {
		return g.trouble
	}
	return errors.New("no reading of the configured registry has been kept yet")
}

func registryStatus(p process, g gated, format string) error {
	reach := g.gate.Reach()
	d := statusDocument{Reachable: reach.OK, Since: reach.Since, Error: reach.Error}
	wrong := g.trouble
	if good := g.gate.Good(g.settings.SourceID); good != nil {
		d.Good, d.Stale = describeReading(*good), g.settings.Stale(good.Read, time.Now())
	} else {
		wrong = g.noGood()
	}
	held, err := g.gate.Waiting(g.settings.Hold)
	wrong = errors.Join(wrong, err)
	if errors.Is(wrong, fs.ErrPermission) { // what may not be read is not "held: no"
		return unread(wrong, "")
	}
	if held != nil {
		d.Held = describeVerdict(*held)
	}
	if err := printDocument(p, format, d, d.text); err != nil {
		return err
	}
	if wrong == nil && (d.Stale || d.Held != nil) {
		return errHeld
	}
	return wrong
}

// printDocument prints a document as JSON, or as text by its own function.
func printDocument(p process, format string, document any, text func(*bufio.Writer)) error {
	switch format {
	case "json":
		encoded, err := json.MarshalIndent(document, "", "  ")
		if err != nil {
			return err
		}
		_, err = p.Stdout.Write(append(plain.JSON(encoded), '\n'))
		return err
	case "text":
		out := bufio.NewWriter(p.Stdout)
		text(out)
		return out.Flush()
	default:
		return fmt.Errorf("--format: %q is not one of text, json", format)
	}
}

func (d statusDocument) text(out *bufio.Writer) {
	if d.Good != nil {
		d.Good.text(out)
	}
	if d.Stale {
		fmt.Fprintln(out, "stale      it is older than registry.max_stale")
	}
	switch since := d.Since.UTC().Format(time.RFC3339); {
	case d.Since.IsZero():
		fmt.Fprintln(out, "reachable  unknown: it was not tried yet")
	case d.Reachable:
		fmt.Fprintf(out, "reachable  yes, since %s\n", since)
	default:
		fmt.Fprintf(out, "reachable  no, since %s\n", since)
		for line := range strings.SplitSeq(d.Error, "\n") {
			fmt.Fprintf(out, "           %s\n", plain.Text(line))
		}
	}
	if d.Held == nil {
		fmt.Fprintln(out, "held       no")
		return
	}
	fmt.Fprintln(out, "\nheld       yes: the reading below changes nothing; \"keyreeve registry accept\" lets it through")
	d.Held.text(out)
}

func (d *readingDocument) text(out *bufio.Writer) {
	fmt.Fprintf(out, "registry   %s: %d users, %d keys, %d values rejected\n", plain.Text(d.Source), d.Users, d.Keys, d.Rejected)
	fmt.Fprintf(out, "read       %s (%v ago)\n", d.Read.Format(time.RFC3339), time.Duration(d.Age)*time.Second)
	if d.Lost == nil || d.Lost.Digest == "" {
		fmt.Fprintf(out, "digest     %s\n", d.Digest)
	} else {
		fmt.Fprintf(out, "loss       %s\n", d.Lost.Digest)
	}
	if d.Lost != nil {
		d.Lost.text(out)
	}
}

// shownNames is how many people are named in text.
const shownNames = 20

func (l *lossDocument) text(out *bufio.Writer) {
	list := func(what string, n, most int, names, others []string) {
		fmt.Fprintf(out, "%s within an hour: %d, at most %d\n", what, n, most)
		for _, name := range names[:min(len(names), shownNames)] {
			instead := ""
			if slices.Contains(others, name) {
				instead = "  (has as many keys as before)"
			}
			fmt.Fprintf(out, "    %s%s\n", plain.Text(name), instead)
		}
		if more := len(names) - shownNames; more > 0 {
			fmt.Fprintf(out, "    and %d more\n", more)
		}
	}
	list("users gone, locked or moved", l.Users, l.MostUsers, l.UserNames, nil)
	list("people who have lost a key", l.Keys, l.MostKeys, l.KeyNames, l.Replaced)
}

func newRegistryFetch(p process, path *string) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "fetch",
		Short: "Read the registry now and say what would become of that",
		Long: "Read the registry now, compare it with the last good reading, and say whether it would be accepted or held, and who\n" +
			"would lose something. Nothing is changed and nothing is kept.\n\n" +
			"Exit status: 0 it would be accepted, 2 it would be held, 1 an error.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := openGated(cmd.Context(), p, *path)
			if err != nil {
				return err
			}
			return registryFetch(cmd.Context(), p, g, format)
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

func registryFetch(ctx context.Context, p process, g gated, format string) error {
	v, err := g.offer(ctx, p)
	if err != nil {
		return withAdvice(err)
	}
	d := struct {
		*readingDocument
		Held bool `json:"held"`
	}{describeVerdict(v), v.Held}
	if err := printDocument(p, format, d, func(out *bufio.Writer) {
		d.text(out)
		fmt.Fprintf(out, "it would be %s\n", map[bool]string{true: "held", false: "accepted"}[v.Held])
	}); err != nil {
		return err
	}
	if v.Held {
		return errHeld
	}
	return nil
}

// offer reads the registry and offers the reading to the gate. Nothing is written.
func (g gated) offer(ctx context.Context, p process) (enforcer.Verdict, error) {
	snapshot, err := g.settings.Source.Fetch(ctx)
	if err != nil {
		return enforcer.Verdict{}, fmt.Errorf("read the registry: %w", err)
	}
	if g.trouble != nil {
		p.warn(fmt.Errorf("not all that was kept of the registry can be used: %w", g.trouble))
	}
	v, err := g.gate.Offer(enforcer.Reading{Snapshot: snapshot, SourceID: g.settings.SourceID, Hold: g.settings.Hold})
	if err != nil {
		p.warn(err)
	}
	for _, contest := range v.Contests {
		p.warn(errors.New(contest))
	}
	return v, nil
}
