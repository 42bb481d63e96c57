-- Texts are compared by their code points, as Python and SQLite do, whatever the database's locale.
-- A character that PostgreSQL refuses, NUL, is written in two others; see `texts`.

CREATE TABLE devices (
    device_id text COLLATE "C" PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    key_hash bytea NOT NULL,
    enabled boolean NOT NULL,
    created float8 NOT NULL,
    last_seen float8,
    tags text[] COLLATE "C" NOT NULL,
    old_key_hash bytea,
    old_key_until float8
) WITH (fillfactor = 80);  -- `last_seen` changes all the time, and in place where there is room
CREATE INDEX devices_by_name ON devices (name, device_id);
CREATE INDEX devices_by_tag ON devices USING gin (tags);

-- An id is never given again: the values of a deleted sensor never become those of another.
CREATE TABLE sensors (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id text COLLATE "C" NOT NULL REFERENCES devices ON DELETE CASCADE,
    value_key text COLLATE "C" NOT NULL,
    type text NOT NULL,
    unit text,
    UNIQUE (device_id, value_key)
);

CREATE TABLE actuators (
    device_id text COLLATE "C" NOT NULL REFERENCES devices ON DELETE CASCADE,
    command_key text COLLATE "C" NOT NULL,
    type text,
    PRIMARY KEY (device_id, command_key)
);

-- A value is an integer (`whole`), another number, or JSON (`content`). `received` is the arrival in
-- microseconds, shifted by ten bits, which have the number of the node: no two reports have the same.
-- The partitions have no gaps: one for what is before a time, one for each week, one for the rest.
CREATE TABLE telemetry (
    sensor bigint NOT NULL,
    timestamp float8 NOT NULL,
    received bigint NOT NULL,
    whole bigint,
    number float8,
    content text COLLATE "C",
    PRIMARY KEY (sensor, timestamp, received)
) PARTITION BY RANGE (timestamp);

-- Deleted sensors whose values are still to be removed.
CREATE TABLE doomed (sensor bigint PRIMARY KEY);

-- How long values are kept. An empty text stands for all devices or sensors; what is older than
-- `swept` has been deleted.
CREATE TABLE retention (
    device_id text COLLATE "C" NOT NULL,
    value_key text COLLATE "C" NOT NULL,
    days float8 NOT NULL,
    "interval" float8,
    after_days float8,
    swept float8 NOT NULL,
    PRIMARY KEY (device_id, value_key)
);

-- Up to which timestamp the values of a sensor are means.
CREATE TABLE downsampled (sensor bigint PRIMARY KEY, upto float8 NOT NULL);

-- The time when old values were last looked for.
CREATE TABLE settled (at float8 NOT NULL);

-- Statuses as they came, numbered for each device, and the latest of each member up to `upto`.
CREATE TABLE status_log (
    device_id text COLLATE "C" NOT NULL REFERENCES devices ON DELETE CASCADE,
    number bigint NOT NULL,
    timestamp float8 NOT NULL,
    received float8 NOT NULL,
    payload text NOT NULL,
    PRIMARY KEY (device_id, number)
);
CREATE TABLE statuses (
    device_id text COLLATE "C" PRIMARY KEY REFERENCES devices ON DELETE CASCADE,
    payload text NOT NULL,
    ranks text NOT NULL,
    rank float8 NOT NULL,
    timestamp float8 NOT NULL,
    upto bigint NOT NULL
);

-- The highest `seq` that is stored of each outbox. The `used` of that which was used last is the
-- highest.
CREATE TABLE outboxes (
    device_id text COLLATE "C" NOT NULL REFERENCES devices ON DELETE CASCADE,
    outbox_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    used bigint NOT NULL,
    PRIMARY KEY (device_id, outbox_id)
) WITH (fillfactor = 70);
CREATE SEQUENCE outbox_uses;

-- `message_type` is NULL for commands.
CREATE TABLE commands (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    command_id text COLLATE "C" NOT NULL UNIQUE,
    device_id text COLLATE "C" NOT NULL REFERENCES devices ON DELETE CASCADE,
    command text NOT NULL,
    status text NOT NULL,
    payload text NOT NULL,
    created float8 NOT NULL,
    expires float8 NOT NULL,
    sent float8,
    finished float8,
    message_type text,
    response_timeout float8,
    job_id text COLLATE "C",
    due float8
) WITH (fillfactor = 70);
CREATE INDEX commands_of_device ON commands (device_id, number);
CREATE INDEX open_commands ON commands (device_id, number) WHERE finished IS NULL;
CREATE INDEX commands_of_job ON commands (job_id, command_id) WHERE job_id IS NOT NULL;

CREATE TABLE audit (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at float8 NOT NULL,
    who text NOT NULL,
    address text NOT NULL,
    method text NOT NULL,
    params text NOT NULL
);
