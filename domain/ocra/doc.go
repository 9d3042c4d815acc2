// Package ocra computes and verifies OCRA responses (RFC 6287), the
// challenge–response algorithm of IB Key's offline mode and of the DSC+ card,
// and offers the dynamic truncation of RFC 4226 it is built on.
//
// It works on bytes and numbers its caller supplies. It must not know where a
// key comes from, what time it is, how often a guess may be repeated or which
// suites are acceptable for a device: a suite is fixed when a device is bound,
// never taken from a request, and repeats are refused by the domain. Responses,
// PIN hashes and keys never appear in its errors.
//
// Most readers want Parse once per device and Verify once per response.
package ocra
