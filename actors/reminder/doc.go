// Package reminder sends a person the message that today's login is due: to
// the phone (ntfy, Telegram) or wherever a webhook leads.
//
// It promises one message a channel at 08:00, 08:45 and 09:05 IST of the
// exchange's clock, on trading days, while a login is due, and none once the
// token is valid: an attempt under way is broken off then. At 08:45, unless a
// login is due, and at 09:10 the message names what else is missing for the
// open, each with its fix; none is sent when nothing is. A slot is never
// sent again, not after a restart of the actor either. Each attempt is a task with a
// time limit; failures are tried again with growing pauses, within a budget,
// and touch no other actor. The link is the dashboard's login, never a token.
//
// Package channels says how channels are set up in the .env file, which is read
// again at each poll; to a webhook {slot, day, login_url} are sent, too. No secret
// of theirs stands in any log line, error or status.
//
// Limits: a slot that passed before the process began, or longer than ten
// minutes ago (the machine slept), is not made up for; the next one comes. An
// attempt that a restart of the actor cut off is not repeated, because it may
// have arrived. A channel that answers after the time limit may have taken a
// message that is sent again.
package reminder
