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
  AND ("line"."data_source", "line"."claim_id") IN (SELECT * FROM unnest($1::text[], $2::text[]) AS u(v0, v1))
ORDER BY "line"."data_source" COLLATE "C", "line"."claim_id" COLLATE "C"
-- $1: list ["a" "b"]
-- $2: list ["1" "2"]
