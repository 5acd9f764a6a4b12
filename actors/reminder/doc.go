// Package reminder sends a person the message that today's login is due: to
// the phone (ntfy, Telegram) or wherever a webhook leads.
//
// It promises one message a channel at 08:00, 08:45 and 09:05 IST of the
// exchange's clock, on trading days, while a login is due, and none once the
// token is valid: an attempt under way is broken off then. A slot is never
// sent again, not after a restart of the actor either. Each attempt is a task with a
// time limit; failures are tried again with growing pauses, within a budget,
// and touch no other actor. The link is the dashboard's login, never a token.
//
// The channels are set up in the .env file, read again at each poll:
//
//	NTFY_URL            the topic's address, e.g. https://ntfy.sh/my-topic
//	NTFY_TOKEN          access token of the topic, where it wants one
//	TELEGRAM_BOT_TOKEN  of the bot that writes; with
//	TELEGRAM_CHAT_ID    whom it writes to: a number, or @channel
//	TELEGRAM_API_URL    a Bot API server of one's own (default https://api.telegram.org)
//	WEBHOOK_URL         gets a POST with JSON {event, slot, day, text, content, login_url}; Slack
//	                    shows text, Discord content (it is the same)
//	WEBHOOK_TOKEN       sent to it as a bearer token, when set
//	DASHBOARD_URL       how the dashboard is reached from outside, for the link
//
// All but the last are secrets: addresses of topics and webhooks open them to
// anyone who knows them. None stands in any log line, error or status.
//
// Limits: a slot that passed before the process began, or longer than ten
// minutes ago (the machine slept), is not made up for; the next one comes. An
// attempt that a restart of the actor cut off is not repeated, because it may
// have arrived. A channel that answers after the time limit may have taken a
// message that is sent again.
package reminder
