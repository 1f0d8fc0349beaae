SELECT
(
code
) AS c0
FROM (SELECT "claim".*, _unpivot.* FROM (SELECT
  "claim"."data_source" AS "data_source",
  "claim"."Claim_ID" AS "Claim_ID",
  NULLIF(NULLIF(trim("claim"."dx_1"), ''), 'it''s') AS "dx_1",
  NULLIF(NULLIF(trim("claim"."dx_2"), ''), 'it''s') AS "dx_2"
  FROM (
SELECT * FROM c
) AS "claim") AS "claim"
  CROSS JOIN LATERAL (VALUES
    (1, "claim"."dx_1"),
    (2, "claim"."dx_2")) AS _unpivot("n", "code")) AS "diagnosis"
WHERE "diagnosis"."data_source" IS NOT NULL
  AND "diagnosis"."claim_id" IS NOT NULL
ORDER BY "diagnosis"."data_source" COLLATE "C", "diagnosis"."claim_id" COLLATE "C", "diagnosis"."n"
