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
  AND "line"."patient_id" > CAST($1 AS VARCHAR)
  AND "line"."patient_id" <= CAST($2 AS VARCHAR)
ORDER BY "line"."data_source", "line"."claim_id"
-- $1: "100"
-- $2: "200"
