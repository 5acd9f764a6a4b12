// Package replies finishes a login with what a person writes back to a reminder.
//
// After the login Kite sends the phone to an address of 127.0.0.1, which it cannot
// open. The person answers the reminder with that address, over Telegram (the bot is
// polled by this program: nothing has to be reachable from outside) or over a
// reply topic of ntfy, and is answered with "live since 08:51, generation 2". A
// request token is good once, for minutes, and only together with the API
// secret, which is on the server.
//
// It promises that only the chat of the .env file is listened to, that nothing
// is exchanged a second time, that one exchange runs at a time and no more than
// [mostExchanges] a minute, and that every refusal says what happened and what to
// do, within [mostAnswers] a minute; what is beyond is counted. A message that is
// older than [stale] is not used. No message is logged, nor is any part of it.
//
// Limits: a person who may write to ntfy's reply topic may try to log this server in;
// the account that it works with is the only one that it takes (see package
// auth). What was written while no server ran is answered when one runs, as
// stale.
package replies
