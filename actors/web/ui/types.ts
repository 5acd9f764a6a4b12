// What /api/v1 says: the part of package api that the page reads.

export interface Status {
  profile: "sim" | "sandbox" | "live";
  live: boolean;
  message: string;
  causes: string[];
  token: { generation: number; state: string; fingerprint: string; coherent: boolean; reason?: string };
  feed: {
    state: string;
    reason?: string;
    ticks_per_second: number;
    last_tick_age_seconds: number | null;
    last_frame_age_seconds: number | null;
    instruments: number;
    sockets: number;
    stale: boolean;
    last_gap: { reason: string; instruments: number; at: string } | null;
    refused: { owner: string; instrument_token: number; tradingsymbol: string; reason: string }[];
  };
  actors: { running: number; total: number; quarantined: number; restarts: number; not_running: string[] };
  market: { phase: string; exchange_time: string; next_change_at: string; holiday?: string; warning?: string };
  missing: { what: string; reason: string; since: string }[];
  underlyings: string[];
  gateway: GatewayStatus | null;
  bus: BusStatus | null;
  peer: Peer | null;
  last_login: LoginEnd | null;
  process: { id: number; started_at: string; version: string };
  replay: { day: string; at: string; speed: number; max: boolean; waiting: boolean; ended: boolean; ticks: number } | null;
  at: string;
}

export interface PeerToken {
  fingerprint: string;
  generation: number;
  valid: boolean;
  pending: boolean;
  age_seconds: number;
}

// Peer is the second server that shares the login.
export interface Peer {
  name: string;
  peer_addr: string;
  version: string;
  coherent: boolean;
  reason: string;
  warning?: string;
  compared_age_seconds: number | null;
  clock_offset_seconds: number;
  mine: PeerToken;
  theirs: PeerToken;
}

export interface ReadyCheck {
  name: string;
  state: string;
  since: string;
  detail: string;
  fix: string;
}

export interface Readiness {
  ready: boolean;
  shown: boolean;
  checks: ReadyCheck[];
}

export interface GatewayStatus {
  addr: string;
  instruments: number;
  capacity: number;
  orders: boolean;
  budget: { kind: string; used: number; limit: number }[];
}

export interface BusStatus {
  state: string;
  reason?: string;
  bus: string;
  addr: string;
  server: string;
  published: Record<string, number>;
  lost: Record<string, number>;
  consumers: number;
  cut_consumers: number;
}

export interface LoginEnd {
  result: "ok" | "cancelled" | "bad_state" | "exchange_failed" | "timeout";
  reason: string;
  fingerprint?: string;
  at: string;
}

export interface TokenStatus {
  generation: number;
  fingerprint: string;
  state: string;
  reason?: string;
}

export interface Token {
  generation: number;
  fingerprint: string;
  state: string;
  reason?: string;
  since: string | null;
  checked_at: string | null;
  candidate: TokenStatus | null;
  user_id?: string;
  expires_hint: string | null;
  login_due: boolean;
  file_fault?: string;
  warnings: string[];
  watcher: string;
  coherent: boolean;
  holders: { actor: string; generation: number; at: string }[];
}

export interface Rotation {
  generation: number;
  source: string;
  changed_at: string;
  detected_ms: number | null;
  validated_ms: number | null;
  dialled_ms: number | null;
  first_frame_ms: number | null;
  first_tick_ms: number | null;
  retired_ms: number | null;
  total_ms: number | null;
  ticks_overlapped: number;
  ticks_duplicated: number | null;
  ticks_lost: number | null;
  gateway_clients: number | null;
  shards: number;
  result: "pending" | "adopted" | "rejected" | "superseded";
  reason?: string;
}

export interface Actor {
  name: string;
  kind: "worker" | "supervisor";
  parent: string;
  strategy?: string;
  state: string;
  epoch: number;
  generation: number;
  uptime_seconds: number;
  restarts: number;
  restarts_in_window: number;
  restarts_allowed: number;
  messages_per_second: number;
  handling_p99_seconds: number;
  mailbox: { depth: number; capacity: number; conflated: number; dropped: number };
  last_error: string;
  next_retry_at: string | null;
}

export interface Reading {
  kind: string;
  underlying: string;
  profile: string;
  signal: string;
  confidence: number;
  status: "active" | "watching" | "unavailable";
  reason?: string;
  values?: Record<string, unknown>;
  as_of: string;
  oldest_input: string;
  coverage: number;
  gapped: boolean;
  partial: boolean;
  generation: number;
  epoch: number;
  parameters?: Record<string, number>;
}

export interface Bar {
  start: string;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
  closed: boolean;
  partial: boolean;
  gapped: boolean;
  backfilled: boolean;
}

export interface BarEvent {
  underlying: string;
  source: string;
  interval: string;
  bar: Bar;
}

export interface Quote {
  underlying: string;
  last_price: number;
  change: number;
  percent: number;
  at: string;
}

export interface Event {
  id: number;
  at: string;
  exchange_at: string | null;
  kind: string;
  text: string;
  generation?: number;
}

export interface Problem {
  title: string;
  status: number;
  detail: string;
  names?: string[];
}

export interface ChainOption {
  tradingsymbol: string;
  last_price: number | null;
  change: number | null;
  change_percent: number | null;
  bid: number | null;
  ask: number | null;
  volume: number | null;
  oi: number | null;
  oi_change: number | null;
  iv: number | null;
  delta: number | null;
  iv_from: string;
  at: string | null;
  traded_at: string | null;
  book_at: string | null;
  reasons: string[];
}

export interface ChainRow {
  strike: number;
  atm: boolean;
  call: ChainOption | null;
  put: ChainOption | null;
}

export interface ChainPrice {
  tradingsymbol: string;
  last_price: number | null;
  at: string | null;
}

export interface Chain {
  underlying: string;
  expiry: string;
  expiries: string[];
  rows: ChainRow[];
  at: string;
  as_of: string | null;
  session: string;
  current: boolean;
  reason: string;
  spot: ChainPrice;
  future: ChainPrice;
  pricing: { forward: number | null; forward_from: string; rate: number; reason: string };
  summary: {
    atm: number | null;
    straddle: number | null;
    atm_iv: number | null;
    max_pain: number | null;
    call_wall: number | null;
    put_wall: number | null;
    pcr: number | null;
    pcr_volume: number | null;
    pcr_oi_change: number | null;
    call_oi: number | null;
    put_oi: number | null;
    call_oi_change: number | null;
    put_oi_change: number | null;
    coverage: number;
    reason: string;
  };
}

// ChainPoint is a minute of the chain of the nearest expiry.
export interface ChainPoint {
  at: string;
  spot: number | null;
  straddle: number | null;
  pcr: number | null;
}
