package web

import (
	"io"
	"net/http"
	"strings"
)

// runbook is GET /runbook, and with an alert's name its section: where the
// alerts' runbook_url leads.
func (s *server) runbook(w http.ResponseWriter, r *http.Request) {
	text, name := s.Runbook, r.PathValue("alert")
	if name != "" {
		var names []string
		text = ""
		for _, section := range strings.Split(s.Runbook, "\n## ")[1:] {
			title, _, _ := strings.Cut(section, "\n")
			names = append(names, title)
			if title == name {
				text = "## " + section
			}
		}
		if text == "" {
			writeError(w, &NameError{What: "section of the runbook", Name: name, Known: names})
			return
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text) // the client has gone
}
