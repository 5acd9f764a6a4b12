package rehearse

import (
	"io"
	"net"
	"sync"
	"time"
)

// link carries the TCP connections of one part of a drill to another, and can be
// cut: then nothing comes through, not even the end of a connection, as with a
// cable that is pulled out.
type link struct {
	listener net.Listener
	to       string
	done     sync.WaitGroup

	mu     sync.Mutex
	ended  bool
	passes chan struct{}              // closed: bytes come through
	conns  map[net.Conn]bool          // true: the far end of one
	most   int64                      // bytes that the far end may send on a connection; 0: any number
	sent   int64                      // bytes that it sent on the last one that ended by itself
	broken int                        // connections that ended at most
	slowed map[net.Conn]time.Duration // that what a near end sends takes; of the connections that there were
}

// link makes one to an address, until the end of the drill.
func (r *Rig) link(to string) *link {
	l := &link{listener: must(net.Listen("tcp", "127.0.0.1:0")), to: to, passes: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(l.passes)
	l.done.Go(l.accept)
	r.cleanup(l.end)
	return l
}

func (l *link) addr() string { return l.listener.Addr().String() }

func (l *link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.done.Go(func() { l.carry(near) })
	}
}

// carry serves a connection. One that begins while the link is cut never gets
// through, and ends with the cut.
func (l *link) carry(near net.Conn) {
	if !l.add(near, false) {
		return
	}
	defer l.remove(near)
	passes := l.state()
	select {
	case <-passes:
	default:
		<-passes
		return
	}
	far, err := net.Dial("tcp", l.to)
	if err != nil || !l.add(far, true) {
		return
	}
	defer l.remove(far)
	l.mu.Lock()
	most := l.most
	l.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() { l.count(l.copy(near, far, most), most) })
	l.copy(far, near, 0)
	back.Wait()
}

// count notes how much the far end sent on a connection that has ended.
func (l *link) count(sent, most int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if most == 0 {
		l.sent = sent
	} else if sent == most {
		l.broken++
	}
}

// copy takes bytes over until an end closes, which shows at the other one only
// when the link is not cut; or until most have come, then both ends close. 0: any
// number.
func (l *link) copy(to, from net.Conn, most int64) (taken int64) {
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		time.Sleep(l.takes(from))
		<-l.state()
		last := most > 0 && taken+int64(n) >= most
		if last {
			n = int(most - taken)
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return taken
			}
			taken += int64(n)
		}
		if last {
			_ = from.Close()
			return taken
		}
		if err != nil {
			if err != io.EOF {
				_ = to.(*net.TCPConn).SetLinger(0)
			}
			return taken
		}
	}
}

func (l *link) state() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.passes
}

func (l *link) add(c net.Conn, far bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		_ = c.Close()
		return false
	}
	l.conns[c] = far
	return true
}

func (l *link) remove(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// cut lets nothing through any more. farEnds: the far end sees each connection
// end, as one does that has found out by itself.
func (l *link) cut(farEnds bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passes = make(chan struct{})
	for c, far := range l.conns {
		if far && farEnds {
			_ = c.Close()
		}
	}
}

// mend ends a cut. Connections that live go on where they were.
func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.passes:
	default:
		close(l.passes)
	}
}

// limit ends the connections that there are, and each further one when its far
// end has sent so many bytes; 0: none.
func (l *link) limit(most int64) {
	l.mu.Lock()
	l.most = most
	l.mu.Unlock()
	l.drop()
}

// slow makes all that the near ends of the connections that there are send, their
// ends too, take so long; a connection that begins later is quicker.
func (l *link) slow(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowed = map[net.Conn]time.Duration{}
	for c, far := range l.conns {
		if !far {
			l.slowed[c] = d
		}
	}
}

func (l *link) takes(from net.Conn) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.slowed[from]
}

// drop ends the connections that there are.
func (l *link) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Close()
	}
}

// brokenOff is how many connections a limit has ended.
func (l *link) brokenOff() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// sentLast is how much the far end sent on the last connection that ended by itself.
func (l *link) sentLast() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent
}

func (l *link) end() {
	_ = l.listener.Close()
	l.mend()
	l.mu.Lock()
	l.ended = true
	for c := range l.conns {
		_ = c.Close()
	}
	l.mu.Unlock()
	l.done.Wait()
}
