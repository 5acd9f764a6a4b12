// Package auth knows whether the access token is good, and lets a person log
// in once a day.
//
// Promise: a token is called rejected only when Kite itself said so (403 with
// TokenException from /user/profile); a network, a 429 or a 5xx never does. A
// rejected token is never taken again: only a new generation leaves that
// state. A candidate becomes the token that everybody works with when the profile or a
// frame on a socket proves it, and numbers only rise. No password, no TOTP
// seed: the person logs in at Kite, in a browser.
//
// Limits: why a token died is a guess from the clock and from what was known
// of it, because Kite's answer is the same for every cause. Expiry times are
// hints; a probe decides.
//
// A login is not tied to the browser that began it. A cookie could do so, and
// would refuse what people do: begin on the page and paste the address from a
// phone, open the address that the command line prints, or follow a reminder in
// a messenger's own browser and come back in another. What holds in its place: no
// page of another site can begin a login (Sec-Fetch-Site) or read its state, which
// is certified, lasts ten minutes and counts once; a callback must be a navigation;
// and the account must be the known one. So another person's login changes no
// token here, whichever browser brings it. Only the first login of a server has no
// account to compare with; ZERODHA_USER_ID names it beforehand.
//
// Files: state.go is the logic, pure, with the words of cause.go; auth.go the
// actor around it and the question to Kite; login.go and logins.go the HTTP
// side; store.go what outlives an incarnation; scrub.go the log's last resort
// against secrets.
package auth
