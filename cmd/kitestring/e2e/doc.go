// Package e2e holds the tests of the dashboard in a browser: a whole server,
// with its simulated exchange, and a headless Chromium. It has no code of its
// own.
//
// Pictures of the pages are kept as test output, in the folder that
// KITESTRING_SCREENSHOTS names, else among the test's artifacts. A missing
// Chromium or a missing node_modules skips a test, and fails it where CI=true.
package e2e
