-- Sums of "ProviderLogs" for reports over years. They are kept in the transaction that writes the rows,
-- and stay when old rows are deleted or archived.

-- Calls per hour, provider, error code, outcome and rescue. Rows merge: counts by sum, "maxMs" by maximum,
-- "minutes" by OR, ids by minimum and maximum.
CREATE TABLE IF NOT EXISTS "call_hours" (
    -- The start in seconds since 1970 (UTC), a multiple of 3600; -1: the row's time can't be read.
    "hour" integer NOT NULL,
    "providerName" varchar NOT NULL,
    -- Empty for none.
    "errorCode" varchar NOT NULL,
    -- "success", "failure" or "ignored"; rows from before that column are judged by their codes.
    "outcome" varchar NOT NULL,
    "rescue" integer NOT NULL,
    "calls" integer NOT NULL,
    "sumMs" integer NOT NULL,
    "maxMs" integer NOT NULL,
    -- Bit n: there was such a call in minute n of the hour.
    "minutes" integer NOT NULL,
    "firstId" integer NOT NULL,
    "lastId" integer NOT NULL,
    PRIMARY KEY ("hour", "providerName", "errorCode", "outcome", "rescue")
) WITHOUT ROWID;

-- How many calls with outcome "success" or "failure" took how long. Buckets 0 to 255 are whole
-- milliseconds. Above, each doubling has 128 buckets of one width: bucket b has the durations from
-- (b - 128 * s) << s, for s = b / 128 - 1, up to the next bucket's.
CREATE TABLE IF NOT EXISTS "call_durations" (
    -- The interval's length in seconds: 3600 or 86400. Each call is in one row of both.
    "span" integer NOT NULL,
    -- Its start in seconds since 1970 (UTC), a multiple of the length.
    "at" integer NOT NULL,
    "providerName" varchar NOT NULL,
    "bucket" integer NOT NULL,
    "calls" integer NOT NULL,
    PRIMARY KEY ("span", "at", "providerName", "bucket")
) WITHOUT ROWID;

-- All rows of "ProviderLogs" up to this id are in the sums, each once, and none above it.
CREATE TABLE IF NOT EXISTS "rollup_mark" (
    "id" integer PRIMARY KEY NOT NULL CHECK ("id" = 1),
    "countedTo" integer NOT NULL
);
INSERT OR IGNORE INTO "rollup_mark" ("id", "countedTo") VALUES (1, 0);

-- The hash chain over "ProviderLogs": a record for the rows of each commit, whose ids have no gap.
CREATE TABLE IF NOT EXISTS "log_chain" (
    "lastId" integer PRIMARY KEY NOT NULL,
    "firstId" integer NOT NULL,
    -- The head of the record before, of 32 bytes: zeros for the first.
    "previous" blob NOT NULL,
    -- BLAKE3 of "previous" and the hashes of the rows, in the order of their ids.
    "head" blob NOT NULL,
    -- The first 8 bytes of each row's hash, which tell what row was changed.
    "rowTags" blob NOT NULL
);
