SELECT
(
diagnosis.code
) AS c0
FROM (SELECT "claim".*, _unpivot.* FROM "claim" AS "claim"
  CROSS JOIN LATERAL (VALUES
    (1, "claim"."dx_1"),
    (2, "claim"."dx_2")) AS _unpivot("n", "code")) AS "diagnosis"
WHERE "diagnosis"."data_source" IS NOT NULL
  AND "diagnosis"."claim_id" IS NOT NULL
ORDER BY "diagnosis"."data_source" COLLATE "C", "diagnosis"."claim_id" COLLATE "C", "diagnosis"."n"
