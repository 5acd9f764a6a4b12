package rehearse

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// A cut link passes nothing on, not even an end, and goes on where it was.
func TestLinkIsCutAndMended(t *testing.T) {
	err := perform(t, func(r *Rig) {
		echo := must(net.Listen("tcp", "127.0.0.1:0"))
		r.cleanup(func() { _ = echo.Close() })
		ended := make(chan struct{}, 1)
		go func() {
			for {
				c, err := echo.Accept()
				if err != nil {
					return
				}
				go func() {
					_, _ = io.Copy(c, c)
					_ = c.Close()
					ended <- struct{}{}
				}()
			}
		}()
		l := r.link(echo.Addr().String())
		buf := make([]byte, 1)
		dial := func() net.Conn {
			c := must(net.Dial("tcp", l.addr()))
			r.cleanup(func() { _ = c.Close() })
			return c
		}
		said := func(c net.Conn, wait time.Duration) error {
			check(c.SetReadDeadline(time.Now().Add(wait)))
			_, err := io.ReadFull(c, buf)
			return err
		}
		c := dial()
		must(c.Write([]byte("a")))
		check(said(c, 10*time.Second))
		l.cut(false)
		must(c.Write([]byte("b")))
		late := dial()
		must(late.Write([]byte("c")))
		if err := said(c, 50*time.Millisecond); err == nil {
			failf("a byte came through a link that is cut")
		}
		l.mend()
		check(said(c, 10*time.Second))
		if err := said(late, 10*time.Second); err == nil {
			failf("a connection that began during the cut was let through")
		}
		l.cut(true)
		<-ended
		if err := said(c, 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			failf("the near end saw the end of the far one: %v", err)
		}
		l.mend()
		if err := said(c, 10*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			failf("the near end did not end with the cut: %v", err)
		}
	})
	if err != nil {
		t.Error(err)
	}
}
