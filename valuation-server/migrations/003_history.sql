-- What each failover and provider did over time: a row per source and interval. All counts add up, so
-- that a longer interval is a sum. No key but this one: the rows of one moment stand together, so that
-- writing them changes one page, and thinning reads one range. (WITHOUT ROWID: SQLite 3.8.2, of 2013.)
CREATE TABLE IF NOT EXISTS "history" (
    -- The interval's length in seconds: 10, 60 or 3600.
    "span" integer NOT NULL,
    -- Its start, in seconds since 1970: a multiple of the length.
    "at" integer NOT NULL,
    -- The failover's name, or the provider's.
    "source" varchar NOT NULL,
    "calls" integer NOT NULL,
    "failures" integer NOT NULL,
    "rescues" integer NOT NULL,
    -- How long the route was the fallback, in milliseconds.
    "fallbackMs" integer NOT NULL,
    -- How many calls took how long: up to each bound, and above the one before.
    "upTo1ms" integer NOT NULL,
    "upTo2.5ms" integer NOT NULL,
    "upTo5ms" integer NOT NULL,
    "upTo10ms" integer NOT NULL,
    "upTo25ms" integer NOT NULL,
    "upTo50ms" integer NOT NULL,
    "upTo100ms" integer NOT NULL,
    "upTo250ms" integer NOT NULL,
    "upTo500ms" integer NOT NULL,
    "upTo1s" integer NOT NULL,
    "upTo2.5s" integer NOT NULL,
    "upTo5s" integer NOT NULL,
    "upTo10s" integer NOT NULL,
    "above10s" integer NOT NULL,
    PRIMARY KEY ("span", "at", "source")
) WITHOUT ROWID;
