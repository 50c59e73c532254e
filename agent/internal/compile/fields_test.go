package compile

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// A field of the record that a comparison forgets would be committed and never applied.
// So each either tells two versions apart, or stands among those that are not compiled.
func TestChanges_EveryFieldIsComparedOrNotCompiled(t *testing.T) {
	t.Parallel()
	everyField(t, sameNode, "SSH", "Labels", "NextSlot")               // where to look for a free slot next
	everyField(t, sameService, "Name", "DrainSeconds", "EndpointMode") // the name is the key; drains are announced; a mode is for names, and changes the VIP
	everyField(t, sameNetwork, "Name", "Removed")                      // it is in force until the last service leaves it
	everyField(t, sameAddressing, "NextIdentity", "NextVIP")
	everyField(t, func(a, b *mesh.Endpoint) bool { return sameEndpoint(*a, *b) })
	everyField(t, func(a, b *mesh.PublishedPort) bool { return *a == *b })
	everyField(t, func(a, b *mesh.Cluster) bool { return *a == *b })
}

func everyField[T any](t *testing.T, same func(a, b *T) bool, notCompiled ...string) {
	t.Helper()
	typ := reflect.TypeFor[T]()
	for i := range typ.NumField() {
		var was, is T
		name := typ.Field(i).Name
		set(t, reflect.ValueOf(&is).Elem().Field(i))
		if compared := !same(&was, &is); compared == slices.Contains(notCompiled, name) {
			t.Errorf("%s.%s: compared %t", typ, name, compared)
		}
	}
}

// set gives a field a value that is not its zero value.
func set(t *testing.T, v reflect.Value) {
	t.Helper()
	switch {
	case v.Type() == reflect.TypeFor[netip.Addr]():
		v.Set(reflect.ValueOf(netip.MustParseAddr("192.0.2.1")))
	case v.Type() == reflect.TypeFor[netip.AddrPort]():
		v.Set(reflect.ValueOf(netip.MustParseAddrPort("192.0.2.1:1")))
	case v.Type() == reflect.TypeFor[netip.Prefix]():
		v.Set(reflect.ValueOf(netip.MustParsePrefix("192.0.2.0/24")))
	case v.Kind() == reflect.String:
		v.SetString("x")
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(7)
	case v.CanUint():
		v.SetUint(7)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case v.Kind() == reflect.Map:
		m, key := reflect.MakeMap(v.Type()), reflect.New(v.Type().Key()).Elem()
		set(t, key)
		m.SetMapIndex(key, reflect.Zero(v.Type().Elem()))
		v.Set(m)
	case v.Kind() == reflect.Struct:
		set(t, v.Field(0))
	default:
		t.Fatalf("no value for a %s", v.Type())
	}
}
