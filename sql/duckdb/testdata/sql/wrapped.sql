SELECT
(
status
) AS c0,
(
claim.Paid_Date
) AS c1
FROM (SELECT
  "claim"."data_source" AS "data_source",
  "claim"."Claim_ID" AS "Claim_ID",
  NULLIF("claim"."paid_date", CAST('9999-12-31' AS DATE)) AS "paid_date",
  CASE WHEN CAST("claim"."loaded" AS DATE) = CAST('9999-12-31' AS DATE) THEN NULL ELSE "claim"."loaded" END AS "loaded",
  NULLIF(NULLIF(trim(CAST("claim"."status" AS TEXT)), ''), 'it''s') AS "status",
  "claim"."paid" AS "paid"
  FROM (
SELECT * FROM c
) AS "claim") AS "claim"
WHERE "claim"."data_source" IS NOT NULL
  AND "claim"."Claim_ID" IS NOT NULL
  AND (
paid * 2 > 1
)
ORDER BY "claim"."data_source", "claim"."Claim_ID", "claim"."loaded"
