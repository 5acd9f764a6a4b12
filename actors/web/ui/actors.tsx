// The page of the server itself: token, feed, rotation and restarts in a line
// each, the supervision tree, and which service uses which token.

import { Assumptions } from "./assumptions";
import { FeedLine, PeerLine, RestartsLine, RotationLine, TokenLine } from "./cards";
import { Card, Search } from "./parts";
import { token } from "./state";
import { actorFilter, Holders, Tree } from "./tree";

export function ActorsPage() {
  return (
    <>
      <div class="lines">
        <TokenLine />
        <FeedLine />
        <RotationLine />
        <RestartsLine />
        <PeerLine />
      </div>
      <Search label="Search the actors" value={actorFilter} />
      <section class="card" aria-label="Supervision tree">
        <Tree />
      </section>
      <Card title="Token in use, by service" id="holders">
        {token.value?.holders.length ? <Holders list={token.value.holders} /> : <p class="lead">No service has used one yet.</p>}
      </Card>
      <Assumptions />
    </>
  );
}
