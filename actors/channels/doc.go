// Package channels sends a person a message: to the phone (ntfy, Telegram) or
// wherever a webhook leads; and it receives what a person answers over the first
// two. It holds no state and runs nothing by itself: the
// actors reminder and alerts decide what is sent, when, and how often it is
// tried.
//
// It promises that one attempt ends within ten seconds, follows no redirect,
// and says of a failure what to do, without the address or the token. The
// channels are set up in the .env file:
//
//	NTFY_URL            the topic's address, e.g. https://ntfy.sh/my-topic
//	NTFY_TOKEN          access token of the topic, where it wants one
//	NTFY_REPLY_URL      another topic, that a person answers to
//	TELEGRAM_BOT_TOKEN  of the bot that writes; with
//	TELEGRAM_CHAT_ID    whom it writes to: a number, or @channel
//	TELEGRAM_API_URL    a Bot API server of one's own (default https://api.telegram.org)
//	WEBHOOK_URL         gets a POST with JSON {event, text, content, ...}; Slack
//	                    shows text, Discord content (it is the same)
//	WEBHOOK_TOKEN       sent to it as a bearer token, when set
//	WEBHOOK_SECRET      signs what is sent to it, when set: SignatureHeader
//	DASHBOARD_URL       how the dashboard is reached from outside, for the link
//
// All but the last are secrets: addresses of topics and webhooks open them to
// anyone who knows them.
//
// Limits: a channel that answers after the time limit may have taken a message
// that is sent again.
package channels
