-- Entities are read whole at start-up and by administrators, and no query looks inside them. So
-- each kind has a table of the same shape: its id, what it belongs to, the name that is unique
-- within that, the rest as JSON, and bytes that are not text (a sealed secret, a policy's Wasm).
CREATE TABLE tenants (id TEXT PRIMARY KEY, parent TEXT NOT NULL, name TEXT, body TEXT NOT NULL, blob BLOB, UNIQUE (parent, name)) STRICT;
CREATE TABLE virtual_keys (id TEXT PRIMARY KEY, parent TEXT NOT NULL, name TEXT, body TEXT NOT NULL, blob BLOB, UNIQUE (parent, name)) STRICT;
CREATE TABLE channels (id TEXT PRIMARY KEY, parent TEXT NOT NULL, name TEXT, body TEXT NOT NULL, blob BLOB, UNIQUE (parent, name)) STRICT;
CREATE TABLE provider_keys (id TEXT PRIMARY KEY, parent TEXT NOT NULL, name TEXT, body TEXT NOT NULL, blob BLOB, UNIQUE (parent, name)) STRICT;
CREATE TABLE disabled_keys (id TEXT PRIMARY KEY, parent TEXT NOT NULL, name TEXT, body TEXT NOT NULL, blob BLOB, UNIQUE (parent, name)) STRICT;
CREATE TABLE policy_versions (id TEXT PRIMARY KEY, parent TEXT NOT NULL, name TEXT, body TEXT NOT NULL, blob BLOB, UNIQUE (parent, name)) STRICT;
CREATE TABLE policy_states (id TEXT PRIMARY KEY, parent TEXT NOT NULL, name TEXT, body TEXT NOT NULL, blob BLOB, UNIQUE (parent, name)) STRICT;
CREATE TABLE policy_settings (id TEXT PRIMARY KEY, parent TEXT NOT NULL, name TEXT, body TEXT NOT NULL, blob BLOB, UNIQUE (parent, name)) STRICT;
CREATE TABLE bans (id TEXT PRIMARY KEY, parent TEXT NOT NULL, name TEXT, body TEXT NOT NULL, blob BLOB, UNIQUE (parent, name)) STRICT;

-- Facts about the database itself.
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- What counters and policies' key-value stores hold in memory, so that a restart does not forget.
CREATE TABLE states (
    kind INTEGER NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    expires_ms INTEGER,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX states_by_expiry ON states (expires_ms) WHERE expires_ms IS NOT NULL;

-- Hooks of policy versions, which decisions in the ledger name by number: they are too long to be
-- repeated for every decision of every call.
CREATE TABLE ledger_deciders (
    id INTEGER PRIMARY KEY,
    hook TEXT NOT NULL,
    policy TEXT NOT NULL,
    digest TEXT NOT NULL,
    UNIQUE (hook, policy, digest)
) STRICT;

-- The ledger. Ids begin with the time, so the key is the index for time and new rows go to one
-- end of one tree. No other index: each would cost as much as the row itself, on every call.
CREATE TABLE calls (
    id BLOB PRIMARY KEY,
    started_ms INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    dialect TEXT NOT NULL,
    operation TEXT NOT NULL,
    model TEXT NOT NULL,
    channel TEXT,
    upstream_model TEXT,
    provider_key TEXT,
    status INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    denied TEXT,
    streaming INTEGER NOT NULL,
    client_ip TEXT NOT NULL,
    first_byte_ms INTEGER,
    total_ms INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_micros INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    -- Attempts and decisions as compact JSON; empty where there are none.
    trail TEXT NOT NULL
) STRICT, WITHOUT ROWID;
