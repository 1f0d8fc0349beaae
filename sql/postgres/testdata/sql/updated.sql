SELECT
(
claim_id
) AS c0
FROM "tuva"."medical_claim" AS "claim"
WHERE "claim"."data_source" IS NOT NULL
  AND "claim"."Claim_ID" IS NOT NULL
  AND ("claim"."loaded" IS NULL OR "claim"."loaded" > $1::timestamptz
    OR EXISTS (SELECT 1 FROM (SELECT "line"."data_source" AS k0, "line"."claim_id" AS k1, "line"."changed" AS u
FROM (
SELECT m.*
FROM tuva.medical_claim m
) AS "line"
WHERE "line"."data_source" IS NOT NULL
  AND "line"."claim_id" IS NOT NULL
  AND (
n > 0
)) AS _child WHERE _child.k0 = "claim"."data_source" AND _child.k1 = "claim"."Claim_ID" AND _child.u > $2::timestamp))
  AND ("claim"."loaded" IS NULL OR "claim"."loaded" <= $3::timestamptz)
ORDER BY "claim"."data_source" COLLATE "C", "claim"."Claim_ID" COLLATE "C"
-- $1: "2024-01-01T00:00:00Z"
-- $2: "2024-01-01T00:00:00"
-- $3: "2024-02-01T00:00:00Z"
