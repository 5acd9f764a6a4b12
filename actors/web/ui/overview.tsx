// The first page.

import { Outlook } from "./analyses";
import { FeedCard, RestartsCard, RotationCard, TokenCard } from "./cards";
import { Chart } from "./chart";
import { count } from "./format";
import { Link } from "./parts";
import { actors, events } from "./state";
import { Timeline } from "./timeline";
import { Tree } from "./tree";

export function Overview() {
  return (
    <>
      <div class="cards">
        <TokenCard />
        <FeedCard />
        <RotationCard />
        <RestartsCard />
      </div>
      <div class="market">
        <Chart />
        <Outlook />
      </div>
      <div class="split">
        <section class="card" aria-labelledby="tree-title">
          <div class="card-head">
            <h2 id="tree-title">Supervision tree</h2>
            <span class="age">{count(actors.value.length, "actor")}</span>
          </div>
          <Tree />
        </section>
        <section class="card" aria-labelledby="events-title">
          <div class="card-head">
            <h2 id="events-title">Events</h2>
            <Link to="/events">All events</Link>
          </div>
          <Timeline list={events.value.slice(0, 14)} />
        </section>
      </div>
    </>
  );
}

