-- Nodes, which of them serves which device, and what was changed of devices.

CREATE TABLE nodes (
    number int PRIMARY KEY CHECK (number BETWEEN 0 AND 1023),
    name text NOT NULL UNIQUE,
    incarnation bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    version text NOT NULL,
    since timestamptz NOT NULL,
    lease_until timestamptz NOT NULL,
    devices int NOT NULL DEFAULT 0,
    counts jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE presence (
    device_id text COLLATE "C" PRIMARY KEY REFERENCES devices ON DELETE CASCADE,
    node int,
    previous int,
    was_online boolean NOT NULL DEFAULT false,
    epoch bigint NOT NULL,
    since timestamptz NOT NULL,
    moved timestamptz,
    address text NOT NULL,
    online boolean NOT NULL DEFAULT true
);
CREATE INDEX presence_by_node ON presence (node) WHERE node IS NOT NULL;
CREATE INDEX presence_moved ON presence (moved) WHERE moved IS NOT NULL;

CREATE TABLE changes (
    device_id text COLLATE "C" PRIMARY KEY,
    at timestamptz NOT NULL
);
CREATE INDEX changes_by_time ON changes (at);

CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO changes (device_id, at)
    VALUES (CASE WHEN TG_OP = 'DELETE' THEN OLD.device_id ELSE NEW.device_id END, clock_timestamp())
    ON CONFLICT (device_id) DO UPDATE SET at = excluded.at;
    RETURN NULL;
END
$$;

-- At the commit, so that nobody who looks back so many seconds can miss a long transaction.
CREATE CONSTRAINT TRIGGER device_changed
    AFTER DELETE OR UPDATE OF name, enabled, key_hash, old_key_hash, old_key_until, tags ON devices
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE CONSTRAINT TRIGGER sensor_changed
    AFTER INSERT OR DELETE OR UPDATE ON sensors
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE CONSTRAINT TRIGGER actuator_changed
    AFTER INSERT OR DELETE OR UPDATE ON actuators
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_change();
