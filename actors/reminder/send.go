package reminder

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// mostAttempt is how long a channel may take to answer.
const mostAttempt = 10 * time.Second

// newClient makes a client that leaves nothing behind and follows nobody: an
// address that moved is for a person to correct.
func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// send makes one attempt. What it says of a failure holds neither address nor
// token: the errors of package http do.
func send(ctx context.Context, client *http.Client, c channel, slot time.Time, login string) outcome {
	ctx, cancel := context.WithTimeout(ctx, mostAttempt)
	defer cancel()
	req, err := c.request(ctx, slot, login)
	if err != nil {
		return outcome{final: true, reason: "its address cannot be used"}
	}
	resp, err := client.Do(req)
	if err != nil {
		return outcome{reason: unanswered(err)}
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return judge(resp)
}

// judge tells what a status means.
func judge(resp *http.Response) outcome {
	code := resp.StatusCode
	said := "it answered " + strconv.Itoa(code)
	switch {
	case code >= 200 && code < 300:
		return outcome{arrived: true}
	case code >= 300 && code < 400:
		return outcome{final: true, reason: said + ", a redirect: give the address that it leads to"}
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return outcome{final: true, reason: said + ": it does not accept the token in the .env file"}
	case code == http.StatusNotFound:
		return outcome{final: true, reason: said + ": nothing is at the address in the .env file"}
	case code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return outcome{after: min(max(0, time.Duration(seconds)*time.Second), budget), reason: said}
	case code < 500 && code != http.StatusRequestTimeout:
		return outcome{final: true, reason: said + ": it does not take the message"}
	}
	return outcome{reason: said}
}

// unanswered names the cause without the address.
func unanswered(err error) string {
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer within " + mostAttempt.String()
	case errors.Is(err, context.Canceled):
		return "broken off"
	case errors.As(err, &name):
		return "its name is not known"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens at its address"
	case errors.As(err, &certificate):
		return "its certificate is not accepted"
	}
	return "no connection"
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
