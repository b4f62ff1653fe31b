package enforcer

import (
	"time"

	"go.uber.org/zap"
)

// storeAfter is how long the ledger's file may be behind. After a crash the last good reading, which is on the disk sooner, tells who came
// (Ledger.Seed). Who comes and goes within that time, before a crash, is as one who never came.
const storeAfter = 5 * time.Second

// learn takes a reading into the ledger. It is complete once for each whole reading: one that was amended before the loop heard of it is that
// still, and one that is learned again confirms nothing of itself.
func (l *loop) learn(good *Kept) {
	complete := good.whole != l.readings.learned
	l.readings.learned = good.whole
	l.tellAccepted(l.Memory.Ledger.Accept(good.Snapshot, l.settings.SourceID, complete, time.Now()))
}

// tellAccepted says who came to leave the registry, and has whoever has another name get back by that what went by the old one.
func (l *loop) tellAccepted(a Accepted) {
	gone := make(map[string][]recalled, len(a.Moved)) // two may have exchanged their names
	for _, move := range a.Moved {
		gone[move.From] = l.recall[move.From]
		delete(l.recall, move.From)
	}
	for _, move := range a.Moved {
		l.mind(move.To, gone[move.From])
		if move.Taken {
			l.Log.Warn("the name of a user who left the registry is another's now: he is known by one of his own", zap.String("user", move.From), zap.String("known_as", move.To))
		} else {
			l.Log.Info("user has another name: what was known of him is that one's", zap.String("user", move.To), zap.String("before", move.From))
		}
	}
	for _, user := range a.Dropped {
		l.Log.Warn("former keys of a user are forgotten, the first ones: there are more than are remembered", zap.String("user", user))
	}
	for _, user := range a.Left {
		l.Log.Warn("user left the registry: he has no keys any more", zap.String("user", user))
	}
	for _, user := range a.Forgotten {
		l.Log.Info("user left the registry long ago: he is forgotten", zap.String("user", user))
	}
	for _, user := range a.Others {
		l.Log.Warn("user of the registry before is not in this one: he is forgotten", zap.String("user", user))
	}
	l.keep()
}

// lose holds keys that only the last reading did not have: what became of the registry may have begun with that reading.
func (l *loop) lose() {
	if l.away {
		return
	}
	l.away = true
	for _, loss := range l.Memory.Ledger.AllLosses() {
		if !loss.Confirmed && !loss.Settled {
			l.reconsider()
			return
		}
	}
}

// settlePause bounds how often a world is made because keys that are held are gone.
const settlePause = time.Second

// settling are users of whom a look found something to be gone that the present world may hold.
type settling struct {
	users []string
	due   *time.Timer
}

// settle notes what a look found to be gone, which is not held any longer: who puts it back gains nothing.
func (l *loop) settle(result Result) {
	if !l.Memory.Settle(result) {
		return
	}
	l.keep()
	if len(l.world.held) == 0 {
		return
	}
	if len(l.settling.users) == 0 {
		l.settling.due.Reset(settlePause)
	}
	l.settling.users = append(l.settling.users, result.Account.Name)
}

// keep sets the timer for the ledger's file.
func (l *loop) keep() {
	if !l.storing && l.Memory.Ledger.Changed() {
		l.storing = true
		l.store.Reset(storeAfter)
	}
}

// save writes the ledger, which takes a second where there are many users.
func (l *loop) save() {
	go func() {
		err := l.Memory.Ledger.Save()
		select {
		case l.stored <- err:
		case <-l.gone:
		}
	}()
}

// saved says that the ledger could not be written, once until it can; it is tried again.
func (l *loop) saved(err error) {
	l.storing = false
	if err != nil && !l.unsaved {
		l.Log.Error("who and what was registered could not be kept for the next start", zap.Error(err))
	}
	l.unsaved = err != nil
	l.keep()
}

// readBrake reads the brake's state, which other processes change. What cannot be read leaves the last one in force.
func (l *loop) readBrake() {
	if l.Memory.Brakes == nil {
		return
	}
	lost, err := l.Memory.Brakes.Refresh()
	if lost != nil {
		l.Log.Error("the state of the brake was lost; it is written anew as it was known", zap.Error(lost), zap.Bool("on", l.Memory.Brakes.State().On()))
	}
	if err != nil {
		l.Log.Error("whether the brake is on could not be read; what was known stays in force", zap.Error(err))
	}
}

// brake makes a world by the brake as it is now, unless the present one is.
func (l *loop) brake() {
	if !l.world.braked.Tripped.Equal(l.Memory.Brakes.State().Tripped) {
		l.reconsider()
	}
}

// tellBrake says once that the brake is on, and once that it is not any more.
func (l *loop) tellBrake(old *World) {
	var before BrakeState
	if old != nil {
		before = old.braked
	}
	switch now := l.world.braked; {
	case now.Tripped.Equal(before.Tripped):
	case now.On():
		if l.storing {
			l.store.Reset(0) // who looks what is held finds it there
		}
		l.Log.Error("the brake is on: too many people lost a registered key; such keys stay until it is released",
			zap.Strings("people", now.People), zap.Time("since", now.Tripped), zap.Int("held_keys", l.world.heldKeys()))
	default:
		l.Log.Warn("the brake was released", zap.Strings("people", before.People), zap.Time("since", before.Tripped))
	}
}
