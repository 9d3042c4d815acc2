//go:build race

package main

// raceDetector says that this test binary, and so the program it builds, has
// the race detector.
const raceDetector = true
