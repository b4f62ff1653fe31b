package audit

// Waiting is how many callers wait for the next batch.
func (l *Log) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

// Leading says whether a batch is being written.
func (l *Log) Leading() bool {
	if !l.batch.TryLock() {
		return true
	}
	l.batch.Unlock()
	return false
}
