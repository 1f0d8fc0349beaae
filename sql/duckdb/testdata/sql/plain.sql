SELECT
(
claim_id
) AS c0,
(
CASE WHEN paid > 0 THEN 1 END
) AS c1
FROM "tuva"."medical_claim" AS "claim"
WHERE "claim"."data_source" IS NOT NULL
  AND "claim"."Claim_ID" IS NOT NULL
  AND (
paid IS NOT NULL
)
ORDER BY "claim"."data_source", "claim"."Claim_ID"
