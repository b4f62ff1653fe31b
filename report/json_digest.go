package report

import (
	"time"

	"github.com/keyreeve/keyreeve/internal/plain"
)

// jsonDigest is a Digest; its lists are in the same order.
type jsonDigest struct {
	Lockouts []jsonLockout `json:"lockouts"`
	Reasons  []jsonReason  `json:"reasons"`
	Keys     []jsonKeys    `json:"keys"`
	Ages     []jsonAge     `json:"ages"`
	Homes    []jsonHome    `json:"homes"`
	Files    []jsonFiles   `json:"files"`
	Cluster  []jsonCluster `json:"cluster_keys"`
	Private  []jsonPrivate `json:"private_keys"`
	Modes    []jsonFinding `json:"modes"`
	Open     []jsonFinding `json:"undecided"`
}

type jsonLockout struct {
	User    string     `json:"user"`
	Mode    string     `json:"mode,omitempty"`
	Granted int        `json:"granted"` // keys that work for the user and are in none of the files
	Unsure  bool       `json:"unsure"`
	Lost    []jsonLost `json:"lost"`
}

type jsonLost struct {
	Path string `json:"path"`
	jsonLine
}

type jsonReason struct {
	Action   string `json:"action"`
	Reason   string `json:"reason"`
	Number   int    `json:"number"`
	Accounts int    `json:"accounts"`
}

type jsonFates struct {
	Stay int `json:"stay"`
	Go   int `json:"go"`
	New  int `json:"new"`
	Left int `json:"undecided"`
}

type jsonKeys struct {
	Type string `json:"key_type"`
	Bits int    `json:"key_bits"`
	jsonFates
}

type jsonAge struct {
	Days    int  `json:"below_days"` // 0: no bound
	Unknown bool `json:"unknown"`
	jsonFates
}

type jsonHome struct {
	State    HomeState `json:"state"`
	Accounts int       `json:"accounts"`
}

type jsonFiles struct {
	State string `json:"state"`
	Files int    `json:"files"`
}

type jsonCluster struct {
	User        string `json:"user"`
	Path        string `json:"path"`
	Line        int    `json:"line"`
	Mark        Mark   `json:"mark"`
	Action      string `json:"action"`
	Fingerprint string `json:"fingerprint"`
}

type jsonFinding struct {
	User     string `json:"user"`
	Path     string `json:"path,omitempty"`
	Detail   string `json:"detail"`
	Pressing bool   `json:"pressing"`
	Mended   bool   `json:"mended"`
}

func (r Report) digestOf(d Digest) jsonDigest {
	out := jsonDigest{
		Lockouts: []jsonLockout{}, Reasons: []jsonReason{}, Keys: []jsonKeys{}, Ages: []jsonAge{}, Homes: []jsonHome{}, Files: []jsonFiles{},
		Cluster: []jsonCluster{}, Private: privatesOf(d.Private), Modes: findingsOf(d.Modes), Open: findingsOf(d.Open),
	}
	for _, l := range d.Lockouts {
		lockout := jsonLockout{User: plain.Text(l.User), Mode: l.Mode, Granted: l.Granted, Unsure: l.Unsure, Lost: []jsonLost{}}
		for _, lost := range l.Lost {
			lockout.Lost = append(lockout.Lost, jsonLost{plain.Text(lost.Path), r.decidedOf(l.User, decided{ActionRemove, lost.Decision})})
		}
		out.Lockouts = append(out.Lockouts, lockout)
	}
	for _, t := range d.Reasons {
		out.Reasons = append(out.Reasons, jsonReason{t.Action, string(t.Reason), t.Number, t.Accounts})
	}
	for _, k := range d.Keys {
		out.Keys = append(out.Keys, jsonKeys{k.Type, k.Bits, jsonFates(k.Fates)})
	}
	for _, a := range d.Ages {
		out.Ages = append(out.Ages, jsonAge{a.Days, a.Unknown, jsonFates(a.Fates)})
	}
	for _, h := range d.Homes {
		out.Homes = append(out.Homes, jsonHome(h))
	}
	for _, f := range d.Files {
		out.Files = append(out.Files, jsonFiles{f.State.String(), f.Files})
	}
	for _, k := range d.Cluster {
		out.Cluster = append(out.Cluster, jsonCluster{plain.Text(k.User), plain.Text(k.Path), k.Line.N, k.Mark, k.Action, k.Line.Key.Fingerprint()})
	}
	return out
}

func findingsOf(list []Finding) []jsonFinding {
	out := []jsonFinding{}
	for _, f := range list {
		out = append(out, jsonFinding{plain.Text(f.User), plain.Text(f.Path), plain.Text(f.Detail), f.Pressing, f.Mended})
	}
	return out
}

// instant is nil for the zero time.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
