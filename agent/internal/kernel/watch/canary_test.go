package watch

import "testing"

func TestTheCanaryHasRoomForEverySet(t *testing.T) {
	if len(setNames) > maxSets {
		t.Errorf("%d sets, room for %d", len(setNames), maxSets)
	}
}

func TestReading_Told(t *testing.T) {
	before := Reading{Chains: "7/7", Services: 3}
	unsure := before
	*unsure.Members(setNames[1]) = unknown
	if !before.told() || unsure.told() {
		t.Error("what could not be told counts as told, or the other way round")
	}
}
