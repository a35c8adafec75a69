-- The tables of migrations/001 to 004, with the same names, for PostgreSQL. Texts compare by their bytes, as
-- SQLite's do, whatever the database's collation.

-- It may be the older service's, moved here.
CREATE TABLE IF NOT EXISTS "vehicle_valuation" (
    "vrm" varchar(7) COLLATE "C" PRIMARY KEY NOT NULL,
    "lowestValue" numeric(10,2) NOT NULL,
    "highestValue" numeric(10,2) NOT NULL
);
ALTER TABLE "vehicle_valuation" ADD COLUMN IF NOT EXISTS "providerName" varchar COLLATE "C";

-- Valuations don't change once made, and servers remember them: each hears of a row that was deleted or changed,
-- by whichever program.
CREATE OR REPLACE FUNCTION "vehicle_valuation_changed"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('vehicle_valuation', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER "vehicle_valuation_changed" AFTER UPDATE OR DELETE OR TRUNCATE ON "vehicle_valuation"
    FOR EACH STATEMENT EXECUTE FUNCTION "vehicle_valuation_changed"();

-- One row a call to a provider, in a partition per month of "requestedAt", which is ISO 8601 in UTC, so that its
-- order as text is that of time. The ids are of "log_head".
CREATE TABLE "ProviderLogs" (
    "id" bigint NOT NULL,
    "vrm" varchar COLLATE "C" NOT NULL,
    "providerName" varchar COLLATE "C" NOT NULL,
    "requestedAt" varchar COLLATE "C" NOT NULL,
    "requestDurationMs" bigint NOT NULL,
    "requestUrl" varchar COLLATE "C" NOT NULL,
    "responseCode" bigint,
    "errorCode" varchar COLLATE "C",
    "errorMessage" varchar COLLATE "C",
    "outcome" varchar COLLATE "C",
    "rescue" bigint,
    PRIMARY KEY ("id", "requestedAt")
) PARTITION BY RANGE ("requestedAt");
CREATE INDEX "ProviderLogs_vrm" ON "ProviderLogs" ("vrm", "id");
CREATE INDEX "ProviderLogs_providerName_requestedAt" ON "ProviderLogs" ("providerName", "requestedAt");
-- For the times that no partition was made for: those of a wrong clock, or of rows that were moved here.
CREATE TABLE "ProviderLogs_other" PARTITION OF "ProviderLogs" DEFAULT;

-- The newest row of the log, and the head of the hash chain after it. Each transaction that writes rows locks this
-- one first: so ids have no gap and rise in the order of the commits, whichever server made them.
CREATE TABLE "log_head" (
    "id" bigint PRIMARY KEY NOT NULL CHECK ("id" = 1),
    "lastId" bigint NOT NULL,
    "head" bytea NOT NULL
);
INSERT INTO "log_head" ("id", "lastId", "head") VALUES (1, 0, decode(repeat('00', 32), 'hex'));

CREATE TABLE "log_chain" (
    "lastId" bigint PRIMARY KEY NOT NULL,
    "firstId" bigint NOT NULL,
    "previous" bytea NOT NULL,
    "head" bytea NOT NULL,
    "rowTags" bytea NOT NULL
);

CREATE TABLE "call_hours" (
    "hour" bigint NOT NULL,
    "providerName" varchar COLLATE "C" NOT NULL,
    "errorCode" varchar COLLATE "C" NOT NULL,
    "outcome" varchar COLLATE "C" NOT NULL,
    "rescue" bigint NOT NULL,
    "calls" bigint NOT NULL,
    "sumMs" bigint NOT NULL,
    "maxMs" bigint NOT NULL,
    "minutes" bigint NOT NULL,
    "firstId" bigint NOT NULL,
    "lastId" bigint NOT NULL,
    PRIMARY KEY ("hour", "providerName", "errorCode", "outcome", "rescue")
);

CREATE TABLE "call_durations" (
    "span" bigint NOT NULL,
    "at" bigint NOT NULL,
    "providerName" varchar COLLATE "C" NOT NULL,
    "bucket" bigint NOT NULL,
    "calls" bigint NOT NULL,
    PRIMARY KEY ("span", "at", "providerName", "bucket")
);

CREATE TABLE "rollup_mark" (
    "id" bigint PRIMARY KEY NOT NULL CHECK ("id" = 1),
    "countedTo" bigint NOT NULL
);
INSERT INTO "rollup_mark" ("id", "countedTo") VALUES (1, 0);

-- What each server saved for its next start: "name @ node".
CREATE TABLE "failover_state" (
    "name" varchar COLLATE "C" PRIMARY KEY NOT NULL,
    "state" varchar COLLATE "C" NOT NULL,
    "savedAt" varchar COLLATE "C" NOT NULL
);

CREATE TABLE "history" (
    "span" bigint NOT NULL,
    "at" bigint NOT NULL,
    "source" varchar COLLATE "C" NOT NULL,
    "calls" bigint NOT NULL,
    "failures" bigint NOT NULL,
    "rescues" bigint NOT NULL,
    "fallbackMs" bigint NOT NULL,
    "upTo1ms" bigint NOT NULL,
    "upTo2.5ms" bigint NOT NULL,
    "upTo5ms" bigint NOT NULL,
    "upTo10ms" bigint NOT NULL,
    "upTo25ms" bigint NOT NULL,
    "upTo50ms" bigint NOT NULL,
    "upTo100ms" bigint NOT NULL,
    "upTo250ms" bigint NOT NULL,
    "upTo500ms" bigint NOT NULL,
    "upTo1s" bigint NOT NULL,
    "upTo2.5s" bigint NOT NULL,
    "upTo5s" bigint NOT NULL,
    "upTo10s" bigint NOT NULL,
    "above10s" bigint NOT NULL,
    PRIMARY KEY ("span", "at", "source")
);

-- What a writer writes to find out whether writing works again. Not compressed: it must need its room.
CREATE TABLE "writer_probe" (
    "id" bigint PRIMARY KEY NOT NULL CHECK ("id" = 1),
    "filler" bytea NOT NULL
);
ALTER TABLE "writer_probe" ALTER COLUMN "filler" SET STORAGE EXTERNAL;
INSERT INTO "writer_probe" ("id", "filler") VALUES (1, '');
