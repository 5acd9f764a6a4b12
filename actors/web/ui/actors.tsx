// The page of the actors: the supervision tree, and who uses which token.

import { Card, Search } from "./parts";
import { token } from "./state";
import { actorFilter, Holders, Tree } from "./tree";

export function ActorsPage() {
  return (
    <>
      <Search label="Search the actors" value={actorFilter} />
      <section class="card" aria-label="Supervision tree">
        <Tree touch />
      </section>
      <Card title="Token in use, by service" id="holders">
        {token.value?.holders.length ? <Holders list={token.value.holders} /> : <p class="lead">No service has used one yet.</p>}
      </Card>
    </>
  );
}

