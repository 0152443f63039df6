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

// keepAlive tells that the hub lives, each time that alive says so, until ctx ends. A hub that hangs keeps alive
// waiting, and systemd does what the watchdog is for. Four looks in each period: a disk that takes less than three
// quarters of it for one write is only slow.
func (n notifier) keepAlive(ctx context.Context, alive func(context.Context) error) {
	period, err := strconv.ParseUint(n.watchdog, 10, 62)
	if err != nil || period < 4 {
		return
	}
	tick := time.NewTicker(time.Duration(period) * time.Microsecond / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if alive(ctx) == nil {
				_ = n.tell("WATCHDOG=1")
			}
		case <-ctx.Done():
			return
		}
	}
}
