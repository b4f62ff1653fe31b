package main

import (
	"bufio"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/registry"
)

func newRegistryShow(p process, path *string) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "show [USER...]",
		Short: "Print entries of the last good reading",
		Long: "Print what the last good reading of the registry says of some users, or of all: account, keys, and the values that are\n" +
			"not used. What the policy makes of it is not in there; \"keyreeve plan\" shows that.",
		RunE: func(cmd *cobra.Command, names []string) error {
			g, err := openGated(cmd.Context(), p, *path)
			if err != nil {
				return err
			}
			good := g.gate.Good(g.settings.SourceID)
			if good == nil {
				return unread(g.noGood(), "the daemon keeps one, and so does \"keyreeve apply\"")
			}
			users, err := pick(good.Snapshot, names)
			if err != nil {
				return err
			}
			return printDocument(p, format, users, func(out *bufio.Writer) {
				for _, u := range users {
					u.text(out)
				}
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

// userDocument is an entry as show prints it.
type userDocument struct {
	User    string           `json:"user"`
	UID     int              `json:"uid"`
	GID     int              `json:"gid"`
	Home    string           `json:"home"`
	Mail    string           `json:"mail,omitempty"`
	Status  string           `json:"status"`
	Until   *time.Time       `json:"until,omitempty"`
	Keys    []keyDocument    `json:"keys"`
	Rejects []rejectDocument `json:"rejected"`
	Remarks []rejectDocument `json:"remarks"`
}

type keyDocument struct {
	Type        string     `json:"key_type"`
	Bits        int        `json:"key_bits"`
	Fingerprint string     `json:"fingerprint"`
	Options     string     `json:"options,omitempty"`
	Label       string     `json:"label,omitempty"`
	NotBefore   *time.Time `json:"not_before,omitempty"`
	NotAfter    *time.Time `json:"not_after,omitempty"`
	Origin      string     `json:"origin"`
}

type rejectDocument struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Origin string `json:"origin"`
}

// pick finds users, all of them without a name.
func pick(s *registry.Snapshot, names []string) (list []userDocument, err error) {
	list = []userDocument{}
	if len(names) == 0 {
		for u := range s.Users() {
			list = append(list, describeUser(u))
		}
	}
	var wrong []error
	for _, name := range names {
		u, found := s.User(name)
		if !found {
			wrong = append(wrong, fmt.Errorf("the registry does not know %q", name))
			continue
		}
		list = append(list, describeUser(u))
	}
	return list, errors.Join(wrong...)
}

func describeUser(u registry.User) userDocument {
	d := userDocument{
		User: u.Name, UID: u.UID, GID: u.GID, Home: u.Home, Mail: u.Mail, Status: u.Status.String(), Until: bound(u.Until),
		Keys: []keyDocument{}, Rejects: describeRejects(u.Rejects), Remarks: describeRejects(u.Remarks),
	}
	for _, r := range u.Records {
		d.Keys = append(d.Keys, describeKey(r))
	}
	return d
}

func describeKey(r registry.Record) keyDocument {
	return keyDocument{
		Type: r.Key.Type(), Bits: r.Key.Bits(), Fingerprint: r.Key.Fingerprint(), Options: r.Options.String(), Label: r.Label,
		NotBefore: bound(r.NotBefore), NotAfter: bound(r.NotAfter), Origin: r.Origin,
	}
}

func describeRejects(list []registry.Reject) []rejectDocument {
	out := []rejectDocument{}
	for _, r := range list {
		out = append(out, rejectDocument{Code: r.Code, Detail: r.Detail, Origin: r.Origin})
	}
	return out
}

// bound is nil for the zero time, which bounds nothing.
func bound(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (d userDocument) text(out *bufio.Writer) {
	fmt.Fprintf(out, "%s  uid %d, gid %d, home %s, %s%s\n", plain.Text(d.User), d.UID, d.GID, plain.Text(d.Home), d.Status, ends(d.Until))
	if d.Mail != "" {
		fmt.Fprintf(out, "    mail %s\n", plain.Text(d.Mail))
	}
	for _, k := range d.Keys {
		fmt.Fprintf(out, "    %s  %s %d  %s\n", k.Fingerprint, plain.Text(k.Type), k.Bits, plain.Text(k.Label))
		if k.Options != "" {
			fmt.Fprintf(out, "        options %s\n", plain.Text(k.Options))
		}
		if k.NotBefore != nil {
			fmt.Fprintf(out, "        from %s\n", k.NotBefore.Format(time.RFC3339))
		}
		if k.NotAfter != nil {
			fmt.Fprintf(out, "        until %s\n", k.NotAfter.Format(time.RFC3339))
		}
		fmt.Fprintf(out, "        in %s\n", plain.Text(k.Origin))
	}
	for _, list := range []struct {
		word    string
		rejects []rejectDocument
	}{{"rejected", d.Rejects}, {"remark", d.Remarks}} {
		for _, r := range list.rejects {
			fmt.Fprintf(out, "    %s  %s  %s\n        in %s\n", list.word, plain.Text(r.Code), plain.Text(r.Detail), plain.Text(r.Origin))
		}
	}
}

func ends(until *time.Time) string {
	if until == nil {
		return ""
	}
	return ", until " + until.Format(time.RFC3339)
}
