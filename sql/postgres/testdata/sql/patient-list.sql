SELECT
(
n
) AS c0
FROM (
SELECT m.*
FROM tuva.medical_claim m
) AS "line"
WHERE "line"."data_source" IS NOT NULL
  AND "line"."claim_id" IS NOT NULL
  AND "line"."patient_id" = ANY($1::text[])
ORDER BY "line"."data_source" COLLATE "C", "line"."claim_id" COLLATE "C"
-- $1: list ["a\"b" "c"]
