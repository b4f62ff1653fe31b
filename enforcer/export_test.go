package enforcer

// Fit is what Save does to what is remembered, with bounds that a test reaches.
func (l *Ledger) Fit(left, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fit(left, bytes)
}
