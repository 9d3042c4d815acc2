//go:build !race

package main

// raceDetector says that this test binary has no race detector.
const raceDetector = false
