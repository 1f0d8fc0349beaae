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
  AND list_contains(CAST(from_json(CAST($1 AS JSON), '["VARCHAR"]') AS VARCHAR[]), "line"."patient_id")
ORDER BY "line"."data_source", "line"."claim_id"
-- $1: list ["a\"b" "c"]
