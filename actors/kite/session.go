package kite

import (
	"context"
	"net/http"
	"time"

	kiteconnect "github.com/zerodha/gokiteconnect/v4"

	"kitestring/messages"
)

// SessionInfo is what a login brings.
type SessionInfo struct {
	Token     messages.AccessToken
	UserID    string
	UserName  string
	LoginTime time.Time // exchange time of the login; zero: Kite did not say
}

// ExchangeRequestToken turns the request token of a finished login into an
// access token. A request token is good for one exchange within a few minutes;
// used or late, it gives [TokenRefused], as does a wrong checksum (with
// BadChecksum set: API key and API secret do not belong together).
func ExchangeRequestToken(ctx context.Context, ex Exchange, apiKey string, secret, requestToken messages.Secret) (SessionInfo, error) {
	c := newClient(ex, messages.Session{APIKey: apiKey}, func(messages.Generation) {}, secret, requestToken)
	var session kiteconnect.UserSession
	err := c.call(ctx, ClassSession, func(k *kiteconnect.Client) (err error) {
		session, err = k.GenerateSession(requestToken.Reveal(), secret.Reveal())
		return err
	})
	if err == nil && session.AccessToken == "" {
		err = c.failure(ClassSession, Malformed, http.StatusOK, errNoData)
	}
	if err != nil {
		return SessionInfo{}, err
	}
	return SessionInfo{
		Token:     messages.NewAccessToken(session.AccessToken),
		UserID:    session.UserID,
		UserName:  session.UserName,
		LoginTime: session.LoginTime.Time,
	}, nil
}
