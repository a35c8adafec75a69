-- Every statement may run twice: the database may be the older service's, which has the first
-- table already, and two servers may start at the same time. Nothing here is newer than what the
-- older service's SQLite reads: an unknown word in the schema (STRICT, a generated column) would
-- shut it out of the whole file.

-- The older service's table, letter by letter. The column "providerName" is added in code, since
-- it may be there already and SQLite has no ADD COLUMN IF NOT EXISTS.
CREATE TABLE IF NOT EXISTS "vehicle_valuation" (
    "vrm" varchar(7) PRIMARY KEY NOT NULL,
    "lowestValue" decimal(10,2) NOT NULL,
    "highestValue" decimal(10,2) NOT NULL
);

-- One row a call to a provider. No foreign key: most failures have no valuation.
-- AUTOINCREMENT, although it costs one more page a commit: the log is audited, and an id that was
-- once given must never name another call, even after the newest rows were deleted.
CREATE TABLE IF NOT EXISTS "ProviderLogs" (
    "id" INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    "vrm" varchar(7) NOT NULL,
    "providerName" varchar NOT NULL,
    "requestedAt" varchar NOT NULL,
    "requestDurationMs" integer NOT NULL,
    "requestUrl" varchar NOT NULL,
    "responseCode" integer,
    "errorCode" varchar,
    "errorMessage" varchar
);
CREATE INDEX IF NOT EXISTS "ProviderLogs_vrm" ON "ProviderLogs" ("vrm");
CREATE INDEX IF NOT EXISTS "ProviderLogs_providerName_requestedAt"
    ON "ProviderLogs" ("providerName", "requestedAt");

-- What the writer writes to find out whether writing works again. At rest its filler is empty.
CREATE TABLE IF NOT EXISTS "writer_probe" (
    "id" INTEGER PRIMARY KEY NOT NULL CHECK ("id" = 1),
    "filler" blob NOT NULL
);

-- 'VALU': by this the file is known as ours.
PRAGMA application_id = 1447119957;
