//go:build race

package main

// underRace: the race detector costs five times the processor time, so what plays the same
// code thousands of times plays a part of it then, and all of it without (make unit does both).
const underRace = true
