package auth

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"kitestring/messages"
)

// requestTokens are 32 alphanumerics; a little room for the day they are not.
var requestTokens = regexp.MustCompile(`^[A-Za-z0-9]{8,128}$`)

const cancelled = "The login was cancelled at Kite. Nothing has changed; log in when you are ready."

// readCallback takes Kite's redirect apart. The outcome is empty when there is
// something to exchange.
func readCallback(raw string) (state string, requestToken messages.Secret, refused outcome) {
	query, err := url.ParseQuery(raw)
	if err != nil || len(raw) > 4096 {
		return "", messages.Secret{}, bad("This is not the address that Kite redirects to. Log in again.")
	}
	for _, name := range []string{"status", "state", "request_token"} {
		if len(query[name]) > 1 {
			return "", messages.Secret{}, bad("The parameter " + name + " stands twice in the address. Log in again.")
		}
	}
	// On cancel Kite sends the status alone, without our state.
	switch status := query.Get("status"); {
	case status == "cancelled":
		return "", messages.Secret{}, outcome{messages.LoginCancelled, http.StatusOK, cancelled}
	case len(query) == 0:
		return "", messages.Secret{}, bad("This is the page on which a login ends; one begins at /login.")
	case status != "success":
		return "", messages.Secret{}, bad("The parameter status does not say success: Kite did not let the login through. Log in again.")
	case query.Get("state") == "":
		return "", messages.Secret{}, bad("The parameter state is missing: this login was not begun here. Log in from this server's page.")
	case !requestTokens.MatchString(query.Get("request_token")):
		return "", messages.Secret{}, bad("The parameter request_token is missing or damaged. Log in again.")
	}
	return query.Get("state"), messages.NewSecret(query.Get("request_token")), outcome{}
}

// readPasted understands what a person may have copied, and says what to copy
// instead when it is something else.
func readPasted(pasted string) (state string, requestToken messages.Secret, refused outcome) {
	const want = "Paste the address of the page on which the browser lands after the login: it contains request_token=."
	s := strings.Trim(strings.TrimSpace(pasted), `"'<>`)
	_, query, isQuery := strings.Cut(s, "?")
	if !isQuery {
		query = s
	}
	query, _, _ = strings.Cut(query, "#")
	values, err := url.ParseQuery(query)
	if err != nil {
		values = nil
	}
	switch token := values.Get("request_token"); {
	case s == "":
		refused = bad("Nothing was pasted. " + want)
	case values.Get("status") == "cancelled":
		refused = outcome{messages.LoginCancelled, http.StatusOK, cancelled}
	case requestTokens.MatchString(token):
		return values.Get("state"), messages.NewSecret(token), outcome{}
	case token != "":
		refused = bad("The request_token in what was pasted is damaged. " + want)
	case values.Has("access_token"):
		refused = bad("That holds an access token, not a request token. " + want)
	case strings.Contains(s, "/connect/"):
		refused = bad("That is the address of Kite's login page: log in there first. " + want)
	case strings.Contains(s, "/"):
		refused = bad("That address has no request_token. " + want)
	case requestTokens.MatchString(s):
		return "", messages.NewSecret(s), outcome{}
	default:
		refused = bad("That is neither an address nor a request token. " + want)
	}
	return "", messages.Secret{}, refused
}
