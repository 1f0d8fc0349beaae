SELECT
(
claim_id
) AS c0
FROM "tuva"."medical_claim" AS "claim"
WHERE "claim"."data_source" IS NOT NULL
  AND "claim"."Claim_ID" IS NOT NULL
  AND "claim"."patient_id" IS NULL
ORDER BY "claim"."data_source", "claim"."Claim_ID"
