// Package journeys is tests of the dashboard in a browser: what people come for, done by
// Chromium on a running service, on a desk and on a phone.
//
// It has no code of its own. What the browser does is written in tools/browser, what it is
// shown is made here: a service on a real Redis, with a relay and an app that answer as a
// test wants them to. What is missing (tools/test-tools.sh brings it) fails a test; nothing
// is skipped.
package journeys
