SELECT
(
(SELECT max(x) FROM (SELECT claim.*) AS r(x))
) AS c0
FROM (SELECT
  "claim"."data_source" AS "data_source",
  "claim"."Claim_ID" AS "Claim_ID",
  NULLIF(NULLIF(trim("claim"."patient_id"), ''), 'it''s') AS "patient_id",
  NULLIF("claim"."paid_date", CAST('9999-12-31' AS DATE)) AS "paid_date",
  CASE WHEN CAST("claim"."loaded" AS DATE) = CAST('9999-12-31' AS DATE) THEN NULL ELSE "claim"."loaded" END AS "loaded",
  NULLIF(NULLIF(trim(CAST("claim"."status" AS TEXT)), ''), 'it''s') AS "status",
  "claim"."paid" AS "paid",
  NULLIF(NULLIF(trim("claim"."dx_1"), ''), 'it''s') AS "dx_1",
  NULLIF(NULLIF(trim("claim"."dx_2"), ''), 'it''s') AS "dx_2"
  FROM (
SELECT * FROM c
) AS "claim") AS "claim"
WHERE "claim"."data_source" IS NOT NULL
  AND "claim"."Claim_ID" IS NOT NULL
ORDER BY "claim"."data_source" COLLATE "C", "claim"."Claim_ID" COLLATE "C"
