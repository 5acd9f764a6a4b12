package e2e

import (
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// spoil makes the chains that the page gets poor in quotes: a strike without a
// put, a crossed book, a book with nobody who buys, an option that has never
// ticked. It wraps the page's own stream.
const spoil = `(() => {
	const listen = EventSource.prototype.addEventListener;
	EventSource.prototype.addEventListener = function (topic, take) {
		if (topic !== "chain") return listen.call(this, topic, take);
		listen.call(this, topic, (message) => {
			const c = JSON.parse(message.data);
			const at = c.rows.findIndex((r) => r.atm);
			if (at > 4) {
				const nothing = { iv: null, delta: null, iv_from: "" };
				c.rows[at - 1].put = null;
				Object.assign(c.rows[at].call, nothing, { bid: 105, ask: 104, reasons: ["crossed: bid 105.00 above ask 104.00"] });
				Object.assign(c.rows[at + 1].call, nothing, { bid: null, bid_quantity: null, reasons: ["nobody buys"] });
				Object.assign(c.rows[at + 2].put, nothing, { last_price: null, change: null, change_percent: null, bid: null, ask: null, oi: null, oi_change: null, volume: null, at: null, traded_at: null, age_seconds: null, reasons: ["no packet has come yet"] });
				Object.assign(c.summary, { straddle: null, atm_iv: null, reason: "the straddle needs a call and a put at the money" });
			}
			take({ data: JSON.stringify(c) });
		});
	};
})()`

// What is missing in a chain is a dash, and its reason stands below, at every
// width and in both themes.
func TestChainWithDashes(t *testing.T) {
	server := startServer(t)
	server.live()
	b := openTab(t, browser(t), "about:blank")
	b.host = server.Addr()
	if _, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: spoil}); err != nil {
		t.Fatal(err)
	}
	b.do("open", chromedp.Navigate(server.URL()+"chain"))
	b.await(soon, ".reasons-of-dashes", `Why there are dashes[\s\S]*no such option: \d+ PE\.[\s\S]*Crossed: bid 105\.00 above ask 104\.00: \d+ CE\.[\s\S]*Nobody buys: \d+ CE\.[\s\S]*No packet has come yet: \d+ PE\.`)
	b.await(soon, ".totals", `ATM straddle\s+\u2013[\s\S]*ATM IV\s+\u2013`)
	row := func(what, offset, expression string) {
		t.Helper()
		b.holds(what, `((all) => ((tr) => `+expression+`)(all[all.findIndex((tr) => tr.classList.contains("atm")) + `+offset+`]))([...document.querySelectorAll(".chain tbody tr")])`)
	}
	row("a strike without a put has only dashes there, which say why", "-1", `[...tr.querySelectorAll("th ~ td")].every((td) => td.innerText.trim() === "\u2013" && /none at this strike/.test(td.title))`)
	row("a crossed book has its prices and no volatility", "0", `((tds) => tds.includes("105.00") && tds.includes("104.00") && tds.filter((x) => x === "\u2013").length === 2)([...tr.querySelectorAll("td")].slice(0, 10).map((td) => td.innerText.trim()))`)
	row("a book with nobody who buys lacks the bid", "1", `[...tr.querySelectorAll("td")].slice(0, 10).filter((td) => td.innerText.trim() === "\u2013").every((td) => td.title === "nobody buys")`)
	row("an option that never ticked has only dashes", "2", `[...tr.querySelectorAll("th ~ td")].every((td) => td.innerText.trim() === "\u2013" && td.title === "no packet has come yet")`)
	b.loadAxe()
	for _, width := range widths {
		for _, theme := range []string{"light", "dark"} {
			b.judge("chain with dashes", width, theme, width == 390 || width == 1280)
		}
		if width == 390 || width == 1280 {
			b.keep("chain-dashes-" + map[int64]string{390: "390", 1280: "1280"}[width])
		}
	}
	b.clean()
}
