package presence

import "time"

const (
	// minInterval is the time between two datagrams to a peer, unless there are so
	// many peers that more than one would go out each spacing.
	minInterval = time.Second
	spacing     = 20 * time.Millisecond
	// silentAfter intervals without a datagram a node is silent.
	silentAfter = 4

	// A change waits for others for gather, and is then sent to all peers in
	// changeRounds, changeSpacing apart: any of them may be lost.
	gather        = 50 * time.Millisecond
	changeRounds  = 3
	changeSpacing = 100 * time.Millisecond
)

func intervalOf(peers int) time.Duration {
	return max(minInterval, time.Duration(peers)*spacing)
}

func silenceOf(peers int) time.Duration { return silentAfter * intervalOf(peers) }

// nextDue is the first time after now that is phase after a multiple of interval since
// epoch. Peers with different phases stay apart, whenever they were last sent to.
func nextDue(epoch, now time.Time, interval, phase time.Duration) time.Time {
	since := now.Sub(epoch) - phase
	return now.Add(interval - (since%interval+interval)%interval)
}

// rounds are those that a change is still to be sent in.
type rounds struct {
	left       int
	next, last time.Time
}

// change starts the rounds, unless the first one is still to come and will have this
// change as well. Rounds stay changeSpacing apart however fast slots change.
func (r *rounds) change(now time.Time) {
	if r.left == changeRounds {
		return
	}
	r.left, r.next = changeRounds, now.Add(gather)
	if soonest := r.last.Add(changeSpacing); r.next.Before(soonest) {
		r.next = soonest
	}
}

// take says that a round is due, and takes it for sent.
func (r *rounds) take(now time.Time) bool {
	if r.left == 0 || now.Before(r.next) {
		return false
	}
	r.left--
	r.last, r.next = now, now.Add(changeSpacing)
	return true
}
