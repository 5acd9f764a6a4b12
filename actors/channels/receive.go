package channels

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kitestring/messages"
)

// Reply is what a person wrote. It may hold a request token: it is never logged.
type Reply struct {
	Cursor string // of this reply, for the next Listen
	Text   messages.Secret
	At     time.Time // when it was written, by the channel's clock
	Ours   bool      // it is from the chat of the .env file
}

const (
	// LongPoll is how long Telegram may hold an answer back while nothing comes.
	LongPoll = 50 * time.Second
	// quiet is how long ntfy may send nothing: it sends a keepalive each 45 s.
	quiet = 2 * time.Minute
	// mostReplies bounds an answer of Telegram's: a hundred messages.
	mostReplies = 8 << 20
	// mostLine bounds a message of ntfy's, which cuts at 4 kB.
	mostLine = 64 << 10
)

// Listen receives what is written over a channel that [Channel.Answers], after
// the reply of a cursor ("": none): Telegram answers one poll, which lasts wait
// at most; ntfy streams until something ends it. admitted is called when the channel
// has let us in, take for each reply; neither may block. The outcome is that of
// the end: Arrived, then it may be called again at once.
func Listen(ctx context.Context, client *http.Client, c Channel, after string, wait time.Duration, admitted func(), take func(Reply)) Outcome {
	if c.Kind == Telegram {
		return c.poll(ctx, client, after, wait, admitted, take)
	}
	return c.stream(ctx, client, after, admitted, take)
}

// poll is one getUpdates. Asking for what comes after an update tells Telegram
// to forget it.
func (c Channel) poll(ctx context.Context, client *http.Client, after string, wait time.Duration, admitted func(), take func(Reply)) Outcome {
	ctx, cancel := context.WithTimeout(ctx, wait+mostAttempt)
	defer cancel()
	ask := map[string]any{"timeout": int(wait / time.Second), "allowed_updates": []string{"message"}}
	if last, err := strconv.ParseInt(after, 10, 64); err == nil {
		ask["offset"] = last + 1
	}
	payload, err := json.Marshal(ask)
	if err != nil {
		return Outcome{Final: true, Reason: "its address cannot be used"}
	}
	address := strings.TrimRight(c.Address.Reveal(), "/") + "/bot" + c.Token.Reveal() + "/getUpdates"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(payload))
	if err != nil {
		return Outcome{Final: true, Reason: "its address cannot be used"}
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return Outcome{Reason: unanswered(err)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostReplies))
	if o := judge(resp, body); !o.Arrived {
		return o
	}
	var answer struct {
		Result []struct {
			ID      int64 `json:"update_id"`
			Message struct {
				Date int64 `json:"date"`
				Chat struct {
					ID int64 `json:"id"`
				} `json:"chat"`
				Text string `json:"text"`
			} `json:"message"`
		} `json:"result"`
	}
	if err != nil || !c.says(body) || json.Unmarshal(body, &answer) != nil {
		return Outcome{Reason: "its answer cannot be read"}
	}
	admitted()
	for _, u := range answer.Result {
		if id := strconv.FormatInt(u.ID, 10); id == after {
			continue // it has been taken
		}
		take(Reply{
			Cursor: strconv.FormatInt(u.ID, 10), Text: messages.NewSecret(u.Message.Text), At: time.Unix(u.Message.Date, 0),
			Ours: strconv.FormatInt(u.Message.Chat.ID, 10) == c.Chat.Reveal(),
		})
	}
	return Outcome{Arrived: true}
}

// stream reads the reply topic of ntfy until it ends, or is quiet for too long.
func (c Channel) stream(ctx context.Context, client *http.Client, after string, admitted func(), take func(Reply)) Outcome {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(quiet, cancel)
	defer silence.Stop()
	address := strings.TrimRight(c.Reply.Reveal(), "/") + "/json"
	if after != "" {
		address += "?since=" + after
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return Outcome{Final: true, Reason: "its address cannot be used"}
	}
	if !c.Token.IsZero() {
		req.Header.Set("Authorization", "Bearer "+c.Token.Reveal())
	}
	resp, err := client.Do(req)
	if err != nil {
		return Outcome{Reason: unanswered(err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return judge(resp, nil)
	}
	admitted()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 4<<10), mostLine)
	for lines.Scan() {
		silence.Reset(quiet)
		var m struct {
			ID, Event, Message string
			Time               int64
		}
		if json.Unmarshal(lines.Bytes(), &m) == nil && m.Event == "message" && ntfyID(m.ID) {
			take(Reply{Cursor: m.ID, Text: messages.NewSecret(m.Message), At: time.Unix(m.Time, 0), Ours: true})
		}
	}
	if lines.Err() == nil {
		return Outcome{Arrived: true} // it ended, as servers do at a restart
	}
	return Outcome{Reason: unanswered(lines.Err())}
}

// ntfyID reports whether an id can stand in an address.
func ntfyID(id string) bool {
	return id != "" && len(id) < 64 && strings.IndexFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) < 0
}
