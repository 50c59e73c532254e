package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/godbus/dbus/v5"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Names of firewalld on the system bus.
const (
	busName    = "org.fedoraproject.FirewallD1"
	busPath    = "/org/fedoraproject/FirewallD1"
	busZone    = busName + ".zone"
	busConfig  = busName + ".config"
	configPath = busPath + "/config"
	reloaded   = busName + ".Reloaded"
	// ownerChanged tells that firewalld has come or gone.
	ownerChanged = "org.freedesktop.DBus.NameOwnerChanged"
)

// bus is a connection to the system bus.
type bus struct{ conn *dbus.Conn }

// connect fails at once where there is no system bus.
func connect(ctx context.Context) (*bus, error) {
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	return &bus{conn}, nil
}

func (b *bus) close() { _ = b.conn.Close() }

// signals subscribes to what firewalld says, and to its coming and going. The
// channel is closed with the connection. Any local user may emit signals under firewalld's
// path, so the sender counts.
func (b *bus) signals(ctx context.Context) (<-chan *dbus.Signal, error) {
	signals := make(chan *dbus.Signal, 64)
	b.conn.Signal(signals)
	return signals, errors.Join(
		b.conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(busName), dbus.WithMatchObjectPath(busPath)),
		b.conn.AddMatchSignalContext(ctx, dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, busName)),
	)
}

// call a method of firewalld, and take its result if into is given. It never starts
// firewalld.
func (b *bus) call(ctx context.Context, path dbus.ObjectPath, method string, into any, args ...any) error {
	call := b.conn.Object(busName, path).CallWithContext(ctx, method, dbus.FlagNoAutoStart, args...)
	if call.Err != nil || into == nil {
		return call.Err
	}
	return call.Store(into)
}

func (b *bus) zone(ctx context.Context, method string, into any, args ...any) error {
	return b.call(ctx, busPath, busZone+"."+method, into, args...)
}

// observe asks firewalld for what the mesh needs to know; extra are zones to read
// beside those in use. A firewalld that is starting answers when it has.
func (b *bus) observe(ctx context.Context, extra []string) (o observed, err error) {
	if err := b.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, busName).Store(&o.running); err != nil || !o.running {
		return observed{}, err
	}
	active := map[string]map[string][]string{}
	err = errors.Join(
		b.call(ctx, busPath, busName+".queryPanicMode", &o.panics),
		b.call(ctx, busPath, busName+".getDefaultZone", &o.defaultZone),
		b.zone(ctx, "getActiveZones", &active),
	)
	o.links, o.sources, o.rules = map[string]string{}, map[netip.Prefix]string{}, map[richRule]bool{}
	zones := map[string]bool{o.defaultZone: true}
	for zone, members := range active {
		zones[zone] = true
		for _, link := range members["interfaces"] {
			o.links[link] = zone
		}
		for _, source := range members["sources"] {
			if p, ok := parseSource(source); ok {
				o.sources[p] = zone
			}
		}
	}
	for _, zone := range extra {
		zones[zone] = true
	}
	for zone := range zones {
		var rules []string
		if err == nil {
			err = b.zone(ctx, "getRichRules", &rules, zone)
		}
		for _, rule := range rules {
			o.rules[richRule{zone, rule}] = true
		}
	}
	if isGone(err) { // it ended between two calls
		return observed{}, nil
	}
	return o, err
}

// parseSource reads an address or a prefix; a source may be an ipset or a MAC, too.
func parseSource(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p, true
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}

// isGone says that there is no firewalld to answer.
func isGone(err error) bool {
	var answer dbus.Error
	return errors.As(err, &answer) && (answer.Name == "org.freedesktop.DBus.Error.ServiceUnknown" || answer.Name == "org.freedesktop.DBus.Error.NameHasNoOwner" ||
		answer.Name == "org.freedesktop.DBus.Error.NoReply")
}

// addRule and what follows change firewalld at run time only. What is as asked
// already is no error: firewalld's message starts with a code.
func (b *bus) addRule(ctx context.Context, r richRule) error {
	return unlessCode(b.zone(ctx, "addRichRule", nil, r.Zone, r.Rule, int32(0)), "ALREADY_ENABLED")
}

func (b *bus) removeRule(ctx context.Context, r richRule) error {
	return unlessCode(b.zone(ctx, "removeRichRule", nil, r.Zone, r.Rule), "NOT_ENABLED", "INVALID_ZONE")
}

// moveLink puts rmesh0 into a zone, whatever zone it is in; "" takes it out.
func (b *bus) moveLink(ctx context.Context, zone string) error {
	if zone == "" {
		return unlessCode(b.zone(ctx, "removeInterface", nil, trusted, state.HostLink), "UNKNOWN_INTERFACE", "NOT_ENABLED")
	}
	return unlessCode(b.zone(ctx, "changeZoneOfInterface", nil, zone, state.HostLink), "ZONE_ALREADY_SET", "ALREADY_ENABLED")
}

func unlessCode(err error, codes ...string) error {
	for _, code := range codes {
		if err != nil && strings.Contains(err.Error(), code) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("firewalld: %w", err)
	}
	return nil
}

// isPermanent says whether firewalld's own configuration has the rule, so that a
// reload would bring it back: it is the user's then, and not to be taken away.
func (b *bus) isPermanent(ctx context.Context, r richRule) bool {
	var zone dbus.ObjectPath
	var there bool
	err := b.call(ctx, configPath, busConfig+".getZoneByName", &zone, r.Zone)
	if err == nil {
		err = b.call(ctx, zone, busConfig+".zone.queryRichRule", &there, r.Rule)
	}
	return err == nil && there
}

// permanentZone is the zone of rmesh0 in firewalld's own configuration.
func (b *bus) permanentZone(ctx context.Context) (zone string) {
	_ = b.call(ctx, configPath, busConfig+".getZoneOfInterface", &zone, state.HostLink) // "" where it does not say
	return zone
}
