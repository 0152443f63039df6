package cli

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// notifier speaks systemd's notification protocol (sd_notify). Without a socket it is silent.
type notifier struct {
	socket   string // NOTIFY_SOCKET
	watchdog string // WATCHDOG_USEC: the longest silence in microseconds; empty for none
}

func (n notifier) tell(state string) error {
	if n.socket == "" {
		return nil
	}
	name := n.socket
	if rest, abstract := strings.CutPrefix(name, "@"); abstract {
		name = "\x00" + rest
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}

// keepAlive tells twice in each watchdog period that the process lives, until ctx ends. If that fails,
// systemd does what the watchdog is for.
func (n notifier) keepAlive(ctx context.Context) {
	period, err := strconv.ParseUint(n.watchdog, 10, 62)
	if err != nil || period < 2 {
		return
	}
	tick := time.NewTicker(time.Duration(period) * time.Microsecond / 2)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = n.tell("WATCHDOG=1")
		case <-ctx.Done():
			return
		}
	}
}
