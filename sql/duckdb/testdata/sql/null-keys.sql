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
  AND list_contains(CAST(from_json(CAST($1 AS JSON), '["VARCHAR"]') AS VARCHAR[]), "claim"."patient_id")) AS _parent WHERE _parent.k0 = "line"."data_source" AND _parent.k1 = "line"."claim_id")
ORDER BY "line"."data_source", "line"."claim_id", "line"."n"
-- $1: list ["p1" "p2"]
