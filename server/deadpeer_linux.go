package server

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// deadPeerTime is how long sent data may stay unacknowledged, in milliseconds.
const deadPeerTime = 25_000

// giveUpOnDeadPeers ends a connection whose peer stopped acknowledging: keep-alive probes only look after idle
// ones, and HTTP/1.1 has no pings.
func giveUpOnDeadPeers(_, _ string, conn syscall.RawConn) error {
	var failed error
	err := conn.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, deadPeerTime)
	})
	if err != nil {
		return err
	}
	return failed
}
