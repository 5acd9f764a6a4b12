// The first page: what the market does, and why one may think so. What the
// server does stands on the page of the actors.

import { Outlook } from "./analyses";
import { ChainCard } from "./chain";
import { Chart } from "./chart";
import { Morning } from "./morning";
import { Link } from "./parts";
import { events } from "./state";
import { Timeline } from "./timeline";

export function Overview() {
  return (
    <>
      <Morning />
      <div class="market">
        <Outlook />
        <Chart />
        <ChainCard />
      </div>
      <section class="card" aria-labelledby="events-title">
        <div class="card-head">
          <h2 id="events-title">Events</h2>
          <Link to="/events">All events</Link>
        </div>
        <Timeline list={events.value.slice(0, 5)} />
      </section>
    </>
  );
}
