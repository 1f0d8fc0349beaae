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
  AND "line"."n" IS NOT NULL
  AND ("line"."data_source" >= CAST($1 AS VARCHAR) AND ("line"."data_source" > CAST($1 AS VARCHAR) OR ("line"."data_source" = CAST($1 AS VARCHAR) AND ("line"."claim_id" > CAST($2 AS VARCHAR) OR ("line"."claim_id" = CAST($2 AS VARCHAR) AND ("line"."n" > CAST($3 AS BIGINT)))))))
  AND ("line"."data_source" <= CAST($4 AS VARCHAR) AND ("line"."data_source" < CAST($4 AS VARCHAR) OR ("line"."data_source" = CAST($4 AS VARCHAR) AND ("line"."claim_id" <= CAST($5 AS VARCHAR)))))
ORDER BY "line"."data_source", "line"."claim_id", "line"."n"
-- $1: "a"
-- $2: "b"
-- $3: "3"
-- $4: "a"
-- $5: "z"
