package kernel

import (
	"context"
	"errors"
	"time"

	"github.com/godbus/dbus/v5"
)

// busRetry is how long it takes at most until a bus that came (back) is found.
const busRetry = 30 * time.Second

// firewalldPath and firewalldInterface send Reloaded when firewalld has made its
// rules anew, which may take everybody else's along.
const (
	firewalldPath      = "/org/fedoraproject/FirewallD1"
	firewalldInterface = "org.fedoraproject.FirewallD1"
	firewalldReloaded  = "Reloaded"
)

// WatchFirewalld calls reloaded whenever firewalld says that it has, until ctx
// ends. A host without a system bus or without firewalld is one where it never
// does; either may come later, or be restarted.
func WatchFirewalld(ctx context.Context, reloaded func()) { watchFirewalld(ctx, busRetry, reloaded) }

func watchFirewalld(ctx context.Context, retry time.Duration, reloaded func()) {
	for ctx.Err() == nil {
		if err := untilBusEnds(ctx, reloaded); err == nil && ctx.Err() == nil {
			reloaded() // the bus was there and went: a reload may have been missed
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry):
		}
	}
}

// untilBusEnds returns an error when there is no bus to begin with.
func untilBusEnds(ctx context.Context, reloaded func()) error {
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return err
	}
	defer conn.Close()
	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	err = conn.AddMatchSignalContext(ctx, dbus.WithMatchObjectPath(firewalldPath),
		dbus.WithMatchInterface(firewalldInterface), dbus.WithMatchMember(firewalldReloaded))
	if err != nil {
		return errors.Join(err, ctx.Err())
	}
	for signal := range signals { // closed with the connection
		if signal.Name == firewalldInterface+"."+firewalldReloaded {
			reloaded()
		}
	}
	return nil
}
