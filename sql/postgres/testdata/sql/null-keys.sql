SELECT
(
n
) AS c0
FROM (
SELECT m.*
FROM tuva.medical_claim m
) AS "line"
WHERE EXISTS (SELECT 1 FROM (SELECT "claim"."data_source" AS k0, "claim"."Claim_ID" AS k1
FROM "tuva"."medical_claim" AS "claim"
WHERE "claim"."data_source" IS NOT NULL
  AND "claim"."Claim_ID" IS NOT NULL
  AND (
eob_kind = 'professional'
)
  AND "claim"."patient_id" = ANY($1::text[])) AS _parent WHERE _parent.k0 = "line"."data_source" AND _parent.k1 = "line"."claim_id")
ORDER BY "line"."data_source" COLLATE "C", "line"."claim_id" COLLATE "C", "line"."n"
-- $1: list ["p1" "p2"]
