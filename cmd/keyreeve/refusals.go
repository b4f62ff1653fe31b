package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/statefile"
)

// refusalsPerMinute bounds the records of one user's refused sessions, whatever keys he tries: each is brought to the disk, and he can have as many as
// sshd lets him log in.
const refusalsPerMinute = 10

func refusedDir(c config.Config) string { return filepath.Join(c.StateDir, "refused") }

// refusals are one user's refused sessions, as his file counts them.
type refusals struct {
	dir, name string
	minute    int64
	count     int
	// missed are those that were not recorded before this one.
	missed int
}

// countRefusal counts a refused session in a file of its user's, where it counts as missed until recorded is called, and reports whether it is to be
// recorded. With an error it is. It takes no lock: of sessions that are refused at one moment a few more may be recorded, or fewer counted.
func countRefusal(c config.Config, user string, now time.Time) (r refusals, wanted bool, err error) {
	sum := sha256.Sum256([]byte(strings.ToLower(user))) // one account may have several spellings
	r = refusals{dir: refusedDir(c), name: hex.EncodeToString(sum[:])}
	if err := ready(c.StateDir, r.dir); err != nil {
		return r, true, err
	}
	data, err := statefile.Read(filepath.Join(r.dir, r.name), 100)
	if err == nil {
		_, err = fmt.Sscanf(string(data), "%d %d %d\n", &r.minute, &r.count, &r.missed)
	}
	if this := now.Unix() / 60; err != nil || r.minute != this { // what cannot be read begins anew
		r.minute, r.count = this, 0
	}
	r.count++
	err = r.write(r.missed + 1)
	return r, r.count <= refusalsPerMinute || err != nil, err
}

// recorded says that the session is in the trail, with how many were missed before it.
func (r refusals) recorded() error { return r.write(0) }

func (r refusals) write(missed int) error {
	return statefile.Publish(r.dir, r.name, fmt.Appendf(nil, "%d %d %d\n", r.minute, r.count, missed), 0o600)
}
