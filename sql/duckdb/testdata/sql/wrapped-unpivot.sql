SELECT
(
code
) AS c0
FROM (SELECT "claim".*,
  unnest([1, 2]) AS "n",
  unnest(["claim"."dx_1", "claim"."dx_2"]) AS "code"
  FROM (SELECT
  "claim"."data_source" AS "data_source",
  "claim"."Claim_ID" AS "Claim_ID",
  NULLIF(NULLIF(trim("claim"."dx_1"), ''), 'it''s') AS "dx_1",
  NULLIF(NULLIF(trim("claim"."dx_2"), ''), 'it''s') AS "dx_2"
  FROM (
SELECT * FROM c
) AS "claim") AS "claim") AS "diagnosis"
WHERE "diagnosis"."data_source" IS NOT NULL
  AND "diagnosis"."claim_id" IS NOT NULL
ORDER BY "diagnosis"."data_source", "diagnosis"."claim_id", "diagnosis"."n"
