// Package postrider holds what the whole installation publishes about itself: the
// OpenAPI description of its HTTP API, embedded from the root of the repository
// because go:embed does not reach upwards.
//
// It has no behaviour: the service is the command in cmd/postrider, the HTTP door is
// package api.
//
//	w.Write([]byte(postrider.OpenAPI()))
package postrider

import _ "embed"

//go:embed openapi.yaml
var openAPI string

// OpenAPI is the OpenAPI 3.1 description of the HTTP API, in YAML.
func OpenAPI() string { return openAPI }
