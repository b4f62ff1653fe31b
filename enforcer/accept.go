package enforcer

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/registry"
)

// ReasonLoss is why a reading was held: too many people lose something by it.
const ReasonLoss = "loss"

// digestOf identifies a loss: SHA-256 of its items' texts, a line each, in hexadecimal digits.
func digestOf(items []registry.Item) string {
	sum := sha256.New()
	for _, item := range items {
		_, _ = io.WriteString(sum, item.String()+"\n") // a hash takes everything
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// itemize says what is lost by a reading that is held.
func (g *Gate) itemize(v *Verdict, now time.Time) {
	if g.good != nil {
		v.Items = registry.Items(g.good.Snapshot, v.Snapshot, now)
	}
	v.LossDigest = digestOf(v.Items)
}

// Accept lets the loss of the held reading through, once, in the name of a person: by that reading, or by another one that takes
// from people nothing else. Whoever holds it, the daemon or the next apply, takes it, and lets past the brake what past says, if it is not
// nil. The trail has the intent before, and the outcome after.
func (e *Enforcer) Accept(g *Gate, v Verdict, by string, past *Past) error {
	message := fmt.Sprintf("accepted by %s: the loss %s: %s", by, v.LossDigest, v.Summary())
	if past != nil {
		if err := past.check(); err != nil {
			return fmt.Errorf("the loss is not accepted: %w", err)
		}
		message += "; " + past.String()
	}
	records := []audit.Record{{
		ID: rand.Text(), Action: audit.AcceptRegistry, UID: -1, File: filepath.Join(g.dir, heldFile), Reason: ReasonLoss, Message: message,
	}}
	if err := e.tell(audit.Intent, records); err != nil {
		return fmt.Errorf("the loss is not accepted: %w", err)
	}
	word := accepted{SourceID: v.SourceID, Digest: v.LossDigest, Items: make([]string, len(v.Items)), By: by, At: e.Now().UTC(), Past: past}
	for i, item := range v.Items {
		word.Items[i] = item.String()
	}
	if err := writeSmall(g.dir, acceptedFile, word); err != nil {
		return errors.Join(fmt.Errorf("accept the loss: %w", err), e.tell(audit.Failure, records))
	}
	return e.tell(audit.Success, records)
}

// promote lets the held reading through if all that people lose by it was accepted. Whatever else has changed in it since makes no
// difference: a label, or a key more, says nothing about the loss. Who loses something that was not accepted may be the one whom all the
// others are to hide.
func (g *Gate) promote(now time.Time) error {
	word, found, err := readSmall[accepted](g.dir, acceptedFile)
	if err != nil {
		return fmt.Errorf("an acceptance: %w", err)
	}
	if !found || word.Digest == g.used.Digest && word.At.Equal(g.used.At) {
		return nil
	}
	held := g.held
	if held == nil {
		kept, err := readKept(g.dir, heldFile, now)
		if kept == nil {
			return errors.Join(fmt.Errorf("the loss %s was accepted, but no reading is held", word.Digest), err)
		}
		held = &Verdict{Kept: *kept}
	}
	if err := g.covers(word, held.Kept, now); err != nil {
		g.used, g.dirty.accepted = word, true
		return fmt.Errorf("the loss %s was accepted, but %w: the acceptance is void", word.Digest, err)
	}
	if word.Past != nil && g.Past != nil {
		if err := g.Past(*word.Past); err != nil {
			return fmt.Errorf("the loss %s was accepted, but its keys cannot be let past the brake: %w", word.Digest, err)
		}
	}
	g.used, g.dirty.accepted = word, true
	g.notes.Users, g.notes.Keys, g.known, g.away = nil, nil, nil, nil
	g.take(&held.Kept)
	return nil
}

// covers is an error unless all that people lose by a reading was accepted.
func (g *Gate) covers(word accepted, k Kept, now time.Time) error {
	if k.SourceID != word.SourceID {
		return errors.New("the reading that is held is of another registry")
	}
	if g.good == nil {
		return nil // there is nothing to lose
	}
	may := make(map[string]bool, len(word.Items))
	for _, item := range word.Items {
		may[item] = true
	}
	for _, item := range registry.Items(g.good.Snapshot, k.Snapshot, now) {
		if !may[item.String()] {
			return fmt.Errorf("by the reading that is held %s loses something else", item.User)
		}
	}
	return nil
}

// Accepted lets the held reading through if an administrator accepted what is lost by it.
func (g *Gate) Accepted() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.promote(time.Now())
}

// AcceptedPath is where the word of an administrator lies, in the directory of a gate: for who watches it.
func AcceptedPath(dir string) string { return filepath.Join(dir, acceptedFile) }
