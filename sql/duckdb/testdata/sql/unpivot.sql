SELECT
(
diagnosis.code
) AS c0
FROM (SELECT "claim".*,
  unnest([1, 2]) AS "n",
  unnest(["claim"."dx_1", "claim"."dx_2"]) AS "code"
  FROM "claim" AS "claim") AS "diagnosis"
WHERE "diagnosis"."data_source" IS NOT NULL
  AND "diagnosis"."claim_id" IS NOT NULL
ORDER BY "diagnosis"."data_source", "diagnosis"."claim_id", "diagnosis"."n"
