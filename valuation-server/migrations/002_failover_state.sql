-- Where each failover stood when it was last saved, for the next start. One row a failover; the
-- text is the library's own and carries its version.
CREATE TABLE IF NOT EXISTS "failover_state" (
    "name" varchar PRIMARY KEY NOT NULL,
    "state" varchar NOT NULL,
    "savedAt" varchar NOT NULL
);
