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
  AND ("line"."data_source", "line"."claim_id") IN (SELECT CAST(unnest(from_json(CAST($1 AS JSON), '["VARCHAR"]')) AS VARCHAR) AS v0, CAST(unnest(from_json(CAST($2 AS JSON), '["VARCHAR"]')) AS VARCHAR) AS v1)
ORDER BY "line"."data_source", "line"."claim_id"
-- $1: list ["a" "b"]
-- $2: list ["1" "2"]
