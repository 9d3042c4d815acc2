// Package gen is the server interface, the types and the embedded text of
// api/openapi.yaml. It is generated; change the specification instead.
package gen

//go:generate go tool oapi-codegen -config config.yaml ../openapi.yaml
