package simulator

import "kitestring/messages"

// IssueToken logs in without the page: a new token (or the same, as
// Config.Relogin says), the older ones dead, open sockets as Config.OldSockets
// says.
func (e *Exchange) IssueToken() (messages.AccessToken, error) { return e.login(e.cfg.Relogin) }

// Rotate is a login that always gives a new token.
func (e *Exchange) Rotate() (messages.AccessToken, error) { return e.login(ReloginNew) }

func (e *Exchange) login(relogin Relogin) (messages.AccessToken, error) {
	token, fresh, err := e.sessions.issue(relogin)
	if err != nil {
		return messages.AccessToken{}, err
	}
	if fresh {
		e.log.Info("simulator issued a token", "fingerprint", token.Fingerprint())
		e.cutOld(token.Fingerprint())
	}
	return token, nil
}

// Expire kills every token, as the flush at 06:00 does. Sockets live on.
func (e *Exchange) Expire() error {
	e.log.Info("simulator expired its tokens")
	return e.sessions.expire()
}

// LogoutAll kills every token, as the master logout in the web terminal does:
// open sockets go as Config.OldSockets says.
func (e *Exchange) LogoutAll() error {
	if err := e.Expire(); err != nil {
		return err
	}
	e.cutOld("")
	return nil
}

// Logout kills one token; false when it was not alive.
func (e *Exchange) Logout(token messages.AccessToken) (bool, error) {
	gone, err := e.sessions.revoke(token)
	if gone {
		e.log.Info("simulator withdrew a token", "fingerprint", token.Fingerprint())
		e.cutOld("")
	}
	return gone, err
}

// Valid reports whether a token works for REST and upgrades now.
func (e *Exchange) Valid(token messages.AccessToken) bool { return e.sessions.valid(token) }

// cutOld closes the sockets of dead tokens, where the policy is that.
func (e *Exchange) cutOld(alive string) {
	if e.cfg.OldSockets != OldSocketsCut {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.sockets {
		if s.token.fingerprint != alive {
			e.push(s, message(closeTCP, nil))
		}
	}
}
