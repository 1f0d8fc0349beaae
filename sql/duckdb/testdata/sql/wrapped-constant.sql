SELECT
(
1
) AS c0
FROM (SELECT
  "claim"."data_source" AS "data_source"
  FROM (
SELECT * FROM c
) AS "claim") AS "claim"
