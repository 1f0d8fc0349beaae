WITH snapshot(as_of, as_of_date) AS (SELECT s.t, CAST(s.t AS DATE) FROM (SELECT $1::timestamptz AS t) AS s)
SELECT
(
snapshot.as_of_date - paid_date
) AS c0
FROM "tuva"."medical_claim" AS "claim" CROSS JOIN snapshot
WHERE "claim"."data_source" IS NOT NULL
  AND "claim"."Claim_ID" IS NOT NULL
ORDER BY "claim"."data_source" COLLATE "C", "claim"."Claim_ID" COLLATE "C"
-- $1: "2024-02-29T10:20:30.123Z"
