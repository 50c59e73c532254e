//go:build !race

package meshclient_test

// underRace: see race_test.go.
const underRace = false
