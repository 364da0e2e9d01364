package transport

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// rtoMax is the longest pause before TCP sends something again, in milliseconds: the shortest that Linux takes, since 6.15.
const rtoMax = 1000

// eager has TCP send again sooner what was lost: it doubles its pause with every loss, and after a second or two of a bad link
// the two ends would not find each other for as long again. A kernel that does not know how goes on as it does. conn is a
// connection, or a listener, whose connections inherit it.
func eager(conn any) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, rtoMax)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_THIN_LINEAR_TIMEOUTS, 1)
	})
}
