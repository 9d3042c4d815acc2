// Package bench measures the product against raw limits of the same machine:
// durable appends against a sequential file, logins over HTTP against handlers
// without a store, the rebuild of all views against a plain scan.
//
// Absolute figures move by a factor of two between runs and machines, so what
// counts are ratios: both sides are measured in turn, round by round, in one
// process, and each ratio is formed inside its round. Nothing here asserts a
// time; a row only says whether its goal was met. Most readers want Run.
package bench
