// What is assumed of Kite, and what was seen of each since the start.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { words } from "./format";
import { Card, Mark, type Tone } from "./parts";
import { serverNow } from "./state";

interface Row {
  name: string;
  claim: string;
  source: string;
  verdict: string;
  seen: number;
  contradicted: number;
  first_contradicted_at: string | null;
  fallback: string;
}

const rows = signal<Row[]>([]);
const every = 30_000;

const marks: Record<string, [Tone, string]> = {
  open: ["dim", "\u25cb"],
  seen: ["good", "\u25cf"],
  contradicted: ["bad", "\u2715"],
};

async function load(): Promise<void> {
  const answer = await fetch("/api/v1/assumptions");
  if (answer.ok) rows.value = (await answer.json()) as Row[];
}

export function Assumptions() {
  const due = Math.floor(serverNow() / every);
  useEffect(() => void load(), [due]);
  return (
    <Card title="What is assumed of Kite" id="assumptions">
      <dl class="facts morning">
        {rows.value.map((r) => {
          const [tone, glyph] = marks[r.verdict] ?? ["dim", "?"];
          return (
            <div key={r.name}>
              <dt>
                <Mark tone={tone} glyph={glyph}>
                  {words(r.name)}: {r.verdict}
                </Mark>{" "}
                <span class="hint">
                  {r.seen} for, {r.contradicted} against
                </span>
              </dt>
              <dd>
                {r.claim}
                {r.verdict === "contradicted" && <p class="note bad">{r.fallback}</p>}
              </dd>
            </div>
          );
        })}
      </dl>
    </Card>
  );
}
